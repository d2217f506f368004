"""A session until its holder releases it: what the calls of a connection, its cursors and its COPY do alike."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..aio import remaining
from ..drivers.base import ROWS, STATUS
from ..errors import ArgumentError, InterfaceError
from ..record import Status
from ..scheduler.cost import Query
from ..scheduler.model import StatementRequest
from ..sql import StatementClass, split_statements
from .queries import empty_result, session_text

if TYPE_CHECKING:
    from .context import Context
    from .session import Session


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
        if self._session is None:
            raise InterfaceError("this connection was given back to its pool; acquire another one")
        self.context.check()
        return self._session

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

    def statement(self, text: Query, args: tuple[Any, ...], want: bool) -> StatementRequest:
        """An execution of `text`, its arguments encoded if their types are known."""
        statement = StatementRequest(text, args, want, None)
        if text.description is not None:
            self.context.encode(statement)
        return statement

    def taken(self, sql: str, *, several: bool = False) -> tuple[Session, Query]:
        """The session and the text of a call that is about to run it."""
        session, text = self.session(), self.context.lookup(sql)
        if text.lexical.count > 1 and not several:
            raise InterfaceError("one statement at a time: only execute() without arguments takes several")
        if session.strays is not None:
            text = session.lookup(text)
        session.note(text)
        return session, text

    async def run(self, sql: str, args: tuple[Any, ...], want: bool, timeout: float | None) -> Any:
        """Run one statement; its rows or its tag."""
        session, text = self.taken(sql)
        if text.kind is StatementClass.EMPTY:
            return empty_result(args, want)
        statement = self.statement(text, args, want)
        await session.call(statement, self.context.timeout(timeout))
        return statement.value

    async def run_many(self, text: Query, chunk: list[Any], first: int, deadline: float | None) -> None:
        """Run a text once for each element of `chunk`, as one group; errors number them from `first`."""
        group = [StatementRequest(text, tuple(args), STATUS, None) for args in chunk]
        number = 0
        try:
            for statement in group:
                if text.description is not None:
                    self.context.encode(statement)
                number += 1
            if group:
                await self.session().run(group, remaining(deadline))
        except ArgumentError as error:
            if number == len(group):  # found when the server had told the types
                number = [statement.error is error for statement in group].index(True)
            raise ArgumentError(f"element {first + number}: {error}") from None

    async def describe(self, sql: str, timeout: float | None) -> None:
        """Have the database check one statement; raises what is wrong with it."""
        session, text = self.taken(sql)
        if text.kind is not StatementClass.EMPTY:
            await session.describe((StatementRequest(text, (), STATUS, None),), self.context.timeout(timeout))

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
            rows = await self.run("SHOW standard_conforming_strings", (), ROWS, timeout)
            if rows[0][0] != "on":  # a function has set it: SET and set_config are refused
                raise InterfaceError(
                    "standard_conforming_strings is off on this session, so a text with a backslash before a quote "
                    "cannot be divided into its statements: set it on, or write E'...'"
                )
        return split_statements(sql, database.dialect)
