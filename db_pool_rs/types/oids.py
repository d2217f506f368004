"""The built-in types of PostgreSQL: OID, name and array OID.

The OIDs below are fixed by PostgreSQL and never change between versions, so they are data here (from _data/types.txt)
rather than a query on every connection. Types made by an extension or a user (enums, composites,
domains' own OIDs) have OIDs of their own in each database and are absent: they are handled as text.

`SCALARS` maps the OID of a type to its row, `ARRAYS` the OID of an array to the row of its element.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PgType:
    """One built-in type: its name in SQL, its OID, the OID of its array (0: it has none), what separates elements.

    `binary`: results are asked for in binary, and psycopg's loaders read the same value from it as from text.
    """

    name: str
    oid: int
    array_oid: int
    delimiter: str = ","
    binary: bool = True


# begin generated: built-in types (from _data/types.txt, by db_pool_rs.tools.generate_interfaces)
BOOL = PgType("bool", 16, 1000)
BYTEA = PgType("bytea", 17, 1001)
CHAR = PgType('"char"', 18, 1002, binary=False)
NAME = PgType("name", 19, 1003)
INT8 = PgType("int8", 20, 1016)
INT2 = PgType("int2", 21, 1005)
INT4 = PgType("int4", 23, 1007)
TEXT = PgType("text", 25, 1009)
OID = PgType("oid", 26, 1028)
JSON = PgType("json", 114, 199)
XML = PgType("xml", 142, 143, binary=False)
CIDR = PgType("cidr", 650, 651)
FLOAT4 = PgType("float4", 700, 1021)
FLOAT8 = PgType("float8", 701, 1022)
UNKNOWN = PgType("unknown", 705, 0, binary=False)
INET = PgType("inet", 869, 1041)
BPCHAR = PgType("bpchar", 1042, 1014)
VARCHAR = PgType("varchar", 1043, 1015)
DATE = PgType("date", 1082, 1182)
TIME = PgType("time", 1083, 1183)
TIMESTAMP = PgType("timestamp", 1114, 1115)
TIMESTAMPTZ = PgType("timestamptz", 1184, 1185)
INTERVAL = PgType("interval", 1186, 1187)
TIMETZ = PgType("timetz", 1266, 1270)
NUMERIC = PgType("numeric", 1700, 1231)
RECORD = PgType("record", 2249, 2287, binary=False)
UUID = PgType("uuid", 2950, 2951)
JSONB = PgType("jsonb", 3802, 3807)
TSTZRANGE = PgType("tstzrange", 3910, 3911)
TSTZMULTIRANGE = PgType("tstzmultirange", 4534, 6153)

BUILTIN: tuple[PgType, ...] = (
    BOOL,
    BYTEA,
    CHAR,
    NAME,
    INT8,
    INT2,
    PgType("int2vector", 22, 1006, binary=False),
    INT4,
    PgType("regproc", 24, 1008, binary=False),
    TEXT,
    OID,
    PgType("tid", 27, 1010, binary=False),
    PgType("xid", 28, 1011, binary=False),
    PgType("cid", 29, 1012, binary=False),
    PgType("oidvector", 30, 1013, binary=False),
    JSON,
    XML,
    PgType("point", 600, 1017, binary=False),
    PgType("lseg", 601, 1018, binary=False),
    PgType("path", 602, 1019, binary=False),
    PgType("box", 603, 1020, ";", binary=False),
    PgType("polygon", 604, 1027, binary=False),
    PgType("line", 628, 629, binary=False),
    CIDR,
    FLOAT4,
    FLOAT8,
    UNKNOWN,
    PgType("circle", 718, 719, binary=False),
    PgType("macaddr8", 774, 775, binary=False),
    PgType("money", 790, 791, binary=False),
    PgType("macaddr", 829, 1040, binary=False),
    INET,
    PgType("aclitem", 1033, 1034, binary=False),
    BPCHAR,
    VARCHAR,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    INTERVAL,
    TIMETZ,
    PgType("bit", 1560, 1561, binary=False),
    PgType("varbit", 1562, 1563, binary=False),
    NUMERIC,
    PgType("refcursor", 1790, 2201, binary=False),
    PgType("regprocedure", 2202, 2207, binary=False),
    PgType("regoper", 2203, 2208, binary=False),
    PgType("regoperator", 2204, 2209, binary=False),
    PgType("regclass", 2205, 2210, binary=False),
    PgType("regtype", 2206, 2211, binary=False),
    RECORD,
    PgType("void", 2278, 0, binary=False),
    UUID,
    PgType("txid_snapshot", 2970, 2949, binary=False),
    PgType("pg_lsn", 3220, 3221, binary=False),
    PgType("tsvector", 3614, 3643, binary=False),
    PgType("tsquery", 3615, 3645, binary=False),
    PgType("gtsvector", 3642, 3644, binary=False),
    PgType("regconfig", 3734, 3735, binary=False),
    PgType("regdictionary", 3769, 3770, binary=False),
    JSONB,
    PgType("int4range", 3904, 3905),
    PgType("numrange", 3906, 3907),
    PgType("tsrange", 3908, 3909),
    TSTZRANGE,
    PgType("daterange", 3912, 3913),
    PgType("int8range", 3926, 3927),
    PgType("jsonpath", 4072, 4073, binary=False),
    PgType("regnamespace", 4089, 4090, binary=False),
    PgType("regrole", 4096, 4097, binary=False),
    PgType("regcollation", 4191, 4192, binary=False),
    PgType("int4multirange", 4451, 6150),
    PgType("nummultirange", 4532, 6151),
    PgType("tsmultirange", 4533, 6152),
    TSTZMULTIRANGE,
    PgType("datemultirange", 4535, 6155),
    PgType("int8multirange", 4536, 6157),
    PgType("pg_snapshot", 5038, 5039, binary=False),
    PgType("xid8", 5069, 271, binary=False),
)
# end generated: built-in types

SCALARS: dict[int, PgType] = {row.oid: row for row in BUILTIN}
ARRAYS: dict[int, PgType] = {row.array_oid: row for row in BUILTIN if row.array_oid}


def result_format(oids: Sequence[int]) -> int:
    """The format to ask for, given the types of a statement's columns: 1 (binary) if all can be read so, else 0."""
    return int(all(_in_binary(oid) for oid in oids))


def _in_binary(oid: int) -> bool:
    row = SCALARS.get(oid) or ARRAYS.get(oid)
    return row is not None and row.binary


def type_name(oid: int) -> str:
    """The SQL name of a type: `int4`, `int4[]`, or `type 16385` for one that is not built in."""
    if oid in SCALARS:
        return SCALARS[oid].name
    return f"{ARRAYS[oid].name}[]" if oid in ARRAYS else f"type {oid}"
