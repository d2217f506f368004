"""A CancelRequest is held up on its way: nothing else is sent on the connection, which is given up in the end.

Each kind of call is given up while its work on the server ends by itself: only the request is then left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.contract.guarding import at_rest
from tests.contract.waiting import until, until_async
from tests.plugins.proxy import TO_SERVER, FaultProxy

SHORT = "SELECT pg_sleep(0.2)"
IDLE = "SELECT bool_and(state LIKE 'idle%') FROM pg_stat_activity WHERE pid = ANY($1) AND pid <> pg_backend_pid()"


async def _sink_fails(connection: Any) -> None:
    async def refuses(data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await connection.copy_from_query("SELECT generate_series(1, 10)", output=refuses)


async def _copy_out(connection: Any) -> None:
    async def hangs(data: bytes) -> None:
        await asyncio.Event().wait()

    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await asyncio.wait_for(connection.copy_from_query("SELECT generate_series(1, 10)", output=hangs), 0.05)


async def _copy_in(connection: Any) -> None:
    async def hangs() -> Any:
        yield b"1\n"
        await asyncio.Event().wait()

    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await asyncio.wait_for(connection.copy_to_table("t", source=hangs()), 0.05)


async def _session(connection: Any) -> None:
    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await asyncio.wait_for(connection.execute(SHORT), 0.05)


def _on_a_session(action: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
    async def call(pool: Any) -> None:
        async with pool.acquire() as connection:
            await action(connection)

    return call


async def _statement(pool: Any) -> None:
    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await asyncio.wait_for(pool.execute(SHORT), 0.05)


KINDS = {
    "sink_fails": _on_a_session(_sink_fails), "copy_out": _on_a_session(_copy_out), "copy_in": _on_a_session(_copy_in),
    "session": _on_a_session(_session), "statement": _statement,
}  # fmt: skip


async def _given_up(pool: Any, watcher: Any, proxy: FaultProxy, kind: str) -> asyncio.Future[None]:
    """Give a call up; returns when the server has nothing more to do, and the request is held up."""
    await pool.execute("CREATE TABLE t (id int)")
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    await at_rest(pool)
    proxy.stall(TO_SERVER, links="new")
    call = asyncio.ensure_future(KINDS[kind](pool))
    await proxy.wait_held(TO_SERVER)
    await until_async(lambda: watcher.fetchval(IDLE, [pid]))
    return call


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_is_sent_meanwhile(
    open_pool: Any, proxy: FaultProxy, pg_database: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db_pool_rs.simple.executor.CANCEL_TIMEOUT", 60.0)
    monkeypatch.setattr("db_pool_rs.drivers.postgres.socket.COPY_CANCEL_TIMEOUT", 60.0)
    pool, watcher = await open_pool(proxy.dsn(pg_database), max_size=1), await open_pool(pg_database, max_size=1)
    call = await _given_up(pool, watcher, proxy, kind)
    stranger = asyncio.ensure_future(pool.fetchval("SELECT 7 FROM pg_sleep(0.3)"))
    for _ in range(50):  # time enough to be sent too early
        await asyncio.sleep(0.001)
    proxy.resume()
    assert await stranger == 7
    await call
    assert pool.stats().lost == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_in_the_end_it_costs_the_connection(
    open_pool: Any, proxy: FaultProxy, pg_database: str, kind: str
) -> None:
    pool, watcher = await open_pool(proxy.dsn(pg_database), max_size=1), await open_pool(pg_database, max_size=1)
    call = await _given_up(pool, watcher, proxy, kind)
    await until(lambda: pool.stats().size == 0 or pool.stats().lost)
    stranger = asyncio.ensure_future(pool.fetchval("SELECT 7 FROM pg_sleep(0.3)"))
    proxy.resume()
    assert await stranger == 7
    await asyncio.gather(call, return_exceptions=True)  # a COPY whose outcome was not told is lost
    assert pool.stats().connects == 2
