"""Statements that are written down first and sent together: `pool.batch`.

BEGIN, the statements and COMMIT are one group, so one round trip. Texts with arguments that the pool does not know yet
take one more, once, for all of them together. If anything fails, nothing is committed. With `atomic` that is the
answer; without it each statement is then sent alone, in order, and only what it does alone is reported. So statements
that could notice company (:mod:`db_pool_rs.guard`) are sent alone from the start there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..aio import remaining
from ..drivers.base import ROWS, STATUS
from ..errors import ArgumentError, ConnectionLost, DatabaseError, Error, InterfaceError, StatementTimeout
from ..record import Status
from ..rows import Row
from ..scheduler.model import StatementRequest
from ..sql import DATA, StatementClass
from .queries import Stray, command_text, empty_result, stray, unshared

if TYPE_CHECKING:
    from .acquire import Acquire
    from .context import Context
    from .session import Session

T = TypeVar("T")

_NOT_SENT = "the statement was not sent"


class BatchResult(Generic[T]):
    """What one statement of a batch comes to; it is there when the block has ended."""

    __slots__ = ("_error", "_made", "_take", "_value")

    def __init__(self, take: Callable[[Any], T]) -> None:
        self._take = take
        self._made = False
        self._value: Any = None
        self._error: Exception | None = None

    def done(self) -> bool:
        """Whether it is there."""
        return self._made

    def result(self) -> T:
        """The rows or the tag; raises the error of the statement. InterfaceError before the block has ended."""
        error = self.exception()
        if error is not None:
            raise error
        return self._take(self._value)

    def exception(self) -> Exception | None:
        """The error of the statement, None if it has none. InterfaceError before the block has ended."""
        if not self._made:
            raise InterfaceError("the results of a batch are there when its block has ended")
        return self._error

    def _set(self, value: Any, error: Exception | None) -> None:
        self._made, self._value, self._error = True, value, error

    def __repr__(self) -> str:
        state = "pending" if not self._made else "done" if self._error is None else repr(self._error)
        return f"<BatchResult {state}>"


class Batch:
    """Made by ``pool.batch()``: ``async with`` it, and call it like a pool, without ``await``."""

    __slots__ = ("_acquire", "_atomic", "_context", "_entered", "_results", "_statements", "_strays", "_timeout")

    def __init__(
        self, context: Context, acquire: Callable[[float | None], Acquire], atomic: bool, timeout: float | None
    ) -> None:
        self._context = context
        self._acquire = acquire
        self._atomic = atomic
        self._timeout = timeout
        self._entered: bool | None = None
        #: A statement was added behind which the same words may mean other tables or types.
        self._strays = False
        self._statements: list[StatementRequest] = []
        self._results: list[BatchResult[Any]] = []

    def fetch(self, sql: str, /, *args: Any, row: Row[Any] | None = None) -> BatchResult[list[Any]]:
        """Add a statement; its result is its rows. ArgumentError at once where the types of its arguments are known."""
        make = self._context.maker(row)
        return self._add(sql, args, ROWS, lambda rows: make([*rows]))  # the result may be asked for again

    def fetchrow(self, sql: str, /, *args: Any, row: Row[Any] | None = None) -> BatchResult[Any]:
        """Add a statement; its result is its first row, or None."""
        make = self._context.maker(row)
        return self._add(sql, args, ROWS, lambda rows: make(rows[:1])[0] if rows else None)

    def fetchval(self, sql: str, /, *args: Any, column: int = 0) -> BatchResult[Any]:
        """Add a statement; its result is one value of its first row, or None if there is no row."""
        return self._add(sql, args, ROWS, lambda rows: rows[0][column] if rows else None)

    def execute(self, sql: str, /, *args: Any) -> BatchResult[Status]:
        """Add a statement; its result is its command tag."""
        return self._add(sql, args, STATUS, _as_it_is)

    def _add(self, sql: str, args: tuple[Any, ...], want: bool, take: Callable[[Any], T]) -> BatchResult[T]:
        if not self._entered:
            raise InterfaceError("statements are added inside of the block: `async with pool.batch() as batch`")
        context = self._context
        context.check_open()
        sql, args = context.by_number(sql, args)
        query = context.lookup(sql, shared=True)
        result = BatchResult(take)
        if query.kind is StatementClass.EMPTY:
            result._set(empty_result(args, want), None)
            return result
        if self._strays:
            query = unshared(query)
        elif query.kind not in DATA and (found := stray(query.sql)) is not None:
            self._strays = self._atomic or found is Stray.SESSION
        statement = StatementRequest(query, args, want, None)
        if query.description is not None:
            context.encode(statement)
        self._statements.append(statement)
        self._results.append(result)
        return result

    async def __aenter__(self) -> Batch:
        if self._entered is not None:
            raise InterfaceError("this batch was used already; call batch() again")
        self._context.check_open()
        self._entered = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._entered = False
        try:
            if error is None and self._statements:
                await self._run()
        except asyncio.CancelledError:
            undone = _NOT_SENT if self._atomic else f"{_NOT_SENT}, or was rolled back"
            left = [one for one in self._statements if one.error is None and one.value is None]
            _fail(left, InterfaceError(f"the batch was cancelled: {undone}"))
            raise
        finally:
            for statement, result in zip(self._statements, self._results, strict=True):
                nothing = statement.error is None and statement.value is None
                failed = InterfaceError(_NOT_SENT) if nothing else statement.error
                result._set(None if failed is not None else statement.value, failed)

    async def _run(self) -> None:
        context, statements = self._context, self._statements
        deadline = context.deadline(self._timeout)
        try:
            async with self._acquire(context.timeout(self._timeout)) as connection:
                session = connection._lease.session()
                for statement in statements:
                    session.note(statement.query)
                await _learn(session, statements, deadline)
                if self._atomic:
                    await _all_or_nothing(session, statements, deadline)
                else:
                    await _each(session, statements, deadline)
        except Exception as error:
            left = [one for one in statements if one.error is None and (self._atomic or one.value is None)]
            _fail(left, error if self._atomic else _unsent(error))
            raise


def _as_it_is(value: Any) -> Any:
    return value


def _fail(statements: Iterable[StatementRequest], error: Exception) -> None:
    """That is their outcome. Their values are the link's, which may still be receiving them."""
    for statement in statements:
        statement.error = error


