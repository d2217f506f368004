"""Values: every type both ways, the same value whether a text is run for the first time or for the fifth.

The first execution of a text returns its rows in text format, later ones in binary: each query runs five times, and
what comes back must be equal and of equal type every time.
"""

from __future__ import annotations

import asyncio
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest

from db_pool_rs.errors import DecodeError, Error
from db_pool_rs.record import record_class

TIMES = 5
UTC = timezone.utc
UUID = uuid.UUID("12345678-1234-5678-1234-567812345678")
inf, nan = float("inf"), float("nan")

#: Type, then values in SQL and in Python.
TYPES: dict[str, list[tuple[str, Any]]] = {
    "bool": [("true", True), ("false", False)],
    "int2": [("-32768", -32768), ("32767", 32767), ("0", 0)],
    "int4": [("-2147483648", -(2**31)), ("2147483647", 2**31 - 1)],
    "int8": [("-9223372036854775808", -(2**63)), ("9223372036854775807", 2**63 - 1)],
    "oid": [("0", 0), ("4294967295", 2**32 - 1)],
    "float4": [("1.5", 1.5), ("0.1", 0.10000000149011612), ("-0", -0.0), ("NaN", nan), ("Infinity", inf)],
    "float8": [
        *(("0.1", 0.1), ("1e308", 1e308), ("5e-324", 5e-324), ("-0", -0.0), ("NaN", nan), ("-Infinity", -inf)),
        ("0.30000000000000004", 0.1 + 0.2),
    ],
    "numeric": [
        *(("0", Decimal(0)), ("-0.00", Decimal("0.00")), ("1.50", Decimal("1.50")), ("1e-20", Decimal("1e-20"))),
        *(("NaN", Decimal("NaN")), ("Infinity", Decimal("Infinity")), ("-Infinity", Decimal("-Infinity"))),
        ("123456789012345678901234567890.123456789", Decimal("123456789012345678901234567890.123456789")),
        ("10000", Decimal(10000)),
        ("0.00010000", Decimal("0.00010000")),
    ],
    "text": [("", ""), ("é中😀", "é中😀"), ("tab\tnew\nline", "tab\tnew\nline"), ("NULL", "NULL"), ('"{}\\', '"{}\\')],
    "varchar": [("x ", "x "), ("", "")],
    "char(4)": [("ab", "ab  ")],
    "name": [("n", "n")],
    '"char"': [("a", "a"), ("", "")],
    "bytea": [(r"\x", b""), (r"\x00ff5c27", b"\x00\xff\\'")],
    "date": [("2000-01-01", date(2000, 1, 1)), ("0001-01-01", date.min), ("9999-12-31", date.max)],
    "time": [("00:00", time(0)), ("23:59:59.999999", time(23, 59, 59, 999999))],
    "timetz": [
        ("12:00+05:30", time(12, tzinfo=timezone(timedelta(hours=5, minutes=30)))),
        ("23:59:59.999999-15:59", time(23, 59, 59, 999999, tzinfo=timezone(-timedelta(hours=15, minutes=59)))),
    ],
    "timestamp": [
        ("0001-01-01 00:00", datetime.min),
        ("9999-12-31 23:59:59.999999", datetime.max),
        ("1999-12-31 23:59:59.5", datetime(1999, 12, 31, 23, 59, 59, 500000)),
    ],
    "timestamptz": [
        ("2024-07-01 12:00:00.000001+02", datetime(2024, 7, 1, 10, 0, 0, 1, tzinfo=UTC)),
        ("1900-01-01 00:00+00", datetime(1900, 1, 1, tzinfo=UTC)),
        ("9999-12-31 23:59:59.999999+00", datetime.max.replace(tzinfo=UTC)),
    ],
    "interval": [
        ("3 days 04:05:06.000007", timedelta(days=3, hours=4, minutes=5, seconds=6, microseconds=7)),
        ("-00:00:00.000001", timedelta(microseconds=-1)),
        ("1 day -1 second", timedelta(days=1, seconds=-1)),
        ("0", timedelta(0)),
    ],
    "uuid": [(str(UUID), UUID)],
    "json": [('{"a": [1, 2.5, null, "x"]}', {"a": [1, 2.5, None, "x"]}), ('"s"', "s"), ("[]", []), ("5", 5)],
    "jsonb": [('{"a": {"é": true}}', {"a": {"é": True}}), ("12345678901234567890", 12345678901234567890)],
    "inet": [
        ("10.0.0.1", ip_address("10.0.0.1")),
        ("10.0.0.1/8", ip_interface("10.0.0.1/8")),
        ("::1", ip_address("::1")),
    ],
    "cidr": [("10.0.0.0/8", ip_network("10.0.0.0/8")), ("::/0", ip_network("::/0"))],
}
#: They come as text, and go as text.
AS_TEXT = {
    "money": "$1.50",
    "macaddr": "08:00:2b:01:02:03",
    "bit(3)": "101",
    "varbit": "10101",
    "point": "(1,2)",
    "box": "(3,4),(1,2)",
    "tsvector": "'a' 'b'",
    "xml": "<a/>",
    "pg_lsn": "0/1",
    "regclass": "pg_class",
    "jsonpath": '$."a"',
}


