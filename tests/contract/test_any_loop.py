"""A pool on an event loop that watches no descriptors, as asyncio's on Windows: a thread does it (`--loop bare`)."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs.drivers.postgres.socket_thread import SocketThread
from db_pool_rs.drivers.postgres.watch import can_watch, descriptors, watcher
from db_pool_rs.errors import ConnectionLost, PoolClosed, StatementTimeout, UniqueViolation
from tests.plugins.loops import BareLoop

THREAD = "db_pool_rs sockets"
Serve = Callable[..., Any]


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == THREAD]


@pytest.fixture
def serve(engine: Any) -> Iterator[Serve]:
    """`serve(main, dsn, ...)` runs `main(pool)` with an open pool on a loop that watches nothing."""

    def run(main: Callable[[Any], Awaitable[Any]], dsn: str, **options: Any) -> Any:
        async def opened() -> Any:
            async with db_pool_rs.create_pool(dsn, mode=engine.name, **options) as pool:
                return await main(pool)

        loop = BareLoop()
        try:
            return loop.run_until_complete(asyncio.wait_for(opened(), 45))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    yield run
    end = time.monotonic() + 10
    while threads():
        assert time.monotonic() < end, "the thread does not end"


def test_statements_and_transactions(serve: Serve, backend: Any) -> None:
    async def main(pool: Any) -> None:
        await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
        await asyncio.gather(*(pool.execute("INSERT INTO item VALUES ($1, $2)", i, str(i)) for i in range(200)))
        assert sum(await asyncio.gather(*(pool.fetchval("SELECT id FROM item WHERE id = $1", i) for i in range(200))))
        with pytest.raises(UniqueViolation):
            await pool.execute("INSERT INTO item VALUES (7, 'again')")

        async def undone() -> None:
            async with pool.transaction() as block:
                await block.execute("DELETE FROM item")
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await undone()
        async with pool.acquire() as connection, connection.transaction():
            assert len([row async for row in connection.cursor("SELECT id FROM item", prefetch=30)]) == 200

    serve(main, backend.dsn, max_size=3)


def test_much_data_both_ways(serve: Serve, backend: Any) -> None:
    """More than a socket takes at once."""

    async def main(pool: Any) -> None:
        text = "x" * 3_000_000
        for _ in range(3):
            assert await pool.fetchval("SELECT CAST($1 AS text)", text) == text

    serve(main, backend.dsn)


def test_copy_and_notifications(serve: Serve, pg_database: str) -> None:
    async def main(pool: Any) -> None:
        await pool.execute("CREATE TABLE item (id int, name text)")
        heard: asyncio.Queue[str] = asyncio.Queue()
        async with pool.acquire() as connection:
            await connection.add_listener("news", lambda _c, _pid, _channel, payload: heard.put_nowait(payload))
            records = [(i, "name" * 20) for i in range(20_000)]
            assert (await connection.copy_records_to_table("item", records=records)).rows == 20_000
            pieces: list[bytes] = []

            async def take(piece: bytes) -> None:
                pieces.append(piece)

            await connection.copy_from_table("item", output=take)
            assert b"".join(pieces).count(b"\n") == 20_000
            await pool.execute("SELECT pg_notify('news', 'hello')")
            assert await heard.get() == "hello"

    serve(main, pg_database, max_size=2)


def test_time_outs_and_losses(serve: Serve, pg_database: str, pg_server: Any) -> None:
    async def main(pool: Any) -> None:
        with pytest.raises(StatementTimeout):
            await pool.fetchval("SELECT pg_sleep(60)", timeout=0.1)
        assert await pool.fetchval("SELECT 1") == 1
        connection = await pool.acquire()
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        running = asyncio.ensure_future(connection.fetchval("SELECT pg_sleep(60)"))
        await pool.fetchval("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(ConnectionLost):
            await running
        await pool.release(connection)
        assert await pool.fetchval("SELECT 2") == 2
        waiting = asyncio.ensure_future(pool.fetchval("SELECT pg_sleep(60)"))
        while not pool.stats().in_flight:
            await asyncio.sleep(0)
        pool.terminate()
        with pytest.raises((ConnectionLost, PoolClosed)):
            await waiting

    serve(main, pg_database, max_size=3)


def test_two_pools_share_the_thread(engine: Any, pg_database: str, serve: Serve) -> None:
    async def main(pool: Any) -> None:
        async with db_pool_rs.create_pool(pg_database, mode=engine.name) as other:
            await asyncio.gather(*(one.fetchval("SELECT 1") for one in (pool, other) for _ in range(20)))
            assert len(threads()) == 1

    serve(main, pg_database)


# -- the thread --------------------------------------------------------------------------------------------------------


def test_loops_are_told_apart() -> None:
    bare, usual = BareLoop(), asyncio.SelectorEventLoop()
    try:
        assert not can_watch(bare)
        assert isinstance(watcher(bare), SocketThread)
        assert descriptors(usual) is watcher(usual) is usual
    finally:
        bare.close()
        usual.close()


def on_bare_loop(main: Awaitable[Any]) -> Any:
    loop = BareLoop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main, 30))
    finally:
        loop.close()


def test_callbacks_come_again_until_they_are_removed() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        thread = SocketThread(loop)
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            there.send(b"abc")
            got: asyncio.Queue[bytes] = asyncio.Queue()
            thread.add_reader(here.fileno(), lambda: got.put_nowait(here.recv(1)))
            assert [await got.get() for _ in range(3)] == [b"a", b"b", b"c"]
            there.send(b"d")
            assert await got.get() == b"d"
            writable = asyncio.Event()
            thread.add_writer(here.fileno(), writable.set)
            await writable.wait()
            thread.remove_writer(here.fileno())
            thread.remove_reader(here.fileno())
            there.send(b"e")
            await asyncio.sleep(0)
            assert got.empty()
            thread.add_reader(here.fileno(), lambda: got.put_nowait(here.recv(1)))
            there.close()
            assert await got.get() == b"e"
            assert await got.get() == b"", "the end, too"
            thread.remove_reader(here.fileno())

    on_bare_loop(main())


def test_a_number_that_another_socket_has_taken() -> None:
    """libpq closes a socket right after it is given up; the next one may have its number."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        thread = SocketThread(loop)
        kept, _peer = socket.socketpair()
        thread.add_reader(kept.fileno(), bool)
        for _ in range(200):
            here, there = socket.socketpair()
            number, ready = here.fileno(), asyncio.Event()
            thread.add_reader(number, ready.set)
            there.send(b"x")
            await ready.wait()
            thread.remove_reader(number)
            here.close()
            there.close()
        thread.remove_reader(kept.fileno())
        kept.close()
        _peer.close()

    on_bare_loop(main())


