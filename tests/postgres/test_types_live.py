"""The canonical type table against a real server: our arguments, our rows, and psycopg's own results."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import pq
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range as PsycopgRange

from db_pool_rs import Range
from db_pool_rs.errors import DecodeError
from db_pool_rs.record import Record
from db_pool_rs.types import ParameterCodec, oids
from db_pool_rs.types.decode import RowDecoder


class Session:
    """A bare libpq connection that runs statements the way a driver does: prepare, describe, encode, decode."""

    def __init__(self, dsn: str) -> None:
        self.pgconn = pq.PGconn.connect(dsn.encode())
        assert self.pgconn.status == pq.ConnStatus.OK, self.pgconn.get_error_message()

    def rows(self, sql: str, *args: Any, format: int | None = None) -> list[Record]:
        decoder, result = self.run(sql, *args, format=format)
        return decoder.decode(result)

    def value(self, sql: str, *args: Any, format: int | None = None) -> Any:
        return self.rows(sql, *args, format=format)[0][0]

    def run(self, sql: str, *args: Any, format: int | None = None) -> tuple[RowDecoder, Any]:
        self.check(self.pgconn.prepare(b"", sql.encode()))
        about = self.check(self.pgconn.describe_prepared(b""))
        codec = ParameterCodec([about.param_type(i) for i in range(about.nparams)], sql)
        types = [about.ftype(i) for i in range(about.nfields)]
        names = [(about.fname(i) or b"").decode() for i in range(about.nfields)]
        chosen = oids.result_format(types) if format is None else format
        data: list[Any] = [*codec.encode(args)]
        result = self.check(self.pgconn.exec_prepared(b"", data, codec.formats, chosen))
        return RowDecoder(names, types, chosen, self.pgconn), result

    def check(self, result: Any) -> Any:
        good = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
        assert result.status in good, result.get_error_message()
        return result


@pytest.fixture(scope="module")
def session(pg_dsn: str) -> Iterator[Session]:
    one = Session(pg_dsn)
    one.rows("SET TimeZone = 'America/New_York'")
    yield one
    one.pgconn.finish()


@pytest.fixture(scope="module")
def other(pg_dsn: str) -> Iterator[psycopg.Connection[Any]]:
    """psycopg itself, for comparison."""
    with psycopg.connect(pg_dsn, autocommit=True) as connection:
        connection.execute("SET TimeZone = 'America/New_York'")
        yield connection


LITERALS = {
    "bool": ["t", "f"],
    "int2": ["-32768", "32767"],
    "int4": ["-2147483648"],
    "int8": ["9223372036854775807"],
    "oid": ["4294967295"],
    "float4": ["0.1", "3.4028235e38", "NaN", "-Infinity", "1e-45", "-0"],
    "float8": ["0.1", "1e308", "NaN", "Infinity", "-0", "5e-324"],
    "numeric": ["0", "-0.00", "1E+5", "123456789.123456789", "NaN", "Infinity", "-Infinity", "1e-20", "10000"],
    "text": ["", "é中😀"],
    "varchar": ["x"],
    "bpchar": ["ab "],
    "char(5)": ["ab"],
    "name": ["n"],
    '"char"': ["a", ""],
    "bytea": [r"\x00ff", r"\x"],
    "date": ["2000-01-01", "0001-01-01", "9999-12-31", "1970-06-15", "infinity", "0001-01-01 BC"],
    "time": ["00:00", "23:59:59.999999", "24:00:00"],
    "timetz": ["00:00+00", "23:59:59.999999-15:59:59", "12:00+05:30:15"],
    "timestamp": ["0001-01-01 00:00", "9999-12-31 23:59:59.999999", "1999-12-31 23:59:59.999999", "-infinity"],
    "timestamptz": ["2024-07-01 12:00:00.000001+02", "1900-01-01 00:00+00", "9999-12-30 00:00+00", "infinity"],
    "interval": [
        "1 year 2 mons 3 days 04:05:06.000007",
        "-14 mons",
        "1 mon -1 days",
        "-00:00:00.000001",
        "100000000 years",
    ],
    "uuid": ["00000000-0000-0000-0000-000000000001"],
    "json": ['{"a": [1, 2.5, null, "x"]}', '"s"', "null", " 1 "],
    "jsonb": ['{"a": [1, 2.5, null, "é"]}', "null", "12345678901234567890"],
    "inet": ["10.0.0.1", "10.0.0.1/8", "::1", "::1/64"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["08:00:2b:01:02:03"],
    "xml": ["<a/>"],
    "money": ["1.5"],
    "bit(3)": ["101"],
    "tsvector": ["a b"],
    "point": ["(1,2)"],
    "box": ["(1,2),(3,4)"],
    "regclass": ["pg_class"],
    "pg_lsn": ["0/1"],
    "int4range": ["[1,5)", "empty", "(,)"],
    "tstzrange": ["[2024-01-01 00:00+00,)"],
    "tstzmultirange": ["{[2024-01-01 00:00+00,)}"],
}
CASES = [(name, literal) for name, literals in LITERALS.items() for literal in literals]


def ours(value: Any) -> Any:
    """With `Range` in the place of psycopg's ranges."""
    if isinstance(value, (list, Multirange)):
        return [ours(one) for one in value]
    if not isinstance(value, PsycopgRange):
        return value
    return Range(value.lower, value.upper, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty)