def _quoted(literal: str, kind: str) -> str:
    return "E'" + literal.replace("\\", "\\\\").replace("'", "\\'").replace("\t", "\\t") + f"'::{kind}"


def _same(value: Any, expected: Any) -> bool:
    """Equal, of equal type, -0.0 and NaN told apart from 0.0 and from nothing."""
    return type(value) is type(expected) and repr(value) == repr(expected)


async def _always(pool: Any, sql: str, expected: Any, *args: Any) -> None:
    """The value of `sql` on the pool and on a held connection, each time that it is run."""
    values = [await pool.fetchval(sql, *args) for _ in range(TIMES)]
    async with pool.acquire() as conn:
        values += [await conn.fetchval(sql, *args) for _ in range(2)]
    values += await asyncio.gather(*[pool.fetchval(sql, *args) for _ in range(6)])
    for number, value in enumerate(values, 1):
        assert _same(value, expected), f"execution {number} of {sql}: {value!r} instead of {expected!r}"


@pytest.mark.parametrize("kind", TYPES)
async def test_results_are_the_same_every_time(pg_pool: Any, kind: str) -> None:
    for literal, expected in TYPES[kind]:
        sql = _quoted(literal, kind)
        await _always(pg_pool, f"SELECT {sql}", expected)
        if kind != '"char"' or literal:  # '' is no element of a "char"[] literal, and nothing else is special
            await _always(pg_pool, f"SELECT ARRAY[{sql}, NULL]", [expected, None])
            await _always(pg_pool, f"SELECT ARRAY[[{sql}], [{sql}]]", [[expected], [expected]])
    await _always(pg_pool, f"SELECT NULL::{kind}", None)
    await _always(pg_pool, f"SELECT ARRAY[]::{kind}[]", [])


@pytest.mark.parametrize("kind", TYPES)
async def test_arguments_come_back_as_they_went(pg_pool: Any, kind: str) -> None:
    for _, value in TYPES[kind]:
        await _always(pg_pool, f"SELECT $1::{kind}", value, value)
        await _always(pg_pool, f"SELECT $1::{kind}[]", [value, None], [value, None])
        await _always(pg_pool, f"SELECT $1::{kind}[]", [[value], [value]], [[value], [value]])
    await _always(pg_pool, f"SELECT $1::{kind}", None, None)
    await _always(pg_pool, f"SELECT $1::{kind}[]", [], [])


@pytest.mark.parametrize("kind", TYPES)
async def test_arguments_arrive_as_what_they_are(pg_pool: Any, kind: str) -> None:
    """The server's own opinion, not only our decoder's."""
    for literal, value in TYPES[kind]:
        cast = "::text" if kind in ("json", "jsonb") else ""
        sql = f"SELECT $1::{kind}{cast} IS NOT DISTINCT FROM {_quoted(literal, kind)}{cast}"
        if kind == "json":
            sql = f"SELECT $1::json::jsonb = {_quoted(literal, 'jsonb')}"
        await _always(pg_pool, sql, True, value)


