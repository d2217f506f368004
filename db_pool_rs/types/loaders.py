"""Single values -> Python, by psycopg's loaders, for those who have no result of psycopg's (needs psycopg).

The values are those of :mod:`.decode`. psycopg's loaders in C take their settings from a connection of psycopg's; where
settings matter and there is none, its loaders in Python do the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from psycopg._py_transformer import Transformer as PythonTransformer
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.postgres import register_default_adapters
from psycopg.pq import Format
from psycopg.types.array import ArrayBinaryLoader, ArrayLoader

from . import oids as pg
from .adapters import (
    ADAPTERS,
    ZONED,
    ByteaTextLoader,
    Float4TextLoader,
    IntervalTextLoader,
    adapters_of,
    context_of,
    register_ranges,
)
from .binary import RECORDS, binary_loader
from .catalog import Catalog
from .layout import check_for

Settings = Mapping[bytes, bytes | None]


class _PythonAdapters(AdaptersMap):
    """The default adapters, as they are without psycopg's C implementation."""

    @classmethod
    def _get_optimised(cls, loader: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # called by place
        return loader


@lru_cache(maxsize=1)
def _python_adapters() -> AdaptersMap:
    adapters = _PythonAdapters(types=ADAPTERS.types)
    register_default_adapters(context_of(adapters))
    adapters.register_loader(pg.FLOAT4.oid, Float4TextLoader)
    adapters.register_loader(pg.BYTEA.oid, ByteaTextLoader)
    adapters.register_loader(pg.INTERVAL.oid, IntervalTextLoader)
    register_ranges(adapters)
    for oid, row in pg.ARRAYS.items():
        members = {"base_oid": row.oid, "delimiter": row.delimiter.encode()}
        adapters.register_loader(oid, type(f"{row.name}ArrayLoader", (ArrayLoader,), members))
        adapters.register_loader(oid, ArrayBinaryLoader)
    return adapters


def value_loader(oid: int, format: int, settings: Settings) -> Callable[[bytes], Any]:
    """The function that turns a value of this type into Python's; `settings` are those that the session reports."""
    if format and oid in RECORDS:
        return binary_loader(Catalog(), oid, binary_parts(settings))
    if not settings:
        transformer: Any = Transformer(context_of(adapters_of((oid,))))
    else:
        session = SimpleNamespace(parameter_status=settings.get, _encoding="utf-8")
        connection = SimpleNamespace(pgconn=session)
        transformer = PythonTransformer(context_of(_python_adapters(), connection))
    load: Callable[[bytes], Any] = transformer.get_loader(oid, Format(format)).load
    check = check_for(oid) if format else None
    if check is None:
        return load

    def load_checked(data: bytes) -> Any:
        check(data)
        return load(data)

    return load_checked


def binary_parts(settings: Settings) -> Callable[[int], Callable[[bytes], Any]]:
    """What gives the loaders of built-in types in binary, for what is made of such (:mod:`.binary`)."""
    return lambda oid: value_loader(oid, 1, settings if oid in ZONED else {})
