"""Calls on one session: their order, and those inside a transaction block that leave together.

A session does one thing at a time; the :class:`Gate` lets calls through in the order in which they were made. Calls for
one READ or WRITE each, made inside a transaction block in the same tick of the event loop or while an earlier call
runs, form a :class:`CallGroup` (rule 6.6): they are sent as one group, in order, and each is answered as it would be
alone.

What is behind a statement that fails is not executed. PostgreSQL's block has failed then, and these calls are told what
the server would tell each of them (25P02). Where a block goes on after an error (SQLite), and where the error was found
before anything was sent, they are sent again without the one that failed.

A call whose deadline passes, or that is cancelled, is taken out where it was not sent. Else it is answered, and the
server is asked to stop the group when no call of it waits any more, or when the block ends: before that it would hurt
others.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar, Token
from typing import TYPE_CHECKING, Any, Protocol

from ..aio import Expired, ResultFuture, until
from ..errors import ConnectionLost, DatabaseError, InterfaceError, StatementTimeout, database_error
from ..scheduler.model import StatementRequest
from ..sql import DATA

if TYPE_CHECKING:
    from ..drivers.base import Database
    from .blocks import Blocks


class Inside:
    """Where code of the caller's runs: inside of the call that has `gate`; None when that call waits for it no more."""

    __slots__ = ("gate",)

    def __init__(self) -> None:
        self.gate: Gate | None = None

    def enter(self, gate: Gate) -> Token[frozenset[Inside]]:
        """The code of this context runs inside, from now on."""
        self.gate = gate
        return inside.set(frozenset([one for one in inside.get() if one.gate is not None] + [self]))


#: What the code of this context, and of the tasks that it makes, runs inside of: COPYs, of several connections perhaps.
inside: ContextVar[frozenset[Inside]] = ContextVar("inside", default=frozenset())


class Gate:
    """Lets one through at a time, in the order of asking."""

    __slots__ = ("_waiting", "keeper", "taken")

    def __init__(self) -> None:
        self.taken = False
        #: The task that keeps it for several calls, between which no other may pass.
        self.keeper: asyncio.Task[Any] | None = None
        #: Each is offered the gate and says whether it takes it; None where none ever waited.
        self._waiting: deque[Callable[[], bool]] | None = None

    def take(self) -> bool:
        """Take it if it is free, or kept by this task."""
        if self.taken:
            return self.keeper is not None and asyncio.current_task() is self.keeper
        self.taken = True
        return True

    def when_free(self, offer: Callable[[], bool]) -> None:
        """Have `offer` called when it is its turn; it returns whether it takes the gate."""
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(offer)

    async def enter(self, deadline: float | None) -> None:
        """Wait for it; Expired at `deadline`."""
        if self.take():
            return
        self.check()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.when_free(lambda: _offered(future))
        try:
            await until(future, deadline)
        except BaseException:
            if future.done() and not future.cancelled() and future.exception() is None:
                self.leave()  # it was given to this caller, who is gone
            raise

    @contextmanager
    def around(self) -> Iterator[None]:
        """Code of the caller's runs inside: what it calls on this session would wait for its own end."""
        here = Inside()
        before = here.enter(self)
        try:
            yield
        finally:
            here.gate = None
            inside.reset(before)

    def check(self) -> None:
        """InterfaceError for a call that would wait for itself."""
        if any(one.gate is self for one in inside.get()):
            raise InterfaceError(
                "this connection is busy with a COPY, and the code that gives or takes its data called it: "
                "use another connection there"
            )

    def leave(self) -> None:
        """The next one may pass, unless it is kept."""
        if self.keeper is not None:
            return
        while self._waiting:
            if self._waiting.popleft()():
                return
        self.taken = False


def _offered(future: asyncio.Future[None]) -> bool:
    if future.done():
        return False
    future.set_result(None)
    return True


class Pieces(Protocol):
    """Those of a COPY, taken one by one (:class:`~db_pool_rs.pool.stream.CopyPieces`)."""

    def cut(self, spawn: Callable[[Coroutine[Any, Any, None]], object]) -> None:
        """If the loop over them was left, stop the COPY."""


