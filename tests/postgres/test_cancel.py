"""CancelRequest, at servers that answer and others."""

from __future__ import annotations

import asyncio

import pytest
from psycopg import pq
from psycopg.pq.abc import PGconn

from db_pool_rs.drivers.postgres.psycopg_libpq import cancel
from tests.plugins.proxy import TO_SERVER, FaultProxy
from tests.plugins.server import PostgresServer
from tests.postgres.sessions import Config, session


async def readable(connection: PGconn) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(connection.socket, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), 10)
    finally:
        loop.remove_reader(connection.socket)


#: Says that it runs: a request that comes before the server has read its question is ignored.
SLEEP = b"DO $$ BEGIN RAISE NOTICE 'running'; PERFORM pg_sleep(30); END $$"


async def run_sleep(connection: PGconn) -> None:
    running = asyncio.Event()
    connection.notice_handler = lambda _: running.set()
    connection.send_query(SLEEP)
    assert connection.flush() == 0
    while not running.is_set():
        await readable(connection)
        connection.consume_input()
        connection.is_busy()  # libpq looks at what has come


@pytest.mark.parametrize("sslmode", ["disable", "require"])
async def test_cancel(config: Config, sslmode: str) -> None:
    async with session(config(sslmode=sslmode)) as connection:
        await run_sleep(connection)
        assert await cancel(connection)
        while connection.is_busy():
            await readable(connection)
            connection.consume_input()
        result = connection.get_result()
        assert result is not None
        assert result.error_field(pq.DiagnosticField.SQLSTATE) == b"57014"
        assert connection.get_result() is None


async def test_cancel_of_a_session_whose_server_is_gone(config: Config, login_server: PostgresServer) -> None:
    async with (
        FaultProxy(login_server.host, login_server.port) as proxy,
        session(config(port=proxy.port)) as connection,
    ):
        await proxy.refuse()
        assert await cancel(connection)  # nothing got out: nothing can hit a later statement
    assert await cancel(connection)


async def test_cancel_at_a_silent_server_ends_in_time(config: Config, login_server: PostgresServer) -> None:
    async with (
        FaultProxy(login_server.host, login_server.port) as proxy,
        session(config(port=proxy.port)) as connection,
    ):
        proxy.stall(TO_SERVER, links="new")
        assert not await cancel(connection, timeout=0.1)


async def test_cancelled_cancel(config: Config, login_server: PostgresServer) -> None:
    async with (
        FaultProxy(login_server.host, login_server.port) as proxy,
        session(config(port=proxy.port)) as connection,
    ):
        proxy.stall(TO_SERVER, links="new")
        task = asyncio.ensure_future(cancel(connection))
        await proxy.wait_connections(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
