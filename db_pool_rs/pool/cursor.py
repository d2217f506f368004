"""Rows of a query a few at a time: a cursor of the database, declared inside a transaction.

On SQLite the driver understands the three commands that are used here, so that both databases are driven alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..aio import remaining
from ..drivers.base import RESULT, ROWS, STATUS
from ..errors import DatabaseError, Error, InFailedSqlTransaction, InterfaceError, InvalidCursorName, database_error
from ..record import Column, Record
from ..sql import StatementClass
from ..types.oids import RECORD
from .queries import single

if TYPE_CHECKING:
    from ..rows import Row
    from ..scheduler.model import StatementRequest
    from .lease import Lease

#: Rows that are fetched at a time where nothing else is said.
PREFETCH = 500
_IS_THERE = "SELECT name FROM pg_catalog.pg_cursors WHERE name = $1"


def _is_count(number: object, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


class Cursor:
    """Made by :meth:`Connection.cursor`; ``async for`` gives the rows, `fetch` and `fetchrow` give some of them.

    All of them go on from the same position. The cursor lives until its last row is read, until `close`, or until the
    transaction ends.
    """

    __slots__ = (
        "_among",
        "_args",
        "_before_name",
        "_columns",
        "_described",
        "_doubts",
        "_fetched",
        "_lease",
        "_make",
        "_name",
        "_number",
        "_prefetch",
        "_sql",
        "_state",
        "_timeout",
        "_want",
    )

    def __init__(
        self,
        lease: Lease,
        sql: str,
        args: tuple[Any, ...],
        prefetch: int,
        timeout: float | None,
        row: Row[Any] | None = None,
        want: int = ROWS,
    ) -> None:
        if not _is_count(prefetch, 1):
            raise InterfaceError(f"prefetch: a number of rows >= 1 expected, got {prefetch!r}")
        sql, args = lease.context.by_number(sql, args)
        query = lease.lookup(sql)
        if not query.lexical.can_have_cursor:
            what = "several statements" if query.lexical.count > 1 else query.lexical.command or "no statement"
            what += " that changes rows" if query.lexical.kind is StatementClass.WRITE and what == "WITH" else ""
            raise InterfaceError(f"a cursor is for one SELECT, VALUES, TABLE or WITH, got {what}")
        self._lease = lease
        self._sql = sql
        self._before_name = "IN" if lease.context.database.may_have_records(query) else "FROM"
        self._args = args
        self._make = lease.context.maker(row)
        self._prefetch = prefetch
        self._timeout = timeout
        self._want = want
        #: Set with the first rows, where `want` is RESULT.
        self._columns: Sequence[Column] = ()
        self._state = "new"
        self._number = 0
        #: The numbers of its transaction: the session has other ones once that has ended.
        self._among: set[int] = set()
        #: The session's when it was last known to be there.
        self._doubts = 0
        self._name = ""
        #: What the driver knows of the rows since it has seen some.
        self._described: Any = None
        self._fetched: list[Any] = []

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> Any:
        if not self._fetched:
            try:
                await self._more(self._prefetch, self._timeout)
            except Error as error:
                error.__traceback__ = None
                raise error
            if not self._fetched:
                raise StopAsyncIteration
        return self._fetched.pop()

    async def fetch(self, count: int, *, timeout: float | None = None) -> list[Any]:
        """The next `count` rows, fewer at the end. `timeout` (seconds) instead of the cursor's, for this call."""
        if not _is_count(count, 0):
            raise InterfaceError(f"count: a number of rows >= 0 expected, got {count!r}")
        try:
            if (missing := count - len(self._fetched)) > 0:
                await self._more(missing, self._timeout if timeout is None else timeout)
        except Error as error:
            error.__traceback__ = None
            raise error
        rows = self._fetched[: -count - 1 : -1]
        del self._fetched[len(self._fetched) - len(rows) :]
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """The next row, or None; `timeout` as that of `fetch`."""
        rows = await self.fetch(1, timeout=timeout)
        return rows[0] if rows else None

    async def close(self) -> None:
        """Give up what was not read. Without effect where it has ended; if it fails, the transaction ends it."""
        self._fetched.clear()
        await self._end(self._timeout)

    async def _end(self, timeout: float | None) -> None:
        if self._state == "open" and not self._lease.is_over():
            self._state = "ended"
            # A failed transaction has ended it, or will: its number stays taken. An error of SQLite ends nothing else.
            with suppress(InFailedSqlTransaction, *(() if self._is_listed() else (InvalidCursorName,))):
                if await self._run(timeout, self._command(f"CLOSE {self._name}", STATUS)):
                    self._among.discard(self._number)
        self._state = "ended"

    async def _run(self, timeout: float | None, command: StatementRequest) -> bool:
        """Run a command for the open cursor, if it is there: else it would abort the transaction that is open now."""
        session, context = self._lease.session(), self._lease.context
        if self._among is not session.cursors:  # of a transaction before: this one may have its name for another
            return False
        doubts = session.doubts
        if self._doubts == doubts or session.error is not None:
            await session.run((command,), context.timeout(timeout))
            return True
        deadline = context.deadline(timeout)
        async with session.kept(deadline):  # what others call meanwhile may end it
            if not session.in_transaction():
                return False
            if self._is_listed() and not await self._lease.ask(
                _IS_THERE, (self._name.strip('"'),), remaining(deadline)
            ):
                return False
            self._doubts = doubts
            await session.run((command,), remaining(deadline))
        return True

    def _is_listed(self) -> bool:
        """Whether the database tells which cursors there are."""
        return self._lease.context.database.has_catalog

    async def _more(self, count: int, timeout: float | None) -> None:
        """Fetch so many more rows, behind those that are there."""
        if self._state == "ended":
            return
        declaration = None if self._state == "open" else await self._declaration(timeout)
        want = RESULT if self._before_name == "IN" and not self._columns else self._want  # tells the columns, too
        # What a FETCH returns is asked for first where IN stands before the name (`sql.records`).
        fetch = self._command(f"FETCH FORWARD {count} {self._before_name} {self._name}", want)
        fetch.described = self._described
        if declaration is not None:
            await self._lease.session().run((declaration, fetch), self._lease.context.timeout(timeout))
            self._state = "open" if self._state == "new" else self._state  # it may be closed meanwhile
        elif not await self._run(timeout, fetch):
            raise _gone(self._name)
        self._described = fetch.described
        if want is RESULT:
            self._columns = fetch.details[0]
            if not any(column.type_oid in (RECORD.oid, RECORD.array_oid) for column in self._columns):
                self._before_name = "FROM"
        rows: list[Record] = fetch.value
        self._fetched[:0] = self._make(rows)[::-1]  # they are not lost if the cursor's end fails
        if len(rows) < count:
            await self._end(timeout)

    async def _declaration(self, timeout: float | None) -> StatementRequest:
        session = self._lease.session()
        if not session.in_transaction():
            raise InterfaceError("a cursor lives inside a transaction: use `async with connection.transaction()`")
        self._number = next(number for number in range(1, len(session.cursors) + 2) if number not in session.cursors)
        self._among, self._doubts = session.cursors, session.doubts
        self._among.add(self._number)
        self._name = f'"db_pool_rs_cursor_{self._number}"'
        query = self._lease.lookup(self._sql)
        session.dirty = session.dirty or query.dirties
        select = single(await self._lease.parts(self._sql, self._lease.context.timeout(timeout)))
        return self._command(f"DECLARE {self._name} NO SCROLL CURSOR FOR {select}", STATUS, self._args)

    def _command(self, sql: str, want: int, args: tuple[Any, ...] = ()) -> StatementRequest:
        return self._lease.statement(self._lease.lookup(sql), args, want)


def _gone(name: str) -> DatabaseError:
    """What the server says of a cursor whose transaction has ended."""
    message = f"cursor {name} does not exist: its transaction has ended"
    return database_error({"severity": "ERROR", "sqlstate": "34000", "message": message})


def columns_of(cursor: Cursor) -> Sequence[Column]:
    """The columns of a cursor that fetches with RESULT, once rows were fetched."""
    return cursor._columns
