"""The engine panics, which is a bug: every call has an answer, and the pool is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConnectionLost, PoolClosed
from tests.contract.waiting import until

pytest.importorskip("db_pool_rs_full")


async def _panic(dsn: str, connection: Any) -> None:
    """Have the engine run a text that it was not told of, which no caller can."""
    async with create_pool(dsn, mode="full", max_size=1) as other:
        for number in range(50):
            await other.fetch(f"SELECT {number}")
        text = other._context.queries.known["SELECT 49"].description
    link = connection._lease.session().link
    executor = link._executor
    executor.native.run(link.id, executor.expect(link), [(text, (), None, False, None)])


async def test_after_a_panic_the_pool_is_closed(
    pg_database: str, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    pool: Any = await create_pool(pg_database, mode="full", max_size=3)
    connection, other = await pool.acquire(), await pool.acquire()
    calls = [asyncio.ensure_future(one.fetch("SELECT pg_sleep(60)")) for one in (pool, pool, other)]
    calls.append(asyncio.ensure_future(pool.acquire(timeout=60)))
    await until(lambda: other._lease.session().busy)
    await _panic(pg_database, connection)
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(outcome, ConnectionLost)
    for call in (pool.fetch("SELECT 1"), pool.fetch("SELECT $1::int", 1), pool.acquire()):
        with pytest.raises(PoolClosed, match="engine has failed"):
            await call
    for call in (connection.fetch("SELECT 1"), other.fetch("SELECT 1")):
        with pytest.raises(PoolClosed):
            await call
    assert pool.closed
    await pool.release(connection)
    await pool.release(other)
    await pool.close()
    assert "the engine has failed" in caplog.text
    assert "panicked" in capfd.readouterr().err
