"""Records that travel in binary, many of them: each engine writes them in its own way, and the table has the same."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError

LATE = timezone(timedelta(hours=5, minutes=30))
#: Columns, and for each the values of some records: usual ones, and those that take another way.
COLUMNS: dict[str, list[Any]] = {
    "bool": [True, False, None],
    "int2": [-(2**15), 7, None],
    "int4": [2**31 - 1, -1, None],
    "int8": [2**63 - 1, -(2**63), None],
    "float4": [1.5, float("inf"), -0.0],
    "float8": [0.1, float("-inf"), 3],
    "numeric": [Decimal("12.50"), Decimal("NaN"), 7],
    "text": ["é \0".replace("\0", "\t\n\\"), "", None],
    "varchar(9)": ["a", "ü" * 9, None],
    "bytea": [b"\0\xff", bytearray(b"x"), None],
    "uuid": [uuid.UUID(int=5), str(uuid.UUID(int=2**127)), None],
    "date": [date(2024, 2, 29), date(1, 1, 1), None],
    "time": [time(23, 59, 59, 999999), time(0), None],
    "timestamp": [datetime(2024, 2, 29, 1, 2, 3, 4), datetime(1, 1, 1), None],
    "timestamptz": [datetime(2024, 1, 1, tzinfo=timezone.utc), datetime(2024, 1, 1, tzinfo=LATE), None],
    "interval": [timedelta(days=-3, microseconds=5), timedelta(0), None],
    "jsonb": [{"a": [1, None]}, "[1]", None],
    "inet": [ipaddress.ip_interface("10.1.2.3/8"), ipaddress.ip_address("::1"), None],
    "int4[]": [[1, None, 3], [], [[1, 2], [3, 4]]],
    "text[]": [["a", 'b"'], [], None],
    "mood": ["sad", "happy", None],
    "small": [5, 6, None],
}
SCHEMA = ("CREATE TYPE mood AS ENUM ('sad', 'happy')", "CREATE DOMAIN small AS int4 CHECK (value < 100)")


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    pool = await open_pool(pg_database, max_size=2)
    for sql in SCHEMA:
        await pool.execute(sql)
    names = [f"c{number}" for number in range(len(COLUMNS))]
    for table in ("copied", "inserted"):
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(names, COLUMNS, strict=True))
        await pool.execute(f"CREATE TABLE {table} ({columns})")
    return pool


async def _copy(pool: Any, records: Any, table: str = "copied") -> str:
    async with pool.acquire() as connection:
        return str(await connection.copy_records_to_table(table, records=records))


async def test_they_are_what_an_insert_would_have_made_of_them(pool: Any) -> None:
    records = list(zip(*COLUMNS.values(), strict=True))
    numbers = ", ".join(f"${number}" for number in range(1, len(COLUMNS) + 1))
    await pool.executemany(f"INSERT INTO inserted VALUES ({numbers})", records)
    assert await _copy(pool, [list(records[0]), *records[1:]]) == "COPY 3"
    for here, there in (("copied", "inserted"), ("inserted", "copied")):
        assert await pool.fetch(f"SELECT t::text FROM {here} t EXCEPT ALL SELECT t::text FROM {there} t") == []


async def test_many_of_different_ways(open_pool: Any, pg_database: str) -> None:
    """Those that an engine writes by itself stand beside those that it leaves to Python, in pieces of any size."""
    pool = await open_pool(pg_database)
    await pool.execute("CREATE TABLE t (id int4 PRIMARY KEY, name text, at timestamptz)")

    def records() -> Iterator[Any]:
        for number in range(20_000):
            zone = LATE if number % 7 == 0 else timezone.utc
            record = (number, "x" * (number % 50), datetime(2024, 1, 1, 12, tzinfo=zone))
            yield list(record) if number % 5 == 0 else record

    assert await _copy(pool, records(), "t") == "COPY 20000"
    assert await pool.fetchrow("SELECT count(*), sum(id), sum(length(name)) FROM t") == (
        20_000,
        sum(range(20_000)),
        sum(number % 50 for number in range(20_000)),
    )
    early = await pool.fetchval("SELECT count(*) FROM t WHERE at = '2024-01-01 06:30Z'")
    assert early == len(range(0, 20_000, 7))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ((1, 2), 'record 7000, column "name": text expected'),
        ((2**31, "x"), 'record 7000, column "id": int4 expected'),
        ((1,), "record 7000: 2 values expected, got 1"),
        ("ab", "record 7000: a sequence of values expected"),
        (None, "record 7000: a sequence of values expected"),
        ((1, "\0"), 'record 7000, column "name"'),
    ],
    ids=str,
)
async def test_the_one_that_does_not_fit_is_named(open_pool: Any, pg_database: str, bad: Any, told: str) -> None:
    pool = await open_pool(pg_database)
    await pool.execute("CREATE TABLE t (id int4, name text)")
    records = [(number, "x") for number in range(7_000)]
    with pytest.raises((ArgumentError, DatabaseError)) as caught:
        await _copy(pool, [*records, bad, *records], "t")
    assert told in str(caught.value)
    assert await pool.fetchval("SELECT count(*) FROM t") == 0


async def test_what_makes_them_may_fail(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    await pool.execute("CREATE TABLE t (id int4, name text)")

    def records() -> Iterator[Any]:
        yield 1, "one"
        raise KeyError("no more")

    with pytest.raises(KeyError, match="no more"):
        await _copy(pool, records(), "t")
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
    assert await _copy(pool, [], "t") == "COPY 0"
