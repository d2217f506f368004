"""The fault proxy, tested against a server of lines: it answers `a\\n` with `A\\n`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.plugins.proxy import TO_CLIENT, TO_SERVER, FaultProxy

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    """A proxy in front of the server of lines."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(line.upper())
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with FaultProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()
    await server.wait_closed()


@pytest.fixture
async def connect(proxy: FaultProxy):
    """Factory of clients, closed at the end."""
    writers: list[asyncio.StreamWriter] = []

    async def connect() -> Client:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def ask(client: Client, line: str) -> str:
    client[1].write(line.encode() + b"\n")
    return (await client[0].readline()).decode().rstrip("\n")


async def test_forwards_and_counts(proxy: FaultProxy, connect) -> None:
    one, two = await connect(), await connect()
    assert await ask(one, "hello") == "HELLO"
    assert await ask(one, "again") == "AGAIN"
    assert await ask(two, "b") == "B"
    await proxy.wait_connections(2)
    assert (proxy.accepted, len(proxy.links)) == (2, 2)
    assert (proxy.bytes_to_server, proxy.bytes_to_client) == (14, 14)
    assert [link.round_trips for link in proxy.links] == [2, 1]
    one[1].close()
    await proxy.wait_closed(left=1)
    assert (proxy.round_trips, proxy.bytes_to_server) == (3, 14)


async def test_a_question_of_several_lines_is_one_round_trip(proxy: FaultProxy, connect) -> None:
    reader, writer = await connect()
    writer.write(b"a\nb\nc\n")
    assert await reader.readexactly(6) == b"A\nB\nC\n"
    assert proxy.round_trips == 1


async def test_half_close_is_forwarded(connect) -> None:
    reader, writer = await connect()
    writer.write(b"last\n")
    writer.write_eof()
    assert await reader.read() == b"LAST\n"


async def test_much_data_passes_whole(proxy: FaultProxy, connect) -> None:
    reader, writer = await connect()
    block = b"x" * 9_999 + b"\n"
    sent = asyncio.ensure_future(_send(writer, block, 500))
    received = 0
    while received < 500 * len(block):
        received += len(await reader.read(1 << 20))
    await sent
    assert proxy.bytes_to_client == 500 * len(block)


async def _send(writer: asyncio.StreamWriter, block: bytes, times: int) -> None:
    for _ in range(times):
        writer.write(block)
        await writer.drain()


@pytest.mark.parametrize("reset", [False, True])
async def test_drop(proxy: FaultProxy, connect, reset: bool) -> None:
    client = await connect()
    assert await ask(client, "a") == "A"
    await proxy.drop(reset=reset)
    assert proxy.links == []
    if reset:
        with pytest.raises(ConnectionResetError):
            await client[0].read()
    else:
        assert await client[0].read() == b""
    assert await ask(await connect(), "b") == "B"


async def test_refuse_and_allow(proxy: FaultProxy, connect) -> None:
    client = await connect()
    assert await ask(client, "a") == "A"
    await proxy.refuse()
    with pytest.raises(ConnectionRefusedError):
        await connect()
    assert await ask(client, "b") == "B"
    await proxy.allow()
    assert await ask(await connect(), "c") == "C"


@pytest.mark.parametrize("direction", [TO_SERVER, TO_CLIENT])
async def test_stall_and_resume(proxy: FaultProxy, connect, direction: str) -> None:
    client = await connect()
    assert await ask(client, "a") == "A"
    proxy.stall(direction, links="live")
    answer = asyncio.ensure_future(ask(client, "b"))
    await proxy.wait_held(direction)
    assert await ask(await connect(), "other") == "OTHER"
    assert not answer.done()
    proxy.resume()
    assert await answer == "B"


async def test_stall_of_new_connections(proxy: FaultProxy, connect) -> None:
    old = await connect()
    assert await ask(old, "a") == "A"
    proxy.stall(links="new")
    answer = asyncio.ensure_future(ask(await connect(), "b"))
    await proxy.wait_held(TO_SERVER)
    assert await ask(old, "c") == "C"
    assert not answer.done()
    await proxy.drop()
    with pytest.raises((ConnectionError, AssertionError)):
        assert await answer == "B"


@pytest.mark.parametrize("reset", [False, True])
async def test_truncate(proxy: FaultProxy, connect, reset: bool) -> None:
    reader, writer = await connect()
    proxy.truncate(4, TO_CLIENT, reset=reset)
    writer.write(b"hello\n")
    if reset:
        with pytest.raises(ConnectionResetError):
            await reader.read()
    else:
        assert await reader.read() == b"HELL"
    await proxy.wait_closed()
    assert proxy.bytes_to_client == 4


async def test_delay_is_latency_and_keeps_order(proxy: FaultProxy, connect) -> None:
    loop = asyncio.get_running_loop()
    reader, writer = await connect()
    proxy.delay(0.05, TO_SERVER)
    began = loop.time()
    for number in range(20):
        writer.write(b"%d\n" % number)
        await asyncio.sleep(0)
    answers = [await reader.readline() for _ in range(20)]
    assert answers == [b"%d\n" % number for number in range(20)]
    assert loop.time() - began >= 0.049
    proxy.delay(0)
    assert await ask((reader, writer), "quick") == "QUICK"


async def test_corrupt(proxy: FaultProxy, connect) -> None:
    client = await connect()
    proxy.corrupt(lambda chunk: chunk.replace(b"A", b"?"), TO_CLIENT)
    assert await ask(client, "banana") == "B?N?N?"
    proxy.corrupt(None)
    assert await ask(client, "banana") == "BANANA"


async def test_the_dsn_points_to_the_proxy(proxy: FaultProxy) -> None:
    there = f"127.0.0.1:{proxy.port}"
    assert proxy.dsn("postgresql://me:p%40ss@db.example:5432/x?a=b") == f"postgresql://me:p%40ss@{there}/x?a=b"
    assert proxy.dsn("postgresql://db.example/x") == f"postgresql://{there}/x"


async def test_a_target_that_refuses(proxy: FaultProxy, connect) -> None:
    proxy.target = ("127.0.0.1", 1)
    client = await connect()
    with pytest.raises(ConnectionResetError):
        await client[0].read()


async def test_waiting_in_vain_says_what_there_is(proxy: FaultProxy) -> None:
    with pytest.raises(AssertionError, match="accepted=0"):
        await proxy.wait_connections(1, timeout=0.01)
