"""Servers that do not answer, talk nonsense, or are not what they say; and callers that give up."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from psycopg import pq

from db_pool_rs.conninfo import ConnectConfig, parse_dsn
from db_pool_rs.drivers.postgres import psycopg_libpq as offload
from db_pool_rs.drivers.postgres.connect import connect
from db_pool_rs.drivers.postgres.psycopg_libpq import cancel
from db_pool_rs.errors import ConnectFailed
from tests.contract.waiting import PROMPT

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Script = Callable[[Reader, Writer], Awaitable[None]]

OK = struct.pack("!I", 0)
SASL = struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"
READY = (b"Z", b"I")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def error(sqlstate: str) -> bytes:
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": "go away"}
    return message(b"E", b"".join(f"{k}{v}\0".encode() for k, v in fields.items()) + b"\0")


def parameter(name: str, value: str) -> bytes:
    return message(b"S", f"{name}\0{value}\0".encode())


async def read_startup(reader: Reader) -> None:
    size = struct.unpack("!I", await reader.readexactly(4))[0]
    await reader.readexactly(size - 4)


async def read_message(reader: Reader) -> bytes:
    _, size = struct.unpack("!cI", await reader.readexactly(5))
    return await reader.readexactly(size - 4)


async def begin_scram(reader: Reader, writer: Writer, iterations: int) -> None:
    """Up to the point where the client has to compute its proof."""
    await read_startup(reader)
    writer.write(message(b"R", SASL))
    nonce = (await read_message(reader)).rpartition(b"r=")[2].decode()
    salt = base64.b64encode(b"0123456789abcdef").decode()
    challenge = f"r={nonce}server,s={salt},i={iterations}".encode()
    writer.write(message(b"R", struct.pack("!I", 11) + challenge))


class Fake:
    """A server that follows a script for each connection. It counts them, and waits until clients have left."""

    def __init__(self, script: Script) -> None:
        self.accepted = 0
        self.reached = asyncio.Event()
        self._script = script
        self._serving: set[asyncio.Task[None]] = set()

    async def serve(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.accepted += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._script(reader, writer)
                await writer.drain()
                self.reached.set()
                while await reader.read(65536):
                    pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._serving.discard(task)

    async def wait_left(self) -> None:
        """Until every client has closed its connection."""
        if self._serving:
            _, waiting = await asyncio.wait(self._serving, timeout=60)
            assert not waiting, "a client has left its connection open"


@contextlib.asynccontextmanager
async def fake(script: Script, **options: Any) -> AsyncIterator[tuple[Fake, ConnectConfig]]:
    """A fake server, and the config to reach it."""
    server = Fake(script)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    given = {"host": "127.0.0.1", "port": port, "user": "u", "dbname": "d", "sslmode": "disable", **options}
    config = parse_dsn(environ={"HOME": "/nonexistent"}, **given)
    assert isinstance(config, ConnectConfig)
    try:
        yield server, config
        await server.wait_left()
    finally:
        listener.close()
        await listener.wait_closed()


async def failure(config: ConnectConfig, **options: Any) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught:
        await connect(config, **options)
    return caught.value


# ---- silence, nonsense, floods --------------------------------------------------------------------------------------


async def silence(reader: Reader, writer: Writer) -> None:
    """Accept, and say nothing."""


async def silence_after_login(reader: Reader, writer: Writer) -> None:
    await read_startup(reader)
    writer.write(message(b"R", OK))


async def flood(reader: Reader, writer: Writer) -> None:
    await read_startup(reader)
    writer.write(message(b"R", OK))
    notice = message(b"N", b"SNOTICE\0C00000\0Mhello\0\0") * 1000
    while True:
        writer.write(notice)
        await writer.drain()


@pytest.mark.parametrize("script", [silence, silence_after_login, flood])
@pytest.mark.parametrize("limit", ["timeout", "connect_timeout"])
async def test_servers_that_never_come_to_an_end(script: Script, limit: str) -> None:
    async with fake(script, connect_timeout=0.5 if limit == "connect_timeout" else 30) as (_, config):
        caught = await failure(config, timeout=0.5 if limit == "timeout" else None)
        assert (caught.permanent, caught.sqlstate) == (False, None)
        reasons = ["no answer within 0"] + ["before the session began"] * (script is flood)  # what comes first
        assert any(reason in caught.attempts[0] for reason in reasons)


async def test_the_whole_timeout_ends_the_list_of_hosts() -> None:
    hosts = {"host": "127.0.0.1,127.0.0.1,127.0.0.1", "connect_timeout": 30}
    async with fake(silence, **hosts) as (server, config):
        started = time.monotonic()
        caught = await failure(config, timeout=0.1)
        assert time.monotonic() - started < PROMPT
        assert len(caught.attempts) <= 3
        assert server.accepted <= 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0" * 100,
        b"R\xff\xff\xff\xff",
        b"R\x7f\xff\xff\xff" + b"x" * 100,
        message(b"R", struct.pack("!I", 99)),
        message(b"R", OK) + b"S\x7f\xff\xff\xffxx",
        message(b"R", OK) + message(b"T", b"\xff" * 50),
        message(b"R", struct.pack("!I", 10) + b"NO-SUCH-MECHANISM\0\0"),
        b"E\0\0\0\x06\xff\xfe",
    ],
)
async def test_nonsense_is_an_error_in_time(answer: bytes) -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_startup(reader)
        writer.write(answer)

    async with fake(script, connect_timeout=0.5) as (_, config):
        caught = await failure(config)
        assert caught.attempts
        assert caught.attempts[0].isprintable()


async def test_a_server_that_hangs_up() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_startup(reader)
        writer.write_eof()

    async with fake(script) as (_, config):
        assert not (await failure(config)).permanent


@pytest.mark.parametrize(
    ("sqlstate", "permanent"), [("57P03", False), ("53300", False), ("28000", True), ("08P01", False)]
)
async def test_what_the_server_says(sqlstate: str, permanent: bool) -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_startup(reader)
        writer.write(error(sqlstate))

    async with fake(script) as (server, config):
        caught = await failure(config)
        assert caught.attempts == (f"127.0.0.1:{config.hosts[0].port}: FATAL: {sqlstate}: go away",)
        assert (caught.sqlstate, caught.permanent, server.accepted) == (sqlstate, permanent, 1)


async def test_a_server_with_another_encoding() -> None:
    async def script(reader: Reader, writer: Writer) -> None:
        await read_startup(reader)
        writer.write(message(b"R", OK) + parameter("client_encoding", "LATIN1") + message(*READY))

    async with fake(script) as (_, config):
        assert "LATIN1" in str(await failure(config))


# ---- standby --------------------------------------------------------------------------------------------------------


def node(standby: bool) -> Script:
    """A server as the session attributes see it."""

    async def script(reader: Reader, writer: Writer) -> None:
        await read_startup(reader)
        state = "on" if standby else "off"
        values = {"server_version": "16.0", "in_hot_standby": state, "default_transaction_read_only": "off"}
        writer.write(message(b"R", OK) + b"".join(parameter(*pair) for pair in values.items()) + message(*READY))

    return script


@pytest.mark.parametrize(
    ("attrs", "chosen"), [("prefer-standby", 1), ("standby", 1), ("primary", 0), ("read-only", 1), ("any", 0)]
)
async def test_the_host_with_the_wanted_role(attrs: str, chosen: int) -> None:
    async with fake(node(False)) as (_, primary), fake(node(True)) as (_, standby):
        ports = [primary.hosts[0].port, standby.hosts[0].port]
        config = parse_dsn(
            host=["127.0.0.1"] * 2, port=ports, user="u", dbname="d", sslmode="disable", target_session_attrs=attrs
        )
        assert isinstance(config, ConnectConfig)
        connection = await connect(config)
        assert int(connection.port) == ports[chosen]
        connection.finish()


async def test_prefer_standby_falls_back_to_hosts_that_answered() -> None:
    async with fake(silence, connect_timeout=2) as (silent, dead), fake(node(False)) as (primary, alive):
        ports = [dead.hosts[0].port, alive.hosts[0].port]
        options: dict[str, Any] = {"connect_timeout": 2, "target_session_attrs": "prefer-standby"}
        config = parse_dsn(host=["127.0.0.1"] * 2, port=ports, user="u", dbname="d", sslmode="disable", **options)
        assert isinstance(config, ConnectConfig)
        connection = await connect(config)
        connection.finish()
        assert (primary.accepted, silent.accepted) == (2, 1)


# ---- SCRAM ----------------------------------------------------------------------------------------------------------


async def skips_proof_at_the_end(reader: Reader, writer: Writer) -> None:
    await begin_scram(reader, writer, 4096)
    await read_message(reader)
    writer.write(message(b"R", OK) + message(*READY))


async def skips_everything_after_the_request(reader: Reader, writer: Writer) -> None:
    await read_startup(reader)
    writer.write(message(b"R", SASL))
    await read_message(reader)
    writer.write(message(b"R", OK) + message(*READY))


@pytest.mark.skipif(pq.version() < 160000, reason="require_auth came with libpq 16")
@pytest.mark.parametrize("script", [skips_proof_at_the_end, skips_everything_after_the_request])
async def test_a_server_that_skips_its_proof_is_refused(script: Script) -> None:
    async with fake(script, password="s3cret") as (server, config):
        caught = await failure(config)
        assert caught.permanent
        assert server.accepted == 1
        assert "s3cret" not in str(caught)


@pytest.mark.skipif(not offload.RELEASES_GIL, reason="libpq's functions cannot be found")
async def test_long_scram_does_not_hold_the_loop() -> None:
    """The client computes for a second or two; the loop goes on, and gives up in time."""

    async def script(reader: Reader, writer: Writer) -> None:
        await begin_scram(reader, writer, 4_000_000)

    async with fake(script, password="s3cret") as (server, config):
        attempt = asyncio.ensure_future(failure(config, timeout=0.2))
        await server.reached.wait()
        challenged = time.monotonic()
        assert "no answer" in str(await attempt)
        gave_up = time.monotonic() - challenged
        await server.wait_left()
        computed = time.monotonic() - challenged
        assert gave_up < computed / 2, "the loop was held until the proof was computed"


# ---- callers that give up -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", [silence, silence_after_login])
async def test_cancelled_connect_closes_its_connection(script: Script) -> None:
    async with fake(script, connect_timeout=0) as (server, config):
        task = asyncio.ensure_future(connect(config))
        await server.reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_connect_cancelled_at_any_step_leaves_nothing() -> None:
    """A cancel after n ticks of the loop, for every n until the call is faster: no connection and no reader stays."""
    async with fake(node(False)) as (server, config):
        for turns in range(200):
            await server.wait_left()  # so many threads that were given up are too many
            task = asyncio.ensure_future(connect(config))
            for _ in range(turns):
                await asyncio.sleep(0)
            if not task.cancel():
                (await task).finish()
                break
            with contextlib.suppress(asyncio.CancelledError):
                (await task).finish()
                break


async def test_cancel_request_without_libpq_17(monkeypatch: pytest.MonkeyPatch) -> None:
    """The older way: on a thread, True once the server has closed the connection."""
    import db_pool_rs.drivers.postgres.psycopg_libpq as module

    monkeypatch.setattr(module, "_CANCEL_CONN", 10**9)
    close = asyncio.Event()
    requests: list[bytes] = []

    async def script(reader: Reader, writer: Writer) -> None:
        size = struct.unpack("!I", await reader.readexactly(4))[0]
        body = await reader.readexactly(size - 4)
        if body[:4] == struct.pack("!I", 80877102):
            requests.append(body)
            await close.wait()
            writer.close()
            return
        key = message(b"K", struct.pack("!II", 7, 9))
        writer.write(message(b"R", OK) + key + message(*READY))

    async with fake(script) as (_, config):
        connection = await connect(config)
        assert not await cancel(connection, timeout=0.1)
        close.set()
        assert await cancel(connection)
        assert requests[0][4:] == struct.pack("!II", 7, 9)
        connection.finish()
        assert await cancel(connection)  # nothing got out, so nothing can hit a later statement
