"""How single values of the built-in types are sent: one encoder for each type that is more than its text.

Types with a fixed binary form are sent in binary, the others as the text that their input function reads.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from . import oids, scalars, temporal
from .numeric import encode_numeric

TEXT, BINARY = 0, 1


class Encoder(NamedTuple):
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


SCALARS: dict[int, Encoder] = dict(
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
