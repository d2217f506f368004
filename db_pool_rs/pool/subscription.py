"""Notifications that outlive their connection: `pool.listen`.

One connection for all subscriptions of a pool, beside its `max_size`: that of a pool of one, made as the first pool is,
so that every engine has it. It is opened with the first subscription and closed with the last. When it is lost, another
one is opened, at first at once, then after growing, random pauses, and listens again.

PostgreSQL keeps no notification for a session that is not there. So each subscription is told of a gap when the new
connection listens: what was sent since the notification before is lost, or may be. Between two gaps every notification
arrives once, in the order in which the server sent it. A connection that has said nothing for :data:`SILENCE` seconds
is asked for a sign of life.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..aio import Expired, until, within
from ..errors import ConnectionLost, Error, InterfaceError, PoolClosed, PoolTimeout
from ..log import logger
from ..record import Event
from .listen import quoted_channel

if TYPE_CHECKING:
    from ..config import PoolConfig
    from .context import Context
    from .session import Session

#: After so many seconds without a word the connection is asked for a sign of life, and how long that may take.
SILENCE, PATIENCE = 30.0, 10.0
#: The pause after an attempt that came to nothing is up to so many seconds; it doubles, up to the second value.
PAUSE, PAUSE_MAX = 0.1, 10.0
#: Channels for which LISTEN is sent in one round trip.
CHUNK = 500

#: A connection that has listened for so many seconds, or heard something, did not come to nothing.
SERVED = 1.0


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


class Subscription:
    """Made by ``pool.listen()``: ``async with`` it, then ``async for`` the events of its channels."""

    __slots__ = ("_arrived", "_ended", "_listener", "_most", "_queue", "_timeout", "channels", "ready", "was_ready")

    def __init__(self, listener: Listener, channels: tuple[str, ...], max_queue: int, timeout: float | None) -> None:
        if not _is_count(max_queue):
            raise InterfaceError(f"max_queue: a number of notifications >= 1 expected, got {max_queue!r}")
        if not channels:
            raise InterfaceError("listen: at least one channel expected, got none")
        for channel in channels:
            quoted_channel(channel)
        self.channels = frozenset(channels)
        self._listener = listener
        self._most = max_queue
        self._timeout = timeout
        self._queue: deque[Event] = deque()
        self._arrived = asyncio.Event()
        #: Why there are no more events, None while there may be.
        self._ended: str | None = "a subscription is entered before it is read: `async with pool.listen(...)`"
        #: Answered when a connection listens to all of its channels, or cannot.
        self.ready: asyncio.Future[None] | None = None
        #: Whether one has done so: then another one is a gap.
        self.was_ready = False

    async def __aenter__(self) -> Subscription:
        if self.ready is not None:
            raise InterfaceError("this subscription was used already; call listen() again")
        self.ready = asyncio.get_running_loop().create_future()
        self._ended = None
        try:
            await self._listener.add(self, self.ready, self._timeout)
        except BaseException:
            await self._listener.remove(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end("the subscription was left")
        await self._listener.remove(self)

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> Event:
        while not self._queue:
            if self._ended is not None:
                raise PoolClosed(self._ended) if self.was_ready else InterfaceError(self._ended)
            self._arrived.clear()
            await self._arrived.wait()
        return self._queue.popleft()

    def put(self, event: Event) -> None:
        """A notification has come; where there is no room it is dropped, and that is told."""
        if len(self._queue) >= self._most:
            self._gap(1)
        else:
            self._queue.append(event)
            self._arrived.set()

    def listened(self) -> None:
        """A new connection listens to its channels."""
        if self.was_ready:
            self._gap(0)
        else:
            self._queue.clear()  # what an earlier one has heard, that did not last

    def _gap(self, dropped: int) -> None:
        """Notifications are missing from here on, or may be."""
        if self._queue and self._queue[-1].gap:
            dropped += self._queue.pop().dropped
        self._queue.append(Event("", "", 0, gap=True, dropped=dropped))
        self._arrived.set()

    def end(self, why: str) -> None:
        """There will be no more."""
        self._ended = why
        self._arrived.set()
        if self.ready is not None and not self.ready.done():
            self.ready.set_exception(PoolClosed(why))


class Listener:
    """The connection that listens for the subscriptions of one pool."""

    def __init__(self, context: Context, sibling: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self._context = context
        #: Makes the pool of one.
        self._sibling = sibling
        self._task: asyncio.Task[None] | None = None
        self._subscriptions: dict[Subscription, None] = {}
        self._by_channel: dict[str, list[Subscription]] = {}
        #: Set when the connection is lost, or other channels are wanted than it listens to.
        self._changed = asyncio.Event()
        #: The pool of one, and whether it, with its attempts to connect, is to be given up for another one.
        self._pool: Any = None
        self._replaced = asyncio.Event()
        self._listening: set[str] = set()
        #: Notifications that came before the first answer to LISTEN; None after it.
        self._early: list[Event] | None = None
        #: Since when the connection listens, and whether it has heard anything.
        self._since = 0.0
        self._received = False

    # -- subscriptions -------------------------------------------------------------------------------------------

    async def add(self, subscription: Subscription, ready: asyncio.Future[None], timeout: float | None) -> None:
        """Have it told of its channels from now on; ConnectFailed if there is no connection, PoolTimeout."""
        context = self._context
        context.check_open()
        if not context.database.notifications:
            raise InterfaceError("SQLite has no notifications")
        self._subscriptions[subscription] = None
        for channel in subscription.channels:
            self._by_channel.setdefault(channel, []).append(subscription)
        self._changed.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._supervise())
            self._task.add_done_callback(self._ended)
        seconds = context.config.acquire_timeout if timeout is None else context.timeout(timeout)
        try:
            await until(ready, None if seconds is None else asyncio.get_running_loop().time() + seconds)
        except Expired:
            raise PoolTimeout(f"no connection listened within {seconds:.1f} s") from None

    async def remove(self, subscription: Subscription) -> None:
        """Tell it nothing more; with the last one the connection is closed."""
        if subscription not in self._subscriptions:
            return
        del self._subscriptions[subscription]
        for channel in subscription.channels:
            self._by_channel[channel].remove(subscription)
            if not self._by_channel[channel]:
                del self._by_channel[channel]
        if self._subscriptions:
            self._changed.set()
        else:
            await self._stop()

    def replace(self) -> None:
        """Listen on another connection from now on, opened as the pool's options have it by now."""
        self._replaced.set()
        if self._pool is not None:
            self._pool.terminate()

    async def close(self) -> None:
        """The pool closes: end them all."""
        self.terminate()
        await self._stop()

    def terminate(self) -> None:
        """The same, at once."""
        for subscription in self._subscriptions:
            subscription.end("the pool is closed")
        if self._task is not None:
            self._task.cancel()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """The supervision is over. By itself it never is: then no subscription is left waiting."""
        if self._task is task:
            self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            name = self._context.config.name
            logger.error("pool %r: listening has ended: %s", name, type(error).__name__, exc_info=error)
            for subscription in self._subscriptions:
                subscription.end(f"listening has ended: {type(error).__name__}")

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    # -- the connection ------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        """Have a connection that listens, for ever."""
        from .retry import pause  # of no use to a pool that does not listen

        while True:  # a pool takes connections that it has lost for attempts that failed, and pauses: so another one
            self._replaced.clear()
            async with self._sibling() as pool:
                try:
                    self._pool, failures = pool, 0
                    while not (self._replaced.is_set() or await self._attempt(pool)):
                        failures += 1
                        with suppress(Expired):
                            await within(self._replaced.wait(), pause(failures, PAUSE, PAUSE_MAX))
                finally:
                    self._pool = None
                    pool.terminate()

    async def _attempt(self, pool: Any) -> bool:
        """Listen on one connection until it is lost; whether it has served."""
        clock, self._since, self._received = asyncio.get_running_loop().time, float("inf"), False
        try:
            async with pool.acquire() as connection:
                await self._serve(connection._lease.session())
        except Exception as error:
            if not isinstance(error, Error):
                logger.exception("listening failed")
            # Else another one is tried, at once or after a pause.
            if not isinstance(error, ConnectionLost) and not self._replaced.is_set():
                self._refuse(error)
        return self._received or clock() - self._since >= SERVED

    def _refuse(self, error: Exception) -> None:
        """No connection could be had: the subscriptions that wait for one are told."""
        for subscription in self._subscriptions:
            if subscription.ready is not None and not subscription.ready.done():
                subscription.ready.set_exception(error)

    async def _serve(self, session: Session) -> None:
        self._listening, self._early = set(), []
        session.dirty = True
        session.on_notification, session.on_lost = self._notified, self._changed.set
        while session.error is None:
            self._changed.clear()
            await self._follow(session)
            silence = session.loop.call_later(SILENCE, self._ask)
            try:  # no wait_for: before Python 3.12 it forgets a cancellation that comes with the event
                await self._changed.wait()
            finally:
                silence.cancel()

    def _ask(self) -> None:
        """The connection is silent: what it listens to is asked for once more, which has no effect but an answer."""
        self._listening.clear()
        self._changed.set()

    async def _follow(self, session: Session) -> None:
        """Listen to the channels that are wanted, and to no others."""
        wanted = set(self._by_channel)
        commands = [f"LISTEN {quoted_channel(one)}" for one in wanted - self._listening]
        commands += [f"UNLISTEN {quoted_channel(one)}" for one in self._listening - wanted]
        for first in range(0, len(commands), CHUNK):
            await session.command(*commands[first : first + CHUNK], timeout=PATIENCE)
        self._listening = wanted
        early, self._early = self._early, None
        reached = [one for one in self._subscriptions if one.channels <= wanted]
        if early is not None:
            self._since = asyncio.get_running_loop().time()
            for subscription in reached:
                subscription.listened()
            for event in early:
                self._deliver(event)
        for subscription in reached:
            subscription.was_ready = True
            if subscription.ready is not None and not subscription.ready.done():
                subscription.ready.set_result(None)

    def _notified(self, pid: int, channel: str, payload: str) -> None:
        self._received = True
        event = Event(channel, payload, pid)
        if self._early is None:
            self._deliver(event)
        else:
            self._early.append(event)

    def _deliver(self, event: Event) -> None:
        for subscription in self._by_channel.get(event.channel, ()):
            subscription.put(event)


def listening(config: PoolConfig) -> PoolConfig:
    """The options of the pool of one that listens for a pool with these."""
    own: dict[str, Any] = {"target": config.listen_dsn or config.target, "listen_dsn": None}
    own |= {"name": f"{config.name[:190]} listen", "min_size": 0, "max_size": 1, "init": None, "reset": "off"}
    own |= dict.fromkeys(("idle_timeout", "max_lifetime", "command_timeout", "leak_after"))
    return replace(config, **own)
