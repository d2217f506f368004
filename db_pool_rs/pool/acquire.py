"""Connections that callers hold: acquiring them, releasing them, and what the log is told of those that are kept."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..aio import Expired, remaining
from ..errors import InterfaceError
from ..log import logger
from ..scheduler.model import AcquireRequest
from .holder import Holder, calling
from .lease import Lease, end_holding
from .lifecycle import call_with, clean
from .named import text_by_number
from .outages import reason_of
from .session import Session

if TYPE_CHECKING:
    from ..record import Status
    from .connection import Connection
    from .context import Context
    from .executor import Executor
    from .transaction import Transaction


class Acquire:
    """The answer of ``pool.acquire()``: ``await`` it, or use it with ``async with``."""

    __slots__ = ("_acquired", "_connection", "_site", "_timeout")

    def __init__(self, acquired: Acquired, timeout: float | None) -> None:
        self._acquired = acquired
        self._timeout = timeout
        self._site = calling()
        self._connection: Connection | None = None

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._acquired.acquire(self._timeout, self._site).__await__()

    async def __aenter__(self) -> Connection:
        if self._connection is not None:
            raise InterfaceError("this acquire() is in use already; call acquire() again")
        self._connection = await self._acquired.acquire(self._timeout, self._site)
        return self._connection

    async def __aexit__(self, *exc: object) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._acquired.release(connection)


class PoolTransaction:
    """The answer of ``pool.transaction()``: a connection, lent for one transaction block."""

    __slots__ = ("_acquire", "_block", "_options")

    def __init__(self, acquire: Acquire, isolation: str | None, readonly: bool, deferrable: bool) -> None:
        self._acquire = acquire
        self._options: dict[str, Any] = {"isolation": isolation, "readonly": readonly, "deferrable": deferrable}
        self._block: Transaction

    async def __aenter__(self) -> Connection:
        connection = await self._acquire.__aenter__()
        try:
            self._block = connection.transaction(**self._options)
            await self._block.__aenter__()
            return connection
        except BaseException:
            await self._acquire.__aexit__()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._block.__aexit__(kind, error, traceback)
        finally:
            await self._acquire.__aexit__()


class Acquired:
    """Acquires sessions for the callers of one pool, and releases them."""

    _executor: Executor

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pid = os.getpid()
        self._make: Callable[[Lease], Connection] | None = None

    def attach(self, executor: Executor) -> None:
        """The pool is being opened: acquire from this executor."""
        self._executor = executor

    async def acquire(self, timeout: float | None, site: tuple[str, int] | None) -> Connection:
        """Wait for a session; see :class:`Acquire`."""
        self._context.check_open()
        context, executor = self._context, self._executor
        if timeout is None:
            deadline: float | None = executor.loop.time() + context.config.acquire_timeout
        else:
            deadline = context.deadline(timeout)
        make = self._make or self._maker()
        waiter = AcquireRequest(context.database.answer(executor.loop), deadline)
        executor.acquire(waiter)
        try:
            session: Session = await waiter.future
        except asyncio.CancelledError:
            if (handed_over := _handed_over(waiter)) is not None:
                self._release(handed_over)
            else:
                executor.abandon(waiter)
            raise
        self._hold(session, site, waiter)
        return make(Lease(context, session, self._reclaim))

    def _maker(self) -> Callable[[Lease], Connection]:
        """The class of what is acquired; with cursors, COPY and listeners: it is not imported before that."""
        from .connection import Connection

        self._make = Connection
        return Connection

    def _hold(self, session: Session, site: tuple[str, int] | None, waiter: AcquireRequest) -> None:
        """A session was handed over: remember by whom."""
        executor = self._executor
        now = executor.loop.time()
        session.holder = holder = Holder(site, asyncio.current_task(executor.loop), now)
        executor.metrics.acquired += 1
        executor.metrics.wait.record(now - waiter.enqueued)
        leak_after = self._context.config.leak_after
        if leak_after is not None:
            holder.warning = executor.loop.call_later(leak_after, self._warn, session)

    def _warn(self, session: Session) -> None:
        config = self._context.config
        held = session.holding()
        logger.warning("pool %r: a connection is held for more than %s s; %s", config.name, config.leak_after, held)

    def release(self, connection: Connection) -> None:
        """Take a connection back; without effect if it was given back already."""
        lease = getattr(connection, "_lease", None)
        if lease is None or lease.context is not self._context:
            raise InterfaceError(f"a connection of this pool is expected, not of another pool: {connection!r}")
        session = lease.end()
        if session is not None and self._context.state != "forked":
            self._release(session)

    def _reclaim(self, session: Session) -> None:
        """A connection was garbage-collected without a release, on whatever thread."""
        loop = self._context.loop
        if loop is not None and not loop.is_closed() and self._pid == os.getpid():
            loop.call_soon_threadsafe(self._release, session)

    def _release(self, session: Session) -> None:
        """Take a session back; if something is left to clean up, that is done in the background."""
        executor = self._executor
        end_holding(session)
        if session.pieces is not None:
            session.end_pieces()
        ending = "ROLLBACK" in session.blocks.pending
        session.leave()
        if session.error is not None:
            return  # the connection is lost, and the scheduler knows
        if session.is_clean and self._context.config.reset in ("dirty", "off"):
            executor.release(session.conn)
            return
        holding = "" if ending else session.holding()
        session.holder = None
        executor.spawn(self._clean(session, holding))

    async def _clean(self, session: Session, holding: str) -> None:
        executor = self._executor
        try:
            await executor.in_time(session.conn, self._restore(session, holding), executor.clean_timeout)
        except Exception as error:
            silent = isinstance(error, Expired)
            if silent or session.error is None:
                reason = f"the connection could not be cleaned: {reason_of(error)}"
                executor.abort(session.conn, reason, evict_all=silent)
            return
        executor.release(session.conn)

    async def _restore(self, session: Session, holding: str) -> None:
        """Roll back what is open, with a warning that names who held it, and restore the session's initial state."""
        reset = self._context.config.reset
        await session.wait_idle()
        session.blocks.pending.clear()  # there is a ROLLBACK for all that is open
        if session.in_transaction():
            if holding:
                name = self._context.config.name
                logger.warning("pool %r: released inside a transaction, which is rolled back: %s", name, holding)
            await session.command("ROLLBACK")
        if callable(reset):
            await call_with(reset, self._context, session)
        elif reset == "always" or (reset == "dirty" and session.dirty):
            await clean(self._executor, session.conn, session)


