"""One proxied connection: two sockets, and in each direction a reader, a queue and a writer that applies the faults."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable

TO_SERVER = "to_server"
TO_CLIENT = "to_client"
BOTH = (TO_SERVER, TO_CLIENT)

CHUNK = 65536
QUEUED_CHUNKS = 16  # then the sender feels the stall in its own buffer, as on a silent network


class Faults:
    """What is wrong in one direction of a link. Changed live; the writer looks before each chunk."""

    def __init__(self) -> None:
        self.flowing = asyncio.Event()
        self.flowing.set()
        self.delay = 0.0
        self.change: Callable[[bytes], bytes] | None = None
        self.remaining: int | None = None
        self.reset = False
        self.silent_after: int | None = None

    def copy(self) -> Faults:
        """The same faults, to be changed apart."""
        twin = Faults()
        twin.delay, twin.change, twin.remaining, twin.reset = self.delay, self.change, self.remaining, self.reset
        twin.silent_after = self.silent_after
        if not self.flowing.is_set():
            twin.flowing.clear()
        return twin


class _Ended(Exception):
    """The link is over, and not by both sides having said their last word."""


Queue = asyncio.Queue[tuple[float, bytes]]


class Link:
    """A client's connection and the one to the server made for it."""

    def __init__(
        self, client: socket.socket, target: tuple[str, int], faults: dict[str, Faults], happened: Callable[[], None]
    ) -> None:
        self.faults = faults
        self.bytes = dict.fromkeys(BOTH, 0)
        self.held = dict.fromkeys(BOTH, False)
        self.round_trips = 0
        self._client = client
        self._server = socket.socket()
        self._target = target
        self._happened = happened
        self._last_speaker = TO_CLIENT
        self._reset = False
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Forward until both sides are done, one breaks off, or a fault ends it; then close both sockets."""
        self._task = asyncio.current_task()
        pumps: list[asyncio.Task[None]] = []
        try:
            for sock in (self._client, self._server):
                sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(self._server, self._target)
            for sock in (self._client, self._server):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pumps += self._pump(TO_SERVER, self._client, self._server)
            pumps += self._pump(TO_CLIENT, self._server, self._client)
            await asyncio.gather(*pumps)
        except OSError:
            self._reset = True  # what one side suffers, the other sees too
        except _Ended:
            pass
        finally:
            for pump in pumps:
                pump.cancel()
            try:
                await asyncio.gather(*pumps, return_exceptions=True)
            finally:  # `end` may come while the link ends by itself
                self._close()

    def end(self, *, reset: bool) -> asyncio.Task[None]:
        """Break off; the task returned is done when both sockets are closed."""
        self._reset = self._reset or reset
        assert self._task is not None, "bug: a link ended before it ran"
        self._task.cancel()
        return self._task

    def _close(self) -> None:
        for sock in (self._client, self._server):
            if self._reset:
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    def _pump(self, direction: str, source: socket.socket, sink: socket.socket) -> list[asyncio.Task[None]]:
        queue: Queue = asyncio.Queue(QUEUED_CHUNKS)
        return [
            asyncio.ensure_future(self._read(direction, source, queue)),
            asyncio.ensure_future(self._write(direction, queue, sink)),
        ]

    async def _read(self, direction: str, source: socket.socket, queue: Queue) -> None:
        """Queue what comes, each chunk with the time it is due; an empty chunk is the end of the stream."""
        loop = asyncio.get_running_loop()
        faults = self.faults[direction]
        while True:
            chunk = await loop.sock_recv(source, CHUNK)
            if chunk and direction != self._last_speaker:
                self._last_speaker = direction
                self.round_trips += direction == TO_SERVER
            await queue.put((loop.time() + faults.delay, chunk))
            if not chunk:
                return

    async def _write(self, direction: str, queue: Queue, sink: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        faults = self.faults[direction]
        while True:
            due, chunk = await queue.get()
            if due > loop.time():
                await asyncio.sleep(due - loop.time())
            await self._held_back(direction)
            if not chunk:
                sink.shutdown(socket.SHUT_WR)
                return
            if faults.change is not None:
                chunk = faults.change(chunk)
            await self._forward(direction, chunk, sink)

    async def _held_back(self, direction: str) -> None:
        flowing = self.faults[direction].flowing
        if not flowing.is_set():
            self.held[direction] = True
            self._happened()
            await flowing.wait()
            self.held[direction] = False

    async def _fall_silent(self, direction: str, chunk: bytes, sink: socket.socket) -> bytes:
        """Forward what may still pass; what is left waits until the link is resumed."""
        faults = self.faults[direction]
        assert faults.silent_after is not None
        passing = chunk[: faults.silent_after]
        faults.silent_after -= len(passing)
        await asyncio.get_running_loop().sock_sendall(sink, passing)
        self.bytes[direction] += len(passing)
        if not faults.silent_after:
            faults.silent_after = None
            faults.flowing.clear()
        if len(passing) < len(chunk):
            await self._held_back(direction)
        return chunk[len(passing) :]

    async def _forward(self, direction: str, chunk: bytes, sink: socket.socket) -> None:
        faults = self.faults[direction]
        if faults.silent_after is not None:
            chunk = await self._fall_silent(direction, chunk, sink)
        last = faults.remaining is not None and len(chunk) >= faults.remaining
        if faults.remaining is not None:
            chunk = chunk[: faults.remaining]
            faults.remaining -= len(chunk)
        await asyncio.get_running_loop().sock_sendall(sink, chunk)
        self.bytes[direction] += len(chunk)
        self._happened()
        if last:
            self._reset = self._reset or faults.reset
            raise _Ended
