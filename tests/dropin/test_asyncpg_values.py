"""Values of `db_pool_rs.asyncpg` that pools of this package read and write in another way."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from typing import Any

import pytest

import db_pool_rs.asyncpg as asyncpg
from db_pool_rs.asyncpg import times


@pytest.fixture
async def make(engine: Any, pg_database: str) -> AsyncIterator[Any]:
    """Factory of pools; all are closed at the end."""
    made: list[Any] = []

    async def create(**options: Any) -> Any:
        made.append(await asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1, **options))
        return made[-1]

    yield create
    for pool in made:
        await pool.close()


@pytest.fixture
async def pool(make: Any) -> Any:
    """A pool."""
    return await make()


async def test_timestamptz_comes_in_utc(make: Any) -> None:
    pool = await make(server_settings={"TimeZone": "Asia/Tokyo"})
    instant = datetime.datetime(2026, 1, 2, 3, 4, 5, 600_000, datetime.timezone.utc)
    elsewhere = instant.astimezone(datetime.timezone(datetime.timedelta(hours=-3, minutes=-30)))
    row = await pool.fetchrow(
        "SELECT $1::timestamptz, $2::timestamptz[], tstzrange($1, NULL), '1850-01-01 00:00+05:53:28'::timestamptz, "
        "NULL::timestamptz",
        elsewhere,
        [elsewhere, None],
    )
    assert row[0] == row[1][0] == row[2].lower == instant
    assert {value.utcoffset() for value in (row[0], row[1][0], row[2].lower, row[3])} == {datetime.timedelta()}
    assert row[4] is None
    await pool.execute("CREATE TABLE times (at timestamptz)")
    async with pool.acquire() as connection:
        await connection.copy_records_to_table("times", records=[(elsewhere,)])
    assert (await pool.fetchval("SELECT at FROM times")).isoformat() == instant.isoformat()


@pytest.mark.parametrize("text", ["0044-03-15 12:00+00 BC", "10000-01-01 00:00+00", "294276-12-31 23:59:59+00"])
async def test_a_timestamptz_that_python_lacks(pool: Any, text: str) -> None:
    with pytest.raises(asyncpg.InternalClientError, match="timestamptz"):
        await pool.fetchval(f"SELECT '{text}'::timestamptz")
    assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.parametrize(
    "text", ["2026-01-02 03:04:05+00", "2026-01-02 03:04:05.6-03:30", "1850-01-01 00:00:00+05:53:28"]
)
def test_python_3_10_reads_them_too(text: str) -> None:
    assert times._padded(text) == times._moment(text)


@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [
        ("date", datetime.date.min, datetime.date.max),
        ("timestamp", datetime.datetime.min, datetime.datetime.max),
        ("timestamptz", datetime.datetime.min, datetime.datetime.max),
    ],
)
async def test_infinite_times_go_to_and_fro(pool: Any, kind: str, first: Any, last: Any) -> None:
    sql = f"SELECT '-infinity'::{kind}, ARRAY['infinity'::{kind}], $1::{kind}::text, $2::{kind}[]::text"
    assert await pool.fetchrow(sql, first, [last]) == (first, [last], "-infinity", "{infinity}")


async def test_dates_and_datetimes_stand_for_each_other(pool: Any) -> None:
    day, noon = datetime.date(2026, 1, 2), datetime.datetime(2026, 1, 2, 12)
    row = await pool.fetchrow("SELECT $1::timestamp, $2::date, $3::timestamptz", day, noon, noon)
    assert row == (datetime.datetime(2026, 1, 2), day, noon.astimezone())
    for kind, value in (("date", "2026-01-02"), ("timestamp", noon.astimezone()), ("timestamptz", 5)):
        with pytest.raises(asyncpg.DataError, match="expected"):
            await pool.fetchval(f"SELECT $1::{kind}", value)


async def test_json_takes_text_only(pool: Any) -> None:
    for value in ([1, 2], {"a": 1}, 5):
        with pytest.raises(asyncpg.DataError, match="str expected"):
            await pool.fetchval("SELECT $1::jsonb", value)


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [('"char"', b"r", "r"), ("tid", (1, 2), "(1,2)"), ("pg_lsn", (5 << 32) + 0x1F, "5/1F")],
)
async def test_types_of_the_catalogs(pool: Any, kind: str, value: Any, text: str) -> None:
    found = await pool.fetchrow(f"SELECT $1::{kind}, $1::{kind}::text, ARRAY['{text}'::{kind}]", value)
    assert found == (value, text, [value])
