"""Python arguments -> bytes, led by the parameter types that the server announced.

`encoder(oid)` gives the `Encoder` of one parameter type. Types with a fixed binary form are sent in binary; the others
(inet, ranges, enums, types of extensions) as the text that their input function reads. Accepted:

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
| ranges | `Range`, or what has its attributes (psycopg's, asyncpg's); str as PostgreSQL reads it |
| multiranges | list or tuple of ranges; str as PostgreSQL reads it |
| other built-in types (bit, point ...) | str as PostgreSQL reads it |
| domains, composites and other types that are not built in | what they are made of says, see `catalog` |
"""

from __future__ import annotations

from functools import lru_cache

from . import foreign, oids
from .arrays import binary_array, text_array
from .literals import accepts, is_inner_of, literal
from .table import BINARY, SCALARS, TEXT, Encoder

__all__ = ["BINARY", "TEXT", "Encoder", "encoder"]


@lru_cache(maxsize=4096)
def encoder(oid: int) -> Encoder:
    """The encoder of a parameter type, whatever the OID; those not built in take text (see `foreign`)."""
    if oid in SCALARS:
        return SCALARS[oid]
    if oid in oids.ARRAYS:
        return _array(oids.ARRAYS[oid])
    if oid in oids.SCALARS:
        return Encoder(oids.type_name(oid), TEXT, literal(oid), accepts(oid))
    return Encoder(oids.type_name(oid), TEXT, foreign.encode_foreign, foreign.ACCEPTS)


def _array(row: oids.PgType) -> Encoder:
    element = encoder(row.oid)
    expected = f"{element.name} ({element.accepts})"
    accepted = f"list or tuple of {element.accepts}"
    if element.format == TEXT:
        encode = text_array(element.encode, row.delimiter, expected, is_inner_of(row.oid))
        return Encoder(f"{row.name}[]", TEXT, encode, accepted)
    encode = binary_array(element.encode, row.oid, expected, is_inner_of(row.oid))
    return Encoder(f"{row.name}[]", BINARY, encode, accepted)
