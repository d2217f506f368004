"""psycopg's loaders, and ours where its will not do: what reads one value of a type (needs psycopg).

A module apart, so that :mod:`.decode` (results) and :mod:`.loaders` (single values) share them.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache
from types import SimpleNamespace
from typing import Any

from psycopg import DataError, adapters, pq
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader, RecursiveLoader, Transformer
from psycopg.pq import Format
from psycopg.types.array import ArrayLoader
from psycopg.types.datetime import IntervalBinaryLoader, IntervalLoader
from psycopg.types.uuid import UUIDLoader

from . import oids as pg
from .catalog import Catalog
from .ranges import multirange_from_binary, multirange_from_text, range_from_binary, range_from_text

_float4 = struct.Struct("f")
_ESCAPE = re.compile(rb"\\(?:\\|[0-3][0-7][0-7])")


class Float4TextLoader(Loader):
    """float4 in text, with the value that binary has: the single precision number itself, not its shortest decimal."""

    def load(self, data: Buffer) -> float:
        value: float = _float4.unpack(_float4.pack(float(bytes(data))))[0]
        return value


class ByteaTextLoader(Loader):
    """bytea in text, whatever `bytea_output` is.

    psycopg's loader in C (3.3) has libpq read on to the next NUL character, so that an element of an array gets what
    comes behind it.
    """

    def load(self, data: Buffer) -> bytes:
        text = bytes(data)
        if text.startswith(b"\\x"):
            return bytes.fromhex(text[2:].decode())
        if text.count(b"\\") != sum(1 + (found == b"\\\\") for found in _ESCAPE.findall(text)):
            raise DataError("malformed bytea")
        return _ESCAPE.sub(lambda found: b"\\" if found[0] == b"\\\\" else bytes([int(found[0][1:], 8)]), text)


class IntervalTextLoader(IntervalLoader):
    """psycopg's loader in Python: the one in C (3.3) cuts the days to 32 bits, so that a long interval is altered.

    Both take an infinite interval (PostgreSQL 17) for one of length 0.
    """

    def load(self, data: Buffer) -> timedelta:
        if bytes(data).endswith(b"infinity"):
            raise DataError(f"can't parse interval {bytes(data).decode()!r}")
        return super().load(data)


class _IntervalBinaryLoader(IntervalBinaryLoader):
    """The same in binary."""


class _UUIDTextLoader(UUIDLoader):
    """psycopg's loader in Python: the one in C (3.3) takes bytes from 128 on for negative numbers of its table."""


class _ForeignLoader(Loader):
    """A type that is not built in, as the pool's catalogue reads it."""

    catalog: Catalog

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load = self.catalog.loader(oid, self._built_in)

    def _built_in(self, part: int) -> Callable[[bytes], Any]:
        return Transformer(context_of(adapters_of((part,)), self.connection)).get_loader(part, Format.TEXT).load

    def load(self, data: Buffer) -> Any:
        return self._load(bytes(data))


class ByTypeLoader(Loader):
    """A type that psycopg does not read in binary, or that is not built in: see :mod:`.binary`."""

    format = Format.BINARY
    make: Callable[[int], Callable[[bytes], Any]]

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load: Callable[[bytes], Any] | None = None

    def load(self, data: Buffer) -> Any:
        load = self._load
        if load is None:  # made with the first value, whose error names the column
            load = self._load = type(self).make(self.oid)
        return load(bytes(data))


class _ArrayTextLoader(ArrayLoader):
    """By psycopg's loader in C, unless there are backslashes (see the module)."""

    #: That loader's class.
    fast: type[Loader]

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._fast = self.fast(oid, self._tx).load

    def load(self, data: Buffer) -> list[Any]:
        whole = bytes(data)
        rows: list[Any] = super().load(whole) if b"\\" in whole else self._fast(whole)
        return rows


