"""Lending connections: who holds them, how they come back, and what is told when none is left."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import time
from typing import Any

import pytest

from db_pool_rs.errors import InterfaceError, PoolOverloaded, PoolTimeout
from tests.contract.guarding import at_rest
from tests.contract.waiting import PROMPT, until


@pytest.fixture
async def single(open_pool: Any, backend: Any) -> Any:
    """A pool of one connection, on each database."""
    return await open_pool(backend.dsn, max_size=1)


async def test_a_held_connection_is_held_alone(pool: Any) -> None:
    async with pool.acquire() as first:
        async with pool.acquire() as second:
            assert first is not second
            stats = pool.stats()
            assert (stats.sessions, stats.busy, stats.idle, stats.size) == (2, 2, 0, 2)
        assert await first.fetchval("SELECT 1") == 1
    await until(lambda: pool.stats().sessions == 0)


async def test_acquire_can_be_awaited_and_released(single: Any) -> None:
    for _ in range(3):
        conn = await single.acquire()
        assert await conn.fetchval("SELECT 1") == 1
        await single.release(conn)
        assert single.stats().sessions == 0


async def test_a_returned_handle_refuses_calls(single: Any) -> None:
    async with single.acquire() as conn:
        block = conn.transaction()
    calls = [
        conn.fetch("SELECT 1"),
        conn.fetchrow("SELECT 1"),
        conn.fetchval("SELECT 1"),
        conn.execute("SELECT 1"),
        conn.execute("SELECT 1; SELECT 2"),
        conn.executemany("SELECT $1", [(1,)]),
        block.__aenter__(),
        conn.transaction().__aenter__(),
    ]
    for call in calls:
        with pytest.raises(InterfaceError, match="given back"):
            await call
    with pytest.raises(InterfaceError, match="given back"):
        conn.is_in_transaction()
    async with single.acquire() as other:
        with pytest.raises(InterfaceError, match="given back"):
            await conn.fetch("SELECT 1")
        assert await other.fetchval("SELECT 2") == 2


async def test_double_release_is_harmless(single: Any) -> None:
    async with single.acquire() as conn:
        await single.release(conn)
        await single.release(conn)
        async with single.acquire() as other:
            await single.release(conn)
            assert await other.fetchval("SELECT 1") == 1
            assert single.stats().sessions == 1
    assert single.stats().sessions == 0
    assert await single.fetchval("SELECT 1") == 1


async def test_release_inside_a_block_rolls_back(single: Any) -> None:
    await single.execute("CREATE TABLE item (id int)")
    async with single.acquire() as conn:
        with pytest.raises(InterfaceError, match="rolled back"):  # noqa: PT012 -- the block is what raises
            async with conn.transaction():
                await conn.execute("INSERT INTO item VALUES (1)")
                await single.release(conn)
        assert await single.fetchval("SELECT count(*) FROM item") == 0


async def test_one_acquire_is_one_connection(single: Any) -> None:
    acquire = single.acquire()
    async with acquire:
        with pytest.raises(InterfaceError, match="in use"):
            await acquire.__aenter__()
    assert single.stats().sessions == 0


async def test_release_of_a_foreign_handle_is_refused(open_pool: Any, backend: Any) -> None:
    mine, other = await open_pool(backend.dsn, max_size=1), await open_pool(backend.dsn, max_size=1)
    conn = await mine.acquire()
    with pytest.raises(InterfaceError, match="another pool"):
        await other.release(conn)
    assert await conn.fetchval("SELECT 1") == 1
    await mine.release(conn)
    for wrong in (None, "conn", mine):
        with pytest.raises(InterfaceError):
            await mine.release(wrong)


async def test_a_forgotten_connection_comes_back_with_a_warning(single: Any) -> None:
    async def forget() -> None:
        conn = await single.acquire()
        await conn.fetchval("SELECT 42")

    async def collect() -> None:
        await asyncio.create_task(forget(), name="forgetful")
        gc.collect()

    with pytest.warns(ResourceWarning, match="never released") as caught:
        await collect()
    message = str(caught[0].message)
    assert re.search(r"test_lending\.py:\d+", message)
    assert "forgetful" in message
    assert "SELECT 42" in message
    await until(lambda: single.stats().sessions == 0)
    async with single.acquire() as conn:
        assert await conn.fetchval("SELECT 1") == 1


async def test_a_forgotten_transaction_is_rolled_back(single: Any) -> None:
    await single.execute("CREATE TABLE item (id int)")

    async def forget() -> None:
        conn = await single.acquire()
        await conn.transaction().__aenter__()
        await conn.execute("INSERT INTO item VALUES (1)")

    async def collect() -> None:
        await forget()
        gc.collect()

    with pytest.warns(ResourceWarning, match="never released"):
        await collect()
    assert await single.fetchval("SELECT count(*) FROM item") == 0


async def test_close_is_not_held_up_by_a_connection_that_is_never_released(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    conn = await pool.acquire()
    started = time.monotonic()
    await pool.close(timeout=0.1)
    assert time.monotonic() - started < PROMPT
    with pytest.raises(InterfaceError):
        await conn.fetch("SELECT 1")
    await pool.release(conn)


async def test_leak_after_names_the_holder(open_pool: Any, backend: Any, caplog: Any) -> None:
    pool = await open_pool(backend.dsn, name="shop", max_size=1, leak_after=0.02)
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT 42")
        await until(lambda: "pool 'shop': a connection is held for more than" in caplog.text)
    assert re.search(r"test_lending\.py:\d+", caplog.text)
    assert "SELECT 42" in caplog.text
    caplog.clear()
    async with pool.acquire():  # given back at once: a statement may take longer
        pass
    assert caplog.text == ""


async def test_pool_timeout_lists_the_holders(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, min_size=2, max_size=2, acquire_timeout=0.05)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        async with pool.acquire() as conn, pool.transaction():
            await conn.fetchval("SELECT 'held'")
            entered.set()
            await leave.wait()

    holder = asyncio.create_task(hold(), name="the-holder")
    await entered.wait()
    for call in (pool.acquire().__aenter__(), pool.acquire(timeout=0.05).__aenter__()):
        with pytest.raises(PoolTimeout) as caught:
            await call
        assert len(caught.value.holders) == 2
        first = next(line for line in caught.value.holders if "SELECT 'held'" in line)
        assert "the-holder" in first
        assert re.search(r"test_lending\.py:\d+", first)
        assert re.search(r"\d+\.\d s", first)
        assert all("test_lending.py" in line for line in caught.value.holders)
        assert caught.value.stats.sessions == 2
        assert caught.value.safe_to_retry
        assert isinstance(caught.value, TimeoutError)
    leave.set()
    await holder


async def test_pool_timeout_of_a_statement_lists_holders_too(single: Any) -> None:
    async with single.acquire() as conn:
        await conn.fetchval("SELECT 'held'")
        with pytest.raises(PoolTimeout) as caught:
            await single.fetch("SELECT 1", timeout=0.05)
        assert "SELECT 'held'" in caught.value.holders[0]
    assert await single.fetchval("SELECT 1") == 1


async def test_acquire_times_out_on_time(single: Any) -> None:
    async with single.acquire():
        for timeout in (0.0, 0.05, 0.2):
            started = time.monotonic()
            with pytest.raises(PoolTimeout):
                await single.acquire(timeout=timeout)
            assert timeout <= time.monotonic() - started + 0.001 < PROMPT
        assert single.stats().waiting == 0


async def test_first_come_first_served(single: Any) -> None:
    order: list[int] = []

    async def hold(number: int) -> None:
        if number % 3 == 2:
            await single.fetchval("SELECT $1", str(number))
            order.append(number)
            return
        async with single.acquire() as conn:
            await conn.fetchval("SELECT $1", str(number))
            order.append(number)

    async with single.acquire():
        tasks = []
        for number in range(12):
            tasks.append(asyncio.ensure_future(hold(number)))
            await until(lambda waiting=number + 1: single.stats().waiting == waiting)
    await asyncio.gather(*tasks)
    assert order == sorted(order)


async def test_a_cancelled_waiter_gives_way(single: Any) -> None:
    await _use(single)
    await at_rest(single)
    for _ in range(20):
        async with single.acquire():
            first, second = (asyncio.ensure_future(_use(single)) for _ in range(2))
            await until(lambda: single.stats().waiting == 2)
        first.cancel()  # just when it is about to be served
        assert await second == 1
        with pytest.raises(asyncio.CancelledError):
            await first
    assert single.stats().sessions == 0
    assert await single.fetchval("SELECT 1") == 1


async def _use(pool: Any) -> Any:
    async with pool.acquire() as conn:
        return await conn.fetchval("SELECT 1")


async def test_max_waiting_refuses_at_once(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1, max_waiting=3)
    async with pool.acquire():
        waiting = [asyncio.ensure_future(pool.fetchval("SELECT 1")) for _ in range(2)]
        waiting.append(asyncio.ensure_future(_use(pool)))
        await until(lambda: pool.stats().waiting == 3)
        for call in (pool.fetch("SELECT 1"), pool.execute("SELECT 1"), pool.acquire().__aenter__()):
            started = time.monotonic()
            with pytest.raises(PoolOverloaded, match="max_waiting=3") as caught:
                await call
            assert time.monotonic() - started < PROMPT
            assert caught.value.safe_to_retry
    assert await asyncio.gather(*waiting) == [1, 1, 1]
    assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("timeout", [-1, "1", float("nan"), object()])
async def test_a_bad_timeout_is_refused(single: Any, timeout: Any) -> None:
    async with single.acquire() as conn:
        calls = [single.fetch("SELECT 1", timeout=timeout), conn.fetch("SELECT 1", timeout=timeout)]
        calls += [
            single.acquire(timeout=timeout).__aenter__(),
            conn.executemany("SELECT $1", [("x",)], timeout=timeout),
        ]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(result) for result in results] == [InterfaceError] * len(calls)
        assert all("timeout" in str(result) for result in results)
    assert await single.fetchval("SELECT 1") == 1


async def test_slow_statements_are_logged(open_pool: Any, backend: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    pool = await open_pool(backend.dsn, name="shop", max_size=2, slow_query_ms=60)
    slow = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 800000) SELECT max(i) AS slow FROM n"
    )
    await pool.fetchval(slow)
    assert "AS slow" in caplog.text
    assert all(record.getMessage().startswith("pool 'shop': slow statement: ") for record in caplog.records)
    caplog.clear()
    async with pool.acquire() as conn:
        await conn.fetchval(slow)
        assert "AS slow" in caplog.text
    caplog.clear()
    for _ in range(5):
        await pool.fetchval("SELECT 'quick'")
    quick = [record for record in caplog.records if "quick" in record.getMessage()]
    assert len(quick) < 5, "a machine that is slow itself may delay some of them"
