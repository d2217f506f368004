"""`pool.set_target`: connections that are opened from now on lead elsewhere, in every engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConfigError, Error, InterfaceError, PoolClosed
from tests.contract.waiting import until

WHO = "SELECT current_setting('application_name')"
LISTENING = "SELECT application_name FROM pg_stat_activity WHERE query ~ '^LISTEN ' AND datname = current_database()"


def role(name: str) -> dict[str, Any]:
    """Connection options by which a server tells one target from another."""
    return {"server_settings": {"application_name": name}}


async def test_new_connections_lead_to_the_new_target(open_pool: Any, pg_dsn: str) -> None:
    pool = await open_pool(pg_dsn, min_size=1, max_size=2, **role("first"))
    async with pool.acquire() as held:
        pool.set_target(pg_dsn, **role("second"))
        assert await held.fetchval(WHO) == "first"
        async with pool.acquire() as opened:
            assert await opened.fetchval(WHO) == "second"
        pool.expire_connections()
        assert await held.fetchval(WHO) == "first"
    await until(lambda: pool.stats().size == 1 or pool.stats().idle == pool.stats().size)
    assert await pool.fetchval(WHO) == "second"
    assert pool.config.target.server_settings == {"application_name": "second"}


async def test_a_target_before_the_pool_is_opened(engine: Any, pg_dsn: str) -> None:
    pool = create_pool("postgresql://127.0.0.1:1/nowhere", mode=engine.name, min_size=1)
    pool.set_target(pg_dsn)
    async with pool:
        assert await pool.fetchval("SELECT 1") == 1


async def test_listeners_follow(open_pool: Any, pg_dsn: str) -> None:
    pool = await open_pool("postgresql://127.0.0.1:1/nowhere", min_size=0)
    pool.set_target(pg_dsn)
    async with pool.listen("news") as events:
        await pool.execute("NOTIFY news, 'x'")
        assert (await events.__anext__()).payload == "x"


async def test_a_subscription_follows(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=0, **role("first"))
    async with pool.listen("news") as events:
        assert await pool.fetch(LISTENING) == [("first",)]
        pool.set_target(pg_database, **role("second"))
        assert (await _next(events)).gap
        assert await pool.fetch(f"{LISTENING} AND application_name = 'second'") == [("second",)]
        await pool.execute("NOTIFY news, 'x'")
        assert (await _next(events)).payload == "x"


async def test_a_subscription_whose_server_is_gone_follows(open_pool: Any, pg_database: str, proxy: Any) -> None:
    pool = await open_pool(proxy.dsn(pg_database), min_size=0)
    async with pool.listen("news") as events:
        await proxy.stop()
        with pytest.raises(Error):
            await pool.fetchval("SELECT 1", timeout=0.2)
        pool.set_target(pg_database)
        assert (await _next(events)).gap
        await pool.execute("NOTIFY news, 'x'")
        assert (await _next(events)).payload == "x"


async def test_the_connection_of_subscriptions_expires_too(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=0)
    async with pool.listen("news") as events, pool.listen("other") as others:
        pool.expire_connections()
        assert (await _next(events)).gap
        assert (await _next(others)).gap
        await pool.execute("NOTIFY news, 'x'")
        assert (await _next(events)).payload == "x"


async def _next(events: Any) -> Any:
    return await asyncio.wait_for(events.__anext__(), 20)


async def test_what_is_no_target(open_pool: Any, pg_dsn: str) -> None:
    pool = await open_pool(pg_dsn, min_size=0)
    for dsn, options in (("sqlite://", {}), (pg_dsn, {"min_size": 3}), (pg_dsn, {"sslmode": "maybe"}), ("x=1", {})):
        with pytest.raises(ConfigError):
            pool.set_target(dsn, **options)
    assert await pool.fetchval("SELECT 1") == 1
    await pool.close()
    with pytest.raises(PoolClosed):
        pool.set_target(pg_dsn)


async def test_sqlite_has_no_server(open_pool: Any) -> None:
    pool = await open_pool("sqlite://")
    with pytest.raises(InterfaceError, match="SQLite has no server"):
        pool.set_target("sqlite://")
