"""Cancellation: never a lost connection, never a wrong answer, and the server's counts are those of the callers."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

from tests.contract.waiting import PROMPT
from tests.plugins.proxy import TO_SERVER, FaultProxy

pytestmark = pytest.mark.usefixtures("patient")

CANCELS = 10_000


async def test_ten_thousand_cancellations_under_load(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=5)
    await pool.execute("CREATE TABLE ledger (id int PRIMARY KEY, note text)")
    for i in range(3):  # make both texts known, so that they travel in groups
        await pool.execute("INSERT INTO ledger VALUES ($1, $2)", -1 - i, "first")
        await pool.fetchval("SELECT $1::int", i)
    rnd = random.Random(20)
    told: dict[int, bool] = {}

    async def call(i: int) -> None:
        if i % 2:
            assert await pool.fetchval("SELECT $1::int", i) == i, "another caller's answer"
        else:
            await pool.execute("INSERT INTO ledger VALUES ($1, $2)", i, "x")
            told[i] = True

    cancelled = 0
    number = 0
    while cancelled < CANCELS:
        tasks = []
        for _ in range(100):
            number += 1
            tasks.append(asyncio.ensure_future(call(number)))
        for _ in range(rnd.randrange(4)):
            await asyncio.sleep(0)
        for task in tasks:
            if rnd.random() < 0.7:
                task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, asyncio.CancelledError):
                cancelled += 1
            elif result is not None:
                raise result
    there = {row[0] for row in await pool.fetch("SELECT id FROM ledger WHERE id > 0")}
    assert set(told) <= there
    stats = pool.stats()
    assert stats.lost == 0
    assert stats.connect_failures == 0
    assert await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(500)]) == list(range(500))
    assert pool.stats().waiting == 0


async def test_server_stops_what_no_caller_waits_for(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=3)
    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await asyncio.wait_for(pool.fetch("SELECT pg_sleep(60)"), 0.05)
    started = time.monotonic()
    running = "query LIKE '%pg_sleep(60)%' AND state = 'active' AND pid <> pg_backend_pid()"
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND {running}"
    while await pool.fetchval(query):
        pass
    assert time.monotonic() - started < PROMPT
    assert pool.stats().lost == 0


async def test_cancel_inside_a_transaction(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    await pool.execute("CREATE TABLE t (a int)")
    started = time.monotonic()

    async def give_up_inside() -> None:
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (1)")
            await asyncio.wait_for(conn.fetch("SELECT pg_sleep(60)"), 0.05)

    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await give_up_inside()
    assert time.monotonic() - started < PROMPT
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
    async with pool.transaction() as conn:
        with pytest.raises((asyncio.TimeoutError, TimeoutError)):
            async with conn.transaction():
                await asyncio.wait_for(conn.fetch("SELECT pg_sleep(60)"), 0.05)
        await conn.execute("INSERT INTO t VALUES (2)")
    assert await pool.fetchval("SELECT array_agg(a) FROM t") == [2]


async def test_cancelled_while_waiting_costs_nothing(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.acquire():
        calls = [asyncio.ensure_future(pool.fetch("SELECT 1")) for _ in range(5)]
        waiter = asyncio.ensure_future(pool.acquire().__aenter__())
        while pool.stats().waiting < 6:
            await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        waiter.cancel()
        await asyncio.gather(*calls, waiter, return_exceptions=True)
        assert pool.stats().waiting == 0
    assert await pool.fetchval("SELECT 2") == 2


async def test_cancel_request_that_overtakes_its_statement(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    """A server that idles ignores the request. It is repeated, and the session is as good as before."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    async with pool.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        proxy.stall(TO_SERVER, links="live")
        call = asyncio.ensure_future(connection.execute("SELECT pg_sleep(60)"))
        await proxy.wait_held(TO_SERVER)
        session = proxy.links[0]
        call.cancel()
        await proxy.wait_until(lambda: proxy.accepted >= 2 and proxy.links == [session])  # the first request is over
        proxy.resume(links="live")
        assert await connection.fetchval("SELECT pg_backend_pid()") == pid
    assert pool.stats().lost == 0
