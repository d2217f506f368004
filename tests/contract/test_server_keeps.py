"""What a connection leaves on the server: at most `max_statements` prepared statements, and no cursor."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError, Error

pytestmark = pytest.mark.usefixtures("patient")

LIMIT = 5
KEPT = "SELECT count(*) FROM pg_prepared_statements WHERE name > ''"
#: Texts that succeed, with one int; `{}` makes each another text.
GOOD = (
    "SELECT $1::int + {}",
    "SELECT g FROM generate_series(1, $1::int) g WHERE g <> {}",
    "INSERT INTO item SELECT $1::int + {} WHERE false RETURNING id",
)
#: Texts that fail: while they are parsed, bound, executed, committed.
BAD = (
    "SELECT raising('42883', $1::int + {})",
    "SELECT raising('42804', $1::int + {})",
    "SELECT raising('42846', $1::int + {})",
    "SELECT raising('42725', $1::int + {})",
    "SELECT raising('42P01', $1::int + {})",
    "SELECT raising('26000', $1::int + {})",
    "SELECT raising('42P05', $1::int + {})",
    "SELECT raising('0A000', $1::int + {})",
    "SELECT raising('XX000', $1::int + {})",
    "SELECT folded('42883') + $1::int + {}",
    "SELECT missing.column + $1::int + {}",
    "SELECT 1 / ($1::int * 0 * {})",
    "SELECT $1::int + {} FROM no_table",
    "INSERT INTO deferred VALUES ($1::int * 0 + {} * 0)",
)


@pytest.fixture
async def prepared_database(pg_database: str, pg_server: Any) -> str:
    """A database with functions that fail while they run, and while they are planned."""
    pg_server.sql(
        "CREATE TABLE item (id int); CREATE TABLE deferred (id int UNIQUE DEFERRABLE INITIALLY DEFERRED);"
        "INSERT INTO deferred VALUES (0);"
        "CREATE FUNCTION raising(code text, value int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION USING ERRCODE = code; END $$;"
        "CREATE FUNCTION folded(code text) RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN "
        "RAISE EXCEPTION USING ERRCODE = code; END $$;",
        "contract",
    )
    return pg_database


@pytest.mark.parametrize("sql", BAD)
async def test_texts_that_fail_leave_nothing(open_pool: Any, prepared_database: str, sql: str) -> None:
    pool = await open_pool(prepared_database, max_size=1, max_statements=LIMIT)
    for i in range(30):
        for _ in range(2):
            with pytest.raises(DatabaseError):
                await pool.fetch(sql.format(i), 1)
    assert await pool.fetchval(KEPT) <= LIMIT
    assert await pool.fetchval("SELECT count(*) FROM pg_cursors WHERE name > ''") == 0
    assert pool.stats().lost == 0


@pytest.mark.parametrize("sql", BAD)
async def test_groups_and_transactions_that_fail_leave_nothing(
    open_pool: Any, prepared_database: str, sql: str
) -> None:
    pool = await open_pool(prepared_database, max_size=1, max_statements=LIMIT)
    for i in range(8):
        calls = [pool.fetch((sql if j % 2 else GOOD[0]).format(10 * i + j), 1) for j in range(8)]
        await asyncio.gather(*calls, return_exceptions=True)
        with pytest.raises(DatabaseError):
            await _both(pool, GOOD[0].format(1000 + i), sql.format(1000 + i))
        assert await pool.fetchval(KEPT) <= LIMIT
    assert await pool.fetchval("SELECT count(*) FROM pg_cursors WHERE name > ''") == 0


async def _both(pool: Any, *texts: str) -> None:
    async with pool.transaction() as conn:
        for sql in texts:
            await conn.fetch(sql, 1)


step = st.tuples(
    st.sampled_from(["alone", "alone", "group", "block", "many", "cursor", "change", "forget"]),
    st.lists(st.tuples(st.sampled_from(GOOD + BAD), st.integers(0, 9)), min_size=1, max_size=8),
)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(step, min_size=1, max_size=10))
def test_whatever_happens(engine: Any, prepared_database: str, steps: list[Any]) -> None:
    asyncio.run(_whatever_happens(engine, prepared_database, steps))


async def _whatever_happens(engine: Any, dsn: str, steps: list[Any]) -> None:
    from db_pool_rs import create_pool

    pool = await create_pool(dsn, mode=engine.name, max_size=2, max_statements=LIMIT)
    try:
        for kind, texts in steps:
            await _take(pool, kind, [sql.format(i) for sql, i in texts])
            async with pool.acquire() as first, pool.acquire() as second:
                for conn in (first, second):
                    assert await conn.fetchval(KEPT) <= LIMIT
                    assert await conn.fetchval("SELECT count(*) FROM pg_cursors WHERE name > ''") == 0
        assert pool.stats().lost == 0
    finally:
        await pool.close(timeout=5)


async def _take(pool: Any, kind: str, texts: list[str]) -> None:
    """One step; what fails in it is not asked for here."""
    if kind == "change":
        await pool.execute("DROP TABLE item")
        await pool.execute(f"CREATE TABLE item (id {'text' if len(texts) % 2 else 'int'}, name text)")
    elif kind == "forget":
        await pool.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
    elif kind == "group":
        await asyncio.gather(*[pool.fetch(sql, 1) for sql in texts], return_exceptions=True)
    elif kind == "alone":
        for sql in texts:
            await asyncio.gather(pool.fetch(sql, 1), return_exceptions=True)
    else:
        try:
            async with pool.transaction() as conn:
                for sql in texts:
                    await _inside(conn, kind, sql)
        except Error:
            pass


async def _inside(conn: Any, kind: str, sql: str) -> None:
    if kind == "many":
        await conn.executemany(sql, [(1,), (2,)])
    elif kind == "cursor" and sql.startswith("SELECT"):
        assert len(await conn.cursor(sql, 1, prefetch=2).fetch(1)) <= 1
    else:
        await conn.fetch(sql, 1)