@pytest.mark.parametrize("kind", TYPES)
async def test_psycopg_agrees(pg_pool: Any, pg_database: str, kind: str) -> None:
    with psycopg.connect(pg_database, autocommit=True) as other:
        for literal, _ in TYPES[kind]:
            sql = f"SELECT {_quoted(literal, kind)}, ARRAY[{_quoted(literal, kind)}]"
            theirs = other.cursor(binary=kind == "float4").execute(sql).fetchone()
            for _ in range(TIMES):
                assert _same(tuple(await pg_pool.fetchrow(sql)), theirs)


#: Where asyncpg's mapping is another one.
NOT_ASYNCPG = ("json", "jsonb", '"char"', "inet", "timestamptz", "timetz", "numeric", "cidr")


async def test_asyncpg_agrees(pg_pool: Any, pg_database: str) -> None:
    other = await asyncpg.connect(pg_database)
    try:
        for kind in TYPES.keys() - set(NOT_ASYNCPG):
            for literal, _ in TYPES[kind]:
                sql = f"SELECT {_quoted(literal, kind)}, ARRAY[{_quoted(literal, kind)}]"
                theirs = tuple(await other.fetchrow(sql))
                for _ in range(TIMES):
                    assert repr(tuple(await pg_pool.fetchrow(sql))) == repr(theirs)
    finally:
        await other.close()


@pytest.mark.parametrize("kind", AS_TEXT)
async def test_other_types_are_text(pg_pool: Any, kind: str) -> None:
    text = AS_TEXT[kind]
    await _always(pg_pool, f"SELECT {_quoted(text, kind)}", text)
    await _always(pg_pool, f"SELECT $1::{kind}", text, text)
    await _always(pg_pool, f"SELECT $1::{kind} AS a, 1 AS b", text, text)


