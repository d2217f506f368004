"""What statements in a group do notice: the list in docs/pool.md, and the way out of each."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, LockNotAvailable
from tests.contract.guarding import QUICK, guarded
from tests.contract.waiting import until_async

MANY = 20
#: Sessions of this database that wait for a lock: those of an earlier test may still do so in theirs.
WAITING = """SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE NOT l.granted AND a.datname = current_database()"""


async def _together(pool: Any, sql: str, *more: Any) -> list[Any]:
    """The first value of each of many calls made at once, in groups: the text is known by then."""
    for _ in range(4):
        await pool.fetchval(sql, 1, *more)
    before = pool.stats().groups
    values = await asyncio.gather(*[pool.fetchval(sql, number, *more) for number in range(1, MANY + 1)])
    assert pool.stats().groups - before < MANY, "they did not travel in groups: the test shows nothing"
    return list(values)


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    """A pool of one connection, and twenty items."""
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    async with pool.acquire() as connection:
        await connection.execute(
            "CREATE TABLE item (id serial PRIMARY KEY, v int, updated_at timestamptz, version int DEFAULT 0);"
            f"INSERT INTO item (v) SELECT 0 FROM generate_series(1, {MANY})"
        )
    await pool.fetchval("SELECT 1")
    await guarded(pool, "SELECT 1")  # until then hardly anything is grouped
    return pool


async def test_now_is_shared(pool: Any) -> None:
    assert len(set(await _together(pool, "SELECT now() WHERE $1::int > 0"))) < MANY
    assert len(set(await _together(pool, "SELECT clock_timestamp() WHERE $1::int > 0"))) == MANY


async def test_now_is_no_version_token(pool: Any) -> None:
    """Changes of one row by strangers have one `updated_at`; a counter tells them apart."""
    sql = "UPDATE item SET {} WHERE id = 1 AND $1::int > 0 RETURNING {}"
    assert len(set(await _together(pool, sql.format("updated_at = now()", "updated_at")))) < MANY
    assert len(set(await _together(pool, sql.format("version = version + 1", "version")))) == MANY


async def test_sequences_skip_values_when_a_group_is_broken_up(pool: Any) -> None:
    sql = "INSERT INTO item (v) SELECT 100 / $1::int RETURNING id"
    for _ in range(4):
        await pool.fetchval(sql, 1)
    numbers = range(MANY - 1, -1, -1)  # the one that fails comes last
    results = await asyncio.gather(*[pool.fetchval(sql, number) for number in numbers], return_exceptions=True)
    ids = [one for one in results if isinstance(one, int)]
    assert pool.stats().broken_up > 0
    assert isinstance(results[-1], DatabaseError)
    assert len(ids) == MANY - 1 == await pool.fetchval("SELECT count(*) FROM item WHERE id = ANY($1::int[])", ids)
    before = await pool.fetchval("SELECT max(id) FROM item WHERE NOT id = ANY($1::int[])", ids)
    assert max(ids) - before > len(ids), "the rolled-back group has used up numbers"


async def test_row_locks_are_held_until_the_group_ends(pool: Any, open_pool: Any, pg_database: str) -> None:
    """`stall_ms` ends the wait; here it is set so high that it does not."""
    sql = "UPDATE item SET v = v + 1 WHERE id = $1 RETURNING v"
    while not (await guarded(pool, sql)).grouped:
        await pool.fetchval(sql, 3)
    others = await open_pool(pg_database, max_size=2)
    async with others.acquire() as watching:
        async with others.transaction() as holding:
            await holding.execute("UPDATE item SET v = 9 WHERE id = 2")
            calls = [asyncio.ensure_future(pool.fetchval(sql, number)) for number in (1, 2)]
            await until_async(partial(watching.fetchval, WAITING))
            with pytest.raises(LockNotAvailable):  # of a statement that, alone, would have been committed long ago
                await watching.execute("SELECT FROM item WHERE id = 1 FOR UPDATE NOWAIT")
        assert await asyncio.gather(*calls) == [1, 10]
        await watching.execute("SELECT FROM item WHERE id = 1 FOR UPDATE NOWAIT")


async def test_a_group_that_locks_rows_in_another_order_gives_way(pool: Any, open_pool: Any, pg_database: str) -> None:
    """A statement alone takes part in no deadlock, a group may; but it is the group that is rolled back for it."""
    sql = "UPDATE item SET v = v + 1 WHERE id = $1 RETURNING v"
    while not (await guarded(pool, sql)).grouped:
        await pool.fetchval(sql, 3)
    others = await open_pool(pg_database, max_size=2)
    async with others.acquire() as watching:
        async with others.transaction() as holding:
            await holding.execute("SET LOCAL deadlock_timeout = '1h'")  # who looks first is the one that gives way
            await holding.execute("UPDATE item SET v = 9 WHERE id = 2")
            calls = [asyncio.ensure_future(pool.fetchval(sql, number)) for number in (1, 2)]
            await until_async(partial(watching.fetchval, WAITING))
            await holding.execute("UPDATE item SET v = 5 WHERE id = 1")  # which the group has locked
        first, second = await asyncio.gather(*calls)
    assert (first, second) in ((6, 10), (1, 10)), "alone again, the first may come before the one that waited for it"
    assert pool.stats().broken_up > 0


async def test_the_server_counts_a_group_as_one_transaction(pool: Any) -> None:
    count = "SELECT pg_current_xact_id()::text::bigint"
    sql = "UPDATE item SET v = v + 1 WHERE id = $1 RETURNING v"
    for _ in range(4):
        await pool.fetchval(sql, 1)
    before = await pool.fetchval(count)
    await _together(pool, sql)
    assert await pool.fetchval(count) - before - 1 < MANY
