"""A connection that one borrower holds to himself, and the transactions on it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ..aio import remaining
from ..drivers.base import ROWS, STATUS
from ..errors import ArgumentError, DatabaseError, InterfaceError, database_error
from ..record import Record, Status
from ..scheduler.cost import Query
from ..scheduler.model import StatementRequest
from ..sql import StatementClass, split_statements
from .copy import CopyCalls
from .cursor import PREFETCH, Cursor
from .exclusive import session_text
from .listen import Notifications
from .preparation import PreparedStatement
from .queries import empty_result
from .session import Session

if TYPE_CHECKING:
    from .pool import Pool

#: How many executions `executemany` sends before it waits for answers.
CHUNK = 500


class Connection(CopyCalls):
    """A session, exclusively held; made by ``pool.acquire()`` and ``pool.transaction()``.

    Calls from several tasks are executed in call order. A handle that was given back raises InterfaceError.
    """

    __slots__ = ("__weakref__", "_pool", "_session")

    def __init__(self, pool: Pool, session: Session) -> None:
        self._pool = pool
        self._session: Session | None = session

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Record]:
        """Run one statement; its rows. `timeout` in seconds, like everywhere else."""
        rows: list[Record] = await self._run(sql, args, ROWS, timeout)
        return rows

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> Record | None:
        """Run one statement; its first row, or None."""
        rows = await self._run(sql, args, ROWS, timeout)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Run one statement; one value of its first row, or None if there is no row."""
        rows = await self._run(sql, args, ROWS, timeout)
        return rows[0][column] if rows else None

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """Run one statement; its command tag. Without arguments `sql` may hold several statements: the last one's.

        Several statements are one implicit transaction, unless they control transactions themselves.
        """
        if not args and self.lookup(sql).lexical.count > 1:
            return await self._script(sql, timeout)
        status: Status = await self._run(sql, args, STATUS, timeout)
        return status

    async def executemany(self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Run one statement once for each element of `args`: pipelined, and as a whole or not at all."""
        session, query = self._checked(sql, several=False)
        deadline = self._pool.deadline(timeout)
        todo = iter(args)
        if query.kind is StatementClass.EMPTY:
            for none in todo:
                empty_result(tuple(none), STATUS)
            return
        chunk, first = list(islice(todo, CHUNK)), 0
        if len(chunk) < CHUNK and self._pool.atomic_groups:
            await self._send_chunk(session, query, chunk, first, deadline)
            return
        async with self.transaction():
            while chunk:
                await self._send_chunk(session, query, chunk, first, deadline)
                chunk, first = list(islice(todo, CHUNK)), first + CHUNK

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """A transaction block (``async with``); inside another one, a savepoint.

        `isolation`: "read_uncommitted", "read_committed", "repeatable_read" or "serializable"; None is the server's
        default. A block that ends normally is committed, one that ends with an exception is rolled back.
        """
        return Transaction(self, isolation, readonly, deferrable)

    def cursor(self, sql: str, /, *args: Any, prefetch: int = PREFETCH, timeout: float | None = None) -> Cursor:
        """The rows of a query a few at a time, inside a transaction: ``async for row in connection.cursor(...)``.

        `prefetch` rows are fetched at a time; `timeout` is that of each round trip. It begins with its first row.
        """
        return Cursor(self, sql, args, prefetch, timeout)

    async def prepare(self, sql: str, /, *, timeout: float | None = None) -> PreparedStatement:
        """Have the database check one statement; it can then be run many times. Raises what is wrong with it."""
        session, query = self._checked(sql, several=False)
        if query.kind is not StatementClass.EMPTY:
            await session.describe(StatementRequest(query, (), STATUS, None), self._pool.timeout(timeout))
        return PreparedStatement(self, sql)

    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """Listen to a channel: ``callback(connection, pid, channel, payload)`` is called for each notification.

        It may be a coroutine function. LISTEN inside a transaction begins with its commit, and is gone if it is rolled
        back. Releasing the connection ends it.
        """
        await self._told().add(channel, callback)

    async def remove_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """End what `add_listener` began."""
        await self._told().remove(channel, callback)

    def add_termination_listener(self, callback: Callable[..., Any]) -> None:
        """``callback(connection)`` is called once if the connection is lost while it is held."""
        self._told().add_ended(callback)

    def remove_termination_listener(self, callback: Callable[..., Any]) -> None:
        """End what `add_termination_listener` began."""
        self._told().remove_ended(callback)

    def is_in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self.session().in_transaction()

    def __repr__(self) -> str:
        return f"<Connection {'returned' if self._session is None else 'held'}>"

    def __del__(self) -> None:
        session = self._session
        if session is not None:
            self._session = None
            self._pool.reclaim(session)
            warnings.warn(f"a connection was never released; it was {session.holding}", ResourceWarning, stacklevel=2)

    # -- inner workings ------------------------------------------------------------------------------------------

    @property
    def pool(self) -> Pool:
        """The pool that lent it."""
        return self._pool

    def _told(self) -> Notifications:
        """What the session is told; InterfaceError where the database has no notifications."""
        session = self.session()
        if session.user.dialect != "postgresql":
            raise InterfaceError("SQLite has no notifications, and its connections are not lost")
        if session.told is None:
            session.told = Notifications(self, session)
            session.user.on_notification, session.user.on_lost = session.told.notified, session.told.lost
        return session.told

    def detach(self) -> Session | None:
        """Take the session away from this handle: it was given back."""
        session, self._session = self._session, None
        return session

    def session(self) -> Session:
        """The session behind this handle; InterfaceError if it was given back."""
        if self._session is None:
            raise InterfaceError("this connection was given back to its pool; acquire another one")
        self._pool.check()
        return self._session

    def lookup(self, sql: str) -> Query:
        """What is known of an SQL text."""
        session = self.session()
        return session.lookup(self._pool.lookup(sql))

    def statement(self, query: Query, args: tuple[Any, ...], want: bool) -> StatementRequest:
        """An execution of `query`, its arguments encoded if their types are known."""
        statement = StatementRequest(query, args, want, None)
        if query.description is not None:
            self._pool.encode(statement)
        return statement

    def _checked(self, sql: str, several: bool) -> tuple[Session, Query]:
        session, query = self.session(), self._pool.lookup(sql)
        if query.lexical.count > 1 and not several:
            raise InterfaceError("one statement at a time: only execute() without arguments takes several")
        if session.strays is not None:
            query = session.lookup(query)
        session.note(query)
        return session, query

    async def _run(self, sql: str, args: tuple[Any, ...], want: bool, timeout: float | None) -> Any:
        session, query = self._checked(sql, several=False)
        if query.kind is StatementClass.EMPTY:
            return empty_result(args, want)
        statement = self.statement(query, args, want)
        await session.run((statement,), self._pool.timeout(timeout))
        return statement.value

    async def parts(self, sql: str, timeout: float | None) -> list[str]:
        """The statements of a text; InterfaceError if this session reads its strings otherwise than it is split."""
        if "\\'" in sql and self.session().user.dialect == "postgresql":
            strings = await self.fetchval("SHOW standard_conforming_strings", timeout=timeout)
            if strings != "on":  # a function has set it: SET and set_config are refused
                raise InterfaceError(
                    "standard_conforming_strings is off on this session, so a text with a backslash before a quote "
                    "cannot be divided into its statements: set it on, or write E'...'"
                )
        return split_statements(sql, self.session().user.dialect)

    async def _script(self, sql: str, timeout: float | None) -> Status:
        session, _ = self._checked(sql, several=True)
        deadline = self._pool.deadline(timeout)
        parts = await self.parts(sql, remaining(deadline))
        group = [StatementRequest(session_text(one, session.user.dialect), (), STATUS, None) for one in parts]
        await session.run(group, remaining(deadline))
        status: Status = group[-1].value
        return status

    async def _send_chunk(
        self, session: Session, query: Query, chunk: list[Any], first: int, deadline: float | None
    ) -> None:
        group = [StatementRequest(query, tuple(args), STATUS, None) for args in chunk]
        number = 0
        try:
            for statement in group:
                if query.description is not None:
                    self._pool.encode(statement)
                number += 1
            if group:
                await session.run(group, remaining(deadline))
        except ArgumentError as error:
            if number == len(group):  # found when the server had told the types
                number = [statement.error is error for statement in group].index(True)
            raise ArgumentError(f"element {first + number}: {error}") from None


class Transaction:
    """``async with`` block made by :meth:`Connection.transaction`."""

    __slots__ = ("_connection", "_name", "_options", "_start")

    def __init__(self, connection: Connection, isolation: str | None, readonly: bool, deferrable: bool) -> None:
        self._connection = connection
        self._options = (isolation, readonly, deferrable)
        self._name = ""
        self._start = ""

    async def __aenter__(self) -> Connection:
        session = self._connection.session()
        if self._start:
            raise InterfaceError("this transaction block was used already; make a new one")
        if not session.can_send:
            await session.settle()
        if session.in_transaction():
            if any(self._options):
                raise InterfaceError("isolation, readonly and deferrable belong to the outermost transaction")
            session.savepoints += 1
            self._name = f"db_pool_rs_{session.savepoints}"
            self._start = f"SAVEPOINT {self._name}"
        else:
            self._start = self._connection._pool.begin(*self._options)
        session.pending_commands.append(self._start)
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session = self._connection._session
        if session is None:
            return  # the borrower gave the connection back inside the block: it was rolled back there
        if not self._name:
            session.cursors.clear()  # they end with the transaction
        if self._start in session.pending_commands:  # nothing was executed inside: the server never heard of it
            del session.pending_commands[session.pending_commands.index(self._start) :]
        elif error is None:
            await self._commit(session)
        elif not session.can_send:  # a call was cancelled or timed out: whoever waits for us is not kept waiting
            session.defer(*self._undo())
        elif session.in_transaction():  # else the borrower ended it himself, or the connection is lost
            await self._roll_back(session)

    async def _commit(self, session: Session) -> None:
        query = f"RELEASE SAVEPOINT {self._name}" if self._name else "COMMIT"
        tag = await session.command(query, timeout=self._connection._pool.timeout(None))
        if tag == "ROLLBACK" and not self._name:
            raise _rolled_back()

    async def _roll_back(self, session: Session) -> None:
        try:
            await session.command(*self._undo(), timeout=self._connection._pool.timeout(None))
        except Exception as error:  # the block's own error is what the caller wants to see
            self._connection._pool.note(error)

    def _undo(self) -> tuple[str, ...]:
        if self._name:
            return (f"ROLLBACK TO SAVEPOINT {self._name}", f"RELEASE SAVEPOINT {self._name}")
        return ("ROLLBACK",)


def _rolled_back() -> DatabaseError:
    message = "the transaction was rolled back, not committed: a statement in it had failed"
    return database_error({"severity": "ERROR", "sqlstate": "25P02", "message": message})
