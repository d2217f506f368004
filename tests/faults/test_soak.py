"""A mixed load while one thing after the other goes wrong: nothing is lost, answered twice, or left behind.

Each fault once by default. For hours, or whatever it takes to trust an engine:

    DB_POOL_SOAK_SECONDS=600 pytest tests/faults/test_soak.py -k full -s

prints a line for each round of faults, and then also holds the resident memory: the median of its last quarter is at
most 5 % above that of the second.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from typing import Any

import pytest

from db_pool_rs.metrics import resident_memory_mb
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


@pytest.mark.timeout(SECONDS + 120)
async def test_load_survives_one_fault_after_the_other(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    server.sql("CREATE DATABASE soak")
    async with FaultProxy("127.0.0.1", server.port) as proxy:
        dsn = proxy.dsn(server.dsn("soak"))
        pool = await open_pool(dsn, max_size=6, command_timeout=PATIENCE, acquire_timeout=PATIENCE)
        await pool.execute(TABLES)
        load = Load(pool, seed=7)
        callers = [asyncio.ensure_future(load.caller()) for _ in range(CALLERS)]
        await _until_one_fails(callers, _put_through(Faults(server, proxy, load), time.monotonic() + SECONDS))
        load.running = False
        done, pending = await asyncio.wait(callers, timeout=30)
        assert not pending, "\n".join(map(stack_of, pending))
        for caller in done:
            caller.result()

        there = {row[0] for row in await pool.fetch("SELECT id FROM ledger")}
        assert load.confirmed <= there, "reported as done, and missing"
        assert not load.refused & there, "reported as not done, and there"
        assert there <= load.confirmed | load.unknown
        while (stats := pool.stats()).busy:  # the last sessions are being cleaned
            await asyncio.sleep(0)
        assert (stats.waiting, stats.in_flight) == (0, 0)
        assert stats.size <= 6
        await pool.close(timeout=10)
        await proxy.wait_closed()
    while (await asyncio.to_thread(server.sql, SESSIONS))[0][0] != "0":
        pass


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
    """Every fault once, and again until the time is over."""
    memory: list[float] = []
    while True:
        for fault in faults.all:
            await faults.load.more(CALM)
            await fault()
        await faults.load.more(CALM)
        memory.append(resident_memory_mb())
        print(f"{faults.load.answers} answers, {len(asyncio.all_tasks())} tasks, {memory[-1]:.1f} MiB")
        if time.monotonic() >= end:
            break
    quarter = len(memory) // 4
    if quarter >= 5:
        second, last = memory[quarter : 2 * quarter], memory[-quarter:]
        assert statistics.median(last) <= 1.05 * statistics.median(second)
