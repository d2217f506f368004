"""`close` and `terminate`, in whatever order and how often they are called, and what callers hear of it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConnectionLost, PoolClosed
from tests.contract.guarding import at_rest
from tests.contract.waiting import until
from tests.plugins.engines import EngineSpec

LIMIT = 20.0
#: Runs until it is stopped.
ENDLESS = {
    "postgresql": "SELECT pg_sleep(600)",
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
}


async def _close(pool: Any) -> None:
    await pool.close()


async def _close_at_once(pool: Any) -> None:
    await pool.close(timeout=0)


async def _terminate(pool: Any) -> None:
    pool.terminate()


WAYS = (_close, _close_at_once, _terminate)


def _watch() -> list[Any]:
    """What the event loop reports as unhandled from now on."""
    seen: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context))
    return seen


async def _all(*calls: Any) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), LIMIT)


async def _is_over(pool: Any, unhandled: list[Any]) -> None:
    assert pool.closed
    with pytest.raises(PoolClosed):
        await pool.fetch("SELECT 1")
    assert await _all(pool.close()) == [None]
    pool.terminate()
    assert await _all(pool.close(), pool.close(timeout=0)) == [None, None]
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.sleep(0)
    assert not [task for task in others if not task.done() and "db_pool_rs" in repr(task)], "something still runs"
    assert unhandled == []


@pytest.mark.parametrize("second", WAYS)
@pytest.mark.parametrize("first", WAYS)
async def test_twice_at_once(open_pool: Any, backend: Any, first: Any, second: Any) -> None:
    seen = _watch()
    pool = await open_pool(backend.dsn, max_size=2)
    assert await pool.fetchval("SELECT 1") == 1
    assert await _all(first(pool), second(pool)) == [None, None]
    await _is_over(pool, seen)


@pytest.mark.parametrize("second", [_close_at_once, _terminate])
async def test_while_another_close_waits_for_a_borrower(open_pool: Any, backend: Any, second: Any) -> None:
    seen = _watch()
    pool = await open_pool(backend.dsn, max_size=2)
    connection = await pool.acquire()
    first = asyncio.ensure_future(pool.close())
    await until(lambda: pool.closed)
    assert await _all(first, second(pool)) == [None, None]
    with pytest.raises(PoolClosed):
        await connection.fetch("SELECT 1")
    await pool.release(connection)
    await _is_over(pool, seen)


async def test_a_close_that_is_cancelled_has_closed_the_pool(open_pool: Any, backend: Any) -> None:
    seen = _watch()
    pool = await open_pool(backend.dsn, max_size=2)
    async with pool.acquire():
        closing = asyncio.ensure_future(pool.close())
        await until(lambda: pool.closed)
        closing.cancel()
        assert isinstance((await _all(closing))[0], asyncio.CancelledError)
    await _is_over(pool, seen)


@pytest.mark.parametrize("end", WAYS)
async def test_while_it_is_opened(engine: EngineSpec, backend: Any, end: Any) -> None:
    seen = _watch()
    pool = create_pool(backend.dsn, mode=engine.name, max_size=2)
    opening = asyncio.ensure_future(pool.open())
    await asyncio.sleep(0)
    closed, opened = await _all(end(pool), opening)
    assert closed is None
    assert isinstance(opened, PoolClosed)
    await _is_over(pool, seen)


@pytest.mark.parametrize("end", WAYS)
async def test_while_init_runs(engine: EngineSpec, backend: Any, end: Any) -> None:
    seen = _watch()
    begun, may_go_on = asyncio.Event(), asyncio.Event()

    async def init(connection: Any) -> None:
        begun.set()
        await may_go_on.wait()
        await connection.execute("SELECT 1")

    pool = create_pool(backend.dsn, mode=engine.name, max_size=2, init=init)
    opening = asyncio.ensure_future(pool.open())
    await asyncio.wait_for(begun.wait(), LIMIT)
    ending = asyncio.ensure_future(end(pool))
    await until(lambda: pool.closed)
    may_go_on.set()
    closed, opened = await _all(ending, opening)
    assert closed is None
    assert isinstance(opened, PoolClosed)
    await _is_over(pool, seen)


@pytest.mark.feature("postgresql")
async def test_connections_that_no_call_needs_are_not_waited_for(engine: EngineSpec) -> None:
    """A server that takes connections and says nothing, and no limit of time for a connect."""
    seen = _watch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        dsn = f"postgresql://user@127.0.0.1:{silent.getsockname()[1]}/nothing"
        pool = create_pool(dsn, mode=engine.name, min_size=0, max_size=3, connect_timeout=0)
        await pool.open()
        given_up, waiting = (asyncio.ensure_future(pool.fetch("SELECT 1")) for _ in range(2))
        await until(lambda: pool.stats().opening > 0)
        given_up.cancel()
        closing = asyncio.ensure_future(pool.close())
        await until(lambda: pool.closed)
        assert not closing.done(), "a call waits that was made before"
        waiting.cancel()
        assert await _all(closing) == [None]
        await _is_over(pool, seen)


async def test_a_connection_that_no_call_needs_is_not_prepared_to_the_end(
    open_pool: Any, backend: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A borrower keeps the pool open meanwhile. That it was given up is no outage."""
    seen = _watch()
    begun, ended, never = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def init(connection: Any) -> None:
        if len(connections := opened) > 0:
            begun.set()
            try:
                await never.wait()
            finally:
                ended.set()
        connections.append(connection)

    opened: list[Any] = []
    pool = await open_pool(backend.dsn, max_size=2, init=init)
    held = await pool.acquire()
    waiting = asyncio.ensure_future(pool.acquire().__aenter__())
    await asyncio.wait_for(begun.wait(), LIMIT)
    closing = asyncio.ensure_future(pool.close())
    await until(lambda: pool.closed)
    waiting.cancel()
    await asyncio.wait_for(ended.wait(), LIMIT)
    assert await held.fetchval("SELECT 1") == 1
    assert len(opened) == 1
    assert pool.stats().connect_failures == 0
    await pool.release(held)
    assert await _all(closing) == [None]
    assert "connecting fails" not in caplog.text
    await _is_over(pool, seen)


