"""The built-in types of PostgreSQL: OID, name and array OID.

The OIDs below are fixed by PostgreSQL and never change between versions, so they are data here (from _data/types.txt)
rather than a query on every connection. Types made by an extension or a user (enums, composites,
domains' own OIDs) have OIDs of their own in each database and are absent: they are handled as text.

`SCALARS` maps the OID of a type to its row, `ARRAYS` the OID of an array to the row of its element.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PgType:
    """One built-in type: its name in SQL, its OID, the OID of its array (0: it has none), what separates elements."""

    name: str
    oid: int
    array_oid: int
    delimiter: str = ","


# begin generated: built-in types (from _data/types.txt, by db_pool_rs.tools.generate_interfaces)
BOOL = PgType("bool", 16, 1000)
BYTEA = PgType("bytea", 17, 1001)
CHAR = PgType('"char"', 18, 1002)
NAME = PgType("name", 19, 1003)
INT8 = PgType("int8", 20, 1016)
INT2 = PgType("int2", 21, 1005)
INT4 = PgType("int4", 23, 1007)
TEXT = PgType("text", 25, 1009)
OID = PgType("oid", 26, 1028)
JSON = PgType("json", 114, 199)
XML = PgType("xml", 142, 143)
CIDR = PgType("cidr", 650, 651)
FLOAT4 = PgType("float4", 700, 1021)
FLOAT8 = PgType("float8", 701, 1022)
UNKNOWN = PgType("unknown", 705, 0)
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
RECORD = PgType("record", 2249, 2287)
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
    PgType("int2vector", 22, 1006),
    INT4,
    PgType("regproc", 24, 1008),
    TEXT,
    OID,
    PgType("tid", 27, 1010),
    PgType("xid", 28, 1011),
    PgType("cid", 29, 1012),
    PgType("oidvector", 30, 1013),
    JSON,
    XML,
    PgType("point", 600, 1017),
    PgType("lseg", 601, 1018),
    PgType("path", 602, 1019),
    PgType("box", 603, 1020, ";"),
    PgType("polygon", 604, 1027),
    PgType("line", 628, 629),
    CIDR,
    FLOAT4,
    FLOAT8,
    UNKNOWN,
    PgType("circle", 718, 719),
    PgType("macaddr8", 774, 775),
    PgType("money", 790, 791),
    PgType("macaddr", 829, 1040),
    INET,
    PgType("aclitem", 1033, 1034),
    BPCHAR,
    VARCHAR,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    INTERVAL,
    TIMETZ,
    PgType("bit", 1560, 1561),
    PgType("varbit", 1562, 1563),
    NUMERIC,
    PgType("refcursor", 1790, 2201),
    PgType("regprocedure", 2202, 2207),
    PgType("regoper", 2203, 2208),
    PgType("regoperator", 2204, 2209),
    PgType("regclass", 2205, 2210),
    PgType("regtype", 2206, 2211),
    RECORD,
    PgType("void", 2278, 0),
    UUID,
    PgType("txid_snapshot", 2970, 2949),
    PgType("pg_lsn", 3220, 3221),
    PgType("tsvector", 3614, 3643),
    PgType("tsquery", 3615, 3645),
    PgType("gtsvector", 3642, 3644),
    PgType("regconfig", 3734, 3735),
    PgType("regdictionary", 3769, 3770),
    JSONB,
    PgType("int4range", 3904, 3905),
    PgType("numrange", 3906, 3907),
    PgType("tsrange", 3908, 3909),
    TSTZRANGE,
    PgType("daterange", 3912, 3913),
    PgType("int8range", 3926, 3927),
    PgType("jsonpath", 4072, 4073),
    PgType("regnamespace", 4089, 4090),
    PgType("regrole", 4096, 4097),
    PgType("regcollation", 4191, 4192),
    PgType("int4multirange", 4451, 6150),
    PgType("nummultirange", 4532, 6151),
    PgType("tsmultirange", 4533, 6152),
    TSTZMULTIRANGE,
    PgType("datemultirange", 4535, 6155),
    PgType("int8multirange", 4536, 6157),
    PgType("pg_snapshot", 5038, 5039),
    PgType("xid8", 5069, 271),
)
# end generated: built-in types

SCALARS: dict[int, PgType] = {row.oid: row for row in BUILTIN}
ARRAYS: dict[int, PgType] = {row.array_oid: row for row in BUILTIN if row.array_oid}


def type_name(oid: int) -> str:
    """The SQL name of a type: `int4`, `int4[]`, or `type 16385` for one that is not built in."""
    if oid in SCALARS:
        return SCALARS[oid].name
    return f"{ARRAYS[oid].name}[]" if oid in ARRAYS else f"type {oid}"
