"""`pool.health()`: whether a pool can serve, for readiness probes."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs.metrics import PoolGauges
from db_pool_rs.metrics.health import examine
from tests.contract.guarding import at_rest
from tests.contract.waiting import in_thread, until
from tests.plugins.proxy import FaultProxy


async def test_an_open_pool_is_ready(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, min_size=1, max_size=2)
    before = pool.stats().statements
    found = await pool.health()
    assert found
    assert (found.ready, found.state, found.reason, found.last_error) == (True, "open", "", None)
    assert found.connections >= 1
    assert found.round_trip_ms is None
    assert pool.stats().statements == before
    asked = await pool.health(probe=True)
    assert asked
    assert 0 < asked.round_trip_ms < 20_000
    assert json.loads(json.dumps(asked.to_dict()))["ready"] is True


async def test_nothing_is_sent_unless_it_is_asked_for(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    await at_rest(pool)
    before = proxy.bytes_to_server
    assert await pool.health()
    assert proxy.bytes_to_server == before
    assert await pool.health(probe=True)
    assert proxy.bytes_to_server > before


async def test_a_pool_that_is_not_open_is_not_ready(engine: Any, backend: Any) -> None:
    pool = db_pool_rs.create_pool(backend.dsn, mode=engine.name)
    for probe in (False, True):
        found = await pool.health(probe=probe)
        assert (found.ready, found.state, found.reason) == (False, "new", "the pool is not opened")
    async with pool:
        held = await pool.acquire()
        closing = asyncio.ensure_future(pool.close())
        await until(lambda: pool.closed)
        found = await pool.health(probe=True)
        assert (bool(found), found.state, found.reason) == (False, "closing", "the pool is closing")
        await pool.release(held)
        await closing
    found = await pool.health()
    assert (bool(found), found.state, found.reason) == (False, "closed", "the pool is closed")


async def test_a_pool_without_connections_yet_is_ready(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, min_size=0, max_size=1)
    assert await pool.health()


async def test_an_outage(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    pool = await open_pool(server.dsn("postgres"), min_size=1, max_size=2)
    await in_thread(server.stop, "immediate")
    await until(lambda: not pool.stats().healthy and not pool.stats().idle)
    found = await pool.health(probe=True)
    assert not found
    assert found.reason.startswith("there is no connection, and connecting fails: ")
    assert found.last_error in found.reason
    await in_thread(server.start)
    await until(lambda: pool.stats().healthy, timeout=60)
    found = await pool.health(probe=True, timeout=10)
    assert found, found.reason


async def test_a_silent_server_is_found_by_asking(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)
    proxy.stall("to_client")
    assert await pool.health(), "nothing was sent, and nothing is known"
    found = await pool.health(probe=True, timeout=0.05)
    assert not found
    assert found.reason.startswith("the server was asked: ")
    proxy.resume()


async def test_the_pools_of_a_database_pool(engine: Any, backend: Any) -> None:
    async with db_pool_rs.DatabasePool(engine.name) as db:
        assert await db.health() == {}
        await db.create_pool("one", backend.dsn)
        await db.create_pool("two", "sqlite://")
        found = await db.health(probe=True)
        assert list(found) == ["one", "two"]
        assert all(found.values())


@pytest.mark.parametrize(
    ("gauges", "ready"),
    [
        (PoolGauges(healthy=False, last_error="refused"), False),
        (PoolGauges(healthy=False, last_error="too many connections", idle=0, busy=3), True),
        (PoolGauges(healthy=False, last_error="too many connections", idle=1), True),
        (PoolGauges(), True),
    ],
)
async def test_a_pool_that_cannot_grow_serves(gauges: PoolGauges, ready: bool) -> None:
    found = await examine("open", gauges, None)
    assert found.ready is ready
    assert found.last_error == gauges.last_error