class _RangeLoader(RecursiveLoader):
    """A range or multirange: `read` takes it apart, the loader of its bounds' type reads these."""

    bound: int
    read: Callable[[bytes, Callable[[bytes], Any]], Any]

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load = self._tx.get_loader(self.bound, self.format).load

    def load(self, data: Buffer) -> Any:
        return type(self).read(bytes(data), self._load)


def register_ranges(adapters: AdaptersMap) -> None:
    """Have ranges read as ours, not as psycopg's."""
    for oid in (*pg.RANGES, *pg.MULTIRANGES):
        for loader in _range_loaders(oid):
            adapters.register_loader(oid, loader)


def _range_loaders(oid: int) -> tuple[type[Loader], ...]:
    """Those of a range or multirange."""
    bound = pg.RANGES.get(oid)
    reads: tuple[Callable[..., Any], ...] = (range_from_text, range_from_binary)
    if bound is None:
        bound, reads = pg.MULTIRANGES[oid], (multirange_from_text, multirange_from_binary)
    return tuple(
        type(f"{pg.type_name(oid)}Loader", (_RangeLoader,), {"bound": bound, "read": staticmethod(read), "format": one})
        for one, read in zip((Format.TEXT, Format.BINARY), reads, strict=True)
    )


def _array_loaders(oid: int) -> tuple[type[Loader], ...]:
    """That of an array in text, where psycopg's will not do."""
    row, fast = pg.ARRAYS[oid], ADAPTERS.get_loader(oid, Format.TEXT)
    members = {"base_oid": row.oid, "delimiter": row.delimiter.encode(), "fast": fast}
    if fast is None:  # a type that psycopg does not know, as pg_snapshot
        return (type(f"{row.name}ArrayLoader", (ArrayLoader,), members),)
    if pq.__impl__ != "python" and hasattr(fast, "base_oid"):
        return (type(f"{row.name}ArrayLoader", (_ArrayTextLoader,), members),)
    return ()


@cache
def _own_loaders(oid: int) -> tuple[type[Loader], ...]:
    """Those of ours for a type that is built in. There are many: one is made when it is first needed."""
    if oid in pg.ARRAYS:
        return _array_loaders(oid)
    return _range_loaders(oid) if oid in pg.RANGES or oid in pg.MULTIRANGES else ()


#: psycopg's, with those of ours.
ADAPTERS = AdaptersMap(adapters)
ADAPTERS.register_loader(pg.FLOAT4.oid, Float4TextLoader)
ADAPTERS.register_loader(pg.BYTEA.oid, ByteaTextLoader)
ADAPTERS.register_loader(pg.INTERVAL.oid, IntervalTextLoader)
ADAPTERS.register_loader(pg.INTERVAL.oid, _IntervalBinaryLoader)
ADAPTERS.register_loader(pg.UUID.oid, _UUIDTextLoader)

#: Types of which the values are in the time zone of the session.
ZONED = frozenset(oid for row in (pg.TIMESTAMPTZ, pg.TSTZRANGE, pg.TSTZMULTIRANGE) for oid in (row.oid, row.array_oid))


def adapters_of(oids: Sequence[int], catalog: Catalog | None = None) -> AdaptersMap:
    """What reads these types: psycopg's loaders, and ours where its will not do."""
    wanted = dict.fromkeys(oids)
    wanted |= dict.fromkeys(pg.ARRAYS[oid].oid for oid in wanted if oid in pg.ARRAYS)
    made = [(oid, loader) for oid in wanted for loader in _own_loaders(oid)]
    if catalog is not None:
        made += [(oid, type("ForeignLoader", (_ForeignLoader,), {"catalog": catalog})) for oid in catalog.foreign(oids)]
    own = AdaptersMap(ADAPTERS) if made else ADAPTERS
    for oid, loader in made:
        own.register_loader(oid, loader)
    return own


def context_of(adapters: AdaptersMap, connection: Any = None) -> Any:
    """What a Transformer takes for a context: loaders ask its connection's `pgconn` for settings, and nothing else."""
    return SimpleNamespace(adapters=adapters, connection=connection)
