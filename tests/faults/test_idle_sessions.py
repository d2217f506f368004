"""The server ends a session because it idles, while a statement is on its way there: it was not executed.

The proxy holds the statement back, so the two cross every time.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import ConnectionLost
from tests.plugins.proxy import TO_SERVER, FaultProxy

IDLE = {"server_settings": {"idle_session_timeout": "2s"}, "max_size": 1, "min_size": 1}


def _cross(proxy: FaultProxy, call: Any) -> asyncio.Future[Any]:
    """Begin `call` on a link that no longer carries anything to the server, which will end the session."""
    proxy.stall(TO_SERVER, links="live")
    return asyncio.ensure_future(call)


@pytest.mark.parametrize("sql", ["INSERT INTO t VALUES (1)", "DO $$BEGIN INSERT INTO t VALUES (1); END$$"])
async def test_a_pool_does_not_notice(open_pool: Any, proxy: FaultProxy, pg_database: str, sql: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), **IDLE)
    await pool.execute("CREATE TABLE t (a int)")
    task = _cross(proxy, pool.execute(sql))
    await asyncio.wait_for(task, 30)
    assert await pool.fetchval("SELECT count(*) FROM t") == 1


async def test_a_session_is_told_that_nothing_was_executed(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), **IDLE)
    await pool.execute("CREATE TABLE t (a int)")
    async with pool.acquire() as connection:
        await connection.fetchval("SELECT 1")
        task = _cross(proxy, connection.execute("INSERT INTO t VALUES (1)"))
        with pytest.raises(ConnectionLost, match="idle-session timeout") as caught:
            await asyncio.wait_for(task, 30)
        assert not caught.value.sent
        assert caught.value.safe_to_retry
    assert await pool.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("command", ["INSERT INTO t VALUES (2)", "COMMIT"])
async def test_a_transaction_that_idled(open_pool: Any, proxy: FaultProxy, pg_database: str, command: str) -> None:
    settings = {"idle_in_transaction_session_timeout": "2s"}
    pool = await open_pool(proxy.dsn(pg_database), server_settings=settings, max_size=1)
    await pool.execute("CREATE TABLE t (a int)")
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        await connection.execute("INSERT INTO t VALUES (1)")
        task = _cross(proxy, connection.execute(command))
        with pytest.raises(ConnectionLost, match="idle-in-transaction timeout") as caught:
            await asyncio.wait_for(task, 30)
        assert not caught.value.sent
        cause = caught.value.__cause__
        assert getattr(cause, "sqlstate", None) == "25P03"
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