def test_what_was_found_for_an_earlier_watching_is_not_told_of_a_later_one() -> None:
    """The source of a COPY would be taken for refused by it: what has come is what was read before."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        told, call_soon = threading.Event(), loop.call_soon_threadsafe

        def tell(*call: Any) -> Any:
            handle = call_soon(*call)
            told.set()
            return handle

        loop.call_soon_threadsafe = tell  # type: ignore[method-assign]
        thread = SocketThread(loop)
        here, there = socket.socketpair()
        with here, there:
            got: list[str] = []
            thread.add_reader(here.fileno(), got.append, "first")
            there.send(b"x")
            told.wait(30)
            # The loop is told next. Before that the socket is read, and watched anew.
            here.recv(1)
            thread.remove_reader(here.fileno())
            thread.add_reader(here.fileno(), got.append, "second")
            for _ in range(5):
                await asyncio.sleep(0)
            assert got == []
            there.send(b"z")
            while not got:
                await asyncio.sleep(0)
            assert set(got) == {"second"}
            thread.remove_reader(here.fileno())

    on_bare_loop(main())


def test_a_callback_that_fails_is_reported_and_the_others_are_called() -> None:
    async def main() -> list[Any]:
        loop = asyncio.get_running_loop()
        told: list[Any] = []
        loop.set_exception_handler(lambda _, context: told.append(context["exception"]))
        thread = SocketThread(loop)
        pairs = [socket.socketpair() for _ in range(2)]
        heard = asyncio.Event()

        def fail() -> None:
            thread.remove_reader(pairs[0][0].fileno())
            raise ZeroDivisionError

        thread.add_reader(pairs[0][0].fileno(), fail)
        thread.add_reader(pairs[1][0].fileno(), heard.set)
        for _, there in pairs:
            there.send(b"x")
        await heard.wait()
        while not told:
            await asyncio.sleep(0)
        thread.remove_reader(pairs[1][0].fileno())
        for pair in pairs:
            for one in pair:
                one.close()
        return told

    (error,) = on_bare_loop(main())
    assert isinstance(error, ZeroDivisionError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_child_process_leaves_the_thread_alone() -> None:
    async def main() -> None:
        thread = SocketThread(asyncio.get_running_loop())
        here, there = socket.socketpair()
        here.setblocking(False)
        heard = asyncio.Event()
        thread.add_reader(here.fileno(), heard.set)
        child = os.fork()
        if child == 0:
            thread.remove_reader(here.fileno())
            os._exit(0 if thread.held() == -1 else 1)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 -- it ends at once
        there.send(b"x")
        await heard.wait()
        thread.remove_reader(here.fileno())
        here.close()
        there.close()

    on_bare_loop(main())
