"""A session: one connection, had by one user, and the order of what is asked of it.

Calls of several tasks queue in call order; inside a transaction block those of one tick of the loop leave together (see
:mod:`.together`). What begins a transaction or a savepoint travels with the next statement, so it costs no round trip
of its own. A call that is cancelled or times out returns at once: the server is asked to stop in the background, and
the next call waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, cast

from ..aio import Expired, ResultFuture, remaining, until, within
from ..drivers.base import CANCEL_UNDER_WAY, STATUS, CopyConnection, Database, Done, ServerConnection, Sink, Source
from ..errors import ConnectionLost, DatabaseError, StatementTimeout
from ..scheduler.model import Limits, StatementRequest
from ..sql import DATA, StatementClass
from .blocks import Blocks, ends_block
from .holder import Holder
from .outages import READ_ONLY, reason_of
from .queries import Stray, command_text, stray, unshared
from .together import CallGroup, Gate, Pieces, Waiting, can_join, fail_all, join, not_begun, out_of_block

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

    def executed(self, statements: Sequence[StatementRequest], seconds: float, told: bool = True) -> None:
        """Count statements that were answered together; loggers are `told` but of the pool's own."""


class AcquiredConnection(Protocol):
    """A connection that one user has: the executor's name for it, and its link."""

    id: int
    link: Any


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
    #: `doubts` counts what was called that may have ended cursors whose block has not ended.
    savepoints = doubts = 0
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
    #: Of a COPY that the holder takes piece by piece.
    pieces: weakref.ref[Pieces] | None = None
    _waiting: Waiting | None = None
    _unanswered: asyncio.Future[None] | None = None

    def __init__(self, executor: Owner, conn: AcquiredConnection, database: Database) -> None:
        self.conn = conn
        self.link: ServerConnection = conn.link
        self.error = self.link.loss  # before there was a session to be told
        self.executor, self.loop = executor, executor.loop
        #: What else the loop is about to run in this tick; other loops than asyncio's do not tell.
        self._ready = getattr(executor.loop, "_ready", (None,))
        self.database = database
        #: What travels with the next statement: BEGIN, SAVEPOINT, and ROLLBACK after a cancelled call.
        self.blocks = Blocks(self.link.in_transaction())
        #: Numbers of the cursors that are open, or were when the transaction ended otherwise than by its block.
        self.cursors: set[int] = set()
        #: Who may send.
        self.gate = Gate()

    # -- how it stands -------------------------------------------------------------------------------------------

    @property
    def is_clean(self) -> bool:
        """Nothing runs, nothing is queued and nothing is left to clean up."""
        open_transaction = self.error is None and self.blocks.inside
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
        return self.error is None and self.blocks.are_open()

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
        if query.kind not in DATA:
            self.doubts += 1
            if self.strays is not Stray.SESSION:
                self.strays = stray(query.sql) or self.strays

    # -- calls, in their order -----------------------------------------------------------------------------------

    async def run(
        self,
        statements: Sequence[StatementRequest],
        timeout: float | None = None,
        *,
        told: bool = True,
        undone: bool = False,
    ) -> None:
        """Run `statements` in one round trip, after the pending commands; raises the first error among them.

        No logger is `told` of the pool's own. `undone`: its caller rolls all of them back if one fails.
        """
        await self._run(statements, self._deadline(timeout), told=told, undone=undone)

    def call(self, statement: StatementRequest, timeout: float | None = None) -> Coroutine[Any, Any, Any]:
        """Run one statement, inside a transaction block together with others; its value, or its error. Awaited at once.

        The task that acquired the session waits for it, so it has no other call in this tick of the loop.
        """
        deadline, holder = self._deadline(timeout), self.holder
        if (
            (self.gate.taken or (self._ready and not (holder and holder.is_calling(self.loop))))
            and can_join(statement)
            and self.in_transaction()
        ):
            return self._run_joined(statement, deadline)
        return self._run((statement,), deadline)

    async def _run_joined(self, statement: StatementRequest, deadline: float | None) -> Any:
        await join(self, statement, deadline)
        self.raise_first((statement,))
        return statement.value

    async def describe(self, group: Sequence[StatementRequest], timeout: float | None = None) -> None:
        """Have the database check statements without running them; raises what is wrong with the first that is."""
        await self.exchange(lambda: self._start(self.link.describe, group), self._deadline(timeout))
        self.raise_first(group)

    async def copy(
        self, statement: StatementRequest, stream: Source | Sink, told: Query, timeout: float | None = None
    ) -> None:
        """Run a COPY; raises what the database, or the stream, has raised.

        `told` is what others are told of it: the text without the values that stand in what is sent.
        """
        link = cast(CopyConnection, self.link)
        with contextlib.ExitStack() as inside:

            def start() -> ResultFuture[None]:
                inside.enter_context(self.gate.around())
                return self._start(partial(link.copy, statement), stream)

            await self.exchange(start, self._deadline(timeout))
        if told is not statement.query:
            statement.query, error = told, statement.error
            if isinstance(error, DatabaseError):
                error.query, error.position = told.sql, None
        self.executor.executed((statement,), self.seconds)
        self.raise_first((statement,))

    async def command(self, *queries: str, timeout: float | None = None, undo: Sequence[str] = ()) -> str:
        """Run commands; the tag of the last. If it is not executed, `undo` runs before whatever is called next."""
        group = [StatementRequest(command_text(sql, self.database.dialect), (), STATUS, None) for sql in queries]
        return str(await self._run(group, self._deadline(timeout), undo))

    def defer(self, *queries: str) -> None:
        """Have commands that end a block run before whatever is called next; no caller waits for them now.

        What was called inside of the block, and is not sent, is not sent any more.
        """
        self.blocks.add(queries, self.busy)
        self._break_off()
        if self.running_group is not None:
            self.running_group.block_ended()

    def _break_off(self) -> None:
        """What was called inside the block and is not sent will not be."""
        self.broken_off += 1
        self.open_group = None

    def leave(self) -> None:
        """The holder gives the session back: its block is over, and what was called inside is not sent any more.

        What was called outside of one is still executed, behind the ROLLBACK that it waits for.
        """
        if self.in_transaction():
            self.blocks.pending.clear()
            self._break_off()
        self.blocks.end()

    def take_back(self, command: str) -> None:
        """What opens a block is not sent, nor what was called inside of it."""
        pending = self.blocks.pending
        del pending[pending.index(command) :]
        self._break_off()

    def end_pieces(self) -> None:
        """A loop over pieces of a COPY may have been left, while the program still has them."""
        pieces, self.pieces = None if self.pieces is None else self.pieces(), None
        if pieces is not None:
            pieces.cut(self.executor.spawn)

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
        self,
        statements: Sequence[StatementRequest],
        deadline: float | None,
        undo: Sequence[str] = (),
        *,
        told: bool = True,
        undone: bool = False,
    ) -> Any:
        group, sent, blocks, gate = statements, False, self.blocks, self.gate
        try:
            if gate.taken or self.winding is not None or blocks.refused is not None:
                await self._enter(deadline, statements)
            else:  # nothing to wait for, as with nearly every call
                gate.taken, self.open_group = True, None
            try:
                if blocks.refused is not None:  # its holder ends it: there is nothing to be sent
                    blocks.end_refused(statements[0])
                else:
                    sent = True
                    undone = undone or (len(statements) > 1 and self._is_whole(statements))
                    if undo:
                        blocks.ends_with(statements, undo)
                    if blocks.pending:
                        group = [*blocks.take(self.database.dialect, statements), *statements]
                    await (self.start(group) if deadline is None else until(self.start(group), deadline))
            except Expired:
                raise self.too_late(sent) from None
            finally:
                if self.busy:
                    self.wind_up()
                gate.leave()
        except BaseException:
            if undo and not sent and blocks.refused is None:
                self.defer(*undo)
            raise
        if undone:
            fail_all(statements)
        self.counted(() if undo else statements, told)  # what can be undone controls transactions
        return self.raise_first(group)

    def _is_whole(self, statements: Sequence[StatementRequest]) -> bool:
        """Whether these are executions of one text that will be a transaction of their own."""
        one_text = self.database.atomic_groups and statements[-1].query is statements[0].query
        return one_text and not self.in_transaction()

    def counted(self, statements: Sequence[StatementRequest], told: bool = True) -> None:
        """They were sent together: those that were executed are counted, without those that control transactions."""
        for one in statements:
            if (one.value is None and one.error is None) or one.query.kind is StatementClass.CONTROL:
                statements = [one for one in statements if _counts(one)]
                break
        if statements:
            self.executor.executed(statements, self.seconds, told)

    def raise_first(self, group: Sequence[StatementRequest]) -> Any:
        """Raise the first error among the outcomes of a group, counted; the value of the last where there is none."""
        for statement in group:
            if statement.error is not None:
                self.executor.metrics.errors += 1
                if getattr(statement.error, "sqlstate", None) == READ_ONLY and not self.readonly:
                    self.executor.turned_read_only()
                raise statement.error
        return group[-1].value if group else None

    async def exchange(
        self,
        start: Callable[[], ResultFuture[None]],
        deadline: float | None,
    ) -> None:
        """Wait for the calls that were made earlier, then for what `start` sends.

        It cannot travel with the pending commands, so they are sent in front of it, while no other call may send.
        """
        await self._enter(deadline)
        broken_off = self.broken_off
        try:
            if self.blocks.pending:
                commands = self.blocks.take(self.database.dialect)
                await self._answer(self.start(commands), deadline, sent=False)
                self.raise_first(commands)
                self._check_block(broken_off)
            await self._answer(start(), deadline, sent=True)
        finally:
            self.gate.leave()

    @contextlib.asynccontextmanager
    async def kept(self, deadline: float | None) -> AsyncIterator[None]:
        """What the task calls inside is not divided by calls of others, which its end could undo."""
        await self._enter(deadline)
        self.gate.keeper = asyncio.current_task()
        try:
            yield
        finally:
            self.gate.keeper = None
            self.gate.leave()

    async def _enter(self, deadline: float | None, ends: Sequence[StatementRequest] = ()) -> None:
        """Wait for the calls that were made earlier, and take the gate.

        Raises what keeps the call from being sent; `ends` is what may end the block, even one that was refused.
        """
        self.open_group, broken_off = None, self.broken_off  # what is called after this comes behind it
        if not self.gate.take():
            try:
                await self.gate.enter(deadline)
            except Expired:
                raise self.too_late(sent=False) from None
        try:
            if self.winding is not None:
                await self._wound_up(self.winding, deadline)
            self._check_block(broken_off, ends)
        except BaseException:
            self.gate.leave()
            raise

    def _check_block(self, broken_off: int, ends: Sequence[StatementRequest] = ()) -> None:
        """Raise what keeps a call from being sent: the end of its block, or the refusal of its BEGIN."""
        if broken_off != self.broken_off:
            raise out_of_block()
        if self.blocks.refused is not None and not ends_block(ends):
            raise not_begun(self.blocks.refused)

    async def _answer(self, answer: ResultFuture[None], deadline: float | None, sent: bool) -> None:
        """Wait for an answer. A caller that gives up abandons it; `busy` tells what still runs."""
        try:
            await (answer if deadline is None else until(answer, deadline))
        except Expired:
            raise self.too_late(sent) from None
        finally:
            if self.busy:
                self.wind_up()

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
        self._send(self.link.start, group, answer)
        return answer

    def _start(self, how: Callable[[Any, Done], None], what: Any) -> ResultFuture[None]:
        answer = self.database.answer(self.loop)
        self._send(how, what, answer)
        return answer

    def send(self, group: Sequence[StatementRequest], waiting: Waiting) -> None:
        """The same, for what waits already."""
        self._send(self.link.start, group, waiting)

    def _send(self, how: Callable[[Any, Done], None], what: Any, waiting: Waiting) -> None:
        assert not self.busy, "bug: two groups on one session"
        if self.error is not None:
            waiting.set_exception(ConnectionLost(f"the connection is gone: {reason_of(self.error)}", sent=False))
        else:
            self._waiting, self.busy = waiting, True
            how(what, self._answered)

    def lost(self, error: Exception, sent: bool) -> None:
        """The link is gone: the caller that waits is told, and every call that is made later."""
        self.error = error
        lost = error if isinstance(error, ConnectionLost) else ConnectionLost(reason_of(error), sent=sent)
        lost.__cause__ = None if lost is error else error
        waiting, self._waiting, self.busy = self._waiting, None, False
        self._tell_unanswered()
        if waiting is not None and not waiting.done():
            waiting.set_exception(lost)
        if self.on_lost is not None:
            self.on_lost()

    def _answered(self, ok: bool, seconds: float, size: float) -> None:
        waiting, self._waiting, self.busy, self.seconds = self._waiting, None, False, seconds
        self.blocks.answered(self.link.in_transaction())
        if self._unanswered is not None:
            self._tell_unanswered()
        if waiting is not None and not waiting.done():  # else its caller has gone
            waiting.set_result(None)

    def _tell_unanswered(self) -> None:
        unanswered, self._unanswered = self._unanswered, None
        if unanswered is not None and not unanswered.done():
            unanswered.set_result(None)


def _counts(statement: StatementRequest) -> bool:
    """Whether it was executed, and is not there to control transactions."""
    executed = statement.value is not None or statement.error is not None
    return executed and statement.query.kind is not StatementClass.CONTROL
