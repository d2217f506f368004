"""Where a commit waits for a standby, it is told once the standby has it: a group that is broken up would be before.

A server ends the wait of a COMMIT that is cancelled, and says that it is made, though the standby may not have it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.contract.guarding import QUICK, guarded
from tests.contract.waiting import in_thread, until, until_async

TABLE = "CREATE TABLE item (id int)"
INSERT = "INSERT INTO item VALUES ($1)"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(params=["on", "off"])
def commit(request: Any) -> str:
    """The `synchronous_commit` of the pool."""
    return str(request.param)


@pytest.fixture
async def server(own_server: Any) -> AsyncIterator[Any]:
    """A server of which a commit waits for a standby that never comes, once `_demand(server, "absent")` was called."""
    one = await in_thread(own_server)
    yield one
    await _demand(one, "")  # else a session that is being closed would wait


async def _demand(server: Any, standby: str) -> None:
    server.conf["synchronous_standby_names"] = standby
    await in_thread(server.reload)


async def _warm(pool: Any) -> None:
    """INSERTs are known to be quick, and are grouped."""
    await pool.execute(TABLE)
    await guarded(pool, INSERT)

    async def quick() -> bool:
        await pool.execute(INSERT, 0)
        return bool(pool.explain(INSERT).grouped)

    await until_async(quick)


# rule 2.6
async def test_a_commit_that_waits_is_not_told_before_it_ends(
    open_pool: Any, server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "db_pool_rs")
    pool = await open_pool(server.dsn(), max_size=4, stall_ms=100, fast_ms=QUICK["fast_ms"])
    await _warm(pool)
    await _demand(server, "absent")
    async with pool.acquire(), pool.acquire(), pool.acquire(), pool.acquire():  # one of them is new, and tells
        await until(lambda: not pool.explain(INSERT).grouped)
    calls = [asyncio.ensure_future(pool.execute(INSERT, number)) for number in range(1, 21)]
    await until_async(lambda: _waits(server))
    await asyncio.sleep(0.3)  # longer than a group may take before it is broken up
    assert not [call for call in calls if call.done()]
    await _demand(server, "")
    await asyncio.gather(*calls)
    assert await pool.fetchval("SELECT count(DISTINCT id) FROM item") == 21
    assert "synchronous replication" not in caplog.text
    assert "standby" in str(pool.explain(INSERT).reason)


async def _waits(server: Any) -> bool:
    return int((await in_thread(server.sql, WAITING))[0][0]) >= 4


async def test_it_is_noticed_while_the_pool_is_used(open_pool: Any, server: Any, commit: str) -> None:
    settings = {"synchronous_commit": commit}
    pool = await open_pool(server.dsn(), max_size=2, guard_refresh=0.05, server_settings=settings, **QUICK)
    await _warm(pool)
    await _demand(server, "absent")
    looks = pool.stats().statements + 20

    async def look() -> bool:
        await pool.fetchval("SELECT 1")  # a pool that is not used does not look
        await asyncio.sleep(0.01)
        return not pool.explain(INSERT).grouped or (commit == "off" and pool.stats().statements > looks)

    await until_async(look)
    assert pool.explain(INSERT).grouped == (commit == "off")
    await _demand(server, "")

    async def look_again() -> bool:
        await pool.fetchval("SELECT 1")
        await asyncio.sleep(0.01)
        return bool(pool.explain(INSERT).grouped)

    await until_async(look_again)
