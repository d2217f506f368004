"""A pool tells its name and its mode, and so do its errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs import DatabasePool
from db_pool_rs.errors import PoolOverloaded, PoolTimeout


async def test_a_pool_tells_its_name_and_its_mode(open_pool: Any, backend: Any, engine: Any) -> None:
    pool = await open_pool(backend.dsn, name="orders")
    assert (pool.name, pool.mode) == ("orders", engine.name)
    assert repr(pool) == f"<Pool 'orders' of mode {engine.name}, open>"
    await pool.close()
    assert (pool.name, pool.mode) == ("orders", engine.name)
    assert repr(pool) == f"<Pool 'orders' of mode {engine.name}, closed>"


async def test_pools_of_a_database_pool_have_their_ids(backend: Any, engine: Any) -> None:
    async with DatabasePool(engine.name) as db:
        pool = await db.create_pool("reports", backend.dsn)
        assert (pool.name, pool.mode) == ("reports", db.mode)


async def test_errors_name_the_pool(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, name="orders", max_size=1, acquire_timeout=0.2, max_waiting=1)
    async with pool.acquire():
        errors = await asyncio.gather(*(pool.fetch("SELECT 1") for _ in range(2)), return_exceptions=True)
        assert {type(error) for error in errors} == {PoolOverloaded, PoolTimeout}
        assert all(str(error).startswith("pool 'orders': ") for error in errors)
        with pytest.raises(PoolTimeout, match=r"^pool 'orders': no connection within "):
            await pool.acquire()
