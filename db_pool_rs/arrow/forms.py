"""What a column of PostgreSQL's becomes in Arrow, by its type; one that has no form of its own there comes as text.

| type | Arrow |
|---|---|
| bool | bool |
| int2, int4, int8, oid | int16, int32, int64, uint32 |
| float4, float8 | float, double |
| numeric(p, s), p at most 38 and 0 <= s <= p | decimal128(p, s) |
| any other numeric | string, as PostgreSQL writes it |
| text, varchar, bpchar, name, xml, citext | string |
| json, jsonb | string, the document's text |
| uuid | string |
| bytea | binary |
| date | date32 |
| time | time64[us] |
| timestamp | timestamp[us] |
| timestamptz | timestamp[us, UTC] |
| interval | duration[us]; a month has 30 days, a year 365, as in a timedelta of `fetch` |
| enum | dictionary of strings |
| arrays of these, of one dimension | list |
| all others | string, as PostgreSQL writes it |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ..record import Column
from ..types import oids

#: What values are sent as, by the type's OID: the names that the decoders know.
KINDS: dict[int, str] = {
    oids.BOOL.oid: "bool",
    oids.INT2.oid: "int2",
    oids.INT4.oid: "int4",
    oids.INT8.oid: "int8",
    oids.OID.oid: "oid",
    oids.FLOAT4.oid: "float4",
    oids.FLOAT8.oid: "float8",
    oids.NUMERIC.oid: "numeric",
    **{row.oid: "text" for row in (oids.TEXT, oids.VARCHAR, oids.BPCHAR, oids.NAME, oids.XML, oids.JSON)},
    oids.JSONB.oid: "jsonb",
    oids.UUID.oid: "uuid",
    oids.BYTEA.oid: "bytea",
    oids.DATE.oid: "date",
    oids.TIME.oid: "time",
    oids.TIMESTAMP.oid: "timestamp",
    oids.TIMESTAMPTZ.oid: "timestamptz",
    oids.INTERVAL.oid: "interval",
}
#: Types that are not built in, by the function that sends them.
SENT = {"enum_send": "enum", "textsend": "text", "citextsend": "text", "varcharsend": "text", "bpcharsend": "text"}
MOST_DIGITS = 38
#: What ends a batch: so many bytes, as they came or as the text that they become. One value has no more, so that no
#: column of a batch outgrows offsets of 32 bits.
MOST_BYTES = 1 << 30

#: Which of these types are enums and the like, and arrays of them.
FOREIGN = """
SELECT t.oid::pg_catalog.int8, coalesce(e.typsend, t.typsend)::pg_catalog.text, e.oid IS NOT NULL
FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
WHERE t.oid = ANY ($1::pg_catalog.oid[])"""


class Form(NamedTuple):
    """How a column is kept: `kind` is a name of `KINDS` or "enum"; `precision` is 0 where none limits a numeric.

    None for `kind`: the type has no form here, the server is asked for its text.
    """

    name: str
    kind: str | None
    is_list: bool = False
    precision: int = 0
    scale: int = 0


def form(column: Column, foreign: Mapping[int, tuple[str, bool]]) -> Form:
    """The form of one column; `foreign` holds the answer to `FOREIGN`."""
    oid = column.type_oid
    element = oids.ARRAYS.get(oid)
    if (told := foreign.get(oid)) is not None:
        kind, is_list = SENT.get(told[0]), told[1]
    else:
        kind, is_list = KINDS.get(oid if element is None else element.oid), element is not None
    if kind != "numeric":
        return Form(column.name, kind, is_list)
    precision, scale = _digits(column.type_modifier)
    return Form(column.name, kind, is_list, precision, scale)


def _digits(modifier: int) -> tuple[int, int]:
    """Precision and scale of a numeric that fits into a decimal128, else zeros.

    Layout of the modifier: backend/utils/adt/numeric.c, make_numeric_typmod.
    """
    if modifier < 4:
        return 0, 0
    precision, scale = (modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF
    return (precision, scale) if precision <= MOST_DIGITS and scale <= precision else (0, 0)


def is_foreign(oid: int) -> bool:
    """Whether the server must be asked what a type is."""
    return oid not in oids.SCALARS and oid not in oids.ARRAYS
