"""The built-in types of PostgreSQL: OID, name and array OID.

The OIDs below are fixed by PostgreSQL and never change between versions, so they are data here (from _data/types.txt)
rather than a query on every connection. Types made by an extension or a user (enums, composites,
domains' own OIDs) have OIDs of their own in each database and are absent: they are handled as text.

`SCALARS` maps the OID of a type to its row, `ARRAYS` the OID of an array to the row of its element.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class PgType(NamedTuple):
    """One built-in type: its name in SQL, its OID, the OID of its array (0: it has none), what separates elements.

    What `kind` can be is said in _data/types.txt.
    """

    name: str
    oid: int
    array_oid: int
    kind: str
    delimiter: str = ","

    @property
    def binary(self) -> bool:
        """Whether results are asked for in binary: psycopg's loaders read the same value from it as from text."""
        return self.kind not in ("composite", "literal", "text")


# begin generated: built-in types (from _data/types.txt, by db_pool_rs.tools.generate_interfaces)
BOOL = PgType("bool", 16, 1000, "bool")
BYTEA = PgType("bytea", 17, 1001, "bytea")
CHAR = PgType('"char"', 18, 1002, "literal")
NAME = PgType("name", 19, 1003, "str")
INT8 = PgType("int8", 20, 1016, "int8")
INT2 = PgType("int2", 21, 1005, "int2")
INT4 = PgType("int4", 23, 1007, "int4")
TEXT = PgType("text", 25, 1009, "str")
OID = PgType("oid", 26, 1028, "oid")
JSON = PgType("json", 114, 199, "json")
XML = PgType("xml", 142, 143, "text")
CIDR = PgType("cidr", 650, 651, "cidr")
FLOAT4 = PgType("float4", 700, 1021, "float4")
FLOAT8 = PgType("float8", 701, 1022, "float8")
UNKNOWN = PgType("unknown", 705, 0, "literal")
INET = PgType("inet", 869, 1041, "inet")
BPCHAR = PgType("bpchar", 1042, 1014, "str")
VARCHAR = PgType("varchar", 1043, 1015, "str")
DATE = PgType("date", 1082, 1182, "date")
TIME = PgType("time", 1083, 1183, "time")
TIMESTAMP = PgType("timestamp", 1114, 1115, "timestamp")
TIMESTAMPTZ = PgType("timestamptz", 1184, 1185, "timestamptz")
INTERVAL = PgType("interval", 1186, 1187, "interval")
TIMETZ = PgType("timetz", 1266, 1270, "timetz")
NUMERIC = PgType("numeric", 1700, 1231, "numeric")
RECORD = PgType("record", 2249, 2287, "composite")
UUID = PgType("uuid", 2950, 2951, "uuid")
JSONB = PgType("jsonb", 3802, 3807, "jsonb")
TSTZRANGE = PgType("tstzrange", 3910, 3911, "zoned_range")
TSTZMULTIRANGE = PgType("tstzmultirange", 4534, 6153, "zoned_range")

