"""Notifications that outlive their connection."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConfigError, ConnectFailed, InterfaceError, PoolClosed, PoolTimeout
from db_pool_rs.record import Event
from tests.contract.waiting import until, until_async
from tests.plugins.proxy import FaultProxy

NOTIFY = "SELECT pg_notify($1, $2)"
LISTENERS = "SELECT pid FROM pg_stat_activity WHERE query ~ '^(UN)?LISTEN ' AND datname = current_database()"
KILL = f"SELECT count(pg_terminate_backend(pid)) FROM ({LISTENERS}) s"
#: How often the connection is ended in the test of gaps; `nox -s restarts` ends it 1,000 times.
RESTARTS = int(os.environ.get("DB_POOL_RESTARTS", "50"))


async def _next(events: Any) -> Event:
    event: Event = await asyncio.wait_for(events.__anext__(), 20)
    return event


async def _heard(events: Any) -> tuple[str, str]:
    event = await _next(events)
    assert not event.gap
    return event.channel, event.payload


async def test_events_of_several_channels_in_order(pg_pool: Any) -> None:
    async with pg_pool.listen("jobs", 'odd "Name"', "jobs") as events:
        async with pg_pool.transaction() as tx:
            for number in range(100):
                await tx.execute(NOTIFY, ("jobs", 'odd "Name"', "other")[number % 3], str(number))
            sender = await tx.fetchval("SELECT pg_backend_pid()")
        for number in range(100):
            if number % 3 < 2:
                event = await _next(events)
                assert event == Event(("jobs", 'odd "Name"')[number % 3], str(number), sender)
    await until_async(_nobody_listens(pg_pool))


def _nobody_listens(pool: Any) -> Any:
    async def ask() -> bool:
        return not await pool.fetch(LISTENERS)

    return ask


async def test_it_is_no_connection_of_max_size(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.listen("a") as events, pool.acquire() as connection:
        await connection.execute(NOTIFY, "a", "x")
        assert await _heard(events) == ("a", "x")


async def test_subscriptions_share_one_connection(pg_pool: Any) -> None:
    async with pg_pool.listen("a", "b") as one:
        async with pg_pool.listen("b", "c") as two:
            assert len(await pg_pool.fetch(LISTENERS)) == 1
            for channel in "abcd":
                await pg_pool.execute(NOTIFY, channel, "1")
            assert [await _heard(one), await _heard(one)] == [("a", "1"), ("b", "1")]
            assert [await _heard(two), await _heard(two)] == [("b", "1"), ("c", "1")]
        for channel in "cb":
            await pg_pool.execute(NOTIFY, channel, "2")
        assert await _heard(one) == ("b", "2")
    await until_async(_nobody_listens(pg_pool))
    async with pg_pool.listen("c") as again:
        await pg_pool.execute(NOTIFY, "c", "3")
        assert await _heard(again) == ("c", "3")


async def test_thousands_of_channels(pg_pool: Any) -> None:
    channels = [f"channel {number}" for number in range(3000)]
    async with pg_pool.listen(*channels) as events, pg_pool.listen("one more") as other:
        await pg_pool.execute("SELECT count(pg_notify(c, c)) FROM unnest($1::text[]) AS c", channels)
        assert [(await _next(events)).payload for _ in channels] == channels
        await pg_pool.fetch(KILL)
        assert (await _next(events)).gap
        assert (await _next(other)).gap
        await pg_pool.execute("SELECT count(pg_notify(c, c)) FROM unnest($1::text[]) AS c", [*channels, "one more"])
        assert [(await _next(events)).payload for _ in channels] == channels
        assert await _heard(other) == ("one more", "one more")


async def test_between_two_gaps_everything_arrives_once_and_in_order(pg_pool: Any) -> None:
    """The connection is ended again and again, while another one sends numbers."""
    sent = 0
    stop = False

    async def send() -> None:
        nonlocal sent
        while not stop:
            await pg_pool.execute(NOTIFY, "numbers", str(sent))
            sent += 1

    async with pg_pool.listen("numbers", max_queue=10_000_000) as events:
        sender = asyncio.ensure_future(send())
        try:
            expected, skipped, gaps = 0, 0, 0
            while gaps < RESTARTS:
                numbers = 0
                while numbers < 3:  # some have arrived since the last gap
                    event = await _next(events)
                    if event.gap:
                        while event.gap:  # a connection may end before it has heard anything
                            gaps += 1
                            assert event.dropped == 0
                            event = await _next(events)
                        assert int(event.payload) >= expected
                        skipped += int(event.payload) - expected
                        expected, numbers = int(event.payload), 0
                    assert int(event.payload) == expected
                    expected += 1
                    numbers += 1
                await pg_pool.fetch(KILL)
        finally:
            stop = True
            await sender
    assert skipped < sent


async def test_what_does_not_fit_is_told(pg_pool: Any) -> None:
    async with pg_pool.listen("a", max_queue=3) as events, pg_pool.listen("a", "end") as other:
        for number in range(10):
            await pg_pool.execute(NOTIFY, "a", str(number))
        await pg_pool.execute(NOTIFY, "end", "")
        while await _heard(other) != ("end", ""):
            pass
        assert [(await _next(events)).payload for _ in range(3)] == ["0", "1", "2"]
        assert await _next(events) == Event("", "", 0, gap=True, dropped=7)
        await pg_pool.execute(NOTIFY, "a", "10")
        assert await _heard(events) == ("a", "10")


async def test_no_connection_at_first(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    assert await pool.fetchval("SELECT 1") == 1
    await proxy.refuse()
    with pytest.raises(ConnectFailed):
        async with pool.listen("a"):
            pass
    await proxy.allow()
    async with pool.listen("a") as events:
        await pool.execute(NOTIFY, "a", "x")
        assert await _heard(events) == ("a", "x")


async def test_a_server_that_is_away_for_a_while(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    direct = await open_pool(pg_database, max_size=1)
    async with pool.listen("a") as events:
        await proxy.refuse()
        await proxy.drop()
        waiting = asyncio.ensure_future(_next(events))
        with pytest.raises(ConnectFailed):  # a new one is told at once
            async with pool.listen("b"):
                pass
        await direct.execute(NOTIFY, "a", "lost")
        assert not waiting.done()
        await proxy.allow()
        assert (await waiting).gap
        await direct.execute(NOTIFY, "a", "x")
        assert await _heard(events) == ("a", "x")


async def test_a_silent_connection_is_replaced(
    open_pool: Any, pg_database: str, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db_pool_rs.pool.subscription.SILENCE", 0.2)
    monkeypatch.setattr("db_pool_rs.pool.subscription.PATIENCE", 2.0)
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    direct = await open_pool(pg_database, max_size=1)
    async with pool.listen("a") as events:
        accepted = proxy.accepted
        proxy.stall(links="live")
        await until(lambda: proxy.accepted > accepted)
        assert (await _next(events)).gap
        monkeypatch.undo()  # the new one need not answer that quickly
        await direct.execute(NOTIFY, "a", "x")
        assert await _heard(events) == ("a", "x")
        proxy.resume()


async def test_past_a_proxy(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(pg_database, max_size=1, listen_dsn=proxy.dsn(pg_database))
    assert await pool.fetchval("SELECT 1") == 1
    assert proxy.accepted == 0
    async with pool.listen("a") as events:
        assert proxy.accepted == 1
        await pool.execute(NOTIFY, "a", "x")
        assert await _heard(events) == ("a", "x")
    assert "secret" not in repr(pool.config)
    for wrong in ("sqlite://", "postgresql://u:secret@h/d?nonsense=1", 5):
        with pytest.raises(ConfigError, match="listen_dsn") as caught:
            await open_pool(pg_database, listen_dsn=wrong)
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("end", ["close", "terminate"])
async def test_the_pool_ends(open_pool: Any, pg_database: str, end: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with contextlib.AsyncExitStack() as stack:
        events = await stack.enter_async_context(pool.listen("a"))
        waiting = asyncio.ensure_future(events.__anext__())
        await asyncio.sleep(0)
        if end == "terminate":
            pool.terminate()
        await pool.close()
        with pytest.raises(PoolClosed):
            await waiting
        with pytest.raises(PoolClosed):
            await events.__anext__()
    with pytest.raises(PoolClosed):
        await pool.listen("a").__aenter__()


async def test_wrong_use_of_listen(pg_pool: Any) -> None:
    for channels, options in (((), {}), ((5,), {}), (("",), {}), (("x" * 64,), {}), (("a",), {"max_queue": 0})):
        with pytest.raises(InterfaceError):
            pg_pool.listen(*channels, **options)
    subscription = pg_pool.listen("a")
    with pytest.raises(InterfaceError, match="entered before"):
        await subscription.__anext__()
    async with subscription:
        with pytest.raises(InterfaceError, match="used already"):
            await subscription.__aenter__()
    with pytest.raises(PoolClosed, match="left"):
        await subscription.__anext__()
    with pytest.raises(InterfaceError, match="used already"):
        await subscription.__aenter__()
    with pytest.raises(InterfaceError, match="timeout"):
        await pg_pool.listen("a", timeout=-1).__aenter__()


async def test_no_connection_in_time(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    proxy.stall()
    with pytest.raises(PoolTimeout):
        async with pool.listen("a", timeout=0.1):
            pass
    proxy.resume()


async def test_cancelled_while_it_begins(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    proxy.stall()
    task = asyncio.ensure_future(pool.listen("a").__aenter__())
    await until(lambda: proxy.accepted == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    proxy.resume()


async def test_sqlite_has_no_notifications(open_pool: Any) -> None:
    pool = await open_pool("sqlite://")
    with pytest.raises(InterfaceError, match="SQLite has no notifications"):
        await pool.listen("a").__aenter__()


async def test_a_channel_whose_name_looks_like_a_parameter(engine: Any, pg_database: str) -> None:
    """What one pool has asked the server about it is of no use to another, which may have another engine."""
    for mode in ("simple", engine.name, "simple"):
        pool = create_pool(pg_database, mode=mode, min_size=0)
        async with pool, pool.listen("price in $1") as events:
            await pool.execute(NOTIFY, "price in $1", "x")
            assert await _heard(events) == ("price in $1", "x")
