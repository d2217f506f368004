"""A TCP proxy with faults, on the test's own event loop.

    async with FaultProxy("127.0.0.1", server.port) as proxy:
        pool = await open_pool(proxy.dsn(pg_dsn))
        proxy.stall(TO_CLIENT)                 # the link falls silent, the socket stays
        ...
        proxy.resume()
        await proxy.drop(reset=True)           # every live link ends with RST
        await proxy.refuse()                   # new connections: ECONNREFUSED
        await proxy.allow()

A fault set without `links=` holds for every live link and for those to come; `links="live"` or `links="new"` chooses.
Each takes the direction TO_SERVER, TO_CLIENT or, by default, both. The proxy knows bytes only, no database.

Counters: `accepted`, `bytes_to_server`, `bytes_to_client`, `round_trips` (turns from answer to question: a client
that waits n times for the server makes n of them), and the same on each link of `links`. A test waits for what
happens, it never sleeps: `wait_connections(n)`, `wait_closed()`, `wait_held(direction)`, `wait_until(predicate)`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from typing import Literal

from tests.plugins.proxy_link import BOTH, TO_CLIENT, TO_SERVER, Faults, Link

__all__ = ["BOTH", "TO_CLIENT", "TO_SERVER", "FaultProxy", "Link"]

Which = Literal["all", "live", "new"]


class FaultProxy:
    """Forwards TCP connections to one target, with faults on demand. Lives on the loop that started it."""

    def __init__(self, target_host: str, target_port: int) -> None:
        self.target = (target_host, target_port)
        self.host = "127.0.0.1"
        self.port = 0
        self.links: list[Link] = []
        self.accepted = 0
        self._new_faults = {direction: Faults() for direction in BOTH}
        self._ended_bytes = dict.fromkeys(BOTH, 0)
        self._ended_round_trips = 0
        self._watchers: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._listener: socket.socket | None = None
        self._running: set[asyncio.Task[None]] = set()

    # ---- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Listen on a free port, or again on the one it had."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setblocking(False)
        listener.bind((self.host, self.port))
        listener.listen(1024)
        self.port = listener.getsockname()[1]
        self._listener = listener
        # No task that waits for `sock_accept`: ended at the wrong moment, it would lose what it had accepted.
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def stop(self) -> None:
        """End every link and stop listening; returns when all sockets are closed."""
        await self.refuse()
        await asyncio.sleep(0)  # who was accepted just now becomes a link
        await self.drop()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def __aenter__(self) -> FaultProxy:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def dsn(self, base: str) -> str:
        """The URL `base` with its host and port replaced by the proxy's."""
        parts = re.fullmatch(r"(\w+://)([^/@]*@)?[^/?]*(.*)", base)
        assert parts is not None, f"no URL: {base!r}"
        scheme, login, rest = parts.groups(default="")
        return f"{scheme}{login}{self.host}:{self.port}{rest}"

    # ---- faults -------------------------------------------------------------------------------------------------

    async def drop(self, *, reset: bool = False) -> None:
        """End every live link, with FIN or, if `reset`, with RST; returns when its sockets are closed."""
        tasks = [link.end(reset=reset) for link in self.links]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def refuse(self) -> None:
        """Refuse new connections (no server listens); live links go on."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    async def allow(self) -> None:
        """Accept connections again after `refuse`."""
        if self._listener is None:
            await self.start()

    def stall(self, *directions: str, links: Which = "all") -> None:
        """Hold back what comes, sockets open, until `resume`. New links are accepted, then silent."""
        for faults in self._chosen(directions, links):
            faults.flowing.clear()

    def resume(self, *directions: str, links: Which = "all") -> None:
        """Let flow what `stall` held back, in order."""
        for faults in self._chosen(directions, links):
            faults.flowing.set()

    def truncate(self, after: int, *directions: str, reset: bool = False, links: Which = "all") -> None:
        """Forward `after` more bytes, then end the link, with RST if `reset`."""
        for faults in self._chosen(directions, links):
            faults.remaining, faults.reset = after, reset

    def silence(self, after: int | None, *directions: str, links: Which = "all") -> None:
        """Forward `after` more bytes, then hold back what comes, as `stall` does; None ends the wait for that."""
        for faults in self._chosen(directions, links):
            faults.silent_after = after

    def delay(self, seconds: float, *directions: str, links: Which = "all") -> None:
        """Deliver each chunk this much after it came, in order: latency, not a limit of throughput. 0 ends it."""
        for faults in self._chosen(directions, links):
            faults.delay = seconds

    def corrupt(self, change: Callable[[bytes], bytes] | None, *directions: str, links: Which = "all") -> None:
        """Forward `change(chunk)` in place of each chunk; None ends it."""
        for faults in self._chosen(directions, links):
            faults.change = change

    # ---- counters and events ------------------------------------------------------------------------------------

    @property
    def bytes_to_server(self) -> int:
        """Bytes forwarded to the server so far."""
        return self._ended_bytes[TO_SERVER] + sum(link.bytes[TO_SERVER] for link in self.links)

    @property
    def bytes_to_client(self) -> int:
        """Bytes forwarded to clients so far."""
        return self._ended_bytes[TO_CLIENT] + sum(link.bytes[TO_CLIENT] for link in self.links)

    @property
    def round_trips(self) -> int:
        """Times that a client spoke after the server had, the first word included; over all links, ended ones too."""
        return self._ended_round_trips + sum(link.round_trips for link in self.links)

    async def wait_until(self, predicate: Callable[[], bool], timeout: float = 30.0) -> None:
        """Wait until `predicate()`, asked whenever something happens on the proxy, is true."""
        if predicate():
            return
        future = asyncio.get_running_loop().create_future()
        watcher = (predicate, future)
        self._watchers.append(watcher)
        try:
            await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            raise AssertionError(f"waited {timeout} s in vain; {self!r}") from None
        finally:
            self._watchers.remove(watcher)

    async def wait_connections(self, n: int, timeout: float = 30.0) -> None:
        """Wait until `n` connections have been accepted in all."""
        await self.wait_until(lambda: self.accepted >= n, timeout)

    async def wait_closed(self, left: int = 0, timeout: float = 30.0) -> None:
        """Wait until at most `left` links live."""
        await self.wait_until(lambda: len(self.links) <= left, timeout)

    async def wait_held(self, direction: str, timeout: float = 30.0) -> None:
        """Wait until a stall holds back something in this direction: a question is on its way and will not arrive."""
        await self.wait_until(lambda: any(link.held[direction] for link in self.links), timeout)

    def __repr__(self) -> str:
        return (
            f"<FaultProxy :{self.port} accepted={self.accepted} live={len(self.links)} round_trips={self.round_trips} "
            f"to_server={self.bytes_to_server} to_client={self.bytes_to_client}>"
        )

    # ---- within -------------------------------------------------------------------------------------------------

    def _chosen(self, directions: tuple[str, ...], links: Which) -> list[Faults]:
        sets = [link.faults for link in self.links] if links != "new" else []
        if links != "live":
            sets.append(self._new_faults)
        return [faults[direction] for faults in sets for direction in directions or BOTH]

    def _happened(self) -> None:
        for predicate, future in self._watchers:
            if not future.done() and predicate():
                future.set_result(None)

    def _accept(self, listener: socket.socket) -> None:
        try:
            client, _ = listener.accept()
        except OSError:  # he has gone again
            return
        task = asyncio.ensure_future(self._serve(client))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _serve(self, client: socket.socket) -> None:
        faults = {direction: faults.copy() for direction, faults in self._new_faults.items()}
        link = Link(client, self.target, faults, self._happened)
        self.links.append(link)
        self.accepted += 1
        self._happened()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await link.run()
        finally:
            self.links.remove(link)
            for direction in BOTH:
                self._ended_bytes[direction] += link.bytes[direction]
            self._ended_round_trips += link.round_trips
            self._happened()