# -- calls of a pool that take a connection for themselves ------------------------------------------------------------

#: Acquires a connection within so many seconds.
Acquiring = Callable[[float | None], Acquire]


@asynccontextmanager
async def for_many(
    context: Context, acquire: Acquiring, sql: str, timeout: float | None
) -> AsyncIterator[tuple[Connection, float | None]]:
    """A connection for many executions of a text that may run on the pool, and their deadline."""
    context.check_open()
    context.lookup(text_by_number(sql, context.database.dialect), shared=True)
    deadline = context.deadline(timeout)
    async with acquire(context.timeout(timeout)) as connection:
        yield connection, deadline


async def copy_out(
    acquire: Acquiring, what: str, args: tuple[Any, ...], timeout: float | None, options: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    """The data of a COPY as it arrives."""
    async with (
        acquire(timeout) as connection,
        aclosing(connection.copy_out(what, *args, timeout=timeout, **options)) as pieces,
    ):
        async for piece in pieces:
            yield piece


async def copy_in(
    context: Context, acquire: Acquiring, table_name: str, timeout: float | None, options: dict[str, Any]
) -> Status:
    """Insert rows with COPY."""
    context.check_open()
    deadline = context.deadline(timeout)
    async with acquire(context.timeout(timeout)) as connection:
        return await connection.copy_in(table_name, timeout=remaining(deadline), **options)


def _handed_over(waiter: AcquireRequest) -> Session | None:
    """The session that a caller was given who is gone by now."""
    if not waiter.future.done():
        return None
    try:
        session: Session = waiter.future.result()
    except (Exception, asyncio.CancelledError):
        return None
    return session