async def test_enums_domains_and_composites(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TYPE mood AS ENUM ('sad', 'very happy', 'é')")
    await pg_pool.execute("CREATE DOMAIN positive AS int CHECK (VALUE > 0)")
    await pg_pool.execute("CREATE TYPE pair AS (a int, b text)")
    await pg_pool.execute("CREATE TABLE holder (m mood, p positive, c pair, ms mood[])")
    for _ in range(3):
        await pg_pool.execute(
            "INSERT INTO holder VALUES ($1, $2, $3, $4)", "very happy", 5, '(1,"x y")', ["sad", None, "é"]
        )
    await _always(pg_pool, "SELECT m FROM holder LIMIT 1", "very happy")
    await _always(pg_pool, "SELECT p FROM holder LIMIT 1", 5)
    await _always(pg_pool, "SELECT c FROM holder LIMIT 1", record_class(("a", "b"))((1, "x y")))
    await _always(pg_pool, "SELECT ms FROM holder LIMIT 1", ["sad", None, "é"])
    await _always(pg_pool, "SELECT (c).b FROM holder LIMIT 1", "x y")
    for _ in range(TIMES):
        row = await pg_pool.fetchrow("SELECT m, p, now() - now() AS i, 1.50::numeric AS n FROM holder")
        assert _same(tuple(row), ("very happy", 5, timedelta(0), Decimal("1.50")))


#: Values that Python has no room for.
TOO_LARGE = {
    "date": ["infinity", "-infinity", "0001-12-31 BC", "10000-01-01", "5874897-12-31"],
    "timestamp": ["infinity", "-infinity", "0044-03-15 12:00 BC", "294276-12-31 23:59:59"],
    "timestamptz": ["infinity", "-infinity", "0044-03-15 12:00 BC", "294276-12-31 23:59:59"],
    "time": ["24:00:00"],
    "interval": ["178000000 years", "-178000000 years"],
}


@pytest.mark.parametrize("kind", TOO_LARGE)
async def test_a_value_that_python_cannot_hold_is_never_altered(pg_pool: Any, kind: str) -> None:
    for literal in TOO_LARGE[kind]:
        for sql in (f"SELECT {_quoted(literal, kind)} AS v", f"SELECT ARRAY[{_quoted(literal, kind)}] AS v"):
            for _ in range(TIMES):
                with pytest.raises(DecodeError, match="v") as caught:
                    await pg_pool.fetch(sql)
                assert not caught.value.safe_to_retry
            await _always(pg_pool, f"SELECT ({_quoted(literal, kind)})::text", await _text(pg_pool, literal, kind))
    assert pg_pool.stats().lost == 0


async def _text(pool: Any, literal: str, kind: str) -> Any:
    return await pool.fetchval(f"SELECT format('%s', {_quoted(literal, kind)})")


async def test_one_row_that_cannot_be_held_does_not_disturb_neighbours(pg_pool: Any) -> None:
    sql = "SELECT make_date($1::int, 1, 1) AS v"
    for _ in range(4):
        results = await asyncio.gather(
            *[pg_pool.fetchval(sql, 10_000 if i == 7 else 2000 + i) for i in range(20)], return_exceptions=True
        )
        assert [i for i, value in enumerate(results) if isinstance(value, DecodeError)] == [7]
        assert all(value == date(2000 + i, 1, 1) for i, value in enumerate(results) if i != 7)


async def test_years_and_months_count_as_in_psycopg(pg_pool: Any) -> None:
    await _always(pg_pool, "SELECT '1 year 2 mons'::interval", timedelta(days=365 + 60))


async def test_timestamptz_is_told_in_the_zone_of_the_session(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, server_settings={"TimeZone": "Asia/Tokyo"})
    sql = "SELECT '2024-07-01 12:00Z'::timestamptz"
    for _ in range(TIMES):
        value = await pool.fetchval(sql)
        assert (value.hour, value.tzinfo) == (21, ZoneInfo("Asia/Tokyo"))
    async with pool.acquire() as conn:
        await conn.execute("SET TimeZone = 'America/New_York'")
        for _ in range(TIMES):
            assert (await conn.fetchval(sql)).hour == 8
            assert (await pool.fetchval(sql)).hour == 21
        await conn.execute("SET DateStyle = 'German'; SET IntervalStyle = 'iso_8601'")
        for _ in range(TIMES):
            row = await conn.fetchrow("SELECT '2024-02-01'::date, '1 day 02:00'::interval, now() > '2024-07-01 12:00'")
            assert row == (date(2024, 2, 1), timedelta(days=1, hours=2), True)
            assert (await conn.fetchval(sql + " AS other")).hour == 8
    assert (await pool.fetchval(sql)).hour == 21


async def test_unknown_literals_and_parameters_without_type_are_text(pg_pool: Any) -> None:
    await _always(pg_pool, "SELECT 'x'", "x")
    await _always(pg_pool, "SELECT $1", "x", "x")
    await _always(pg_pool, "SELECT version() IS NOT NULL", True)
    with pytest.raises(Error):
        await pg_pool.fetchval("SELECT $1", 5)


async def test_void_and_record_results(pg_pool: Any) -> None:
    await _always(pg_pool, "SELECT pg_sleep(0)", "")
    await _always(pg_pool, "SELECT ROW(1, 'a', NULL)", await pg_pool.fetchval("SELECT ROW(1, 'a', NULL)"))


async def test_many_columns(pg_pool: Any) -> None:
    sql = "SELECT " + ", ".join(f"{i}::int4 AS c{i}" for i in range(1600))
    for _ in range(TIMES):
        row = await pg_pool.fetchrow(sql)
        assert row == tuple(range(1600))
        assert row["c1599"] == 1599


async def test_results_without_columns(pg_pool: Any) -> None:
    for _ in range(TIMES):
        assert await pg_pool.fetch("SELECT FROM generate_series(1, 3)") == [(), (), ()]
        assert (await pg_pool.execute("SELECT FROM generate_series(1, 3)")).rows == 3
        assert await pg_pool.fetchrow("SELECT") == ()
        with pytest.raises(IndexError):
            await pg_pool.fetchval("SELECT")


#: What SQLite stores, and gives back.
STORED = [None, 0, -(2**63), 2**63 - 1, 0.1, -0.0, inf, "", "é\0😀", b"", b"\x00\xff"]


async def test_sqlite_gives_back_what_it_stores(open_pool: Any, tmp_path: Any) -> None:
    pool = await open_pool(f"sqlite:///{tmp_path / 'types.db'}", max_size=2)
    for value in STORED:
        await _always(pool, "SELECT $1", value, value)
    await _always(pool, "SELECT $1", 1, True)
    await _always(pool, "SELECT $1", "1.50", Decimal("1.50"))
    await _always(pool, "SELECT $1", str(UUID), UUID)
    await _always(pool, "SELECT datetime($1)", "2024-05-01 12:30:00", datetime(2024, 5, 1, 12, 30))
