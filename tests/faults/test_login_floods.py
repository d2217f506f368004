"""Servers that send without end what was not asked for: an engine takes in no more than it has bounds for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import pq

import db_pool_rs
from db_pool_rs.conninfo import ConnectConfig, parse_dsn
from db_pool_rs.drivers.postgres import intake
from db_pool_rs.drivers.postgres.connect import ConnectAttemptError, connect
from db_pool_rs.drivers.postgres.libpq import POLLING_FAILED
from db_pool_rs.drivers.postgres.psycopg_libpq import PsycopgLibpq, poll
from tests.cext.wire import message

MOST = 100 * 2**20
OK = message(b"R", struct.pack("!I", 0))


def notifications() -> Iterator[bytes]:
    while True:
        yield message(b"A", struct.pack("!I", 7) + b"channel\0" + b"x" * 8000 + b"\0") * 100


def settings() -> Iterator[bytes]:
    for number in itertools.count():
        yield message(b"S", f"setting_{number}\0".encode() + b"x" * 20_000 + b"\0")


def one_notice() -> Iterator[bytes]:
    yield b"N" + struct.pack("!I", 0x3FFFFFFF) + b"SNOTICE\0M"
    while True:
        yield b"x" * 2**20


FLOODS = [notifications, settings, one_notice]


@pytest.mark.parametrize("before", [b"", OK], ids=["before the login", "during the login"])
@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: str(flood.__name__))
async def test_a_flood_ends_the_attempt(engine: Any, flood: object, before: bytes) -> None:
    sent = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
            writer.write(before)
            for piece in flood():  # type: ignore[operator]
                writer.write(piece)
                sent += len(piece)
                await writer.drain()
                if sent > 2 * MOST:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        with pytest.raises(db_pool_rs.ConnectFailed):
            await db_pool_rs.create_pool(
                f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable",
                mode=engine.name,
                connect_timeout=30,
                acquire_timeout=60,
            )
        assert sent < MOST
    finally:
        server.close()
        await server.wait_closed()


class Greedy(PsycopgLibpq):
    """libpq where the server is always faster: the step that reads a long message does so until it ends."""

    def poll(self, pgconn: Any) -> int:  # type: ignore[override]
        """PQconnectPoll; once the server has let in, all that it sends is taken."""
        found = poll(pgconn)
        if pgconn.status != pq.ConnStatus.AUTH_OK:
            return found
        with socket.socket(fileno=os.dup(pgconn.socket)) as raw, contextlib.suppress(OSError):
            raw.setblocking(True)
            while raw.recv(1 << 20):
                pass
        return POLLING_FAILED


@pytest.mark.parametrize("unix", [False, True], ids=["TCP", "unix socket"])
async def test_a_step_that_reads_without_end_is_ended(unix: bool, tmp_path: Path) -> None:
    """libpq takes one message in whole, up to 1 GiB: what arrives meanwhile is counted beside it."""
    left = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            (size,) = struct.unpack("!I", await reader.readexactly(4))
            await reader.readexactly(size - 4)
            for piece in itertools.chain([OK], one_notice()):
                writer.write(piece)
                await writer.drain()
        writer.close()
        left.set()

    where: dict[str, Any] = {"host": str(tmp_path)}
    if unix:
        server = await asyncio.start_unix_server(serve, tmp_path / ".s.PGSQL.5432")
    else:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        where = {"host": "127.0.0.1", "port": server.sockets[0].getsockname()[1]}
    async with server:
        config = parse_dsn(environ={"HOME": "/nonexistent"}, user="u", dbname="d", sslmode="disable", **where)
        assert isinstance(config, ConnectConfig)
        with pytest.raises(db_pool_rs.ConnectFailed) as caught:
            await connect(config, timeout=20, libpq=Greedy())
        assert "bytes before the session began" in caught.value.attempts[0]
        await left.wait()


async def test_what_waits_for_a_slow_step_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step's thread may begin late: what has arrived by then is no flood, however often it is looked at."""
    monkeypatch.setattr(intake, "_PAUSE", 0.0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(b"x" * 50_000)
        counted = intake.Intake()
        with counted.counting(ours.fileno()):
            for _ in range(500):  # as many looks
                await asyncio.sleep(0)
        assert not counted.is_too_much()


def error(text: str) -> bytes:
    return message(b"E", b"SFATAL\0VFATAL\0C28P01\0M" + text.encode() + b"\0\0")


@pytest.mark.parametrize("size", [25_000, 200_000])
async def test_a_refusal_of_any_length_is_told(engine: Any, size: int) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        (length,) = struct.unpack("!I", await reader.readexactly(4))
        await reader.readexactly(length - 4)
        writer.write(error("no " * (size // 3)))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(
            db_pool_rs.ConnectFailed, match=r"127\.0\.0\.1:\d+: (FATAL: (28P01: )?no no|\S.*(refused|long|length))"
        ):
            await db_pool_rs.create_pool(f"postgresql://u@127.0.0.1:{port}/d?sslmode=disable", mode=engine.name)


def test_a_long_refusal_is_read_in_one_pass() -> None:
    """Where each letter began a search of its own, this took hours."""
    assert ConnectAttemptError("FATAL:  28P01: " + "e" * 2**20).sqlstate == "28P01"


async def test_a_long_error_does_not_stop_the_event_loop(engine: Any, pg_database: str) -> None:
    """The socket that was looked at during the login does not block afterwards."""
    async with await db_pool_rs.create_pool(pg_database, mode=engine.name) as pool:
        with pytest.raises(db_pool_rs.DatabaseError) as caught:
            async with pool.acquire() as connection:
                await connection.execute("DO $$ BEGIN RAISE 'x' USING DETAIL = repeat('d', 100000); END $$")
        assert len(str(caught.value.detail)) == 100_000


def test_counting_leaves_a_socket_as_it_is() -> None:
    async def look(one: socket.socket) -> None:
        with intake.Intake().counting(one.fileno()):
            assert not one.getblocking()
            assert not os.get_blocking(one.fileno())

    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        asyncio.run(look(ours))
        assert not os.get_blocking(ours.fileno())
