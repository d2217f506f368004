"""LISTEN and NOTIFY on a held session."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import InterfaceError
from tests.plugins.proxy import FaultProxy

NOTIFY = "SELECT pg_notify($1, $2)"


class Heard:
    """A callback that remembers, and can be waited for."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self._more = asyncio.Event()

    def __call__(self, *call: Any) -> None:
        self.calls.append(call)
        self._more.set()

    async def wait(self, count: int) -> list[tuple[str, str]]:
        while len(self.calls) < count:
            self._more.clear()
            await asyncio.wait_for(self._more.wait(), 10)
        return [call[2:] for call in self.calls]


async def test_notifications_reach_the_listener(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    heard, other = Heard(), Heard()
    async with pool.acquire() as connection:
        await connection.add_listener("news", heard)
        await connection.add_listener('odd "Name"', other)
        await pool.execute(NOTIFY, "news", "from outside")
        assert await heard.wait(1) == [("news", "from outside")]
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await connection.execute(NOTIFY, "news", "from within ✓")
        await connection.execute("NOTIFY news")
        await connection.execute(NOTIFY, 'odd "Name"', "quoted")
        assert await heard.wait(3) == [("news", "from outside"), ("news", "from within ✓"), ("news", "")]
        assert await other.wait(1) == [('odd "Name"', "quoted")]
        assert heard.calls[1][0] is connection
        assert heard.calls[1][1] == pid


async def test_while_the_session_is_idle_and_in_order(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=3)
    heard = Heard()
    async with pool.acquire() as connection:
        await connection.add_listener("numbers", heard)
        async with pool.transaction() as sender:
            for number in range(200):
                await sender.execute(NOTIFY, "numbers", str(number))
        assert await heard.wait(200) == [("numbers", str(number)) for number in range(200)]


async def test_several_listeners_and_their_end(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    one, two = Heard(), Heard()
    async with pool.acquire() as connection:
        await connection.add_listener("c", one)
        await connection.add_listener("c", one)
        await connection.add_listener("c", two)
        await pool.execute(NOTIFY, "c", "1")
        assert await one.wait(1) == await two.wait(1) == [("c", "1")]
        await connection.remove_listener("c", one)
        await connection.remove_listener("c", one)
        await pool.execute(NOTIFY, "c", "2")
        assert await two.wait(2) == [("c", "1"), ("c", "2")]
        await connection.remove_listener("c", two)
        assert await connection.fetch("SELECT pg_listening_channels()") == []
        assert len(one.calls) == 1


async def test_a_released_session_receives_nothing(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    heard = Heard()
    async with pool.acquire() as connection:
        await connection.add_listener("c", heard)
    await pool.execute(NOTIFY, "c", "to nobody")
    async with pool.acquire() as connection:
        assert await connection.fetch("SELECT pg_listening_channels()") == []
        await connection.add_listener("c", heard)
        await connection.execute(NOTIFY, "c", "again")
        assert await heard.wait(1) == [("c", "again")]


async def test_inside_a_transaction_it_begins_with_the_commit(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    heard = Heard()
    async with pool.acquire() as connection:
        async with connection.transaction():
            await connection.add_listener("c", heard)
            await pool.execute(NOTIFY, "c", "too early")
        await pool.execute(NOTIFY, "c", "in time")
        assert await heard.wait(1) == [("c", "in time")]


async def test_coroutine_functions_may_use_the_session(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def callback(connection: Any, pid: int, channel: str, payload: str) -> None:
        answered.set_result(await connection.fetchval("SELECT $1::int + 1", int(payload)))

    async with pool.acquire() as connection:
        await connection.add_listener("c", callback)
        await pool.execute(NOTIFY, "c", "41")
        assert await asyncio.wait_for(answered, 10) == 42


async def test_a_callback_that_fails_harms_no_other(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    loop = asyncio.get_running_loop()
    reported: list[Any] = []
    usual = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: reported.append(str(context["exception"])))
    heard = Heard()

    def fails(*_: Any) -> None:
        raise ValueError("a callback")

    async def fails_later(*_: Any) -> None:
        raise ValueError("a coroutine")

    try:
        async with pool.acquire() as connection:
            for callback in (fails, fails_later, heard):
                await connection.add_listener("c", callback)
            await connection.execute(NOTIFY, "c", "x")
            assert await heard.wait(1) == [("c", "x")]
            assert await connection.fetchval("SELECT 1") == 1
            while len(reported) < 2:
                await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(usual)
    assert sorted(reported) == ["a callback", "a coroutine"]


async def test_loss_is_told(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    async with FaultProxy("127.0.0.1", pg_server.port) as proxy:
        pool = await open_pool(proxy.dsn(pg_database), max_size=2)
        lost, unwanted = Heard(), Heard()
        async with pool.acquire() as connection:
            connection.add_termination_listener(lost)
            connection.add_termination_listener(unwanted)
            connection.remove_termination_listener(unwanted)
            await connection.add_listener("c", lost)
            await proxy.drop()
            await lost.wait(1)
            assert lost.calls == [(connection,)]
        async with pool.acquire() as connection:
            connection.add_termination_listener(unwanted)
        await proxy.drop()
        assert await pool.fetchval("SELECT 1") == 1
        assert unwanted.calls == []


@pytest.mark.parametrize("channel", ["", "a\0b", "x" * 64, "ü" * 32, 7, None])
async def test_impossible_channels(open_pool: Any, pg_database: str, channel: Any) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.acquire() as connection:
        with pytest.raises(InterfaceError, match="channel"):
            await connection.add_listener(channel, Heard())
        with pytest.raises(InterfaceError, match="callback"):
            await connection.add_listener("fine", "no function")
        assert await connection.fetch("SELECT pg_listening_channels()") == []


async def test_sqlite_has_none(open_pool: Any) -> None:
    pool = await open_pool("sqlite://")
    async with pool.acquire() as connection:
        with pytest.raises(InterfaceError, match="SQLite has no notifications"):
            await connection.add_listener("c", Heard())
        assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(InterfaceError, match="given back"):
        await connection.add_listener("c", Heard())


async def test_after_a_listen_that_was_rolled_back(pg_pool: Any) -> None:
    heard = Heard()

    async def listen_and_fail(connection: Any, channel: str) -> None:
        async with connection.transaction():
            await connection.add_listener(channel, heard)
            raise ZeroDivisionError

    async with pg_pool.acquire() as connection:
        for channel in ("c", "c", "d"):
            with pytest.raises(ZeroDivisionError):
                await listen_and_fail(connection, channel)
        assert await connection.fetch("SELECT pg_listening_channels()") == []
        await connection.add_listener("c", heard)
        await connection.add_listener("d", Heard())
        await pg_pool.execute(NOTIFY, "c", "1")
        assert await heard.wait(1) == [("c", "1")]
        assert len(await connection.fetch("SELECT pg_listening_channels()")) == 2


@pytest.mark.parametrize("command", ["UNLISTEN *", "UNLISTEN c", "DISCARD ALL"])
async def test_after_the_server_was_told_to_forget(pg_pool: Any, command: str) -> None:
    heard = Heard()
    async with pg_pool.acquire() as connection:
        await connection.add_listener("c", heard)
        await connection.execute(command)
        await connection.add_listener("c", heard)
        await pg_pool.execute(NOTIFY, "c", "1")
        assert await heard.wait(1) == [("c", "1")]
