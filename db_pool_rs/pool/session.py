"""A session: one connection, had by one user, and the order of what is asked of it.

Calls of several tasks queue in call order; inside a transaction block those of one tick of the loop leave together (see
:mod:`.together`). What begins a transaction or a savepoint travels with the next statement, so it costs no round trip
of its own. A call that is cancelled or times out returns at once: the server is asked to stop in the background, and
the next call waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..aio import Expired, ResultFuture, remaining, until, within
from ..drivers.base import CANCEL_UNDER_WAY, STATUS, CopyConnection, Database, ServerConnection, Sink, Source
from ..errors import ConnectionLost, DatabaseError, InterfaceError, StatementTimeout
from ..scheduler.model import Limits, StatementRequest
from ..sql import DATA, StatementClass
from .outages import READ_ONLY, reason_of
from .queries import Stray, command_text, stray, unshared
from .together import CallGroup, Gate, can_join, join, not_begun, out_of_block

if TYPE_CHECKING:
    from ..metrics import PoolMetrics
    from ..scheduler.cost import Query

#: How long a CancelRequest may take, connecting included.
CANCEL_TIMEOUT = 3.0


class Owner(Protocol):
    """What a session needs of the executor that serves its pool (:class:`~db_pool_rs.pool.executor.Executor`)."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    metrics: PoolMetrics
    last_error: Exception | None
    clean_timeout: float | None

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` on the pool's account."""

    def abort(self, conn: Any, reason: str, evict_all: bool) -> None:
        """Close a connection that is of no use any more."""

    def turned_read_only(self) -> None:
        """The server refused a write that it should take."""

    def executed(self, statements: Sequence[StatementRequest], seconds: float) -> None:
        """Count statements that were answered together."""


class AcquiredConnection(Protocol):
    """A connection that one user has: the executor's name for it, and its link."""

    id: int
    link: Any


class Holder:
    """The caller that holds a session: where it acquired it, in which task, and when."""

    __slots__ = ("_frame", "since", "task", "warning")

    def __init__(self, frame: tuple[str, int], task: str, since: float) -> None:
        self._frame = frame
        self.task = task
        self.since = since
        self.warning: asyncio.TimerHandle | None = None

    @property
    def site(self) -> str:
        """file:line of the code that acquired it."""
        return "{}:{}".format(*self._frame)


class Session:
    """A connection that one user has: a caller, by its :class:`~db_pool_rs.pool.connection.Connection`, or the pool.

    There is a new one for each `acquire`, so what it begins with, and what most never change, is the class's.
    """

    #: Why the connection is gone, if it is.
    error: Exception | None = None
    #: Whether a group is unanswered; true even when no caller waits for the answer any more.
    busy = False
    #: How long the last group took.
    seconds = 0.0
    #: Called with notifications and notices, and at the loss; set where the holder listens.
    on_notification: Callable[[int, str, str], None] | None = None
    on_notice: Callable[[Exception], None] | None = None
    on_lost: Callable[[], None] | None = None
    #: Commands that are on their way and open a block; why they were refused, until the end of that block.
    _opening: Sequence[StatementRequest] = ()
    refused: Exception | None = None
    savepoints = 0
    dirty = False
    #: The open transaction block is one that only reads.
    readonly = False
    #: It may see other tables and types than others do: until it is given back, or the transaction ends.
    strays: Stray | None = None
    holder: Holder | None = None
    last_sql = ""
    #: The calls that will leave together next; what stops a group that no caller waits for.
    open_group: CallGroup | None = None
    winding: asyncio.Task[None] | None = None
    #: The calls that run together, and how many blocks have ended while something ran.
    running_group: CallGroup | None = None
    broken_off = 0
    _ended: Callable[[ConnectionLost | None], None] | None = None
    _unanswered: asyncio.Future[None] | None = None

    def __init__(self, executor: Owner, conn: AcquiredConnection, database: Database) -> None:
        self.conn = conn
        self.link: ServerConnection = conn.link
        self.executor, self.loop = executor, executor.loop
        #: What else the loop is about to run in this tick; other loops than asyncio's do not tell.
        self._ready = getattr(executor.loop, "_ready", (None,))
        self.database = database
        #: Commands that travel with the next statement: BEGIN, SAVEPOINT, and ROLLBACK after a cancelled call.
        self.pending_commands: list[str] = []
        #: Numbers of the cursors that are open, or were when the transaction ended otherwise than by its block.
        self.cursors: set[int] = set()
        #: Who may send.
        self.gate = Gate()

    # -- how it stands -------------------------------------------------------------------------------------------

    @property
    def is_clean(self) -> bool:
        """Nothing runs, nothing is queued and nothing is left to clean up."""
        open_transaction = self.error is None and self.link.in_transaction()
        return not (self.dirty or self.busy or self.winding or self.gate.taken or open_transaction)

    @property
    def is_answered(self) -> bool:
        """Whether everything that was sent is answered, and nothing is being stopped in the background."""
        return self.winding is None and not self.busy

    @property
    def can_send(self) -> bool:
        """Whether a command sent now would be executed at once: no call that was made earlier is to be waited for."""
        return self.is_answered and not self.gate.taken

    def in_transaction(self) -> bool:
        """Whether statements sent now run inside a transaction block."""
        if "ROLLBACK" in self.pending_commands:
            return self.pending_commands[-1] != "ROLLBACK"
        if self.pending_commands or self._opening or self.refused is not None:
            return True
        return self.error is None and self.link.in_transaction()

    def holding(self) -> str:
        """By whom it is held, for messages."""
        sql = f", last statement: {self.last_sql[:200]}" if self.last_sql else ""
        held = self.holder
        return f"acquired by task {held.task!r} at {held.site}{sql}" if held is not None else f"the pool's own{sql}"

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
        if query.kind not in DATA and self.strays is not Stray.SESSION:
            self.strays = stray(query.sql) or self.strays

    # -- calls, in their order -----------------------------------------------------------------------------------

    async def run(self, statements: Sequence[StatementRequest], timeout: float | None = None) -> None:
        """Run `statements` in one round trip, after the pending commands; raises the first error among them."""
        await self._run(statements, self._deadline(timeout))

    async def call(self, statement: StatementRequest, timeout: float | None = None) -> None:
        """Run one statement, inside a transaction block together with others; raises its error."""
        alone = not (self._ready or self.gate.taken)  # no other call can follow in this tick of the loop, or waits
        if alone or not (can_join(statement) and self.in_transaction()):
            await self.run((statement,), timeout)
            return
        await join(self, statement, self._deadline(timeout))
        self.raise_first((statement,))

    async def describe(self, group: Sequence[StatementRequest], timeout: float | None = None) -> None:
        """Have the database check statements without running them; raises what is wrong with the first that is."""
        deadline = self._deadline(timeout)
        if self.pending_commands:  # the text may depend on what they do
            await self._run((), deadline)
        await self.exchange(lambda: self._ask(self.link.describe, group), deadline)
        self.raise_first(group)

    async def copy(
        self, statement: StatementRequest, stream: Source | Sink, told: Query, timeout: float | None = None
    ) -> None:
        """Run a COPY; raises what the database, or the stream, has raised.

        `told` is what others are told of it: the text without the values that stand in what is sent.
        """
        deadline = self._deadline(timeout)
        if self.pending_commands:
            await self._run((), deadline)
        await self.exchange(lambda: self._ask(cast(CopyConnection, self.link).copy, statement, stream), deadline)
        if told is not statement.query:
            statement.query, error = told, statement.error
            if isinstance(error, DatabaseError):
                error.query, error.position = told.sql, None
        self.executor.executed((statement,), self.seconds)
        self.raise_first((statement,))

    async def command(self, *queries: str, timeout: float | None = None, undo: Sequence[str] = ()) -> str:
        """Run commands; the tag of the last. If they were not sent, `undo` runs before whatever is called next."""
        group = [StatementRequest(command_text(sql, self.database.dialect), (), STATUS, None) for sql in queries]
        await self._run(group, self._deadline(timeout), undo)
        return str(group[-1].value)

    def defer(self, *queries: str) -> None:
        """Have commands that end a block run before whatever is called next; no caller waits for them now.

        What was called inside of the block, and is not sent, is not sent any more.
        """
        self.pending_commands.extend(queries)
        self.broken_off += 1
        self.open_group = None
        if self.running_group is not None:
            self.running_group.block_ended()

    def take_back(self, command: str) -> None:
        """What opens a block is not sent, nor what was called inside of it."""
        del self.pending_commands[self.pending_commands.index(command) :]
        self.broken_off += 1
        self.open_group = None

    async def wait_idle(self) -> None:
        """Wait until everything that was called has ended."""
        await self.gate.enter(None)
        try:
            if self.winding is not None:
                await self._wound_up(self.winding, None)
        finally:
            self.gate.leave()

    def _deadline(self, timeout: float | None) -> float | None:
        """One for all that a call does."""
        return None if timeout is None else self.executor.loop.time() + timeout

    async def _run(
        self, statements: Sequence[StatementRequest], deadline: float | None, undo: Sequence[str] = ()
    ) -> None:
        group, sent, inside = statements, False, False

        def start() -> ResultFuture[None]:
            nonlocal group, sent, inside
            sent, inside = True, self.in_transaction()
            if self.pending_commands:
                group = [*self.take_pending(), *statements]
            return self.start(group)

        try:
            await self.exchange(start, deadline)
        except BaseException:
            if undo and not sent and "ROLLBACK" not in self.pending_commands:
                self.defer(*undo)
            raise
        if len(statements) > 1 and not inside:
            self._undo_all(statements)
        self.counted(statements)
        self.raise_first(group)

    def _undo_all(self, statements: Sequence[StatementRequest]) -> None:
        """Executions of one text that were a transaction of their own: the failure of one is that of all."""
        if not self.database.atomic_groups or statements[-1].query is not statements[0].query:
            return
        failed = next((one.error for one in statements if one.error is not None), None)
        for one in statements:
            if one.value is not None:
                one.error = one.error or failed

    def counted(self, statements: Sequence[StatementRequest]) -> None:
        """They were sent together: those that were executed are counted, without those that control transactions."""
        for one in statements:
            if one.query.kind is StatementClass.CONTROL or (one.value is None and one.error is None):
                statements = [one for one in statements if _counts(one)]
                break
        if statements:
            self.executor.executed(statements, self.seconds)

    def take_pending(self) -> list[StatementRequest]:
        """The commands that travel with the next statement."""
        if not self.pending_commands:
            return []
        commands = [
            StatementRequest(command_text(sql, self.database.dialect), (), STATUS, None)
            for sql in self.pending_commands
        ]
        self._opening = commands if self.pending_commands[-1] != "ROLLBACK" else ()
        self.pending_commands.clear()
        return commands

    def raise_first(self, group: Sequence[StatementRequest]) -> None:
        """Raise the first error among the outcomes of a group, counted."""
        for statement in group:
            if statement.error is not None:
                self.executor.metrics.errors += 1
                if getattr(statement.error, "sqlstate", None) == READ_ONLY and not self.readonly:
                    self.executor.turned_read_only()
                raise statement.error

    async def exchange(self, start: Callable[[], ResultFuture[None]], deadline: float | None) -> None:
        """Wait for the calls that were made earlier, then for what `start` sends."""
        self.open_group, broken_off = None, self.broken_off  # what is called after this comes behind it
        if not self.gate.take():
            await self._enter(deadline)
        try:
            if self.winding is not None:
                await self._wound_up(self.winding, deadline)
            if broken_off != self.broken_off:
                raise out_of_block()
            if self.refused is not None:
                raise not_begun(self.refused)
            answer = start()
            try:  # a caller that gives up abandons this answer; `busy` tells what still runs
                await (answer if deadline is None else until(answer, deadline))
            except Expired:
                raise self.too_late(sent=True) from None
            finally:
                if self.busy:
                    self.wind_up()
        finally:
            self.gate.leave()

    async def _enter(self, deadline: float | None) -> None:
        """Wait for the calls that were made earlier."""
        try:
            await self.gate.enter(deadline)
        except Expired:
            raise self.too_late(sent=False) from None

    def too_late(self, sent: bool) -> StatementTimeout:
        """The error of a call whose deadline has passed."""
        self.executor.metrics.timeouts += 1
        what = "the server was asked to stop" if sent else "the statement was not sent"
        return StatementTimeout(f"the deadline passed; {what}", sent=sent)

    # -- stopping what no caller waits for -----------------------------------------------------------------------

    async def _wound_up(self, winding: asyncio.Task[None], deadline: float | None) -> None:
        """Wait for it without ever cancelling it."""
        done, _ = await asyncio.wait((winding,), timeout=remaining(deadline))
        if not done:
            raise self.too_late(sent=False)
        winding.result()

    def wind_up(self) -> None:
        """Have the server stop what no caller waits for, in the background."""
        if self.winding is None:
            self.winding = self.executor.spawn(self._wind_up())

    async def _wind_up(self) -> None:
        """Have the server stop what no caller waits for; a server that does not react has lost the connection.

        It is asked again and again, as in the scheduler: a request that overtakes its statement is ignored.
        """
        executor, limits = self.executor, self.executor.limits
        clock = executor.loop.time
        end = clock() + limits.cancel_grace + (0.0 if limits.breaks_stalls else CANCEL_TIMEOUT)
        pause = limits.cancel_pause
        try:
            while self.busy:
                rest = end - clock()
                if rest <= 0:
                    executor.abort(self.conn, "the server did not react to a cancel request", evict_all=True)
                    return
                if not await self.link.cancel(rest):
                    executor.abort(self.conn, CANCEL_UNDER_WAY, evict_all=self.busy)
                    return
                with contextlib.suppress(Expired):
                    await within(self._until_answered(), min(pause, max(0.0, end - clock())))
                pause *= 2
        finally:
            self.winding = None

    async def _until_answered(self) -> None:
        """Wait until what runs is answered, or the link is lost; its outcome is of no interest."""
        if self.busy:
            self._unanswered = self._unanswered or self.executor.loop.create_future()
            await asyncio.shield(self._unanswered)

    # -- the link ------------------------------------------------------------------------------------------------

    def start(self, group: Sequence[StatementRequest]) -> ResultFuture[None]:
        """Send `group` now, uncounted; the answer comes with the server's, or fails with the loss of the connection.

        The user sees to it that one thing runs at a time. Outcomes of the statements are in their ``value`` and
        ``error``, never in the answer.
        """
        answer = self.database.answer(self.loop)
        self._begin(partial(_set, answer), self.link.start, group)
        return answer

    def send(self, group: Sequence[StatementRequest], ended: Callable[[ConnectionLost | None], None]) -> None:
        """The same; `ended` is called instead, with what has become of the connection if it is lost."""
        self._begin(ended, self.link.start, group)

    def _ask(self, ask: Callable[..., None], *what: Any) -> ResultFuture[None]:
        answer = self.database.answer(self.executor.loop)
        self._begin(partial(_set, answer), ask, *what)
        return answer

    def _begin(self, ended: Callable[[ConnectionLost | None], None], ask: Callable[..., None], *what: Any) -> None:
        assert not self.busy, "bug: two groups on one session"
        if self.error is not None:
            ended(ConnectionLost(f"the connection is gone: {reason_of(self.error)}", sent=False))
        else:
            self._ended, self.busy = ended, True
            ask(*what, self._answered)

    def lost(self, error: Exception, sent: bool) -> None:
        """The link is gone: the caller that waits is told, and every call that is made later."""
        self.error = error
        lost = error if isinstance(error, ConnectionLost) else ConnectionLost(reason_of(error), sent=sent)
        lost.__cause__ = None if lost is error else error
        self._end(lost)
        if self.on_lost is not None:
            self.on_lost()

    def _answered(self, ok: bool, seconds: float, size: float) -> None:
        self.seconds = seconds
        self._end(None)

    def _not_begun(self, opening: Sequence[StatementRequest]) -> None:
        """What opens a block was not executed. If that has ended meanwhile, there is nothing to roll back."""
        if "ROLLBACK" in self.pending_commands:
            del self.pending_commands[: self.pending_commands.index("ROLLBACK") + 1]
            return
        stopped = InterfaceError("it was stopped before it was done")
        self.refused = next((one.error for one in opening if one.error is not None), stopped)

    def _end(self, error: ConnectionLost | None) -> None:
        ended, unanswered, self._ended, self._unanswered = self._ended, self._unanswered, None, None
        self.busy, opening, self._opening = False, self._opening, ()
        if error is None and any(one.value is None for one in opening) and not self.link.in_transaction():
            self._not_begun(opening)
        if unanswered is not None and not unanswered.done():
            unanswered.set_result(None)
        if ended is not None:
            ended(error)


def _counts(statement: StatementRequest) -> bool:
    """Whether it was executed, and is not there to control transactions."""
    executed = statement.value is not None or statement.error is not None
    return executed and statement.query.kind is not StatementClass.CONTROL


def _set(answer: ResultFuture[None], error: ConnectionLost | None) -> None:
    """Answer the caller, who may have gone."""
    if not answer.done():
        answer.set_result(None) if error is None else answer.set_exception(error)
