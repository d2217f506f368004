"""Values of `db_pool_rs.asyncpg` that pools of this package read and write in another way."""

from __future__ import annotations

import datetime
import decimal
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


_RANGES = (
    ("int4range", (1, 9), asyncpg.Range(1, 10)),
    ("int4range", [2], asyncpg.Range(2, None)),
    ("int4range", (None, 2), asyncpg.Range(None, 3)),
    ("int4range", (), asyncpg.Range(empty=True)),
    ("int4multirange", [(1, 9), (20, 30)], [asyncpg.Range(1, 10), asyncpg.Range(20, 31)]),
)
_MADE = (
    *_RANGES,
    ("int[]", {7}, [7]),
    ("int[]", range(3), [0, 1, 2]),
    ("text[]", {"a": 1, "b": 2}.keys(), ["a", "b"]),
    ("int[]", [range(2), range(2, 4)], [[0, 1], [2, 3]]),
    ("int", 5.0, 5),
    ("bigint", decimal.Decimal(5), 5),
)


@pytest.mark.parametrize(("kind", "given", "expected"), _MADE, ids=lambda value: str(value)[:20])
async def test_arguments_that_are_made_to_fit(pool: Any, kind: str, given: Any, expected: Any) -> None:
    sql = f"SELECT $1::{kind} AS it"
    assert await pool.fetchval(sql, given) == expected
    assert await pool.fetchmany(sql, [(None,), (given,)]) == [(None,), (expected,)]
    await pool.executemany(sql, [[given]])
    assert await pool.execute(sql, given) == "SELECT 1"
    async with pool.acquire() as connection, connection.transaction():
        assert [row["it"] async for row in connection.cursor(sql, given)] == [expected]
        statement = await connection.prepare(sql)
        assert await statement.fetchval(given) == expected
        assert await statement.fetchmany([(given,)]) == [(expected,)]
        assert await (await statement.cursor(given)).fetchrow() == (expected,)


@pytest.mark.parametrize(
    ("kind", "given"),
    [("int4range", (1, 2, 3)), ("int4range", {1}), ("int[]", {1: 2}), ("text[]", "ab"), ("int", 5.5), ("int", "5")],
    ids=str,
)
async def test_arguments_that_do_not_fit(pool: Any, kind: str, given: Any) -> None:
    sql = f"SELECT $1::{kind}"
    for call in (pool.fetchval(sql, given), pool.executemany(sql, [(given,)]), pool.fetchmany(sql, iter([(given,)]))):
        with pytest.raises(asyncpg.DataError, match=r"^invalid input for query argument \$1.*: .*\$1 of .*expected"):
            await call
    with pytest.raises(asyncpg.DataError, match=r"^invalid input for query argument \$1 in element #1 of executemany"):
        await pool.executemany(sql, [(None,), (given,)])
    with pytest.raises(asyncpg.DataError, match=r"argument sequence element #1: expected a sequence: .* got a mapping"):
        await pool.executemany(sql, [(None,), {1: given}])


async def test_a_number_of_arguments_that_is_wrong(pool: Any) -> None:
    for sql, args, words in (
        ("SELECT $1::int", (), "the server expects 1 argument for this query, 0 were passed"),
        ("SELECT 1", (1,), "the server expects 0 arguments for this query, 1 was passed"),
    ):
        with pytest.raises(asyncpg.InterfaceError, match=words):
            await pool.fetchval(sql, *args)


async def test_several_statements_with_arguments(pool: Any) -> None:
    async with pool.acquire() as connection:
        for target in (pool, connection):
            with pytest.raises(asyncpg.PostgresSyntaxError, match="cannot insert multiple commands") as caught:
                await target.execute("SELECT $1::int; SELECT 2", 1)
            assert isinstance(caught.value, asyncpg.InterfaceError)


async def test_pairs_for_hstore(pool: Any) -> None:
    await pool.execute("CREATE EXTENSION hstore")
    assert await pool.fetchval("SELECT $1::hstore", (("a", "1"), ("b", None))) == {"a": "1", "b": None}


async def test_built_in_codecs_of_domains_and_extensions(pool: Any) -> None:
    await pool.execute("CREATE EXTENSION IF NOT EXISTS citext; CREATE DOMAIN amount AS decimal")
    async with pool.acquire() as connection:
        await connection.set_builtin_type_codec("citext", codec_name="text")
        await connection.set_builtin_type_codec("amount", codec_name="decimal")
        assert await connection.fetchrow("SELECT 'x'::citext, $1::amount", 44) == ("x", 44)
        for name, codec in (("amount", "int4"), ("citext", "int4"), ("citext", "pg_contrib.hstore")):
            with pytest.raises(NotImplementedError, match="set_type_codec"):
                await connection.set_builtin_type_codec(name, codec_name=codec)


async def test_elements_of_anonymous_records(pool: Any) -> None:
    assert await pool.fetchval("SELECT ROW(1, 'x', true, ROW(2.5))") == (1, "x", True, (decimal.Decimal("2.5"),))
    await pool.execute("CREATE TYPE pair AS (number int, word text); CREATE TYPE mood AS ENUM ('ok')")
    assert await pool.fetchval("SELECT ROW(1, 'x')::pair") == (1, "x")
    assert await pool.fetchval("SELECT ROW(ROW(1, 'x')::pair, 'ok'::mood)") == ((1, "x"), "ok")


async def test_the_first_row_of_many(pool: Any) -> None:
    async with pool.acquire() as connection:
        statement = await connection.prepare("SELECT generate_series(1, 6)")
        assert await statement.fetchval() == 1
        assert statement.get_statusmsg() == "SELECT 6"
        assert await statement.fetchrow() == (1,)
