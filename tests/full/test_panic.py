"""The engine panics, which is a bug: every call has an answer, and the pool says that it is closed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConnectionLost, Error, PoolClosed, PoolTimeout

pytest.importorskip("db_pool_rs_full")


async def test_after_a_panic_the_pool_is_closed(pg_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    pool: Any = await create_pool(pg_dsn, mode="full", min_size=1, max_size=3)
    connection = await pool.acquire()
    other = await pool.acquire()
    link = connection._lease.session().link
    calls = [
        *(asyncio.ensure_future(pool.fetch("SELECT pg_sleep(60)")) for _ in range(3)),
        asyncio.ensure_future(other.fetch("SELECT pg_sleep(60)")),
        asyncio.ensure_future(pool.acquire(timeout=60)),
    ]
    await asyncio.sleep(0)
    link._executor.native.run(link.id, link._executor.expect(link), [])  # a group of nothing is a bug in the caller
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(one) for one in outcomes} <= {ConnectionLost, PoolTimeout}
    for call in (pool.fetch("SELECT 1"), pool.fetch("SELECT $1::int", 1), pool.acquire()):
        with pytest.raises(PoolClosed, match="engine has failed"):
            await call
    for call in (connection.fetch("SELECT 1"), other.fetch("SELECT 1")):
        with pytest.raises(Error):
            await call
    assert pool.closed
    await pool.release(connection)
    await pool.release(other)
    await pool.close()
    assert "the engine has failed" in caplog.text
