"""A pool from its opening to its end: bounds, upkeep, closing, and wrong use told at once."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConfigError, ConnectionLost, Error, InterfaceError, PoolClosed
from tests.contract.guarding import at_rest, guarded
from tests.contract.waiting import PROMPT, in_thread, until, until_async

CALLS = ["fetch", "fetchrow", "fetchval", "execute"]


async def _every_call(pool: Any, error: type[Exception], match: str = ".") -> None:
    """Each way to use the pool raises `error`, quickly."""
    started = time.monotonic()
    for name in CALLS:
        with pytest.raises(error, match=match):
            await getattr(pool, name)("SELECT 1")
    for call in (pool.executemany("SELECT $1", [("x",)]), pool.acquire().__aenter__(), pool.resize(max_size=3)):
        with pytest.raises(error, match=match):
            await call
    with pytest.raises(error, match=match):
        async with pool.transaction():
            pytest.fail("entered")
    with pytest.raises(error, match=match):
        await pool.acquire()
    assert time.monotonic() - started < PROMPT


async def test_open_by_await_and_by_async_with(engine: Any, backend: Any) -> None:
    pool = create_pool(backend.dsn, mode=engine.name)
    assert await pool is pool
    assert not pool.closed
    assert await pool.fetchval("SELECT 1") == 1
    assert await pool is pool, "opening an open pool changes nothing"
    await pool.close()
    assert pool.closed
    async with create_pool(backend.dsn, mode=engine.name) as pool:
        assert await pool.fetchval("SELECT 1") == 1
    assert pool.closed
    async with await create_pool(backend.dsn, mode=engine.name) as pool:
        assert await pool.fetchval("SELECT 1") == 1
    assert pool.closed


async def test_not_opened(engine: Any, backend: Any) -> None:
    pool = create_pool(backend.dsn, mode=engine.name)
    await _every_call(pool, InterfaceError, "not opened")
    for call in (pool.stats, pool.expire_connections):
        with pytest.raises(InterfaceError, match="not opened"):
            call()
    await pool.close()
    await _every_call(pool, PoolClosed)


async def test_closed(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn)
    await pool.close()
    await pool.close()
    pool.terminate()
    assert pool.closed
    await _every_call(pool, PoolClosed)
    with pytest.raises(PoolClosed):
        pool.expire_connections()
    with pytest.raises(InterfaceError):
        await pool.open()
    assert pool.stats().size == 0


async def test_terminated(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    conn = await pool.acquire()
    pool.terminate()
    await _every_call(pool, PoolClosed)
    with pytest.raises((PoolClosed, ConnectionLost)):
        await conn.fetch("SELECT 1")
    await pool.release(conn)
    await until(lambda: pool.stats().size == 0)


async def test_close_waits_for_what_was_called_before(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    await pool.execute("CREATE TABLE item (id int)")
    calls = [asyncio.ensure_future(pool.execute("INSERT INTO item VALUES ($1)", i)) for i in range(50)]
    held = await pool.acquire()
    closing = asyncio.ensure_future(pool.close())
    await until(lambda: pool.closed)
    with pytest.raises(PoolClosed):
        await pool.fetch("SELECT 1")
    with pytest.raises(PoolClosed):
        await pool.acquire()
    assert await asyncio.gather(*calls) == ["INSERT 0 1"] * 50
    assert not closing.done()
    assert await held.fetchval("SELECT count(*) FROM item") == 50, "who holds a connection may finish"
    await pool.release(held)
    await closing
    again = await open_pool(backend.dsn)
    assert await again.fetchval("SELECT count(*) FROM item") == 50


async def test_close_ends_what_runs_after_its_timeout(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    call = asyncio.ensure_future(pool.fetch("SELECT pg_sleep(60)"))
    await until(lambda: pool.stats().in_flight == 1)
    started = time.monotonic()
    await pool.close(timeout=0.05)
    assert time.monotonic() - started < PROMPT
    with pytest.raises(ConnectionLost):
        await call


async def test_terminate_answers_every_call(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    await at_rest(pool)  # to read the catalogue is a call that waits, too
    running = asyncio.ensure_future(pool.fetch("SELECT pg_sleep(60)"))
    await until(lambda: pool.stats().in_flight == 1)
    waiting = [asyncio.ensure_future(pool.fetch("SELECT 1")), asyncio.ensure_future(pool.acquire().__aenter__())]
    await until(lambda: pool.stats().waiting == 2)
    pool.terminate()
    results = await asyncio.gather(running, *waiting, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionLost, PoolClosed, PoolClosed]


async def test_min_size_is_opened_and_max_size_is_never_passed(
    open_pool: Any, pg_server: Any, pg_database: str
) -> None:
    pool = await open_pool(pg_database, min_size=3, max_size=4, server_settings={"application_name": "bounds"})
    await until(lambda: pool.stats().size == 3)
    sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bounds'"
    over, seen = asyncio.Event(), [0]

    async def ask() -> None:
        while not over.is_set():
            await pool.fetch("SELECT pg_sleep(0.01)")

    calls = [asyncio.ensure_future(ask()) for _ in range(40)]
    while seen.count(4) < 5 and max(seen) <= 4:
        seen.append(int((await in_thread(pg_server.sql, sql))[0][0]))
    over.set()
    await asyncio.gather(*calls)
    assert max(seen) == 4


async def test_resize(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, min_size=1, max_size=2)
    held = [await pool.acquire() for _ in range(2)]
    waiting = asyncio.ensure_future(pool.acquire().__aenter__())
    await until(lambda: pool.stats().waiting == 1)
    await pool.resize(max_size=3)
    held.append(await waiting)
    assert pool.stats().size == 3
    await pool.resize(max_size=1)
    for conn in held:
        assert await conn.fetchval("SELECT 1") == 1
        await pool.release(conn)
    await until(lambda: pool.stats().size == 1)
    await pool.resize(min_size=4, max_size=5)
    await until(lambda: pool.stats().idle == 4)
    stats = pool.stats()
    assert (stats.min_size, stats.max_size, stats.size) == (4, 5, 4)


async def test_resize_to_nonsense_is_refused(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, min_size=1, max_size=2)
    for bounds in (
        {"min_size": 3},
        {"max_size": 0},
        {"min_size": -1},
        {"min_size": 5, "max_size": 4},
        {"max_size": "9"},
    ):
        with pytest.raises((InterfaceError, ConfigError)):
            await pool.resize(**bounds)
    assert (pool.stats().min_size, pool.stats().max_size) == (1, 2)


async def test_expire_connections_replaces_all_of_them(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=2, max_size=2)
    async with pool.acquire() as first, pool.acquire() as second:
        old = {await conn.fetchval("SELECT pg_backend_pid()") for conn in (first, second)}
        pool.expire_connections()
        assert {await conn.fetchval("SELECT pg_backend_pid()") for conn in (first, second)} == old
    async with pool.acquire() as first, pool.acquire() as second:
        new = {await conn.fetchval("SELECT pg_backend_pid()") for conn in (first, second)}
    assert not old & new


async def test_idle_connections_are_closed_down_to_min_size(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, min_size=1, max_size=4, idle_timeout=0.05)
    held = [await pool.acquire() for _ in range(4)]
    for conn in held:
        await pool.release(conn)
    await until(lambda: pool.stats().size == 1)
    assert await pool.fetchval("SELECT 1") == 1


async def test_old_connections_are_replaced(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=1, max_size=1, max_lifetime=0.1)
    first = await pool.fetchval("SELECT pg_backend_pid()")

    async def another() -> bool:
        return bool(await pool.fetchval("SELECT pg_backend_pid()") != first)

    await until_async(another)
    assert pool.stats().lost == 0


async def test_stats_add_up(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=3)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    await pool.fetchval("SELECT 1")
    await guarded(pool, "SELECT 1")  # which takes statements of the pool's own
    before = pool.stats().statements
    for i in range(10):
        await pool.execute("INSERT INTO item VALUES ($1)", i)
    await asyncio.gather(*[pool.fetchval("SELECT count(*) FROM item") for _ in range(30)])
    for _ in range(4):
        with pytest.raises(Error):
            await pool.execute("INSERT INTO item VALUES ($1)", 1)
    async with pool.acquire() as conn:
        for _ in range(5):
            await conn.fetch("SELECT 1")
        stats = pool.stats()
        assert stats.sessions == 1
        assert stats.size == stats.idle + stats.busy + stats.opening
        assert stats.busy == stats.lanes + stats.alone + stats.sessions
    async with pool.transaction() as conn:
        await conn.fetch("SELECT 1")
    stats = pool.stats()
    assert stats.statements - before == 10 + 30 + 4 + 5 + 1
    assert stats.errors == 4
    assert stats.acquired == 2
    assert (stats.sessions, stats.waiting, stats.in_flight, stats.lost, stats.connect_failures) == (0, 0, 0, 0, 0)
    assert stats.healthy
    assert stats.last_error is None
    assert stats["size"] == stats.size
    assert dict(stats)["statements"] == stats.statements
    assert 0 <= stats.run_ms.p50 <= stats.run_ms.p99 <= stats.run_ms.max


async def test_a_lost_connection_is_seen_in_the_stats(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=0, max_size=1)
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    await at_rest(pool)
    await in_thread(pg_server.sql, f"SELECT pg_terminate_backend({pid})")
    await until(lambda: pool.stats().last_error)
    assert "administrator command" in pool.stats().last_error
    assert pool.stats().lost == 1
    assert await pool.fetchval("SELECT 1") == 1
    assert pool.stats().healthy


async def test_several_pools_on_one_loop(open_pool: Any, backend: Any) -> None:
    pools = [await open_pool(backend.dsn, max_size=2) for _ in range(4)]
    await pools[0].execute("CREATE TABLE item (id int)")
    await asyncio.gather(*[pool.execute("INSERT INTO item VALUES ($1)", i) for i in range(10) for pool in pools])
    assert [await pool.fetchval("SELECT count(*) FROM item") for pool in pools] == [40] * 4
    await pools[0].close()
    assert await pools[1].fetchval("SELECT count(*) FROM item") == 40


async def test_options_that_cannot_be_are_refused_before_anything_is_opened(engine: Any, backend: Any) -> None:
    for options in (
        {"no_such_option": 1},
        {"min_size": 5, "max_size": 4},
        {"max_size": 0},
        {"max_size": "many"},
        {"reset": "sometimes"},
        {"pipelining": "maybe"},
        {"acquire_timeout": -1},
    ):
        with pytest.raises(ConfigError) as caught:
            create_pool(backend.dsn, mode=engine.name, **options)
        assert next(iter(options)) in str(caught.value) or "max_size" in str(caught.value)


async def test_another_users_environment_does_not_matter_to_an_open_pool(
    open_pool: Any, pg_database: str, monkeypatch: Any
) -> None:
    pool = await open_pool(pg_database, max_size=2)
    for name in ("PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGOPTIONS", "PGPASSWORD", "PGSSLMODE"):
        monkeypatch.setitem(os.environ, name, "nonsense")
    pool.expire_connections()
    assert await pool.fetchval("SELECT current_database()") == "contract"
    assert pool.stats().connect_failures == 0
