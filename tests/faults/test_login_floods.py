"""Servers that send without end what was not asked for: an engine takes in no more than it has bounds for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import Iterator
from typing import Any

import pytest

import db_pool_rs
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