@pytest.mark.parametrize("end", [_close_at_once, _terminate])
async def test_what_runs_is_lost_and_what_waits_is_told_that_the_pool_is_closed(
    open_pool: Any, backend: Any, end: Callable[..., Any]
) -> None:
    pool = await open_pool(backend.dsn, max_size=3)
    await at_rest(pool)  # else the guard may wait, too
    endless = ENDLESS[backend.name]
    held = await pool.acquire()
    running = [asyncio.ensure_future(pool.fetch(endless)), asyncio.ensure_future(held.fetch(endless))]
    queued = asyncio.ensure_future(held.fetch("SELECT 1"))
    idle = await pool.acquire()
    await until(lambda: pool.stats().busy == 3)
    await until(lambda: pool.stats().in_flight >= 1)

    async def borrow() -> None:
        async with pool.acquire():
            pass

    waiting = [asyncio.ensure_future(borrow()) for _ in range(2)]
    if backend.name == "postgresql":  # READs of SQLite have connections of their own
        waiting.append(asyncio.ensure_future(pool.fetch("SELECT 1")))
    await until(lambda: pool.stats().waiting == len(waiting))
    just_called = asyncio.ensure_future(pool.execute("UPDATE t SET a = 1"))
    await asyncio.sleep(0)
    await end(pool)
    lost = await _all(*running)
    assert [type(error) for error in lost] == [ConnectionLost] * 2
    assert all(error.sent and not error.safe_to_retry for error in lost)
    assert all(str(error).count("outcome") == 1 for error in lost)
    assert [type(error) for error in await _all(*waiting, just_called)] == [PoolClosed] * (len(waiting) + 1)
    (behind,) = await _all(queued)
    assert isinstance(behind, (PoolClosed, ConnectionLost))
    assert behind.safe_to_retry, "it was never sent"
    for connection in (held, idle):
        with pytest.raises(PoolClosed):
            await connection.fetch("SELECT 1")
        await pool.release(connection)
    with pytest.raises(PoolClosed):
        await pool.fetch("SELECT 1")
    await pool.close()
