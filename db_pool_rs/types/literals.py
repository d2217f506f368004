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
from .arrays import text_array
from .encode import TEXT, encoder
from .scalars import encode_json

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
    known, kind = encoder(oid), oids.SCALARS[oid].kind
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


def _array(row: oids.PgType) -> Literal:
    element = encoder(row.oid)
    lists = () if row in (oids.JSON, oids.JSONB) else (list, tuple)
    return text_array(literal(row.oid), row.delimiter, f"{element.name} ({element.accepts})", lists)
