"""A connection and its cursors as SQLAlchemy drives them: calls that look synchronous, made from a greenlet."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy.connectors.asyncio import AsyncAdapt_terminate
from sqlalchemy.engine import AdaptedConnection
from sqlalchemy.util import await_only

from ..sql import StatementClass, classify
from ..sql.lexer import QUOTED, STRING
from .exceptions import raise_translated

if TYPE_CHECKING:
    from ..abc import Connection, Cursor, Pool, Transaction
    from .pools import SharedPools
    from .schema import SchemaChanges

T = TypeVar("T")

#: Rows that a server-side cursor fetches at a time unless it is asked for more.
_BUFFER = 50
#: Parameters of SQLite's, and all in which a question mark is none.
_QUESTION_MARK = re.compile(rf"{STRING}|{QUOTED}|`[^`]*`|--[^\n]*|/\*(?s:.*?)\*/|\?")
#: Commands that tell a number of rows.
_COUNTED = frozenset(("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "REPLACE"))
#: A program's own BEGIN: SQLAlchemy's recipe for savepoints on SQLite, in an event `begin`.
_BEGIN = re.compile(r"\s*BEGIN\b", re.IGNORECASE)
#: What SQLite refuses, or ignores, inside a transaction.
_OUTSIDE = frozenset(("PRAGMA", "VACUUM", "ATTACH", "DETACH", "ANALYZE", "EXPLAIN"))


def opened(dbapi: Any, pools: SharedPools, dsn: str, grouped: bool = False, **options: Any) -> AdaptedSession:
    """A new connection of an engine; it has its session now, or (`grouped`) for each transaction."""
    return await_only(_opened(dbapi, pools, dsn, grouped, options))


async def _opened(dbapi: Any, pools: SharedPools, dsn: str, grouped: bool, options: Any) -> AdaptedSession:
    sqlite = dsn.startswith("sqlite")
    try:
        pool = await pools.get(dsn, **options)
        session = None if grouped else await pool.acquire()
        return AdaptedSession(dbapi, pool, pools.schema, session, sqlite)
    except Exception as error:
        raise_translated(error, sqlite)


class AdaptedSession(AsyncAdapt_terminate, AdaptedConnection):
    """A connection of SQLAlchemy's: a session for all its life, or from the begin of each transaction to its end."""

    __slots__ = (
        "_grouped",
        "_lazy",
        "_lock",
        "_other",
        "_pool",
        "_schema",
        "_transaction",
        "dbapi",
        "deferrable",
        "isolation",
        "isolation_level",
        "readonly",
    )

    await_ = staticmethod(await_only)

    def __init__(self, dbapi: Any, pool: Pool, schema: SchemaChanges, session: Connection | None, lazy: bool) -> None:
        self.dbapi = dbapi
        self._pool = pool
        self._schema = schema
        self._connection: Connection | None = session  # type: ignore[assignment]  # SQLAlchemy's name for it
        self._grouped = session is None
        #: A transaction begins with the first statement that is no query (SQLite: it would keep others from writing).
        self._lazy = lazy
        self._transaction: Transaction | None = None
        self._lock = asyncio.Lock()
        #: As `Connection.transaction` takes it, or "autocommit"; None is the server's default.
        self.isolation: str | None = None
        self._other: str | None = None
        self.readonly = self.deferrable = False
        #: Of sqlite3: programs that begin transactions themselves set it to None, which makes no difference here.
        self.isolation_level: Any = ""

    @property
    def autocommit(self) -> bool:
        """Whether each statement is committed alone."""
        return self.isolation == "autocommit"

    @autocommit.setter
    def autocommit(self, value: bool) -> None:
        if value != self.autocommit:
            self.isolation, self._other = ("autocommit", self.isolation) if value else (self._other, None)

    def is_closed(self) -> bool:
        """Whether its session is lost."""
        return self._connection is not None and self._connection.is_closed()

    # -- called by cursors, with the lock ------------------------------------------------------------------------

    async def target(self, sql: str) -> Pool | Connection:
        """Where a statement is to run: a transaction is begun for it, where there is none."""
        if self._transaction is None and not self.autocommit and not (self._lazy and _stays_outside(sql)):
            await self.begin()
        session = self._connection
        if session is None:
            return self._pool
        if self._schema.count:
            await self._schema.describe(session, sql)
        return session

    async def begin(self) -> Connection:
        """Begin a transaction; it costs no round trip."""
        if self._connection is None:
            self._connection = await self._pool.acquire()
        if self._transaction is None:
            isolation: Any = None if self.autocommit else self.isolation
            transaction = self._connection.transaction(
                isolation=isolation, readonly=self.readonly, deferrable=self.deferrable
            )
            await transaction.start()
            self._transaction = transaction
        return self._connection

    async def _end(self, commit: bool) -> None:
        async with self._lock:
            transaction, self._transaction = self._transaction, None
            try:
                if transaction is not None:
                    await (transaction.commit() if commit else transaction.rollback())
            finally:
                if self._grouped:
                    await self._give_back()

    async def _give_back(self) -> None:
        session, self._connection = self._connection, None  # pyright: ignore[reportIncompatibleVariableOverride]
        if session is not None:
            await self._pool.release(session)

    # -- what SQLAlchemy calls -----------------------------------------------------------------------------------

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, from a greenlet; errors are PEP 249's."""
        try:
            return await_only(work)
        except Exception as error:
            raise_translated(error, self._lazy)

    def cursor(self, server_side: bool = False) -> BufferedCursor:
        """A cursor; `server_side`: one that fetches its rows a few at a time."""
        return ServerCursor(self) if server_side else BufferedCursor(self)

    def execute(self, operation: str, parameters: Sequence[Any] | None = None) -> BufferedCursor:
        """Run one statement on a cursor of its own."""
        cursor = self.cursor()
        cursor.execute(operation, parameters)
        return cursor

    def set_isolation(self, isolation: str | None) -> None:
        """Of the transactions from now on; what is open is rolled back."""
        if self._transaction is not None:
            self.rollback()
        self.isolation = isolation

    def commit(self) -> None:
        """End the transaction, if one was begun."""
        if self._is_begun():
            self.call(self._end(True))

    def rollback(self) -> None:
        """End the transaction, if one was begun, and undo what it did."""
        if self._is_begun():
            self.call(self._end(False))

    def _is_begun(self) -> bool:
        """Whether there is a transaction to end, or (`grouped`) a session that was to have one."""
        return self._transaction is not None or (self._grouped and self._connection is not None)

    def ping(self) -> None:
        """A sign of life of the session, or of the pool."""
        self.call((self._connection or self._pool).ping())

    def close(self) -> None:
        """Give the session back to the pool; what is open is rolled back."""
        self.call(self._close())

    async def _close(self) -> None:
        self._transaction, transaction = None, self._transaction
        try:
            if transaction is not None:
                await transaction.rollback()
        finally:
            await self._give_back()

    async def _terminate_graceful_close(self) -> None:
        if self._connection is not None:
            await self._connection.close(timeout=2)

    def _terminate_force_close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()


