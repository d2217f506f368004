"""The beginning and the end of one pool: it is opened, closed or terminated, and left by a child process."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import forks
from ..aio import Expired, within
from ..config.pool import postgres_target
from ..conninfo import ConnectConfig
from ..errors import Error, InterfaceError, PoolClosed
from ..log import logger
from .executor import Executor, connect_failed

if TYPE_CHECKING:
    from ..metrics import Health, PoolStats
    from .context import Context
    from .top import Top


class Lifetime:
    """Makes the executor, and says what becomes of it.

    `attach` is called with the executor when there is one, `closing` before it finishes what was called, `ended` when
    it ends, and `left` in a child process, where the connections are the parent's.
    """

    def __init__(
        self,
        context: Context,
        executor: Callable[[Context, asyncio.AbstractEventLoop], Executor],
        attach: Callable[[Executor], None],
        closing: Callable[[], Awaitable[None]],
        ended: Callable[[], None],
        left: Callable[[], None],
    ) -> None:
        self._context = context
        self._make_executor = executor
        self._attach = attach
        self._closing = closing
        self._ended = ended
        self._left = left
        self._executor: Executor
        self._top: Top | None = None

    async def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open the first connections; raises what keeps them all from being opened."""
        context = self._context
        if context.state != "new":
            raise InterfaceError(f"the pool is {context.state} already; make a new one")
        self._executor = executor = self._make_executor(context, loop)
        self._attach(executor)
        context.loop, context.end = loop, partial(self._end, executor)
        context.become("open")
        forks.hold(self)
        executor.start()
        try:
            await executor.until(lambda: context.state != "open" or not executor.opening())
        except asyncio.CancelledError:
            self.terminate()
            raise
        if context.state != "open":
            raise PoolClosed("the pool was closed while it was being opened")
        if context.config.min_size and executor.last_error is not None and not executor.gauges().size:
            self._end(executor)
            await executor.until_stopped()
            raise connect_failed(executor.last_error)
        executor.outages.reported = True
        if os.environ.get("DB_POOL_TOP", "0") not in ("", "0"):
            try:
                await self.top()
            except OSError as error:
                logger.warning("pool %r: `top` cannot see it: %s", context.config.name, error)

    async def begin(self, loop: asyncio.AbstractEventLoop) -> None:
        """`open`, unless it was opened before."""
        try:
            if self._context.state == "new":
                await self.open(loop)
        except Error as error:
            error.__traceback__ = None
            raise error

    def stats(self) -> PoolStats:
        """What the pool is doing and has done."""
        if self._context.loop is None:
            raise InterfaceError("the pool was not opened: use `await pool` or `async with pool`")
        return self._executor.stats()

    async def health(self, probe: Callable[[], Awaitable[Any]] | None) -> Health:
        """Whether the pool can serve; `probe` makes a round trip."""
        from ..metrics.health import examine

        context = self._context
        usable = context.loop is not None and context.state == "open"
        return await examine(context.state, self._executor.gauges() if usable else None, probe)

    async def top(self) -> str:
        """Let others look at the pool while it lasts; the path of the socket."""
        from .top import Top

        self._context.check_open()
        if self._top is None:
            self._top = Top(self._context, self._executor)
        return await self._top.start()

    def resize(self, min_size: int | None, max_size: int | None) -> None:
        """Change the bounds; None leaves one as it is."""
        self._context.check_open()
        now = self._executor.gauges()
        low = now.min_size if min_size is None else min_size
        high = now.max_size if max_size is None else max_size
        if {type(low), type(high)} != {int} or not (0 <= low <= high and high >= 1):
            raise InterfaceError(f"0 <= min_size <= max_size and max_size >= 1 must hold, got {low!r} and {high!r}")
        self._executor.resize(low, high)

    def lead(self, dsn: str | None, options: dict[str, Any]) -> None:
        """Have connections opened there from now on; nothing is changed if this raises.

        What is known of texts and types was the old server's, and is asked for again.
        """
        context = self._context
        if context.state != "new":
            context.check_open()
        if not isinstance(context.config.target, ConnectConfig):
            raise InterfaceError("set_target: SQLite has no server to change; make another pool")
        target = postgres_target(dsn, options)
        context.database.set_target(target, context.queries.everything())
        context.config = replace(context.config, target=target)
        if context.loop is not None:
            self._executor.config, self._executor.prepare_timeout = context.config, target.connect_timeout
            context.database.schema_changed(True)

    async def close(self, timeout: float | None) -> None:
        """Finish what was called before, then close; terminate the rest after `timeout` seconds."""
        context = self._context
        if context.state == "forked":
            return  # the connections are the parent's, to close them as well
        if context.loop is None or (context.state == "closed" and not context.is_on_loop()):
            context.become("closed")
            return
        executor = self._executor
        context.check_loop()
        if context.state != "closed":
            context.become("closing")
            context.queries.keeper.stop()  # the catalogue is not waited for
            executor.shut_down()
            try:
                with contextlib.suppress(Expired):
                    await within(self._drained(executor), timeout)
            finally:
                self._end(executor)
        await executor.until_stopped()

    async def _drained(self, executor: Executor) -> None:
        await self._closing()
        await executor.until(executor.drained)

    def terminate(self) -> None:
        """Close every connection now."""
        context = self._context
        if context.state == "forked":
            return
        if context.loop is not None and context.loop.is_running():
            context.check_loop()
        context.become("closed")
        if context.loop is not None and not context.loop.is_closed():
            self._end(self._executor)

    def _end(self, executor: Executor) -> None:
        if self._top is not None:
            self._top.close()
        self._ended()
        self._context.become("closed")
        executor.terminate()
        executor.stop_soon()

    # -- in a child process --------------------------------------------------------------------------------------

    def held(self) -> int:
        """No descriptor of its own."""
        return -1

    def leave(self) -> None:
        """The pool is of no use here."""
        self._context.become("forked")
        self._left()
