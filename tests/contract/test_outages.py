"""What is told of a database that cannot be reached: each thing once, to callers and to the log, and no password."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, ConnectionLost, DatabaseError, Error
from db_pool_rs.pool import outages
from db_pool_rs.pool.outages import LONGEST_PAUSE, PAUSE, Outages
from tests.contract.waiting import in_thread, until
from tests.plugins.proxy import FaultProxy
from tests.plugins.server import free_port

SECRET = "s3cr3t-Pa55w0rd"


@pytest.fixture
def log(caplog: Any) -> Any:
    """The log from INFO on."""
    caplog.set_level(logging.INFO, "db_pool_rs")
    return caplog


def _lines(log: Any, what: str) -> list[tuple[str, str]]:
    """Level and text of the lines that contain `what`."""
    return [(one.levelname, one.getMessage()) for one in log.records if what in one.getMessage()]


async def _caught(call: Any) -> Error:
    with pytest.raises(Error) as caught:
        await call
    return caught.value


# -- what callers hear -------------------------------------------------------------------------------------------------


async def test_each_attempt_is_told_once(open_pool: Any, pg_server: Any) -> None:
    ports = [free_port(), free_port()]
    dsn = f"postgresql://postgres@127.0.0.1:{ports[0]},127.0.0.1:{ports[1]}/postgres"
    pool = await open_pool(dsn, min_size=0, max_size=1)
    for call in (lambda: open_pool(dsn), lambda: pool.fetch("SELECT 1"), pool.acquire):
        error = await _caught(call())
        assert isinstance(error, ConnectFailed)
        for port in ports:
            assert str(error).count(str(port)) == 1, str(error)
        assert str(error).count("could not connect") == 1
        assert len(error.attempts) == 2
        shown = str(error.__cause__)
        assert not any(str(port) in shown for port in ports), "the cause repeats it"


async def test_init_that_is_refused_is_told_once(open_pool: Any, pg_database: str) -> None:
    async def init(connection: Any) -> None:
        await connection.execute("SELECT no_such_column")

    error = await _caught(open_pool(pg_database, init=init))
    assert isinstance(error, ConnectFailed)
    assert str(error).count("no_such_column") == 1
    assert isinstance(error.__cause__, DatabaseError)


async def test_a_loss_says_once_what_became_of_the_statement(
    open_pool: Any, proxy: FaultProxy, pg_database: str
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=3)
    held = await pool.acquire()
    calls = [pool.fetch("SELECT pg_sleep(60)"), held.fetch("SELECT pg_sleep(60)")]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await until(lambda: pool.stats().busy == 2 and pool.stats().in_flight)
    await proxy.drop()
    for error in [await _caught(task) for task in tasks]:
        assert isinstance(error, ConnectionLost)
        assert error.sent
        assert str(error).count("the outcome of the statement is unknown") == 1, str(error)
    later = await _caught(held.fetch("SELECT 1"))
    assert isinstance(later, ConnectionLost)
    assert not later.sent
    assert "was not carried out" in str(later)
    assert "unknown" not in str(later), "that was the statement before"
    await pool.release(held)


# -- what the log hears ------------------------------------------------------------------------------------------------


async def test_an_outage_begins_and_ends(open_pool: Any, own_server: Any, log: Any) -> None:
    server = own_server(hba=["host all all 127.0.0.1/32 trust"])
    dsn = server.dsn("postgres", password=SECRET)
    pool = await open_pool(dsn, name="orders", min_size=1, max_size=3)
    async with pool.acquire(), pool.acquire():
        await in_thread(server.stop, "immediate")
        await until(lambda: _lines(log, "lost"))
    await until(lambda: pool.stats().connect_failures >= 3)
    assert [level for level, _ in _lines(log, "connecting fails")] == ["WARNING"]
    assert not _lines(log, "works again")
    await in_thread(server.start)
    await until(lambda: _lines(log, "works again"), timeout=60)
    ((level, line),) = _lines(log, "works again")
    assert level == "INFO"
    assert "attempts in" in line
    assert await pool.fetchval("SELECT 1") == 1
    lost = _lines(log, "lost")
    assert {level for level, _ in lost} == {"WARNING"}
    assert len(lost) <= 2, "told together"
    assert all(message.startswith("pool 'orders': ") for _, message in [*lost, *_lines(log, "connecting")])
    assert SECRET not in log.text


async def test_connections_lost_together_are_one_line(
    open_pool: Any, proxy: FaultProxy, pg_database: str, log: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(outages, "GATHER", 600.0)  # told when the pool is closed
    pool = await open_pool(proxy.dsn(pg_database), name="many", max_size=3)
    held = [await pool.acquire() for _ in range(3)]
    await proxy.drop()
    await until(lambda: pool.stats().lost == 3)
    for connection in held:
        await pool.release(connection)
    await pool.close()
    ((level, line),) = _lines(log, "lost")
    assert level == "WARNING"
    assert line.startswith("pool 'many': 3 connections were lost: ")
    assert "outcome" not in line


async def test_what_the_opening_caller_is_told_is_not_logged(open_pool: Any, log: Any) -> None:
    await _caught(open_pool(f"postgresql://postgres:{SECRET}@127.0.0.1:{free_port()}/postgres"))
    assert not _lines(log, "pool ")


async def test_a_pool_that_is_closed_logs_nothing(open_pool: Any, backend: Any, log: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    async with pool.acquire():
        await pool.close(timeout=0)
    assert not _lines(log, "pool ")


class _Clock:
    """An event loop that knows the time."""

    def __init__(self) -> None:
        self.now = 0.0

    def time(self) -> float:
        return self.now


def test_warnings_of_one_outage_come_at_growing_intervals(log: Any) -> None:
    clock = _Clock()
    told = Outages("p", clock)  # type: ignore[arg-type]
    told.reported = True
    said: list[float] = []
    for second in range(10_000):
        clock.now = float(second)
        told.failed(ConnectFailed("refused", ["127.0.0.1: refused"]))
        if len(log.records) > len(said):
            said.append(clock.now)
    pauses = [later - earlier for earlier, later in itertools.pairwise(said)]
    assert said[0] == 0.0
    assert pauses == sorted(pauses)
    assert pauses[:3] == [PAUSE, 2 * PAUSE, 4 * PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert "10001 attempts" not in log.text
    told.opened()
    assert "10000 attempts in 9999 s" in log.records[-1].getMessage()
    told.opened()
    assert len(log.records) == len(said) + 1
    told.failed(ConnectFailed("refused"))
    assert "connecting fails: refused" in log.records[-1].getMessage(), "the next one begins anew"
