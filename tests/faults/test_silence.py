"""A link that falls silent, drops or lies: the caller has his answer in time, and the pool serves again."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, ConnectionLost, Error, StatementTimeout
from db_pool_rs.guard.keeper import Keeper
from tests.contract.guarding import at_rest
from tests.contract.waiting import PROMPT, until
from tests.plugins.proxy import TO_CLIENT, FaultProxy


async def _warm(pool: Any) -> None:
    for i in range(5):
        assert await pool.fetchval("SELECT $1::int", i) == i


# rule 5.9
async def test_caller_returns_when_the_link_falls_silent(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    await _warm(pool)
    proxy.stall()
    started = time.monotonic()
    with pytest.raises((asyncio.TimeoutError, TimeoutError)):
        await asyncio.wait_for(pool.fetchval("SELECT $1::int", 1), 0.5)
    with pytest.raises((StatementTimeout, TimeoutError)):
        await pool.fetchval("SELECT $1::int", 1, timeout=0.3)
    assert time.monotonic() - started < PROMPT
    proxy.resume()


async def test_pool_serves_again_when_only_old_links_are_silent(
    open_pool: Any, proxy: FaultProxy, pg_database: str
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), min_size=3, max_size=3)
    await asyncio.gather(*[pool.fetch("SELECT pg_sleep(0.02)") for _ in range(3)])
    await _warm(pool)
    proxy.stall(links="live")
    started = time.monotonic()
    while True:
        try:
            assert await asyncio.wait_for(pool.fetchval("SELECT $1::int", 7), 3) == 7
            break
        except (asyncio.TimeoutError, TimeoutError, Error):
            continue
    assert time.monotonic() - started < PROMPT
    proxy.resume()


@pytest.mark.parametrize("reset", [False, True])
async def test_dropped_while_running_is_reported_as_unknown(
    open_pool: Any, proxy: FaultProxy, pg_database: str, reset: bool
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    call = asyncio.ensure_future(pool.fetch("SELECT pg_sleep(30)"))
    while not pool.stats().in_flight:
        await asyncio.sleep(0)
    proxy.stall(TO_CLIENT)
    await proxy.drop(reset=reset)
    with pytest.raises(ConnectionLost) as caught:
        await call
    assert caught.value.sent
    assert not caught.value.safe_to_retry
    proxy.resume()
    assert await pool.fetchval("SELECT 1") == 1


async def test_answered_then_dropped_raises_nothing(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    for i in range(5):
        assert await pool.fetchval("SELECT $1::int", i) == i
        await at_rest(pool)
        lost = pool.stats().lost + pool.stats().size
        await proxy.drop(reset=bool(i % 2))
        await until(lambda lost=lost: pool.stats().lost >= lost)  # type: ignore[misc]
    assert await pool.fetchval("SELECT 5") == 5


async def test_refused_connections_fail_quickly_with_the_cause(
    open_pool: Any, proxy: FaultProxy, pg_database: str
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    await _warm(pool)
    await at_rest(pool)
    lost = pool.stats().lost + pool.stats().size
    await proxy.refuse()
    await proxy.drop()
    await until(lambda: pool.stats().lost >= lost)
    started = time.monotonic()
    with pytest.raises(ConnectFailed) as caught:
        await pool.fetchval("SELECT 1")
    assert caught.value.safe_to_retry
    assert time.monotonic() - started < PROMPT
    await proxy.allow()
    while True:
        try:
            assert await pool.fetchval("SELECT 1") == 1
            break
        except ConnectFailed:
            continue


@pytest.mark.parametrize("short", [0, 10])
async def test_connections_that_die_as_soon_as_they_are_open(
    open_pool: Any, proxy: FaultProxy, pg_database: str, short: int
) -> None:
    """The server lets every client in and hangs up: after its first answer, or (`short`) in the middle of it."""
    pool = await open_pool(proxy.dsn(pg_database), min_size=1, max_size=1)
    opening = proxy.bytes_to_client
    await _warm(pool)
    proxy.truncate(opening - short, TO_CLIENT, links="new")
    await proxy.drop()
    started, accepted = time.monotonic(), proxy.accepted
    await proxy.wait_connections(accepted + 5)
    assert time.monotonic() - started > 0.04 + 0.08 + 0.16 + 0.28, "there are growing pauses"
    calls: list[Any] = [pool.fetchval("SELECT $1::int", i) for i in range(20)]
    failed = await asyncio.gather(*calls, pool.execute("VACUUM"), return_exceptions=True)
    for error in failed:
        assert isinstance(error, ConnectFailed) or (isinstance(error, ConnectionLost) and not short), error
        assert error.safe_to_retry or (isinstance(error, ConnectionLost) and error.sent)
    proxy.truncate(1_000_000, TO_CLIENT, links="new")
    while True:
        try:
            assert await pool.fetchval("SELECT 1") == 1
            break
        except (ConnectFailed, ConnectionLost):
            continue


@pytest.mark.parametrize("garbage", [lambda data: b"\xff" * len(data), lambda data: data[:1] + b"\xff" + data[2:]])
async def test_garbage_is_an_error_and_the_next_call_works(
    open_pool: Any, proxy: FaultProxy, pg_database: str, garbage: Any
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await _warm(pool)
    await at_rest(pool)
    proxy.corrupt(garbage, TO_CLIENT, links="live")
    with pytest.raises(Error):
        await pool.fetchval("SELECT $1::int", 1, timeout=20)
    assert await pool.fetchval("SELECT $1::int", 2, timeout=20) == 2


async def test_truncated_answer_is_a_lost_connection(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await _warm(pool)
    await at_rest(pool)
    proxy.truncate(10, TO_CLIENT, links="live")
    with pytest.raises(ConnectionLost):
        await pool.fetchval("SELECT $1::int", 1)
    assert await pool.fetchval("SELECT $1::int", 2) == 2


@pytest.mark.parametrize(("args", "most"), [((), 4), ((1,), 5)], ids=["no arguments", "arguments"])
async def test_round_trips_of_a_start(
    open_pool: Any,
    proxy: FaultProxy,
    pg_database: str,
    args: tuple[int, ...],
    most: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The offer of TLS, the login, the pool's question, the statement; its types where it has arguments."""
    monkeypatch.setattr(Keeper, "want", lambda self: None)  # to read the catalogue takes round trips of its own
    pool = await open_pool(proxy.dsn(pg_database), min_size=0, max_size=1, sslmode="prefer")
    await pool.fetchval("SELECT $1::int" if args else "SELECT 1", *args)
    assert proxy.round_trips == most


async def test_round_trips(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.fetchval("SELECT $1::int", 0)
    await at_rest(pool)  # to read the catalogue takes round trips of its own
    before = proxy.round_trips
    for i in range(10):
        await pool.fetchval("SELECT $1::int", i)
    assert proxy.round_trips - before <= 11
    before = proxy.round_trips
    for i in range(10):
        await pool.fetchval(f"SELECT {i}")
    assert proxy.round_trips - before <= 11
    before = proxy.round_trips
    for i in range(10):
        async with pool.transaction() as conn:
            await conn.fetchval("SELECT $1::int", i)
    assert proxy.round_trips - before <= 21
