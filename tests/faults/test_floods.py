"""Much at once: long results beside short calls, and more tasks than a program plans for."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import pytest

from db_pool_rs.drivers import collector
from tests.contract.guarding import at_rest
from tests.contract.waiting import until
from tests.plugins.collector import freeze, watched_collector
from tests.plugins.proxy import FaultProxy

ROWS = 100_000
TASKS = 20_000
#: A neighbour on the processor makes a tick dearer than it is: the best of so many counts.
ATTEMPTS = 5
LONG = "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < $1) SELECT n, n * 2 AS twice FROM t"


class Ticks:
    """Watches the event loop: the processor time of its thread between two ticks of a task that does nothing."""

    def __init__(self) -> None:
        self.longest = 0.0
        self.total = 0.0

    async def watch(self) -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            held = time.thread_time() - began
            self.longest = max(self.longest, held)
            self.total += held


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Without the garbage collector: what it takes is no part of a library's time.

    Nor is anything frozen: to ask whether there is takes as long as there is much, and this process is that of a whole
    run of tests.
    """
    gc.disable()
    frozen = gc.get_freeze_count()
    gc.unfreeze()
    yield
    if frozen:
        gc.freeze()
    gc.enable()


@pytest.mark.feature("slices")
@pytest.mark.usefixtures("uncollected")
async def test_long_results_are_taken_in_slices(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=3)
    number = "CAST($1 AS int)" if backend.name == "postgresql" else "$1"
    sql = LONG.replace("$1", number)
    await pool.fetch(sql, 1)
    shares = []
    for _ in range(ATTEMPTS):
        ticks = Ticks()
        watcher = asyncio.ensure_future(ticks.watch())
        for rows in await asyncio.gather(pool.fetch(sql, ROWS), pool.fetch(sql, ROWS)):
            assert rows[0] == (1, 2)
            assert rows[-1] == (ROWS, 2 * ROWS)
            assert len(rows) == ROWS
        watcher.cancel()
        shares.append(ticks.longest / max(ticks.total, 0.1))
        if shares[-1] < 0.2:
            break
    assert min(shares) < 0.2, "one tick of the loop against the whole result, of which 0.1 s need not be divided"


@pytest.mark.feature("slices")
async def test_the_collector_does_not_look_through_long_results(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    sql = LONG.replace("$1", "CAST($1 AS int)")
    await pool.fetch(sql, 1)
    with watched_collector() as passes:
        rows = await asyncio.gather(pool.fetch(sql, ROWS), pool.fetch(sql, ROWS))
        assert gc.get_freeze_count() == 0
    assert len(passes) < 10
    assert 2 not in passes
    assert [len(one) for one in rows] == [ROWS, ROWS]
    assert gc.isenabled()


@pytest.mark.feature("slices")
async def test_what_is_frozen_stays_frozen(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    sql = LONG.replace("$1", "CAST($1 AS int)")
    collector.forget()  # what an earlier test has left known
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        assert len(await pool.fetch(sql, 5000)) == 5000
        assert frozen // 2 < gc.get_freeze_count() <= frozen
    finally:
        freeze()


@pytest.mark.feature("slices")
async def test_what_is_frozen_is_not_counted_for_every_result(
    open_pool: Any, pg_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To count a million objects takes 20 ms, in which the event loop stands still."""
    pool = await open_pool(pg_database, max_size=1)
    sql = LONG.replace("$1", "CAST($1 AS int)")
    counted, count = [], gc.get_freeze_count
    monkeypatch.setattr(gc, "get_freeze_count", lambda: counted.append(1) or count())
    collector.forget()
    gc.freeze()
    for _ in range(3):
        assert len(await pool.fetch(sql, ROWS)) == ROWS
    assert len(counted) == 1


@pytest.mark.feature("slices")
async def test_a_long_result_that_no_caller_waits_for_is_given_up(open_pool: Any, pg_database: str) -> None:
    """The connection is not, unless the machine is so busy that the server seems silent: hence several attempts."""
    pool = await open_pool(pg_database, max_size=1)
    sql = LONG.replace("$1", "CAST($1 AS int)")
    await pool.fetch(sql, 1)
    for _ in range(ATTEMPTS):
        pid = await pool.fetchval("SELECT pg_backend_pid()")
        for ticks in range(0, 40, 4):
            call = asyncio.ensure_future(pool.fetch(sql, 3000))
            while not call.done() and ticks:
                await asyncio.sleep(0)
                ticks -= 1
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            assert await pool.fetchval("SELECT 7") == 7
        if await pool.fetchval("SELECT pg_backend_pid()") == pid:
            return
    pytest.fail("the connection was given up too")


def _only_reads(pool: Any) -> bool:
    """Whether the server has answered, and the rows are being read."""
    if not hasattr(pool._executor, "scheduler"):
        return bool(pool.stats().in_flight == 0)
    return any(conn.link._long.running for conn in pool._executor.scheduler.conns.values())


@pytest.mark.feature("slices")
@pytest.mark.usefixtures("patient")
async def test_what_is_answered_is_not_cancelled(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    """The server has done its part of a long result: no CancelRequest, which would be a connection of its own."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    sql = LONG.replace("$1", "CAST($1 AS int)")
    await at_rest(pool)
    await pool.fetch(sql, ROWS)
    connections, cancelled = proxy.accepted, 0
    for _ in range(ATTEMPTS):
        call = asyncio.ensure_future(pool.fetch(sql, ROWS))
        await until(lambda: pool.stats().in_flight == 1)
        await until(lambda call=call: _only_reads(pool) or call.done())  # type: ignore[misc]
        cancelled += call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        assert await pool.fetchval("SELECT 7") == 7
    assert cancelled
    assert proxy.accepted == connections


async def test_twenty_thousand_tasks_on_five_connections(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=5, acquire_timeout=300)
    sql = "SELECT CAST($1 AS int)"
    calls = [pool.fetchval(sql, i) for i in range(TASKS)]
    assert await asyncio.gather(*calls) == list(range(TASKS))
    await until(lambda: pool.stats().waiting == 0)  # the guard may be reading
    stats = pool.stats()
    assert stats.size <= 5
    assert stats.timeouts == 0
    assert stats.lost == 0
