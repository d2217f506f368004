"""A session until its holder releases it: what the calls of a connection, its cursors and its COPY do alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from ..aio import remaining
from ..drivers.base import RESULT, ROWS, STATUS
from ..errors import ArgumentError, InterfaceError
from ..record import Column, Record, Result, Status
from ..scheduler.cost import Query
from ..scheduler.model import StatementRequest
from ..sql import StatementClass, split_statements
from .named import by_number
from .queries import empty_result, session_text

if TYPE_CHECKING:
    from .context import Context
    from .session import Session


#: Of a statement: the OIDs of its parameters' types, and its columns.
Types = tuple[tuple[int, ...], tuple[Column, ...]]


class Lease:
    """What a holder has: the session, until it is given back.

    `forgotten` is called with the session, on any thread, if it is never given back: then all that knew this object,
    the connection and its cursors, is gone.
    """

    __slots__ = ("_forgotten", "_session", "context")

    def __init__(self, context: Context, session: Session, forgotten: Callable[[Session], None]) -> None:
        self.context = context
        self._session: Session | None = session
        self._forgotten = forgotten

    @property
    def ended(self) -> bool:
        """Whether the session was given back."""
        return self._session is None

    def session(self) -> Session:
        """The session; InterfaceError if it was given back, or the pool cannot be used now."""
        session = self._session or self.held()
        self.context.check()
        return session

    def held(self) -> Session:
        """The session, to be looked at from anywhere; InterfaceError if it was given back."""
        if self._session is None:
            raise InterfaceError("this connection was given back to its pool; acquire another one")
        return self._session

    def is_over(self) -> bool:
        """Whether the session was given back, or its connection is lost."""
        return self._session is None or self._session.error is not None

    def end(self) -> Session | None:
        """Take the session away: it is given back. None if it was already."""
        session, self._session = self._session, None
        return session

    def __del__(self) -> None:
        session = self._session
        if session is not None:
            self._session = None
            held = session.holding()
            self._forgotten(session)
            warnings.warn(f"a connection was never released; it was {held}", ResourceWarning, stacklevel=2)

    # -- statements ----------------------------------------------------------------------------------------------

    def lookup(self, sql: str) -> Query:
        """What is known of an SQL text."""
        session = self.session()
        return session.lookup(self.context.lookup(sql))

    def statement(self, text: Query, args: tuple[Any, ...], want: int) -> StatementRequest:
        """An execution of `text`, its arguments encoded if their types are known."""
        statement = StatementRequest(text, args, want, None)
        if text.description is not None:
            self.context.encode(statement)
        return statement

    def taken(self, sql: str, *, several: bool = False) -> tuple[Session, Query]:
        """The session and the text of a call that is about to run it."""
        session, context = self._session or self.held(), self.context
        context.check()
        text = context.queries.lookup(sql, False)
        if text.lexical.count > 1 and not several:
            raise InterfaceError("one statement at a time: only execute() without arguments takes several")
        if session.strays is not None:
            text = session.lookup(text)
        session.note(text)
        return session, text

    def run(self, sql: str, args: tuple[Any, ...], want: int, timeout: float | None) -> Coroutine[Any, Any, Any]:
        """Run one statement; its rows, its tag, or its result. Awaited at once."""
        context = self.context
        sql, args = by_number(sql, args, context.database.dialect)
        session, text = self.taken(sql)
        if text.kind is StatementClass.EMPTY:
            return _at_once(empty_result(args, want))
        statement = self.statement(text, args, want)
        seconds = context.config.command_timeout if timeout is None else context.timeout(timeout)
        called = session.call(statement, seconds)
        return _result(called, statement) if want is RESULT else called

    async def ask(self, sql: str, args: tuple[Any, ...], timeout: float | None) -> list[Record]:
        """The rows of a question of the pool's own, of which no logger is told."""
        statement = self.statement(self.lookup(sql), args, ROWS)
        await self.session().run((statement,), self.context.timeout(timeout), told=False)
        rows: list[Record] = statement.value
        return rows

    async def run_many(
        self, text: Query, chunk: list[Any], first: int, want: int, deadline: float | None, *, undone: bool = False
    ) -> list[Record]:
        """Run a text once for each element of `chunk`, as one group; errors number them from `first`.

        The rows of all of them, none where only their tags are wanted. `undone`: the caller rolls back what fails.
        """
        group = [StatementRequest(text, tuple(args), want, None) for args in chunk]
        number = 0
        try:
            for statement in group:
                if text.description is not None:
                    self.context.encode(statement)
                number += 1
            if group:
                await self.session().run(group, remaining(deadline), undone=undone)
        except ArgumentError as error:
            if number == len(group):  # found when the server had told the types
                number = [statement.error is error for statement in group].index(True)
            raise ArgumentError(f"element {first + number}: {error}") from None
        return [row for statement in group for row in statement.value] if want is ROWS else []

    async def describe(self, sql: str, timeout: float | None) -> Types | None:
        """Have the database check one statement; raises what is wrong with it.

        The types of its parameters, and its columns; None where the database has none to tell (SQLite).
        """
        session, text = self.taken(sql)
        if text.kind is StatementClass.EMPTY:
            return (), ()
        statement = StatementRequest(text, (), STATUS, None)
        await session.describe((statement,), self.context.timeout(timeout))
        types: Types | None = getattr(statement, "details", None)
        return types

    # -- texts of several statements -----------------------------------------------------------------------------

    async def script(self, sql: str, timeout: float | None) -> Status:
        """Run several statements in one round trip; the tag of the last."""
        session, _ = self.taken(sql, several=True)
        deadline = self.context.deadline(timeout)
        dialect = self.context.database.dialect
        parts = await self.parts(sql, remaining(deadline))
        group = [StatementRequest(session_text(one, dialect), (), STATUS, None) for one in parts]
        await session.run(group, remaining(deadline))
        status: Status = group[-1].value
        return status

    async def parts(self, sql: str, timeout: float | None) -> list[str]:
        """The statements of a text; InterfaceError if this session reads its strings otherwise than it is split."""
        database = self.context.database
        if "\\'" in sql and database.has_settings:
            rows = await self.ask("SHOW standard_conforming_strings", (), timeout)
            if rows[0][0] != "on":  # a function has set it: SET and set_config are refused
                raise InterfaceError(
                    "standard_conforming_strings is off on this session, so a text with a backslash before a quote "
                    "cannot be divided into its statements: set it on, or write E'...'"
                )
        return split_statements(sql, database.dialect)


async def _at_once(value: Any) -> Any:
    return value


async def _result(called: Coroutine[Any, Any, Any], statement: StatementRequest) -> Result:
    return Result(await called, *statement.details)


def end_holding(session: Session) -> None:
    """The holder of a session has no more to do with it."""
    holder, executor = session.holder, session.executor
    if holder is not None:
        executor.metrics.hold.record(executor.loop.time() - holder.since)
        if holder.warning is not None:
            holder.warning.cancel()
    session.on_notification = session.on_notice = session.on_lost = None


def close(session: Session) -> None:
    """The holder of a session wants its connection closed, now."""
    end_holding(session)
    executor: Any = session.executor  # a session needs a part of it only
    if session.error is None and session.busy:
        executor.abort(session.conn, "its holder has closed the connection", evict_all=False)
    elif session.error is None:
        executor.release(session.conn, healthy=False)