class Waiting(Protocol):
    """What is told that a group was answered: what its caller awaits, or the calls that were sent together."""

    def done(self) -> bool:
        """Whether it need not be told any more."""

    def set_result(self, value: None) -> None:
        """The group was answered."""

    def set_exception(self, error: ConnectionLost) -> None:
        """The connection was lost before that, or is gone."""


class Owner(Protocol):
    """What a group of calls needs of its session (:class:`~db_pool_rs.pool.session.Session`)."""

    loop: asyncio.AbstractEventLoop
    gate: Gate
    #: The calls that will leave together next, and those that run; how many blocks have ended while something ran.
    open_group: CallGroup | None
    running_group: CallGroup | None
    broken_off: int
    blocks: Blocks
    database: Database
    winding: asyncio.Task[None] | None

    def in_transaction(self) -> bool:
        """Whether statements sent now run inside a transaction block."""

    def send(self, group: Sequence[StatementRequest], waiting: Waiting) -> None:
        """Send a group now; `waiting` is told when it is answered, or lost."""

    def too_late(self, sent: bool) -> StatementTimeout:
        """The error of a call whose deadline has passed."""

    def wind_up(self) -> None:
        """Have the server stop what no caller waits for."""

    def counted(self, statements: Sequence[StatementRequest]) -> None:
        """They were answered together."""


def can_join(statement: StatementRequest) -> bool:
    """Whether it may be sent together with others: a READ or WRITE whose arguments are encoded."""
    return statement.query.kind in DATA and (statement.params is not None or not statement.args)


async def join(session: Owner, statement: StatementRequest, deadline: float | None) -> None:
    """Run a statement together with others; its outcome is in it. StatementTimeout at `deadline`."""
    session.gate.check()
    group = session.open_group
    if group is None:
        group = session.open_group = CallGroup(session)
    call = Call(statement, session.database.answer(session.loop))
    group.calls.append(call)
    try:
        await until(call.answer, deadline)
    except Expired:
        group.give_up(call)
        raise session.too_late(sent=call.sent) from None
    except asyncio.CancelledError:
        group.give_up(call)
        raise


class Call:
    """A call of a group: its statement, what its caller awaits, and whether it was sent."""

    __slots__ = ("answer", "sent", "statement")

    def __init__(self, statement: StatementRequest, answer: ResultFuture[None]) -> None:
        self.statement = statement
        self.answer = answer
        self.sent = False