BUILTIN: tuple[PgType, ...] = (
    BOOL,
    BYTEA,
    CHAR,
    NAME,
    INT8,
    INT2,
    PgType("int2vector", 22, 1006, "text"),
    INT4,
    PgType("regproc", 24, 1008, "text"),
    TEXT,
    OID,
    PgType("tid", 27, 1010, "text"),
    PgType("xid", 28, 1011, "text"),
    PgType("cid", 29, 1012, "text"),
    PgType("oidvector", 30, 1013, "text"),
    JSON,
    XML,
    PgType("point", 600, 1017, "text"),
    PgType("lseg", 601, 1018, "text"),
    PgType("path", 602, 1019, "text"),
    PgType("box", 603, 1020, "text", ";"),
    PgType("polygon", 604, 1027, "text"),
    PgType("line", 628, 629, "text"),
    CIDR,
    FLOAT4,
    FLOAT8,
    UNKNOWN,
    PgType("circle", 718, 719, "text"),
    PgType("macaddr8", 774, 775, "text"),
    PgType("money", 790, 791, "text"),
    PgType("macaddr", 829, 1040, "text"),
    INET,
    PgType("aclitem", 1033, 1034, "text"),
    BPCHAR,
    VARCHAR,
    DATE,
    TIME,
    TIMESTAMP,
    TIMESTAMPTZ,
    INTERVAL,
    TIMETZ,
    PgType("bit", 1560, 1561, "text"),
    PgType("varbit", 1562, 1563, "text"),
    NUMERIC,
    PgType("refcursor", 1790, 2201, "text"),
    PgType("regprocedure", 2202, 2207, "text"),
    PgType("regoper", 2203, 2208, "text"),
    PgType("regoperator", 2204, 2209, "text"),
    PgType("regclass", 2205, 2210, "text"),
    PgType("regtype", 2206, 2211, "text"),
    RECORD,
    PgType("void", 2278, 0, "text"),
    UUID,
    PgType("txid_snapshot", 2970, 2949, "text"),
    PgType("pg_lsn", 3220, 3221, "text"),
    PgType("tsvector", 3614, 3643, "text"),
    PgType("tsquery", 3615, 3645, "text"),
    PgType("gtsvector", 3642, 3644, "text"),
    PgType("regconfig", 3734, 3735, "text"),
    PgType("regdictionary", 3769, 3770, "text"),
    JSONB,
    PgType("int4range", 3904, 3905, "range"),
    PgType("numrange", 3906, 3907, "range"),
    PgType("tsrange", 3908, 3909, "range"),
    TSTZRANGE,
    PgType("daterange", 3912, 3913, "range"),
    PgType("int8range", 3926, 3927, "range"),
    PgType("jsonpath", 4072, 4073, "text"),
    PgType("regnamespace", 4089, 4090, "text"),
    PgType("regrole", 4096, 4097, "text"),
    PgType("regcollation", 4191, 4192, "text"),
    PgType("int4multirange", 4451, 6150, "range"),
    PgType("nummultirange", 4532, 6151, "range"),
    PgType("tsmultirange", 4533, 6152, "range"),
    TSTZMULTIRANGE,
    PgType("datemultirange", 4535, 6155, "range"),
    PgType("int8multirange", 4536, 6157, "range"),
    PgType("pg_snapshot", 5038, 5039, "text"),
    PgType("xid8", 5069, 271, "text"),
)
# end generated: built-in types

SCALARS: dict[int, PgType] = {row.oid: row for row in BUILTIN}
ARRAYS: dict[int, PgType] = {row.array_oid: row for row in BUILTIN if row.array_oid}
_BY_NAME = {row.name: row for row in BUILTIN}
_BOUNDS = {"int4": INT4, "int8": INT8, "num": NUMERIC, "ts": TIMESTAMP, "tstz": TIMESTAMPTZ, "date": DATE}
#: The OIDs of range types, and of multirange types, with that of their bounds.
RANGES = {_BY_NAME[f"{name}range"].oid: bound.oid for name, bound in _BOUNDS.items()}
MULTIRANGES = {_BY_NAME[f"{name}multirange"].oid: bound.oid for name, bound in _BOUNDS.items()}

_WALKED = frozenset(row.oid for row in (BOOL, INT2, INT4, INT8, OID, NUMERIC))
_PLAIN = _WALKED.union(row.oid for row in BUILTIN if row.kind == "str" or row in (JSON, JSONB))


def result_format(oids: Sequence[int]) -> int:
    """The format to ask for, given the types of a statement's columns: 1 (binary) if all can be read so, else 0."""
    return int(all(in_binary(oid) for oid in oids))


def reads_faster_in_text(oids: Sequence[int]) -> bool:
    """Whether psycopg's loaders are done with these columns sooner in text.

    In binary a value must be walked first (:mod:`.layout`): in Python that takes longer than the loader, and no walk is
    needed in text. Text of these types depends on no setting.
    """
    return _PLAIN.issuperset(oids) and not _WALKED.isdisjoint(oids)


def in_binary(oid: int) -> bool:
    """Whether a type is built in, and psycopg's loaders read in binary what they read from text."""
    row = SCALARS.get(oid) or ARRAYS.get(oid)
    return row is not None and row.binary


def type_name(oid: int) -> str:
    """The SQL name of a type: `int4`, `int4[]`, or `type 16385` for one that is not built in."""
    if oid in SCALARS:
        return SCALARS[oid].name
    return f"{ARRAYS[oid].name}[]" if oid in ARRAYS else f"type {oid}"
