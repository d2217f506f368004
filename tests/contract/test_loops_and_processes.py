"""A pool belongs to the event loop and the process that opened it: anything else is told at once, never a hang."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import InterfaceError
from tests.contract.guarding import at_rest
from tests.contract.waiting import in_thread, until
from tests.plugins.runner import open_files

LIMIT = 20


def _on_a_loop_of_its_own(main: Callable[[], Any], loop: asyncio.AbstractEventLoop | None = None) -> Any:
    loop = loop or asyncio.new_event_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), LIMIT))
    finally:
        loop.close()


async def _misuse(pool: Any, conn: Any) -> list[Any]:
    """What each use of a pool of another loop gives."""
    calls = [
        pool.fetch("SELECT 1"),
        pool.execute("SELECT 1"),
        pool.executemany("SELECT $1", [("x",)]),
        pool.acquire().__aenter__(),
        pool.transaction().__aenter__(),
        pool.resize(max_size=5),
        conn.fetch("SELECT 1"),
        conn.execute("SELECT 1"),
        conn.transaction().__aenter__(),
        pool.close(),
    ]
    return await asyncio.gather(*calls, return_exceptions=True)


async def test_another_loop_in_another_thread(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    async with pool.acquire() as conn:
        results = await in_thread(_on_a_loop_of_its_own, lambda: _misuse(pool, conn))
        assert {type(result) for result in results} == {InterfaceError}
        assert all("event loop" in str(result) for result in results)
        for call in (pool.terminate, pool.expire_connections):
            with pytest.raises(InterfaceError, match="event loop"):
                await in_thread(call)
        assert (await in_thread(pool.stats)).sessions == 1
        assert await conn.fetchval("SELECT 1") == 1
    assert await pool.fetchval("SELECT 1") == 1


def test_a_second_run_on_the_same_thread(engine: Any, backend: Any) -> None:
    """`asyncio.run` twice, the pool kept in between."""
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()

    async def begin() -> Any:
        pool = await create_pool(backend.dsn, mode=engine.name, max_size=2)
        return pool, await pool.acquire()

    async def end() -> None:
        await pool.release(conn)
        await pool.close(timeout=5)

    pool, conn = first.run_until_complete(begin())
    results = _on_a_loop_of_its_own(lambda: _misuse(pool, conn), second)
    assert {type(result) for result in results} == {InterfaceError}
    with pytest.raises(InterfaceError, match="event loop"):
        pool.expire_connections()
    assert pool.stats().sessions == 1
    first.run_until_complete(end())
    first.close()


def test_the_loop_runs_on_another_thread_than_the_pool_was_opened_on(engine: Any, backend: Any) -> None:
    """A loop that serves in the background; what is called on the first thread is called on another loop."""
    loop = asyncio.new_event_loop()

    async def begin() -> Any:
        pool = await create_pool(backend.dsn, mode=engine.name, max_size=2)
        return pool, await pool.acquire()

    async def end() -> int:
        value = await conn.fetchval("SELECT 1") + await pool.fetchval("SELECT 1")
        await pool.release(conn)
        await pool.close(timeout=5)
        return int(value)

    pool, conn = loop.run_until_complete(begin())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        results = _on_a_loop_of_its_own(lambda: _misuse(pool, conn))
        assert {type(result) for result in results} == {InterfaceError}
        assert all("event loop" in str(result) for result in results)
        assert asyncio.run_coroutine_threadsafe(end(), loop).result(LIMIT) == 2
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # deserved: what was open was not closed
def test_the_loop_was_closed_before_the_pool(engine: Any, backend: Any) -> None:
    """What `asyncio.run` leaves behind if the pool was not closed: errors, no hang, and in the end nothing."""
    files, threads = open_files(), threading.active_count()

    async def begin() -> Any:
        pool = await create_pool(backend.dsn, mode=engine.name, max_size=2)
        assert await pool.fetchval("SELECT 1") == 1
        await at_rest(pool)
        return pool

    async def use(pool: Any) -> Any:
        return await asyncio.gather(pool.fetch("SELECT 1"), pool.acquire().__aenter__(), return_exceptions=True)

    pool = _on_a_loop_of_its_own(begin)
    results = _on_a_loop_of_its_own(partial(use, pool))
    assert {type(result) for result in results} == {InterfaceError}
    pool.terminate()
    assert pool.closed
    del pool, results
    deadline = time.monotonic() + LIMIT
    while open_files() > files or threading.active_count() > threads:
        assert time.monotonic() < deadline, (open_files() - files, threading.enumerate())
        gc.collect()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_loop_was_closed_under_a_call(engine: Any, pg_database: str, caplog: pytest.LogCaptureFixture) -> None:
    """The call is never answered: what knows of it is garbage together with the pool."""
    files, threads = open_files(), threading.active_count()

    async def begin() -> Any:
        pool = await create_pool(pg_database, mode=engine.name, max_size=2)
        call = asyncio.ensure_future(pool.fetchval("SELECT 1 FROM pg_sleep(60)"))
        await until(lambda: pool.stats().alone > 0)
        return pool, call

    pool, call = _on_a_loop_of_its_own(begin)
    pool.terminate()
    assert not call.done()
    del pool, call
    deadline = time.monotonic() + LIMIT
    while open_files() > files or threading.active_count() > threads:
        assert time.monotonic() < deadline, (open_files() - files, threading.enumerate())
        gc.collect()


def test_no_loop_at_all(engine: Any, backend: Any) -> None:
    pool = create_pool(backend.dsn, mode=engine.name)
    assert not pool.closed
    with pytest.raises(InterfaceError, match="not opened"):
        pool.stats()
    pool.terminate()
    assert pool.closed


async def test_pools_in_several_threads_each_on_its_own_loop(engine: Any, backend: Any) -> None:
    start = threading.Barrier(3)

    async def work() -> int:
        async with create_pool(backend.dsn, mode=engine.name, max_size=2) as pool:
            await in_thread(start.wait, LIMIT)
            values = await asyncio.gather(*[pool.fetchval("SELECT $1", str(i)) for i in range(100)])
            async with pool.transaction() as conn:
                await conn.fetchval("SELECT 1")
            return len(set(values))

    threads = [in_thread(_on_a_loop_of_its_own, work) for _ in range(3)]
    assert await asyncio.gather(*threads) == [100, 100, 100]


FORK = """
import asyncio, os, sys, warnings
from db_pool_rs import create_pool
from db_pool_rs.errors import InterfaceError

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads

