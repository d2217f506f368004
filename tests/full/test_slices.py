"""Long results on the engine in Rust: read in slices, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest

pytest.importorskip("db_pool_rs_full")

from db_pool_rs import create_pool
from db_pool_rs.drivers.collector import forget
from db_pool_rs.errors import ConnectionLost, DecodeError
from db_pool_rs.full.executor import RustExecutor
from tests.plugins.collector import freeze, watched_collector

ROWS = 200_000
LONG = f"SELECT n, n * 2 FROM generate_series(1, {ROWS}) AS n"


@pytest.fixture
async def pool(pg_database: str) -> AsyncIterator[Any]:
    pool = await create_pool(pg_database, mode="full", max_size=2)
    yield pool
    await pool.close()


async def until_reading(pool: Any) -> None:
    runner = pool._executor
    assert isinstance(runner, RustExecutor)
    while not runner.native.reading():
        await asyncio.sleep(0)


async def ask_on(conn: Any) -> None:
    while True:
        await conn.fetchval("SELECT 7")


def assert_complete(rows: list[Any]) -> None:
    assert (len(rows), rows[0], rows[-1]) == (ROWS, (1, 2), (ROWS, 2 * ROWS))


async def test_others_have_their_turns(pool: Any) -> None:
    call = asyncio.ensure_future(pool.fetch(LONG))
    await until_reading(pool)
    turns = 0
    while not call.done():
        turns += 1
        assert await pool.fetchval("SELECT 7") == 7
    assert_complete(await call)
    assert turns > 3


async def test_a_value_that_cannot_be_read_is_named(pool: Any) -> None:
    sql = f"SELECT CASE n WHEN 190000 THEN 'infinity' ELSE date '2000-01-01' END AS d FROM generate_series(1, {ROWS}) n"
    with pytest.raises(DecodeError, match=r'column "d" \(date\) of row 190000'):
        await pool.fetch(sql)
    async with pool.acquire() as conn:
        with pytest.raises(DecodeError, match=r'column "d" \(date\) of row 190000'):
            await conn.fetch(sql)
    assert gc.isenabled()


async def test_a_session_has_its_long_result(pool: Any) -> None:
    async with pool.transaction() as conn:
        assert_complete(await conn.fetch(LONG))
        assert await conn.fetchval("SELECT 7") == 7


async def test_a_result_that_no_caller_waits_for_is_given_up(pool: Any) -> None:
    async with pool.acquire() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        for run in (conn.fetch, pool.fetch):
            call = asyncio.ensure_future(run(LONG))
            await until_reading(pool)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert await conn.fetchval("SELECT pg_backend_pid()") == pid
    assert pool.stats().lost == 0


async def test_a_loss_is_told_after_the_result(pool: Any) -> None:
    async with pool.acquire() as conn:
        pid = await conn.fetchval("SELECT pg_backend_pid()")
        call = asyncio.ensure_future(conn.fetch(LONG))
        await until_reading(pool)
        assert await pool.fetchval("SELECT pg_terminate_backend($1)", pid)
        assert_complete(await call)
        with pytest.raises(ConnectionLost):
            await ask_on(conn)


@pytest.mark.parametrize("terminate", [False, True])
async def test_a_pool_that_ends_gives_what_it_has(pool: Any, terminate: bool) -> None:
    call = asyncio.ensure_future(pool.fetch(LONG))
    await until_reading(pool)
    if terminate:
        pool.terminate()
    await pool.close()
    assert_complete(await call)


async def test_the_collector_is_left_as_it_was(pool: Any) -> None:
    frozen = gc.get_freeze_count()
    gc.disable()
    try:
        assert_complete(await pool.fetch(LONG))
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert_complete(await pool.fetch(LONG))
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


async def test_frozen_objects_stay_frozen(pool: Any) -> None:
    forget()  # what an earlier test has left known
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        assert_complete(await pool.fetch(LONG))
        assert frozen // 2 < gc.get_freeze_count() <= frozen
    finally:
        freeze()


async def test_the_collector_does_not_look_through_the_rows(pool: Any) -> None:
    with watched_collector() as passes:
        assert_complete(await pool.fetch(LONG))
    assert 2 not in passes


FLAT = "SELECT i, 'x' AS x, now() AS seen, i * 1.5::float8 AS half, 0.1::numeric AS exact, NULL::int AS none"


async def test_the_collector_does_not_look_at_rows_without_containers(pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        for more, wanted in (("", False), (", ARRAY[i] AS list", True), (", '{}'::jsonb AS document", True)):
            sql = f"{FLAT}{more} FROM generate_series(1, 3000) AS i"
            rows = await connection.fetch(sql)
            async for row in connection.cursor(sql):  # in text at first, then in binary
                rows.append(row)
            assert {gc.is_tracked(row) for row in rows} == {wanted}
            del rows, row


async def test_rows_that_the_collector_does_not_look_at_go_with_their_last_reference(pool: Any) -> None:
    kind = type((await pool.fetch("SELECT 1 AS only_here"))[0])
    before = sys.getrefcount(kind)
    rows = await pool.fetch("SELECT i AS only_here FROM generate_series(1, 1000) AS i")
    assert {type(row) for row in rows} == {kind}
    assert sys.getrefcount(kind) >= before + 1000
    del rows
    await pool.fetch("SELECT 1 AS other")  # an answer is kept until the next one
    assert sys.getrefcount(kind) < before + 10
