"""Rows of a query a few at a time: a cursor of the database, declared inside a transaction.

On SQLite the driver understands the three commands that are used here, so that both databases are driven alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..drivers.base import RESULT, ROWS, STATUS
from ..errors import Error, InterfaceError
from ..record import Column, Record
from ..sql import StatementClass
from .queries import single

if TYPE_CHECKING:
    from ..rows import Row
    from ..scheduler.model import StatementRequest
    from .lease import Lease

_QUERIES = frozenset(("SELECT", "VALUES", "TABLE", "WITH"))
#: Rows that are fetched at a time where nothing else is said.
PREFETCH = 500


def _is_count(number: object, least: int) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= least


class Cursor:
    """Made by :meth:`Connection.cursor`; ``async for`` gives the rows, `fetch` and `fetchrow` give some of them.

    All of them go on from the same position. The cursor lives until its last row is read, until `close`, or until the
    transaction ends.
    """

    __slots__ = (
        "_args",
        "_columns",
        "_described",
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
        writes = query.lexical.kind is StatementClass.WRITE  # PostgreSQL refuses it too: rows could be left unread
        if query.lexical.count > 1 or query.lexical.command not in _QUERIES or writes:
            what = "several statements" if query.lexical.count > 1 else query.lexical.command or "no statement"
            what += " that changes rows" if writes and what == "WITH" else ""
            raise InterfaceError(f"a cursor is for one SELECT, VALUES, TABLE or WITH, got {what}")
        self._lease = lease
        self._sql = sql
        self._args = args
        self._make = lease.context.maker(row)
        self._prefetch = prefetch
        self._timeout = timeout
        self._want = want
        #: Set with the first rows, where `want` is RESULT.
        self._columns: Sequence[Column] = ()
        self._state = "new"
        self._number = 0
        self._name = ""
        #: What the driver knows of the rows since it has seen some.
        self._described: Any = None
        self._fetched: list[Any] = []

    def __aiter__(self) -> Cursor:
        return self

    async def __anext__(self) -> Any:
        if not self._fetched:
            try:
                self._fetched = await self._more(self._prefetch, self._timeout)
            except Error as error:
                error.__traceback__ = None
                raise error
            self._fetched.reverse()
            if not self._fetched:
                raise StopAsyncIteration
        return self._fetched.pop()

    async def fetch(self, count: int, *, timeout: float | None = None) -> list[Any]:
        """The next `count` rows, fewer at the end. `timeout` (seconds) instead of the cursor's, for this call."""
        if not _is_count(count, 0):
            raise InterfaceError(f"count: a number of rows >= 0 expected, got {count!r}")
        rows = self._fetched[: -count - 1 : -1]
        del self._fetched[len(self._fetched) - len(rows) :]
        try:
            if len(rows) < count:
                rows += await self._more(count - len(rows), self._timeout if timeout is None else timeout)
        except Error as error:
            error.__traceback__ = None
            raise error
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """The next row, or None; `timeout` as that of `fetch`."""
        rows = await self.fetch(1, timeout=timeout)
        return rows[0] if rows else None

    async def close(self) -> None:
        """Give up what was not read. Without effect where it has ended."""
        self._fetched.clear()
        await self._end(self._timeout)

    async def _end(self, timeout: float | None) -> None:
        if self._state == "open":
            self._state = "ended"
            await self._run(timeout, self._command(f"CLOSE {self._name}", STATUS))
            self._lease.session().cursors.discard(self._number)
        self._state = "ended"

    async def _more(self, count: int, timeout: float | None) -> list[Any]:
        if self._state == "ended" or not count:
            return []
        commands = [] if self._state == "open" else [await self._declaration(timeout)]
        fetch = self._command(f"FETCH FORWARD {count} FROM {self._name}", self._want)
        fetch.described = self._described
        await self._run(timeout, *commands, fetch)
        self._described = fetch.described
        if self._want is RESULT:
            self._columns = fetch.details[0]
        self._state = "open"
        rows: list[Record] = fetch.value
        if len(rows) < count:
            await self._end(timeout)
        return self._make(rows)

    async def _declaration(self, timeout: float | None) -> StatementRequest:
        session = self._lease.session()
        if not session.in_transaction():
            raise InterfaceError("a cursor lives inside a transaction: use `async with connection.transaction()`")
        self._number = next(number for number in range(1, len(session.cursors) + 2) if number not in session.cursors)
        session.cursors.add(self._number)
        self._name = f'"db_pool_rs_cursor_{self._number}"'
        query = self._lease.lookup(self._sql)
        session.dirty = session.dirty or query.dirties
        select = single(await self._lease.parts(self._sql, self._lease.context.timeout(timeout)))
        return self._command(f"DECLARE {self._name} NO SCROLL CURSOR FOR {select}", STATUS, self._args)

    def _command(self, sql: str, want: int, args: tuple[Any, ...] = ()) -> StatementRequest:
        return self._lease.statement(self._lease.lookup(sql), args, want)

    async def _run(self, timeout: float | None, *statements: StatementRequest) -> None:
        await self._lease.session().run(statements, self._lease.context.timeout(timeout))


def columns_of(cursor: Cursor) -> Sequence[Column]:
    """The columns of a cursor that fetches with RESULT, once rows were fetched."""
    return cursor._columns
