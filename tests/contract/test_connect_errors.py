"""A connection that cannot be had: the cause at once, nothing secret told, and calls that wait where waiting helps."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import time
import traceback
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.errors import ConfigError, ConnectFailed, Error, PoolClosed
from tests.contract.waiting import PROMPT, in_thread, until
from tests.plugins.runner import open_files
from tests.plugins.server import free_port

SECRET = "s3cr3t-Pa55w0rd"
OTHER_SECRET = "0th3r-s3cr3t"
SCRAM = ["host all all 127.0.0.1/32 scram-sha-256"]


def _told(error: BaseException) -> str:
    """Everything that a log of the error would show, values of local variables in our own frames included."""
    shown = traceback.TracebackException.from_exception(error, capture_locals=True)
    text = io.StringIO()
    lines = [*shown.format(), repr(error), str(error), str(vars(error))]
    while error.__cause__ is not None:
        error = error.__cause__
        lines += [repr(error), str(vars(error))]
    text.writelines(line for line in lines if "/tests/" not in line.split("\n")[0])
    return text.getvalue()


async def _connect_failed(open_pool: Any, dsn: str, **options: Any) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught:
        await open_pool(dsn, **options)
    return caught.value


async def test_wrong_password_is_told_at_once(open_pool: Any, own_server: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    server = own_server(hba=SCRAM)
    await in_thread(server.sql, f"CREATE ROLE alice LOGIN PASSWORD '{OTHER_SECRET}'")
    dsn = server.dsn("postgres", user="alice", password=SECRET)
    started = time.monotonic()
    error = await _connect_failed(open_pool, dsn)
    assert time.monotonic() - started < PROMPT
    assert error.sqlstate == "28P01"
    assert error.permanent
    assert not error.safe_to_retry
    assert len(error.attempts) == 1
    assert (await in_thread(server.log.read_text)).count("password authentication failed") == 1
    assert SECRET not in _told(error) + caplog.text


async def test_password_is_nowhere_to_be_seen(open_pool: Any, own_server: Any, caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    server = own_server(hba=SCRAM)
    await in_thread(server.sql, f"CREATE ROLE alice LOGIN PASSWORD '{SECRET}'")
    dsn = server.dsn("postgres", user="alice", password=SECRET)
    pool = await open_pool(dsn, max_size=2)
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT current_user") == "alice"
        seen = [repr(pool), str(pool), repr(pool.config), str(pool.config), repr(conn), repr(pool.stats())]
    with pytest.raises(Error) as caught:
        await pool.fetch("SELECT no_column")
    seen.append(_told(caught.value))
    await pool.close()
    with pytest.raises(PoolClosed) as closed:
        await pool.fetch("SELECT 1")
    seen += [_told(closed.value), caplog.text]
    assert all(SECRET not in text for text in seen)


@pytest.mark.parametrize(
    "dsn",
    [
        f"postgresql://alice:{SECRET}@localhost:notaport/db",
        f"postgresql://alice:{SECRET}@localhost/db?no_such_option=1",
        f"host=localhost password={SECRET} sslmode=sometimes",
        f"host=localhost password='{SECRET}",
        f"mysql://alice:{SECRET}@localhost/db",
        f"alice:{SECRET}@localhost/db",
    ],
)
async def test_a_bad_connection_string_keeps_its_password(dsn: str) -> None:
    with pytest.raises(ConfigError) as caught:
        await create_pool(dsn, mode="simple")
    assert SECRET not in _told(caught.value)


async def test_unknown_database_role_and_option_say_so(open_pool: Any, pg_server: Any) -> None:
    error = await _connect_failed(open_pool, pg_server.dsn("no_database"))
    assert (error.sqlstate, error.permanent) == ("3D000", True)
    assert "no_database" in str(error)
    error = await _connect_failed(open_pool, pg_server.dsn("postgres", user="no_role"))
    assert error.sqlstate == "28000"
    error = await _connect_failed(open_pool, pg_server.dsn("postgres"), server_settings={"no_setting": "1"})
    assert (error.sqlstate, error.permanent) == ("42704", True)


async def test_no_server_listens(open_pool: Any) -> None:
    started = time.monotonic()
    error = await _connect_failed(open_pool, f"postgresql://postgres@127.0.0.1:{free_port()}/x")
    assert time.monotonic() - started < PROMPT
    assert error.sqlstate is None
    assert error.safe_to_retry
    assert "127.0.0.1" in error.attempts[0]
    assert "refused" in error.attempts[0].lower()


async def test_unknown_host_name(open_pool: Any) -> None:
    error = await _connect_failed(open_pool, "postgresql://postgres@no-such-host.invalid/x", connect_timeout=5)
    assert "no-such-host.invalid" in str(error)


async def test_a_host_that_never_answers_costs_the_connect_timeout(open_pool: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        started = time.monotonic()
        dsn = f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/x"
        error = await _connect_failed(open_pool, dsn, connect_timeout=1)
    assert 0.9 < time.monotonic() - started < PROMPT
    assert error.safe_to_retry


async def test_several_hosts_are_tried_and_listed(open_pool: Any, pg_server: Any) -> None:
    dead = [free_port(), free_port()]
    hosts = ",".join(f"127.0.0.1:{port}" for port in dead)
    error = await _connect_failed(open_pool, f"postgresql://postgres@{hosts}/postgres")
    assert len(error.attempts) == 2
    assert all(str(port) in attempt for port, attempt in zip(dead, error.attempts, strict=True))
    pool = await open_pool(f"postgresql://postgres@{hosts},127.0.0.1:{pg_server.port}/postgres")
    assert await pool.fetchval("SELECT 1") == 1


async def test_pool_that_opens_nothing_at_first_says_it_at_the_first_call(open_pool: Any, pg_server: Any) -> None:
    pool = await open_pool(pg_server.dsn("no_database"), min_size=0)
    for _ in range(3):
        started = time.monotonic()
        results = await asyncio.gather(
            *[pool.fetch("SELECT 1") for _ in range(5)], pool.acquire(), return_exceptions=True
        )
        assert {type(result) for result in results} == {ConnectFailed}
        assert {result.sqlstate for result in results} == {"3D000"}
        assert len({id(result) for result in results}) == len(results)
        assert time.monotonic() - started < PROMPT


async def test_fewer_slots_on_the_server_than_the_pool_may_have(open_pool: Any, own_server: Any) -> None:
    server = own_server(conf={"max_connections": "6", "superuser_reserved_connections": "3", "max_wal_senders": "0"})
    await in_thread(server.sql, "CREATE ROLE alice LOGIN")
    pool = await open_pool(server.dsn("postgres", user="alice"), max_size=10)
    for _ in range(2):
        calls = [pool.fetchval("SELECT $1::int FROM pg_sleep(0.005)", i) for i in range(50)]
        assert await asyncio.gather(*calls) == list(range(50))
    stats = pool.stats()
    assert stats.size - stats.opening <= 3

    async def hold(number: int) -> int:
        async with pool.transaction() as conn:
            value: int = await conn.fetchval("SELECT $1::int", number)
            return value

    assert await asyncio.gather(*[hold(i) for i in range(50)]) == list(range(50))
    stats = pool.stats()
    assert stats.size - stats.opening <= 3


async def test_no_slot_left_at_all(open_pool: Any, own_server: Any) -> None:
    server = own_server(conf={"max_connections": "5", "superuser_reserved_connections": "3", "max_wal_senders": "0"})
    await in_thread(server.sql, "CREATE ROLE alice LOGIN")
    dsn = server.dsn("postgres", user="alice")
    first = await open_pool(dsn, min_size=2, max_size=2)
    started = time.monotonic()
    error = await _connect_failed(open_pool, dsn, max_size=3)
    assert error.sqlstate == "53300"
    assert error.safe_to_retry
    assert time.monotonic() - started < PROMPT
    late = await open_pool(dsn, min_size=0)
    with pytest.raises(ConnectFailed) as caught:
        await late.fetch("SELECT 1", timeout=10)
    assert caught.value.sqlstate == "53300"
    assert time.monotonic() - started < PROMPT
    await first.close()
    assert await _soon(late) == 1


async def _soon(pool: Any) -> Any:
    """Ask until the slots of the closed connections are free on the server."""
    for _ in range(200):
        try:
            return await pool.fetchval("SELECT 1")
        except ConnectFailed:
            continue
    return None


async def test_open_that_is_cancelled_leaves_nothing(open_pool: Any) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        before = open_files()
        opening = asyncio.ensure_future(open_pool(f"postgresql://postgres@127.0.0.1:{silent.getsockname()[1]}/x"))
        for _ in range(10):
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: open_files() <= before)


async def test_sqlite_file_that_cannot_be_opened(open_pool: Any, tmp_path: Any) -> None:
    error = await _connect_failed(open_pool, f"sqlite:///{tmp_path}/no/folder/x.db")
    assert "folder" in str(error)
    path = tmp_path / "garbage.db"
    path.write_bytes(b"this is no database, whatever its name says" * 100)
    error = await _connect_failed(open_pool, f"sqlite:///{path}")
    assert error.permanent
