"""A session: one link, used by one borrower, and the order of what he asks of it.

Calls of several tasks queue in call order. What begins a transaction or a savepoint travels with the next statement, so
it costs no round trip of its own. A call that is cancelled or times out returns at once: the server is asked to stop in
the background, and the next call waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..aio import Expired, ResultFuture, remaining, until
from ..drivers.base import CANCEL_UNDER_WAY, STATUS, Sink, Source
from ..errors import StatementTimeout
from ..scheduler.model import StatementRequest
from ..sql import StatementClass
from .exclusive import Exclusive, command_text
from .search_path import Stray, stray, unshared

if TYPE_CHECKING:
    from ..scheduler.cost import Query
    from .executor import Executor, Lent
    from .listen import Notifications

#: How long a CancelRequest may take, connecting included.
CANCEL_TIMEOUT = 3.0
#: What leaves no setting behind.
_HARMLESS = frozenset((StatementClass.READ, StatementClass.WRITE))


class Session:
    """The borrowed connection behind a :class:`~db_pool_rs.pool.connection.Connection`."""

    def __init__(self, runner: Executor, conn: Lent, user: Exclusive | None = None) -> None:
        self.conn = conn
        self.runner = runner
        self.user = user or runner.use(conn)
        #: Commands that travel with the next statement: BEGIN, SAVEPOINT, and ROLLBACK after a cancelled call.
        self.pending_commands: list[str] = []
        self.savepoints = 0
        #: Numbers of the cursors that are open, or were when the transaction ended otherwise than by its block.
        self.cursors: set[int] = set()
        self.dirty = False
        #: It may see other tables and types than others do: until it is given back, or the transaction ends.
        self.strays: Stray | None = None
        #: Its listeners, if it ever had one.
        self.told: Notifications | None = None
        #: By whom, where and since when it is held; set by the pool.
        self.holding: object = None
        self.last_sql = ""
        self._lock = asyncio.Lock()
        self._winding: asyncio.Task[None] | None = None

    @property
    def is_clean(self) -> bool:
        """Nothing runs, nothing is queued and nothing is left to clean up."""
        open_transaction = self.user.error is None and self.user.link.in_transaction()
        return not (self.dirty or self.user.busy or self._winding or self._lock.locked() or open_transaction)

    @property
    def can_send(self) -> bool:
        """Whether a command sent now would be executed at once: nothing is being stopped in the background."""
        return self._winding is None and not self.user.busy

    def in_transaction(self) -> bool:
        """Whether statements sent now run inside a transaction block."""
        if "ROLLBACK" in self.pending_commands:
            return self.pending_commands[-1] != "ROLLBACK"
        return bool(self.pending_commands) or (self.user.error is None and self.user.link.in_transaction())

    def lookup(self, query: Query) -> Query:
        """The pool's text, or, where the same words may mean other tables or types here, one of this call's own."""
        if self.strays is None:
            return query
        if self.strays is Stray.LOCAL and not self.in_transaction():
            self.strays = None
            return query
        return unshared(query)

    def note(self, query: Query) -> None:
        """This text is about to be run: what it may leave behind."""
        self.dirty = self.dirty or query.dirties
        self.last_sql = query.sql
        if query.kind not in _HARMLESS and self.strays is not Stray.SESSION:
            self.strays = stray(query.sql) or self.strays

    async def run(self, statements: Sequence[StatementRequest], timeout: float | None = None) -> None:
        """Run `statements` in one round trip, after the pending commands; raises the first error among them."""
        await self._run(statements, self._deadline(timeout))

    async def describe(self, statement: StatementRequest, timeout: float | None = None) -> None:
        """Have the database check a statement without running it; raises what is wrong with it."""
        deadline = self._deadline(timeout)
        if self.pending_commands:  # the text may depend on what they do
            await self._run((), deadline)
        await self._exchange(lambda: self.user.describe(statement), deadline)
        self._raise_first((statement,))

    async def copy(self, statement: StatementRequest, stream: Source | Sink, timeout: float | None = None) -> None:
        """Run a COPY; raises what the database, or the stream, has raised."""
        deadline = self._deadline(timeout)
        if self.pending_commands:
            await self._run((), deadline)
        await self._exchange(lambda: self.user.copy(statement, stream), deadline)
        self.runner.executed((statement,), self.user.seconds)
        self._raise_first((statement,))

    def _deadline(self, timeout: float | None) -> float | None:
        """One for all that a call does."""
        return None if timeout is None else self.runner.loop.time() + timeout

    async def _run(self, statements: Sequence[StatementRequest], deadline: float | None) -> None:
        group = statements

        def start() -> ResultFuture[None]:
            nonlocal group
            if self.pending_commands:
                group = [*self._pending(), *statements]
            return self.user.start(group)

        await self._exchange(start, deadline)
        if statements and statements[0].query.kind is not StatementClass.CONTROL:
            self.runner.executed(statements, self.user.seconds)
        self._raise_first(group)

    def _pending(self) -> list[StatementRequest]:
        commands = [
            StatementRequest(command_text(sql, self.user.dialect), (), STATUS, None) for sql in self.pending_commands
        ]
        self.pending_commands.clear()
        return commands

    def _raise_first(self, group: Sequence[StatementRequest]) -> None:
        for statement in group:
            if statement.error is not None:
                self.runner.metrics.errors += 1
                raise statement.error

    async def _exchange(self, start: Callable[[], ResultFuture[None]], deadline: float | None) -> None:
        """Wait for those who called earlier, then for what `start` sends."""
        if self._lock.locked():
            await self._enter(deadline)
        else:
            await self._lock.acquire()
        try:
            if self._winding is not None:
                await self._wound_up(self._winding, deadline)
            answer = start()
            try:  # whoever gives up abandons this answer; `busy` tells what still runs
                await (answer if deadline is None else until(answer, deadline))
            except Expired:
                raise self._too_late(sent=True) from None
            finally:
                if self.user.busy:
                    self._winding = self.runner.spawn(self._wind_up())
        finally:
            self._lock.release()

    async def command(self, *queries: str, timeout: float | None = None) -> str:
        """Run commands; the tag of the last."""
        group = [StatementRequest(command_text(sql, self.user.dialect), (), STATUS, None) for sql in queries]
        await self.run(group, timeout)
        return str(group[-1].value)

    def defer(self, *queries: str) -> None:
        """Have commands run before whatever is called next; nobody waits for them now."""
        self.pending_commands.extend(queries)

    async def settle(self) -> None:
        """Wait until everything that was called has ended."""
        async with self._lock:
            if self._winding is not None:
                await self._winding

    async def _enter(self, deadline: float | None) -> None:
        """Wait for those who called earlier."""
        try:
            await asyncio.wait_for(self._lock.acquire(), remaining(deadline))
        except (asyncio.TimeoutError, TimeoutError):
            raise self._too_late(sent=False) from None

    async def _wound_up(self, winding: asyncio.Task[None], deadline: float | None) -> None:
        """Wait for it without ever cancelling it."""
        done, _ = await asyncio.wait((winding,), timeout=remaining(deadline))
        if not done:
            raise self._too_late(sent=False)
        winding.result()

    def _too_late(self, sent: bool) -> StatementTimeout:
        self.runner.metrics.timeouts += 1
        what = "the server was asked to stop" if sent else "the statement was not sent"
        return StatementTimeout(f"the deadline passed; {what}", sent=sent)

    async def _wind_up(self) -> None:
        """Have the server stop what nobody waits for; a server that does not react has lost the connection.

        It is asked again and again, as in the scheduler: a request that overtakes its statement is ignored.
        """
        limits = self.runner.limits
        clock = self.runner.loop.time
        end = clock() + limits.cancel_grace + (0.0 if limits.breaks_stalls else CANCEL_TIMEOUT)
        pause = limits.cancel_pause
        try:
            while self.user.busy:
                rest = end - clock()
                if rest <= 0:
                    self.runner.abort(self.conn, "the server did not react to a cancel request", retire=True)
                    return
                if not await self.user.link.cancel(rest):
                    self.runner.abort(self.conn, CANCEL_UNDER_WAY, retire=self.user.busy)
                    return
                with contextlib.suppress(asyncio.TimeoutError, TimeoutError):
                    await asyncio.wait_for(self.user.settled(), min(pause, max(0.0, end - clock())))
                pause *= 2
        finally:
            self._winding = None