async def outcome(call):
    try:
        return await asyncio.wait_for(call, 10)
    except InterfaceError as error:
        assert "fork" in str(error), error
        return "refused"

async def child(pool, conn):
    calls = [pool.fetchval("SELECT 1"), pool.acquire().__aenter__(), conn.fetchval("SELECT 1"), pool.resize(max_size=1)]
    results = [await outcome(call) for call in calls]
    await pool.release(conn)  # to clean up in the child does no harm to the parent
    await pool.close()
    pool.terminate()
    return results

async def main(dsn, mode):
    pool = await create_pool(dsn, mode=mode, max_size=2)
    conn = await pool.acquire()
    assert await conn.fetchval("SELECT 41") == 41
    assert await pool.fetchval("SELECT 42") == 42  # from here on inside the tick in which the pool hands out answers
    pid = os.fork()
    if pid == 0:
        import threading
        try:
            pool.fetchval("SELECT 42").send(None)
        except (InterfaceError, RuntimeError):
            pass  # no loop runs here, either
        else:
            os._exit(2)
        results, loop = [], asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: results.extend(loop.run_until_complete(child(pool, conn))))
        thread.start()
        thread.join(30)
        print(results, flush=True)
        os._exit(0 if results == ["refused"] * 4 else 1)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
    assert await conn.fetchval("SELECT 42") == 42
    await pool.release(conn)
    assert await pool.fetchval("SELECT 43") == 43
    await pool.close()
    print("parent fine")

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
async def test_a_forked_child_is_refused_and_the_parent_goes_on(engine: Any, backend: Any) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", FORK, backend.dsn, engine.name]
    done = await in_thread(
        lambda: subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200, check=False)
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parent fine" in done.stdout