@lru_cache(maxsize=256)
def _numbered(sql: str) -> str:
    """SQLAlchemy asks SQLite's catalogue with `?`: the same with `$1`, `$2` ..."""
    number = count(1)
    return _QUESTION_MARK.sub(lambda found: found[0] if found[0] != "?" else f"${next(number)}", sql)


def _stays_outside(sql: str) -> bool:
    """Whether SQLite can run it outside a transaction, since nothing of it would be rolled back."""
    text = classify(sql, "sqlite")
    return text.kind is StatementClass.READ or text.command in _OUTSIDE


class BufferedCursor:
    """A cursor whose rows are all there after `execute`."""

    __slots__ = ("_connection", "_rows", "arraysize", "description", "rowcount")

    server_side = False

    def __init__(self, connection: AdaptedSession) -> None:
        self._connection = connection
        self._rows: deque[Any] = deque()
        self.arraysize = 1
        #: One tuple for each column: name, OID of its type, five times None; None where there are no columns.
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1

    def execute(self, operation: str, parameters: Sequence[Any] | None = None) -> None:
        """Run one statement."""
        self._connection.call(self._execute(operation, tuple(parameters or ())))

    def executemany(self, operation: str, parameters: Iterable[Sequence[Any]]) -> None:
        """Run one statement once for each element, in one transaction."""
        self._connection.call(self._executemany(operation, parameters))

    async def _execute(self, sql: str, args: tuple[Any, ...]) -> None:
        connection = self._connection
        if connection._lazy and args and "?" in sql:
            sql = _numbered(sql)
        async with connection._lock:
            if connection._lazy and _BEGIN.match(sql):
                await connection.begin()
                return
            target = await connection.target(sql)
            result = await target.fetch_result(sql, *args)
        self.description = _described(result.columns)
        self._rows = deque(result.rows)
        counts = result.status.command in _COUNTED
        self.rowcount = result.status.rows if counts else -1
        if not (counts or connection._lazy):
            connection._schema.note(result.status, sql)

    async def _executemany(self, sql: str, parameters: Iterable[Sequence[Any]]) -> None:
        self.description = None
        connection = self._connection
        async with connection._lock:
            target = await connection.target(sql)
            await target.executemany(sql, parameters)

    @property
    def lastrowid(self) -> Any:
        """SQLite's number of the row that this connection has inserted last."""
        session = self._connection._connection
        if session is None:
            return None
        return self._connection.call(session.fetchval("SELECT last_insert_rowid()"))

    def setinputsizes(self, *sizes: Any) -> None:
        """Types are in the text, or known to the server."""

    async def _async_soft_close(self) -> None:
        """The rows are still wanted, the cursor is not."""

    def close(self) -> None:
        """Forget the rows."""
        self._rows.clear()

    def __iter__(self) -> Any:
        while (row := self.fetchone()) is not None:
            yield row

    def fetchone(self) -> Any:
        """The next row, None at the end."""
        return self._rows.popleft() if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows; by default `arraysize` of them."""
        rows = self._rows
        return [rows.popleft() for _ in range(min(self.arraysize if size is None else size, len(rows)))]

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        rows = list(self._rows)
        self._rows.clear()
        return rows


def _described(columns: Iterable[Any]) -> list[tuple[Any, ...]] | None:
    return [(column[0], column[1], None, None, None, None, None) for column in columns] or None


class ServerCursor(BufferedCursor):
    """A cursor whose rows come from the server a few at a time, inside a transaction."""

    __slots__ = ("_cursor",)

    server_side = True

    def __init__(self, connection: AdaptedSession) -> None:
        super().__init__(connection)
        self._cursor: Cursor[Any] | None = None

    async def _execute(self, sql: str, args: tuple[Any, ...]) -> None:
        connection = self._connection
        if (connection._transaction is None and connection.autocommit) or not classify(sql).can_have_cursor:
            await super()._execute(sql, args)  # a cursor is a query's, inside a transaction: else all rows at once
            return
        async with connection._lock:
            session = await connection.begin()
            columns = [(one.name, one.type.oid) for one in (await session.prepare(sql)).get_attributes()]
            self.description = _described(columns)
            self._cursor = session.cursor(sql, *args)
            await self._more(_BUFFER)

    async def _more(self, count: int) -> bool:
        rows = [] if self._cursor is None else await self._cursor.fetch(count)
        self._rows.extend(rows)
        return bool(rows)

    def close(self) -> None:
        """Give up the rows that are left."""
        super().close()
        cursor, self._cursor = self._cursor, None
        if cursor is not None and self._connection._transaction is not None and not self._connection.is_closed():
            self._connection.call(cursor.close())

    def fetchone(self) -> Any:
        """The next row, None at the end."""
        if not self._rows:
            self._connection.call(self._more(_BUFFER))
        return super().fetchone()

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next rows."""
        size = self.arraysize if size is None else size
        if len(self._rows) < size:
            self._connection.call(self._more(size - len(self._rows)))
        return super().fetchmany(size)

    def fetchall(self) -> list[Any]:
        """All rows that are left."""
        while self._connection.call(self._more(1000)):
            pass
        return super().fetchall()