def _unsent(error: Exception) -> Exception:
    """What a statement is told that was not sent, where the one before it has met this."""
    if isinstance(error, ConnectionLost):
        return ConnectionLost(error.reason, sent=False, sqlstate=error.sqlstate)
    if isinstance(error, StatementTimeout):
        return StatementTimeout(f"the deadline passed; {_NOT_SENT}", sent=False)
    return error


async def _learn(session: Session, statements: Sequence[StatementRequest], deadline: float | None) -> None:
    """Have the server tell the types of several texts in one round trip; one alone is asked for on its way.

    Before the transaction, so that a text that cannot be known yet (of a table that the batch makes, say) does no harm:
    it is asked for again when what is in front of it was executed. Texts of this batch alone mean nothing before that.
    """
    unknown = dict.fromkeys(one.query for one in statements if one.args and one.params is None and not one.query.own)
    if len(unknown) > 1:
        asked = [StatementRequest(query, (), STATUS, None) for query in unknown]
        try:
            await session.describe(asked, remaining(deadline))
        except (DatabaseError, ArgumentError):
            return
        except (ConnectionLost, StatementTimeout) as error:
            raise _unsent(error) from error


async def _all_or_nothing(session: Session, statements: Sequence[StatementRequest], deadline: float | None) -> None:
    """They have one outcome; raises what kept them from being committed."""
    error = await _atomically(session, statements, deadline)
    if error is None:
        _committed(session, statements)
        return
    executed = [one for one in statements if one.value is not None or one.error is not None]
    _fail(statements, error)
    session.counted(executed)
    await _roll_back(session)
    session.raise_first(executed)
    raise error  # BEGIN was refused


async def _atomically(
    session: Session, statements: Sequence[StatementRequest], deadline: float | None
) -> Exception | None:
    """BEGIN, `statements`, COMMIT in one round trip, uncounted; what has kept them from being committed.

    The transaction is then still open. Raises where that is not known.
    """
    database = session.database
    # Where no function can hide that it writes, those that read need not wait for those that write.
    readonly = not database.has_catalog and all(one.query.kind is StatementClass.READ for one in statements)
    begin, commit = (
        StatementRequest(command_text(sql, database.dialect), (), STATUS, None)
        for sql in (database.begin(None, readonly, False), "COMMIT")
    )
    group = [begin, *statements, commit]
    try:
        await session.exchange(lambda: session.start(group), deadline)
    except BaseException as error:
        if not session.is_answered:
            session.defer("ROLLBACK")
        if isinstance(error, asyncio.CancelledError):
            _cancelled(session, statements, _failure(group))
        raise
    return _failure(group)


def _committed(session: Session, statements: Sequence[StatementRequest]) -> None:
    """Count them."""
    session.counted(statements)
    session.executor.metrics.errors += any(one.error is not None for one in statements)


def _failure(group: Sequence[StatementRequest]) -> Exception | None:
    """What has kept a group from being committed. What was committed and cannot be read is told by its statement."""
    errors = (one.error for one in group if one.error is not None)
    return None if group[-1].value is not None else next(errors, None)


def _cancelled(session: Session, statements: Sequence[StatementRequest], error: Exception | None) -> None:
    """The batch was cancelled while `statements` ran; `error`: what they have failed with, if they are answered."""
    if not session.is_answered or session.error is not None:
        _fail(statements, InterfaceError("the batch was cancelled: the outcome of the statement is unknown"))
    elif error is not None:
        _fail(statements, error)


async def _roll_back(session: Session) -> None:
    """End a transaction that has failed; what is wrong then is met by the next statement, if there is one."""
    if not session.in_transaction():
        return
    try:
        await session.command("ROLLBACK", timeout=session.executor.clean_timeout)
    except Error:
        if session.error is None:
            session.defer("ROLLBACK")


async def _each(session: Session, statements: Sequence[StatementRequest], deadline: float | None) -> None:
    """Each has an outcome of its own; raises what ends them all."""
    at = 0
    while at < len(statements):
        group = _company(statements[at:])
        at += len(group)
        if len(group) > 1:
            try:
                error = await _atomically(session, group, deadline)
            except (ConnectionLost, StatementTimeout) as lost:
                _fail(group, lost)
                raise
            if error is None:
                _committed(session, group)
                continue
            for statement in group:  # nothing was committed
                statement.reset()
            await _roll_back(session)
        for statement in group:
            await _alone(session, statement, deadline)


def _company(statements: Sequence[StatementRequest]) -> Sequence[StatementRequest]:
    """The first, and those behind it that may share its transaction unnoticed."""
    count = 0
    for statement in statements:
        if not statement.query.groupable or statement.query.keys:
            break
        count += 1
    return statements[: max(1, count)]


async def _alone(session: Session, statement: StatementRequest, deadline: float | None) -> None:
    try:
        await session.run((statement,), remaining(deadline))
    except asyncio.CancelledError:
        _cancelled(session, (statement,), statement.error)
        raise
    except Error as error:
        if statement.error is None:
            _fail((statement,), error)
            raise