class CallGroup:
    """Calls that leave together. It is open to more of them until it has the gate and the tick of the loop is over."""

    __slots__ = ("_broken_off", "_commands", "_running", "_session", "calls")

    def __init__(self, session: Owner) -> None:
        self._session = session
        self._broken_off = session.broken_off
        #: Calls that are not sent, and those that are; and the commands that were sent in front of these.
        self.calls: list[Call] = []
        self._running: list[Call] = []
        self._commands: list[StatementRequest] = []
        if session.gate.take():
            session.loop.call_soon(self._send)
        else:
            session.gate.when_free(self._send_soon)

    def give_up(self, call: Call) -> None:
        """The caller waits no longer."""
        if call in self._running and all(one.answer.done() for one in self._running):
            self._session.wind_up()

    def block_ended(self) -> None:
        """The block is over and will be rolled back: what some caller has given up need not be finished for others."""
        if any(one.answer.done() for one in self._running):
            self._session.wind_up()

    def _send_soon(self) -> bool:
        self._session.loop.call_soon(self._send)
        return True

    def _send(self) -> None:
        """Send what can be sent together; at the end, let others pass."""
        session = self._session
        if session.open_group is self:
            session.open_group = None  # closed: what is called from now on comes later
        if session.winding is not None:
            session.winding.add_done_callback(lambda _: self._send())
            return
        if self._broken_off != session.broken_off:
            self._refuse(out_of_block())
        elif session.blocks.refused is not None:
            self._refuse(not_begun(session.blocks.refused))
        self.calls = [call for call in self.calls if not call.answer.done()]
        if not self.calls:
            session.gate.leave()
            return
        # A block may have ended since the call: outside of one, each is a transaction of its own.
        self._running = self.calls if session.in_transaction() else self.calls[:1]
        self.calls = self.calls[len(self._running) :]
        for call in self._running:
            call.sent = True
        self._commands = session.blocks.take(session.database.dialect)
        session.running_group = self
        try:
            session.send([*self._commands, *(call.statement for call in self._running)], self)
        except Exception as error:  # a bug, but no caller is left waiting
            self._broke(error)
            raise

    def _broke(self, error: Exception) -> None:
        """The group could not be sent."""
        running, self._running, self._session.running_group = self._running, [], None
        for call in running:
            _fail(call, error)
        self._refuse(error)
        self._session.gate.leave()

    def done(self) -> bool:
        """It waits to the end, even if its callers have gone."""
        return False

    def set_result(self, value: None) -> None:
        """What runs is answered."""
        running, self._running, self._session.running_group = self._running, [], None
        try:
            self._answer(running)
        finally:
            self._send()

    def set_exception(self, error: ConnectionLost) -> None:
        """What runs is lost."""
        running, self._running, self._session.running_group = self._running, [], None
        for call in running:
            _fail(call, _again(error, error.sent))
        self._refuse(_again(error, False))
        self._send()

    def _refuse(self, error: Exception) -> None:
        """What is not sent will not be."""
        calls, self.calls = self.calls, []
        for call in calls:
            _fail(call, error)

    def _answer(self, running: list[Call]) -> None:
        failed = next((one.error for one in self._commands if one.error is not None), None)
        if failed is not None:  # nothing behind it was executed: BEGIN, for instance, was refused
            for call in running:
                call.statement.error = call.statement.error or failed
        done: list[Call] = []
        left: list[Call] = []
        for call in running:
            statement = call.statement
            (left if statement.error is None and statement.value is None else done).append(call)
        if left:
            done += self._left(left, [call.statement.error for call in done])
        self._session.counted([call.statement for call in done])
        for call in done:
            if not call.answer.done():
                call.answer.set_result(None)

    def _left(self, left: list[Call], errors: list[Exception | None]) -> list[Call]:
        """These were not executed, since another one has failed; those that are answered by that."""
        failed = next((error for error in errors if error is not None), None)
        assert failed is not None, "bug: a statement without an outcome"
        if not isinstance(failed, DatabaseError) or not self._session.database.atomic_groups:
            self.calls = left + self.calls
            return []
        for call in left:
            call.statement.error = aborted(call.statement.query.sql)
        return left


def _fail(call: Call, error: Exception) -> None:
    if not call.answer.done():
        call.answer.set_exception(error)


def _again(error: ConnectionLost, sent: bool) -> ConnectionLost:
    """The error of another call that the same loss has met."""
    lost = ConnectionLost(error.reason, sent=sent, sqlstate=error.sqlstate)
    lost.__cause__ = error.__cause__
    return lost


def out_of_block() -> InterfaceError:
    """The error of a call that was made inside a block that has ended."""
    return InterfaceError("the transaction block in which this was called has ended; nothing was sent")


def not_begun(cause: Exception) -> DatabaseError:
    """The error of a call inside a block whose beginning was refused: outside of one it would be committed at once."""
    message = f"the transaction was not begun, nothing is executed until the end of its block: {cause}"
    error = database_error({"severity": "ERROR", "sqlstate": "25P02", "message": message})
    error.__cause__ = cause
    return error


def aborted(sql: str) -> DatabaseError:
    """What the server says to a statement inside a transaction block that has failed."""
    message = "current transaction is aborted, commands ignored until end of transaction block"
    return database_error({"severity": "ERROR", "sqlstate": "25P02", "message": message}, sql)


def fail_all(statements: Sequence[StatementRequest]) -> None:
    """They are rolled back together: the failure of one is that of all."""
    failed = next((one.error for one in statements if one.error is not None), None)
    for one in statements:
        if one.value is not None:
            one.error = one.error or failed
