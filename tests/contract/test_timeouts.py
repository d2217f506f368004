"""Deadlines: the caller has his answer on time, whatever the server does, and the server stops."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from db_pool_rs import aio as waiting
from db_pool_rs.errors import ConnectionLost, PoolTimeout, QueryCanceled, StatementTimeout
from db_pool_rs.pool import session
from tests.contract.guarding import at_rest
from tests.contract.waiting import PROMPT, in_thread, until, until_async
from tests.plugins.proxy import TO_CLIENT, FaultProxy

SLEEP = "SELECT pg_sleep(60)"
RUNNING = """SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
    AND query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"""
#: Runs until it is stopped.
ENDLESS = {
    "postgresql": SLEEP,
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
}
#: How long each part of a call takes that has several.
PART = 0.5


async def _times_out(call: Any, after: float) -> StatementTimeout:
    started = time.monotonic()
    with pytest.raises(StatementTimeout) as caught:
        await call
    assert after * 0.9 <= time.monotonic() - started < PROMPT
    assert isinstance(caught.value, TimeoutError)
    return caught.value


@pytest.fixture
async def endless(pool: Any, backend: Any) -> tuple[Any, str]:
    """A pool and a statement that does not end by itself."""
    return pool, ENDLESS[backend.name]


@pytest.mark.usefixtures("patient")
async def test_timeout_of_a_call_on_the_pool(endless: tuple[Any, str]) -> None:
    pool, sql = endless
    for name in ("fetch", "fetchrow", "fetchval", "execute"):
        await at_rest(pool)
        error = await _times_out(getattr(pool, name)(sql, timeout=0.3), 0.3)
        assert error.sent
        assert not error.safe_to_retry
    assert await pool.fetchval("SELECT 1") == 1
    stats = pool.stats()
    assert (stats.timeouts, stats.lost) == (4, 0)


@pytest.mark.usefixtures("patient")
async def test_timeout_of_a_call_on_a_held_connection(endless: tuple[Any, str]) -> None:
    pool, sql = endless
    async with pool.acquire() as conn:
        for name in ("fetch", "execute"):
            assert (await _times_out(getattr(conn, name)(sql, timeout=0.3), 0.3)).sent
            assert await conn.fetchval("SELECT 1") == 1, "the connection is still good"
    assert (pool.stats().timeouts, pool.stats().lost) == (2, 0)


async def test_command_timeout_is_the_default(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2, command_timeout=0.3)
    await at_rest(pool)
    await _times_out(pool.fetch(ENDLESS[backend.name]), 0.3)
    async with pool.acquire() as conn:
        await _times_out(conn.fetch(ENDLESS[backend.name]), 0.3)
    await at_rest(pool)
    await _times_out(pool.fetch(ENDLESS[backend.name], timeout=0.5), 0.5)
    assert await pool.fetchval("SELECT 1", timeout=10) == 1


async def test_a_call_in_time_does_not_notice(pool: Any) -> None:
    for timeout in (10, 10.0, float("inf")):
        assert await pool.fetchval("SELECT 1", timeout=timeout) == 1
        async with pool.acquire(timeout=timeout) as conn:
            assert await conn.fetchval("SELECT 1", timeout=timeout) == 1


async def test_the_server_is_stopped(pg_pool: Any) -> None:
    await _times_out(pg_pool.fetch(SLEEP, timeout=0.3), 0.3)
    started = time.monotonic()
    await until_async(lambda: _is_zero(pg_pool, RUNNING))
    assert time.monotonic() - started < PROMPT
    async with pg_pool.acquire() as conn:
        await _times_out(conn.fetch(SLEEP, timeout=0.3), 0.3)
        assert await conn.fetchval(RUNNING) == 0


async def _is_zero(queries: Any, sql: str) -> bool:
    return bool(await queries.fetchval(sql) == 0)


async def test_a_write_that_timed_out_is_rolled_back_or_told_as_unknown(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int)")
    error = await _times_out(pg_pool.execute("INSERT INTO item SELECT 1 FROM pg_sleep(60)", timeout=0.3), 0.3)
    assert error.sent
    await until_async(lambda: _is_zero(pg_pool, RUNNING))
    assert await pg_pool.fetchval("SELECT count(*) FROM item") == 0


async def test_the_time_in_the_queue_counts(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    async with pool.acquire():
        started = time.monotonic()
        with pytest.raises(PoolTimeout) as caught:
            await pool.fetch("SELECT 1", timeout=0.1)
        assert time.monotonic() - started < PROMPT
        assert caught.value.safe_to_retry
    assert await pool.fetchval("SELECT 1") == 1


@pytest.mark.usefixtures("patient")
async def test_the_time_behind_other_calls_of_the_session_counts(pg_pool: Any) -> None:
    async with pg_pool.acquire() as conn:
        first = asyncio.ensure_future(conn.fetch(SLEEP))
        await until(lambda: pg_pool.stats().sessions == 1)
        await asyncio.sleep(0)
        error = await _times_out(conn.fetch("SELECT 1", timeout=0.3), 0.3)
        assert not error.sent
        assert error.safe_to_retry
        first.cancel()
        await asyncio.wait((first,))


async def test_a_lock_that_another_holds(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int PRIMARY KEY, n int)")
    await pg_pool.execute("INSERT INTO item VALUES (1, 0)")
    async with pg_pool.acquire(), pg_pool.acquire():
        pass  # both connections are open: to open one may take longer than the time-out
    await at_rest(pg_pool)  # to read the catalogue may, too
    async with pg_pool.transaction() as conn:
        await conn.execute("UPDATE item SET n = 1")
        await _times_out(pg_pool.execute("UPDATE item SET n = 2", timeout=0.1), 0.1)
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        await until_async(lambda: _is_zero(conn, waiting))
    assert await pg_pool.fetchval("SELECT n FROM item") == 1


async def test_neighbours_of_a_call_that_timed_out_do_not_notice(pg_pool: Any) -> None:
    sql = "SELECT $1::int FROM pg_sleep($2::float)"
    for _ in range(4):
        await pg_pool.fetchval(sql, 0, 0.0)
    await at_rest(pg_pool)
    calls = [pg_pool.fetchval(sql, i, 0.0) for i in range(20)]
    calls.insert(7, pg_pool.fetchval(sql, -1, 60.0, timeout=1.0))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results.pop(7), StatementTimeout)
    assert results == list(range(20))


async def test_a_silent_server_does_not_hold_the_caller(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.fetchval("SELECT $1::int", 1)
    async with pool.acquire() as conn:
        proxy.stall(TO_CLIENT)
        await _times_out(conn.fetchval("SELECT $1::int", 1, timeout=0.1), 0.1)
        started = time.monotonic()
    assert time.monotonic() - started < PROMPT, "giving back does not wait either"
    proxy.resume()
    assert await pool.fetchval("SELECT $1::int", 2, timeout=10) == 2


async def test_command_timeout_holds_for_the_commit_too(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1, command_timeout=0.1)
    await pool.fetchval("SELECT $1::int", 1, timeout=30)
    for error in (None, ValueError()):
        async with pool.acquire() as conn:
            block = conn.transaction()
            await block.__aenter__()
            await conn.fetchval("SELECT $1::int", 1, timeout=30)
            proxy.stall(TO_CLIENT, links="live")
            started = time.monotonic()
            if error is None:
                with pytest.raises(StatementTimeout, match="outcome of the transaction is unknown") as caught:
                    await block.__aexit__(None, None, None)
                assert caught.value.sent
                assert not caught.value.safe_to_retry
            else:
                await block.__aexit__(type(error), error, None)  # the error of the block is what is told
            assert time.monotonic() - started < PROMPT
        proxy.resume()
        await until(lambda: pool.stats().sessions == 0)
        assert await pool.fetchval("SELECT $1::int", 2, timeout=30) == 2


async def test_a_commit_that_is_given_up_ends_at_once(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    inside = asyncio.Event()

    async def work() -> None:
        async with pool.transaction() as conn:
            await conn.fetchval("SELECT $1::int", 1)
            proxy.stall(TO_CLIENT, links="live")
            inside.set()

    task = asyncio.ensure_future(work())
    await inside.wait()
    await proxy.wait_held(TO_CLIENT)
    task.cancel()
    done, _ = await asyncio.wait((task,), timeout=10)
    assert done, "the silent server holds the caller"
    assert task.cancelled()
    proxy.resume()
    assert await pool.fetchval("SELECT $1::int", 2, timeout=10) == 2


async def test_to_roll_back_has_a_deadline_of_its_own(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    """The pool asks for it: where calls have no deadline, it has that of opening a connection."""
    pool = await open_pool(f"{proxy.dsn(pg_database)}?connect_timeout=3", max_size=1)

    async def work() -> None:
        async with pool.transaction() as conn:
            await conn.fetchval("SELECT $1::int", 1)
            proxy.stall(TO_CLIENT, links="live")
            raise LookupError

    with pytest.raises(LookupError):  # the error of the block is what is told
        await asyncio.wait_for(work(), 25)  # not the default of 30 s
    proxy.resume()
    assert await pool.fetchval("SELECT $1::int", 2, timeout=30) == 2


async def test_the_call_after_one_that_a_silent_server_did_not_stop_is_told_of_the_loss(
    open_pool: Any, proxy: FaultProxy, pg_database: str
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT 1")
        proxy.stall()
        with pytest.raises(StatementTimeout):
            await conn.fetchval("SELECT 2", timeout=0.05)
        with pytest.raises(ConnectionLost) as caught:  # it waits until the server has been given up
            await conn.fetchval("SELECT 3", timeout=30)
        assert not caught.value.sent
    proxy.resume()


async def test_executemany_has_one_deadline(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int)")
    call = pg_pool.executemany(
        "INSERT INTO item SELECT $1 FROM pg_sleep(0.0005)", [(i,) for i in range(2000)], timeout=0.4
    )
    await _times_out(call, 0.4)
    assert await pg_pool.fetchval("SELECT count(*) FROM item") == 0
    async with pg_pool.acquire(), pg_pool.acquire():
        started = time.monotonic()
        with pytest.raises(PoolTimeout):
            await pg_pool.executemany("INSERT INTO item VALUES ($1)", [(1,)], timeout=0.1)
        assert time.monotonic() - started < PROMPT


@pytest.mark.parametrize("call", ["prepare", "copy_from_query", "copy_from_query, arguments", "copy_records"])
async def test_one_deadline_for_begin_and_call(pg_pool: Any, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    deadlines: list[float] = []
    clock = asyncio.get_running_loop().time

    async def noted(future: Any, deadline: float) -> None:
        deadlines.append(deadline)
        await waiting.until(future, deadline)
        await asyncio.sleep(PART)  # so long takes each part

    async def discard(_: bytes) -> None: ...

    await pg_pool.execute("CREATE TABLE one_deadline (id int)")
    async with pg_pool.transaction() as conn:
        calls = {
            "prepare": lambda: conn.prepare("SELECT 1", timeout=30),
            "copy_from_query": lambda: conn.copy_from_query("SELECT 1", output=discard, timeout=30),
            "copy_from_query, arguments": lambda: conn.copy_from_query("SELECT $1", "x", output=discard, timeout=30),
            "copy_records": lambda: conn.copy_records_to_table("one_deadline", records=[(1,)], timeout=30),
        }
        monkeypatch.setattr(session, "until", noted)
        latest = clock() + 30
        await calls[call]()
        monkeypatch.undo()
    assert len(deadlines) > 1
    assert max(deadlines) - min(deadlines) < PART, "what the first part takes is not given to the second once more"
    assert max(deadlines) - latest < PROMPT


@pytest.mark.usefixtures("patient")
async def test_asyncio_timeouts_work_as_well(endless: tuple[Any, str]) -> None:
    pool, sql = endless
    for _ in range(3):
        with pytest.raises((asyncio.TimeoutError, TimeoutError)):
            await asyncio.wait_for(pool.fetch(sql), 0.05)
        async with pool.acquire() as conn:
            with pytest.raises((asyncio.TimeoutError, TimeoutError)):
                await asyncio.wait_for(conn.fetch(sql), 0.05)
            assert await conn.fetchval("SELECT 1") == 1
    assert await pool.fetchval("SELECT 1") == 1
    assert pool.stats().lost == 0


async def test_statement_timeout_of_the_server_is_its_own_error(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, server_settings={"statement_timeout": "500"})
    for _ in range(3):
        with pytest.raises(QueryCanceled) as caught:
            await pool.fetch(SLEEP)
        assert "statement timeout" in str(caught.value)
        results = await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(10)])
        assert results == list(range(10))


async def test_a_cancel_from_elsewhere_is_the_error_of_the_statement(pg_pool: Any, pg_server: Any) -> None:
    call = asyncio.ensure_future(pg_pool.fetch(SLEEP))
    await until_async(lambda: pg_pool.fetchval(RUNNING))
    cancel = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query = '{SLEEP}'"
    await in_thread(pg_server.sql, cancel)
    with pytest.raises(QueryCanceled):
        await call
    assert pg_pool.stats().lost == 0
