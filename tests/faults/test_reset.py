"""A connection is reset right behind its last bytes: both are there before the event loop looks.

What arrived is taken in, and the end behind it is noticed, on every loop and whatever the connection was doing. The
proxy lives on a loop of its own, so that the test can hold up its own loop until the reset is there.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from db_pool_rs.drivers.postgres.watch import watcher
from db_pool_rs.errors import ConnectFailed, ConnectionLost
from tests.contract.guarding import at_rest
from tests.contract.waiting import until
from tests.plugins.proxy import TO_CLIENT, TO_SERVER, FaultProxy

#: Nothing here takes long; who waits for so long waits in vain.
LIMIT = 15.0


class FarProxy:
    """A :class:`FaultProxy` on a thread of its own. Its methods block: nothing happens on the test's loop meanwhile."""

    def __init__(self, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.proxy = FaultProxy("127.0.0.1", port)
        self._wait(self.proxy.start())

    def dsn(self, base: str) -> str:
        """The URL `base` by way of the proxy."""
        return self.proxy.dsn(base)

    def hold(self, direction: str = TO_CLIENT) -> None:
        """Keep back what comes from the server, or goes to it."""
        self._call(lambda: self.proxy.stall(direction))

    def held(self, direction: str = TO_CLIENT) -> bool:
        """Whether something is kept back."""
        return any(link.held[direction] for link in self.proxy.links)

    def flow(self) -> None:
        """Let everything pass again."""
        self._call(self.proxy.resume)

    def reset_after(self, bytes_: int) -> None:
        """Let so many bytes of what is kept back pass, and send a reset behind them. Returns when both are sent."""

        def change() -> None:
            self.proxy.truncate(bytes_, TO_CLIENT, reset=True, links="live")
            self.proxy.resume()

        there = list(self.proxy.links)
        self._call(change)
        self._wait(self.proxy.wait_until(lambda: not any(link in self.proxy.links for link in there)))

    def reset(self) -> None:
        """Reset every connection."""
        self._wait(self.proxy.drop(reset=True))

    def stop(self) -> None:
        """End the proxy and its loop."""
        self._wait(self.proxy.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _wait(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LIMIT)

    def _call(self, function: Callable[[], object]) -> None:
        async def call() -> None:
            function()

        self._wait(call())


@pytest.fixture
def far_proxy(pg_server: Any) -> Iterator[FarProxy]:
    """A proxy in front of the shared server, on another thread."""
    proxy = FarProxy(pg_server.port)
    yield proxy
    proxy.stop()


async def _until_held(proxy: FarProxy, direction: str = TO_CLIENT) -> None:
    while not proxy.held(direction):
        await asyncio.sleep(0.001)


async def test_a_watched_socket_that_is_reset_is_reported_until_it_is_closed() -> None:
    """Some loops call a reader once when a socket is in error, and never again: the watch does."""
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
    ours.setblocking(False)
    ended, said = asyncio.get_running_loop().create_future(), []

    def readable() -> None:
        try:
            said.append(ours.recv(2))
        except ConnectionResetError:
            sockets.remove_reader(ours.fileno())
            ended.set_result(None)

    sockets = watcher(asyncio.get_running_loop())
    sockets.add_reader(ours.fileno(), readable)
    theirs.sendall(b"abcdef")
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    theirs.close()
    try:
        await asyncio.wait_for(ended, LIMIT)
    finally:
        sockets.remove_reader(ours.fileno())
        ours.close()
        listener.close()
    assert b"".join(said) == b"abcdef"


async def _statement(pool: Any) -> None:
    await pool.fetchval("SELECT $1::int", 1)


async def _long_statement(pool: Any) -> None:
    await pool.fetch("SELECT repeat('x', 1000) FROM generate_series(1, 20)")


async def _session(pool: Any) -> None:
    async with pool.acquire() as conn:
        await conn.fetch("SELECT 1 UNION SELECT 2")


async def _copy_out(pool: Any) -> None:
    async def take(data: bytes) -> None:
        pass

    async with pool.acquire() as conn:
        await conn.copy_from_query("SELECT generate_series(1, 100)", output=take)


async def _copy_in(pool: Any) -> None:
    async def rows() -> AsyncIterator[bytes]:
        yield b"1\n"

    async with pool.acquire() as conn:
        await conn.copy_to_table("numbers", source=rows())


@pytest.mark.parametrize("passed", [1, 8])
@pytest.mark.parametrize("use", [_statement, _long_statement, _session, _copy_out, _copy_in])
async def test_reset_behind_the_beginning_of_an_answer(
    open_pool: Any, far_proxy: FarProxy, pg_database: str, use: Callable[[Any], Awaitable[None]], passed: int
) -> None:
    pool = await open_pool(far_proxy.dsn(pg_database), min_size=1, max_size=1)
    await pool.execute("CREATE TABLE numbers (n int)")
    await use(pool)
    await at_rest(pool)
    far_proxy.hold()
    call = asyncio.ensure_future(use(pool))
    await _until_held(far_proxy)
    far_proxy.reset_after(passed)
    with pytest.raises(ConnectionLost):
        await asyncio.wait_for(call, LIMIT)
    assert await asyncio.wait_for(pool.fetchval("SELECT 2"), LIMIT) == 2


async def test_reset_behind_words_to_a_connection_that_idles(
    open_pool: Any, far_proxy: FarProxy, pg_server: Any, pg_database: str
) -> None:
    """Such as the server's last ones: whether or not all of them arrive, the connection is not used again."""
    pool = await open_pool(far_proxy.dsn(pg_database), min_size=1, max_size=1)
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    await at_rest(pool)  # the catalogue is read on the same connection
    far_proxy.hold()
    pg_server.sql(f"SELECT pg_terminate_backend({pid})")
    await _until_held(far_proxy)
    far_proxy.reset_after(20)
    await until(lambda: pool.stats().lost)
    for _ in range(3):
        assert await asyncio.wait_for(pool.fetchval("SELECT $1::int", 3), LIMIT) == 3
    assert pool.stats().lost == 1


@pytest.mark.parametrize("passed", [1, 100])
async def test_reset_while_connecting(open_pool: Any, far_proxy: FarProxy, pg_database: str, passed: int) -> None:
    pool = await open_pool(far_proxy.dsn(pg_database) + "?sslmode=disable", min_size=0, max_size=1)
    far_proxy.hold()
    call = asyncio.ensure_future(pool.fetchval("SELECT 1"))
    await _until_held(far_proxy)
    far_proxy.reset_after(passed)
    far_proxy.flow()
    try:
        assert await asyncio.wait_for(call, LIMIT) == 1
    except ConnectFailed:
        assert await asyncio.wait_for(pool.fetchval("SELECT 1"), LIMIT) == 1


async def test_reset_while_a_cancelled_statement_is_being_stopped(
    open_pool: Any, far_proxy: FarProxy, pg_database: str
) -> None:
    pool = await open_pool(far_proxy.dsn(pg_database), min_size=1, max_size=1)
    far_proxy.hold(TO_SERVER)
    async with pool.acquire() as conn:
        call = asyncio.ensure_future(conn.fetch("SELECT pg_sleep(60)"))
        await _until_held(far_proxy, TO_SERVER)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        far_proxy.reset()
        far_proxy.flow()
        with pytest.raises(ConnectionLost):
            await asyncio.wait_for(conn.fetch("SELECT 1"), LIMIT)
    assert await asyncio.wait_for(pool.fetchval("SELECT 2"), LIMIT) == 2
