"""Values of built-in types as the text that PostgreSQL reads: for parts of types that travel as text.

A domain, a field of a composite and an element of an array accept what a parameter of their type accepts: the encoder
of the type judges a value first. The text means the same under every setting of the session.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from operator import index
from typing import Any
from uuid import UUID

from . import oids
from .arrays import IsInner, is_list, is_list_of_lists, never, text_array
from .ranges import multirange_literal, range_literal
from .scalars import encode_json, encode_text
from .table import SCALARS, TEXT

Literal = Callable[[Any], bytes]

_single = struct.Struct("f")


def _float(value: Any) -> str:
    return float.__repr__(float(value))


def _float4(value: Any) -> str:
    return float.__repr__(_single.unpack(_single.pack(float(value)))[0])


def _numeric(value: Decimal | int) -> str:
    return str(value) if isinstance(value, Decimal) else int.__repr__(value)


def _interval(value: timedelta) -> str:
    return f"{value.days:+d} days {value.seconds * 1_000_000 + value.microseconds:+d} microseconds"


def _bytea(value: bytes | bytearray | memoryview) -> str:
    return "\\x" + bytes(value).hex()


def _moment(value: date | time | datetime) -> str:
    return value.isoformat(" ") if isinstance(value, datetime) else value.isoformat()


_SHOWN: dict[str, Callable[[Any], str]] = {
    "bool": lambda value: "t" if value else "f",
    **dict.fromkeys(("int2", "int4", "int8", "oid"), lambda value: int.__repr__(index(value))),
    "float4": _float4,
    "float8": _float,
    "numeric": _numeric,
    "bytea": _bytea,
    "uuid": lambda value: str(value if isinstance(value, UUID) else UUID(value)),
    **dict.fromkeys(("date", "time", "timetz", "timestamp", "timestamptz"), _moment),
    "interval": _interval,
}


@lru_cache(maxsize=512)
def literal(oid: int) -> Literal:
    """What writes a value of a built-in type as text; it raises as the type's encoder does."""
    if oid in oids.ARRAYS:
        return _array(oids.ARRAYS[oid])
    if oid in oids.RANGES:
        return _range(oids.RANGES[oid])
    if oid in oids.MULTIRANGES:
        return multirange_literal(_range(oids.MULTIRANGES[oid]))
    if oid not in SCALARS:
        return encode_text
    known, kind = SCALARS[oid], oids.SCALARS[oid].kind
    if kind in ("json", "jsonb"):
        return encode_json
    if known.format == TEXT or kind == "str":
        return known.encode
    shown = _SHOWN.get(kind)
    if shown is None:  # "char", unknown: their binary form is the text
        return lambda value: known.encode(value).rstrip(b"\0")

    def write(value: Any) -> bytes:
        known.encode(value)
        return shown(value).encode()

    return write


def accepts(oid: int) -> str:
    """What a built-in type that is no array accepts."""
    if oid in SCALARS:
        return SCALARS[oid].accepts
    if oid in oids.RANGES:
        return f"Range of {accepts(oids.RANGES[oid])}, or str"
    return f"list of Range of {accepts(oids.MULTIRANGES[oid])}, or str" if oid in oids.MULTIRANGES else "str"


def is_inner_of(oid: int) -> IsInner:
    """What tells inner lists from elements in an array of a built-in type."""
    if oid in (oids.JSON.oid, oids.JSONB.oid):
        return never
    return is_list_of_lists if oid in oids.MULTIRANGES else is_list


def _range(bound: int) -> Literal:
    return range_literal(literal(bound), accepts(bound))


def _array(row: oids.PgType) -> Literal:
    expected = f"{row.name} ({accepts(row.oid)})"
    return text_array(literal(row.oid), row.delimiter, expected, is_inner_of(row.oid))