def outcome(call: Any) -> str:
    """The value as text (so that NaN equals NaN and -0.0 differs from 0.0), or that it cannot be represented."""
    try:
        return repr(call())
    except (DecodeError, psycopg.DataError):
        return "cannot be represented"


@pytest.mark.parametrize(("name", "literal"), CASES)
@pytest.mark.parametrize("shape", ["{}", "ARRAY[{}, NULL]", "ARRAY[ARRAY[{}]]"])
def test_both_formats_give_what_psycopg_gives(
    session: Session, other: psycopg.Connection[Any], shape: str, name: str, literal: str
) -> None:
    quoted = literal.replace("'", "''")
    sql = "SELECT " + shape.format(f"'{quoted}'::{name}")
    chosen = outcome(lambda: session.value(sql))
    assert chosen == outcome(lambda: session.value(sql, format=0))
    binary = name == "float4"  # in text, psycopg gives the shortest decimal instead of the number itself
    assert chosen == outcome(lambda: ours(other.cursor(binary=binary).execute(sql).fetchall()[0][0]))


class Colour(str, Enum):
    RED = "red"


UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
ARGUMENTS: list[tuple[str, Any, str]] = [
    ("bool", True, "true"),
    ("int2", -32768, "-32768"),
    ("int4", 2**31 - 1, "2147483647"),
    ("int8", -(2**63), "-9223372036854775808"),
    ("oid", 2**32 - 1, "4294967295"),
    ("float4", 0.1, "0.1"),
    ("float8", 0.1, "0.1"),
    ("float8", float("inf"), "Infinity"),
    ("numeric", Decimal("-123456.7890"), "-123456.7890"),
    ("numeric", Decimal("1E+5"), "100000"),
    ("numeric", Decimal("-0.00"), "0.00"),
    ("numeric", Decimal("1E-20"), "0.00000000000000000001"),
    ("numeric", Decimal("NaN"), "NaN"),
    ("numeric", Decimal("-Infinity"), "-Infinity"),
    ("numeric", 10**40, "1" + "0" * 40),
    ("text", "é中😀", "é中😀"),
    ("text", Colour.RED, "red"),
    ("varchar", "", ""),
    ("bpchar", "a", "a"),
    ("name", "n", "n"),
    ('"char"', "x", "x"),
    ('"char"', "", ""),
    ("xml", "<a/>", "<a/>"),
    ("bytea", bytearray(b"\x00\xff"), r"\x00ff"),
    ("date", date.min, "0001-01-01"),
    ("date", date.max, "9999-12-31"),
    ("time", time(23, 59, 59, 999999), "23:59:59.999999"),
    ("timetz", time(1, 2, 3, tzinfo=timezone(timedelta(hours=-5, minutes=-30))), "01:02:03-05:30"),
    ("timestamp", datetime.max, "9999-12-31 23:59:59.999999"),
    ("timestamp", datetime.min, "0001-01-01 00:00:00"),
    ("timestamptz", datetime(2024, 7, 1, 12, tzinfo=timezone(timedelta(hours=2))), "2024-07-01 06:00:00-04"),
    ("timestamptz", datetime.max.replace(tzinfo=timezone.utc), "9999-12-31 18:59:59.999999-05"),
    ("interval", timedelta(days=3, seconds=-1), "2 days 23:59:59"),
    ("interval", timedelta.max, "999999999 days 23:59:59.999999"),
    ("uuid", UUID, str(UUID)),
    ("uuid", str(UUID), str(UUID)),
    ("json", {"a": "é\0"}, '{"a":"é\\u0000"}'),
    ("jsonb", "text", '"text"'),
    ("jsonb", [1, None, {"a": 2.5}], '[1, null, {"a": 2.5}]'),
    ("inet", ip_address("::1"), "::1/128"),
    ("inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("cidr", ip_network("10.0.0.0/8"), "10.0.0.0/8"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ("int4range", "[1,5)", "[1,5)"),
    ("int4[]", [[1, None], [3, 4]], "{{1,NULL},{3,4}}"),
    ("int4[]", [], "{}"),
    ("text[]", ['a"b\\', "", None, "NULL"], r'{"a\"b\\","",NULL,"NULL"}'),
    ("numeric[]", (Decimal("1.50"), 2), "{1.50,2}"),
    ("bytea[]", [b"\x00"], r'{"\\x00"}'),
    ("jsonb[]", [[1, 2], {"a": 1}, None], '{"[1, 2]","{\\"a\\": 1}",NULL}'),
    ("inet[]", ["10.0.0.1", ip_address("::1")], "{10.0.0.1,::1}"),
    ("int4range[]", ["[1,5)", "empty"], '{"[1,5)",empty}'),
    ("box[]", ["(3,4),(1,2)", "(1,1),(0,0)"], "{(3,4),(1,2);(1,1),(0,0)}"),
]


@pytest.mark.parametrize(("name", "argument", "text"), ARGUMENTS)
def test_the_server_reads_our_arguments(session: Session, name: str, argument: Any, text: str) -> None:
    assert session.value(f"SELECT $1::{name}::text", argument) == text
    assert session.value(f"SELECT $1::{name} IS NULL", None) is True


def test_the_table_agrees_with_the_server(session: Session) -> None:
    sql = "SELECT typname::text, oid, typarray, typdelim FROM pg_type WHERE typnamespace = 'pg_catalog'::regnamespace"
    server = {row["typname"]: row.values()[1:] for row in session.rows(sql)}
    ours = {row.name.strip('"'): (row.oid, row.array_oid, row.delimiter) for row in oids.BUILTIN}
    known = server.keys() & ours.keys()
    assert {name: ours[name] for name in known} == {name: server[name] for name in known}
    assert len(known) > 60  # an older server may lack a few


def test_rows_are_records(session: Session) -> None:
    rows = session.rows("SELECT i AS a, 'x' AS b, NULL::int4 AS c FROM generate_series(1, 3) i")
    assert rows == [(1, "x", None), (2, "x", None), (3, "x", None)]
    assert dict(rows[1]) == {"a": 2, "b": "x", "c": None}
    assert session.rows("SELECT FROM generate_series(1, 2)") == [(), ()]
    assert session.rows("SELECT 1 AS a WHERE false") == []


def test_types_of_the_users_own(session: Session) -> None:
    session.rows("CREATE TYPE pg_temp.mood AS ENUM ('sad', 'so, so')")
    assert session.value("SELECT $1::pg_temp.mood", "sad") == "sad"
    assert session.value("SELECT $1::pg_temp.mood[]", ["sad", "so, so", None]) == '{sad,"so, so",NULL}'
    assert session.rows("SELECT 'sad'::pg_temp.mood AS m, now() - now() AS i") == [("sad", timedelta(0))]


@pytest.mark.parametrize(
    ("base", "value"),
    [
        *(("int4", -5), ("bool", True), ("int8", 2**40), ("float8", 0.1), ("float8", float("-inf"))),
        *(("numeric", Decimal("1.50")), ("numeric", Decimal("NaN")), ("date", date.min), ("uuid", UUID), ("text", "")),
        *(("int4[]", [1, None]), ("text[]", [['a"b', "NULL"], ["", "\\"]])),
    ],
)
def test_a_column_of_a_domain(session: Session, base: str, value: Any) -> None:
    session.rows("DROP DOMAIN IF EXISTS pg_temp.special CASCADE")
    session.rows(f"CREATE DOMAIN pg_temp.special AS {base}")
    session.rows("CREATE TEMP TABLE IF NOT EXISTS holder (id int4)")
    session.rows("ALTER TABLE holder ADD COLUMN value pg_temp.special")
    session.rows("INSERT INTO holder (value) VALUES ($1)", value)
    assert repr(session.value("DELETE FROM holder RETURNING value")) == repr(value)


def test_timestamptz_in_the_zone_of_the_session(session: Session, pg_dsn: str) -> None:
    sql = "SELECT '2024-07-01 12:00Z'::timestamptz AS at, ARRAY['2024-01-01 12:00Z'::timestamptz] AS several"
    zone = ZoneInfo("America/New_York")
    decoder, result = session.run(sql)
    (row,) = decoder.decode(result)
    assert row["at"].tzinfo is row["several"][0].tzinfo is zone

    second = Session(pg_dsn)
    second.rows("SET TimeZone = 'Asia/Tokyo'")
    assert decoder.fits(session.pgconn)
    assert not decoder.fits(second.pgconn)
    assert second.value(sql).tzinfo is ZoneInfo("Asia/Tokyo")
    late, result = second.run(sql)
    second.pgconn.finish()
    assert late.decode(result)[0]["several"][0].tzinfo is ZoneInfo("Asia/Tokyo")


def test_text_format_follows_the_styles_of_the_session(pg_dsn: str) -> None:
    one = Session(pg_dsn)
    sql = "SELECT '2024-02-01'::date, '1 day'::interval, 1::money"
    decoder, result = one.run(sql)
    assert decoder.decode(result)[0][:2] == (date(2024, 2, 1), timedelta(days=1))
    one.rows("SET DateStyle = 'German'")
    assert not decoder.fits(one.pgconn)
    assert one.rows(sql)[0][:2] == (date(2024, 2, 1), timedelta(days=1))
    one.pgconn.finish()


def test_a_value_that_python_cannot_hold(session: Session) -> None:
    sql = "SELECT i, make_date(2000 * i, 1, 1) AS born FROM generate_series(4, 6) i"
    with pytest.raises(DecodeError, match=r'^column "born" \(date\) of row 2: date too large'):
        session.rows(sql)
    assert session.value("SELECT 1") == 1
