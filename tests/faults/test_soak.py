"""A mixed load while one thing after the other goes wrong: nothing is lost, answered twice, or left behind.

Each fault once by default. For hours, or whatever it takes to trust an engine, and then in any order and with those
that take long as well:

    DB_POOL_SOAK_SECONDS=600 pytest tests/faults/test_soak.py -k full -s

prints a line for every ten faults, and one at the end: what callers were told beside what the server holds, the longest
call, what is left. It then also holds the resident memory: the median of its last quarter is at most 5 % above that of
the second. The nox session `chaos` does this on each engine and event loop.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.metrics import resident_memory_mb
from tests.contract.waiting import until
from tests.faults.soak import TABLES, Faults, Load
from tests.plugins.proxy import FaultProxy
from tests.plugins.runner import stack_of

SECONDS = float(os.environ.get("DB_POOL_SOAK_SECONDS", "0"))
CALLERS = 32
#: Seconds for every call: a link may fall silent.
PATIENCE = 5.0
#: Answers between two faults.
CALM = 500
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'soak'"
ROWS = "SELECT id, count(*) FROM ledger GROUP BY id"


@pytest.mark.timeout(SECONDS + 240)
async def test_load_survives_one_fault_after_the_other(engine: Any, open_pool: Any, own_server: Any) -> None:
    server = own_server()
    server.sql("CREATE DATABASE soak")
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        descriptors = _descriptors()
        dsn = proxy.dsn(server.dsn("soak"))
        pool = await open_pool(dsn, max_size=6, command_timeout=PATIENCE, acquire_timeout=PATIENCE)
        for sql in TABLES:
            await pool.execute(sql)
        load = Load(pool, seed=7)
        callers = [asyncio.ensure_future(load.caller()) for _ in range(CALLERS)]
        faults = Faults(server, proxy, load)
        await _until_one_fails(callers, _put_through(faults, time.monotonic() + SECONDS))
        load.running = False
        done, pending = await asyncio.wait(callers, timeout=60)
        assert not pending, "\n".join(map(stack_of, pending))
        for caller in done:
            caller.result()

        there = dict(map(tuple, await pool.fetch(ROWS)))
        lost, twice = load.confirmed - set(there), {key for key, count in there.items() if count > 1}
        loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
        line = f"{engine.name}, {loop}: {load.report(there)}"
        assert not lost, "reported as done, and missing"
        assert not twice, "done once, and there twice"
        assert not load.refused & set(there), "reported as not done, and there"
        assert set(there) <= load.confirmed | load.unknown
        await until(lambda: not pool.stats().busy)  # the last sessions are being cleaned
        stats = pool.stats()
        assert (stats.waiting, stats.in_flight) == (0, 0)
        assert stats.size <= 6
        await pool.close(timeout=10)
        await proxy.wait_closed()
        left = _descriptors() - descriptors
    while (await asyncio.to_thread(server.sql, SESSIONS))[0][0] != "0":
        pass
    print(f"\n{line}; lost {len(lost)}, twice {len(twice)}; left: {left} descriptors, 0 sessions")
    assert left <= 0


def _descriptors() -> int:
    """Open file descriptors of this process; 0 where the system does not list them."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def _until_one_fails(callers: list[asyncio.Future[None]], faults: Any) -> None:
    """Go through the faults; a caller that fails ends it at once, with what it found."""
    running = asyncio.ensure_future(faults)
    try:
        await asyncio.wait([running, *callers], return_when=asyncio.FIRST_COMPLETED)
        for caller in callers:
            if caller.done():
                caller.result()
        running.result()
    finally:
        running.cancel()


async def _put_through(faults: Faults, end: float) -> None:
    """Every fault once, then any of them until the time is over."""
    memory: list[float] = []
    for number, fault in enumerate(_in_turn(faults, end), 1):
        await faults.load.more(CALM)
        await fault()
        if number % 10 == 0:
            memory.append(resident_memory_mb() - faults.load.memory_mb())
            print(f"{number} faults, {faults.load.answers} answers, {memory[-1]:.1f} MiB", flush=True)
    await faults.load.more(CALM)
    quarter = len(memory) // 4
    if quarter >= 5:
        second, last = memory[quarter : 2 * quarter], memory[-quarter:]
        assert statistics.median(last) <= 1.05 * statistics.median(second)


def _in_turn(faults: Faults, end: float) -> Iterator[Any]:
    yield from faults.all
    if time.monotonic() < end:
        yield from faults.slow
    while time.monotonic() < end:
        yield faults.by_chance()
