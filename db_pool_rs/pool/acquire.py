"""Who holds connections: lending, giving back, and what is told about it."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..aio import Expired
from ..errors import InterfaceError
from ..scheduler.model import AcquireRequest
from .exclusive import Exclusive
from .outages import reason_of
from .session import Session

if TYPE_CHECKING:
    from .connection import Connection, Transaction
    from .executor import Executor, Lent
    from .pool import Pool

logger = logging.getLogger("db_pool_rs")


class Acquire:
    """The answer of ``pool.acquire()``: ``await`` it, or use it with ``async with``."""

    __slots__ = ("_connection", "_pool", "_site", "_timeout")

    def __init__(self, pool: Pool, timeout: float | None, site: str) -> None:
        self._pool = pool
        self._timeout = timeout
        self._site = site
        self._connection: Connection | None = None

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._pool.borrow(self._timeout, self._site).__await__()

    async def __aenter__(self) -> Connection:
        if self._connection is not None:
            raise InterfaceError("this acquire() is in use already; call acquire() again")
        self._connection = await self._pool.borrow(self._timeout, self._site)
        return self._connection

    async def __aexit__(self, *exc: object) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)


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
            return await self._block.__aenter__()
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


class Holder:
    """One borrowed connection, for messages."""

    __slots__ = ("session", "since", "site", "task", "warning")

    def __init__(self, session: Session, site: str, task: str, since: float) -> None:
        self.session = session
        self.site = site
        self.task = task
        self.since = since
        self.warning: asyncio.TimerHandle | None = None

    def __str__(self) -> str:
        sql = f", last statement: {self.session.last_sql[:200]}" if self.session.last_sql else ""
        return f"acquired by task {self.task!r} at {self.site}{sql}"


class Acquired:
    """The sessions that a pool has lent."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._runner: Executor
        self._held: dict[int, Holder] = {}

    def attach(self, runner: Executor) -> None:
        """The pool is opened: lend for this runner."""
        self._runner = runner
        runner.on_lend = self._lend
        runner.holders = self.holders
        if self._pool.config.init is not None:
            runner.on_init = self._initialise

    def site(self) -> str:
        """file:line of the code outside this package that is calling."""
        frame = sys._getframe(1)
        while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(("db_pool_rs", "contextlib")):
            frame = frame.f_back
        return f"{frame.f_code.co_filename}:{frame.f_lineno}"

    def holders(self) -> tuple[str, ...]:
        """A line for each connection in use: who, where, how long, last statement."""
        now = self._runner.loop.time()
        lines = [f"{now - held.since:.1f} s: {held}" for held in self._held.values()]
        lines += [f"{seconds:.1f} s: running {sql[:200]}" for seconds, sql in self._runner.running()]
        return tuple(lines)

    def hold(self, session: Session, site: str, waiter: AcquireRequest) -> None:
        """A session was handed over: remember by whom."""
        now = self._runner.loop.time()
        task = asyncio.current_task()
        held = Holder(session, site, task.get_name() if task else "?", now)
        session.holding = held
        self._held[session.conn.id] = held
        self._runner.metrics.acquired += 1
        self._runner.metrics.wait.record(now - waiter.enqueued)
        leak_after = self._pool.config.leak_after
        if leak_after is not None:
            held.warning = self._runner.loop.call_later(leak_after, self._warn, held)

    def connection(self, session: Session) -> Connection:
        """What the borrower of a session is given."""
        from .connection import Connection  # with cursors, COPY and listeners: not before somebody borrows

        return Connection(self._pool, session)

    def give_back(self, session: Session) -> None:
        """Take a session back; if something is left to clean up, that is done in the background."""
        runner = self._runner
        held = self._held.pop(session.conn.id, None)
        if held is not None:
            runner.metrics.hold.record(runner.loop.time() - held.since)
            if held.warning is not None:
                held.warning.cancel()
        session.user.on_notification = session.user.on_lost = None
        ending = "ROLLBACK" in session.pending_commands
        session.pending_commands.clear()
        if session.user.error is not None:
            return  # the connection is lost, and the scheduler knows
        reset = self._pool.config.reset
        if session.is_clean and reset in ("dirty", "off"):
            runner.release(session.conn, healthy=True)
        else:
            runner.spawn(self._clean(session, ending))

    async def _clean(self, session: Session, ending: bool) -> None:
        runner = self._runner
        try:
            await runner.in_time(session.conn, self._restore(session, ending), runner.clean_timeout)
        except Exception as error:
            silent = isinstance(error, Expired)
            if silent or session.user.error is None:
                reason = f"the connection could not be cleaned: {reason_of(error)}"
                runner.abort(session.conn, reason, retire=silent)
            return
        runner.release(session.conn, healthy=True)

    async def _restore(self, session: Session, ending: bool) -> None:
        """Roll back what is open and bring the session back to its initial state."""
        reset = self._pool.config.reset
        await session.settle()
        if session.in_transaction():
            if not ending:
                logger.warning("released inside a transaction, which is rolled back: %s", session.holding)
            await session.command("ROLLBACK")
        if callable(reset):
            connection = self.connection(session)
            try:
                await reset(connection)
            finally:
                connection.detach()
        elif reset == "always" or (reset == "dirty" and session.dirty):
            await self._runner.clean(session.conn, session.user)

    def _lend(self, conn: Lent, waiter: AcquireRequest) -> None:
        session = Session(self._runner, conn)
        if waiter.future.done():
            self.give_back(session)
        else:
            waiter.future.set_result(session)

    async def _initialise(self, conn: Lent, user: Exclusive) -> None:
        init = self._pool.config.init
        assert init is not None
        session = Session(self._runner, conn, user)
        connection = self.connection(session)
        try:
            await init(connection)
        finally:
            connection.detach()

    def _warn(self, held: Holder) -> None:
        logger.warning("a connection is held for more than %s s; %s", self._pool.config.leak_after, held)
