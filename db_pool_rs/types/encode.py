"""Python arguments -> bytes, led by the parameter types that the server announced.

`encoder(oid)` gives the `Encoder` of one parameter type. Types with a fixed binary form are sent in binary; the others
(inet, enums, ranges, types of extensions) as the text that their input function reads. Accepted:

| PostgreSQL | Python |
|---|---|
| bool | bool |
| int2, int4, int8, oid | int and what has `__index__` (bool, IntEnum, numpy); never float, not even 3.0 |
| float4, float8 | float, int and what has `__float__` (Decimal, numpy); a float4 overflow is an error |
| numeric | Decimal, int; not float: 0.1 is not what it looks like, say `Decimal("0.1")` |
| text, varchar, bpchar, name, xml | str without NUL |
| "char" | str of one ASCII character, or empty |
| bytea | bytes, bytearray, memoryview |
| date, time, timetz, timestamp, timestamptz, interval | date, time, datetime, timedelta (see `temporal`) |
| uuid | uuid.UUID, or a str that it reads |
| json, jsonb | anything that `json.dumps` takes; a str becomes a JSON *string* |
| inet, cidr | str, or an object of `ipaddress` |
| arrays | list or tuple, nested for more dimensions; None is NULL |
| other built-in types (ranges, bit, point ...) | str as PostgreSQL reads it |
| domains, composites and other types that are not built in | what they are made of says, see `catalog` |
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from . import foreign, oids, scalars, temporal
from .arrays import binary_array, text_array
from .numeric import encode_numeric

TEXT, BINARY = 0, 1


@dataclass(frozen=True, slots=True)
class Encoder:
    """How one parameter type is sent: SQL name, wire format (0 text, 1 binary), function, accepted Python types.

    `encode` takes anything but None and raises anything at all on a value that it cannot send.
    """

    name: str
    format: int
    encode: Callable[[Any], bytes]
    accepts: str


def _integer(row: oids.PgType, code: str, low: int, high: int) -> tuple[int, Encoder]:
    return row.oid, Encoder(row.name, BINARY, struct.Struct(code).pack, f"int from {low} to {high}")


def _binary(row: oids.PgType, encode: Callable[[Any], bytes], accepts: str) -> tuple[int, Encoder]:
    return row.oid, Encoder(row.name, BINARY, encode, accepts)


_SCALARS: dict[int, Encoder] = dict(
    (
        _integer(oids.INT2, ">h", -(2**15), 2**15 - 1),
        _integer(oids.INT4, ">i", -(2**31), 2**31 - 1),
        _integer(oids.INT8, ">q", -(2**63), 2**63 - 1),
        _integer(oids.OID, ">I", 0, 2**32 - 1),
        _binary(oids.FLOAT4, struct.Struct(">f").pack, "float or int within the range of float4"),
        _binary(oids.FLOAT8, struct.Struct(">d").pack, "float or int"),
        _binary(oids.NUMERIC, encode_numeric, "Decimal or int"),
        _binary(oids.BOOL, scalars.encode_bool, "bool"),
        _binary(oids.TEXT, scalars.encode_text, "str"),
        _binary(oids.VARCHAR, scalars.encode_text, "str"),
        _binary(oids.BPCHAR, scalars.encode_text, "str"),
        _binary(oids.NAME, scalars.encode_text, "str"),
        _binary(oids.UNKNOWN, scalars.encode_text, "str"),
        _binary(oids.CHAR, scalars.encode_char, "str of at most one character"),
        _binary(oids.BYTEA, scalars.encode_bytea, "bytes, bytearray or memoryview"),
        _binary(oids.UUID, scalars.encode_uuid, "UUID, or str in the form of one"),
        _binary(oids.JSON, scalars.encode_json, "JSON-serialisable object"),
        _binary(oids.JSONB, scalars.encode_jsonb, "JSON-serialisable object"),
        _binary(oids.DATE, temporal.encode_date, "date"),
        _binary(oids.TIME, temporal.encode_time, "time without time zone"),
        _binary(oids.TIMETZ, temporal.encode_timetz, "time with time zone"),
        _binary(oids.TIMESTAMP, temporal.encode_timestamp, "datetime without time zone"),
        _binary(oids.TIMESTAMPTZ, temporal.encode_timestamptz, "datetime with time zone"),
        _binary(oids.INTERVAL, temporal.encode_interval, "timedelta"),
        (oids.INET.oid, Encoder("inet", TEXT, scalars.encode_network, "str, or an address of ipaddress")),
        (oids.CIDR.oid, Encoder("cidr", TEXT, scalars.encode_network, "str, or a network of ipaddress")),
    )
)


@lru_cache(maxsize=4096)
def encoder(oid: int) -> Encoder:
    """The encoder of a parameter type, whatever the OID; those not built in take text (see `foreign`)."""
    if oid in _SCALARS:
        return _SCALARS[oid]
    if oid in oids.ARRAYS:
        return _array(oids.ARRAYS[oid])
    if oid in oids.SCALARS:
        return Encoder(oids.type_name(oid), TEXT, scalars.encode_text, "str")
    return Encoder(oids.type_name(oid), TEXT, foreign.encode_foreign, foreign.ACCEPTS)


def _array(row: oids.PgType) -> Encoder:
    element = encoder(row.oid)
    expected = f"{element.name} ({element.accepts})"
    accepts = f"list or tuple of {element.accepts}"
    if element.format == TEXT:
        return Encoder(f"{row.name}[]", TEXT, text_array(element.encode, row.delimiter, expected), accepts)
    nested = row not in (oids.JSON, oids.JSONB)
    encode = binary_array(element.encode, row.oid, expected, nested=nested)
    return Encoder(f"{row.name}[]", BINARY, encode, accepts)
