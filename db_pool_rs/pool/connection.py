"""A connection that one caller holds, and what it makes: transactions and prepared statements."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from ..aio import Expired, remaining, within
from ..described import ServerVersion
from ..drivers.base import RESULT, ROWS, STATUS
from ..errors import Error, InterfaceError
from ..record import Record, Result, Status
from ..rows import Row
from ..sql import StatementClass
from . import arrow, copy
from .context import ARROW_BATCH
from .cursor import PREFETCH, Cursor
from .lease import Lease, close
from .listen import Notifications
from .named import many_by_number, text_by_number
from .prepared import PreparedStatement, types_of
from .queries import empty_result
from .stream import CopyPieces, pieces
from .transaction import Transaction

if TYPE_CHECKING:
    from .. import abc

#: How many executions `executemany` sends before it waits for answers.
CHUNK = 500


class Connection:
    """A session, exclusively held; made by ``pool.acquire()`` and ``pool.transaction()``.

    Calls from several tasks are executed in call order. A handle that was given back raises InterfaceError.
    """

    __slots__ = ("__weakref__", "_lease", "_notifications", "attempt")

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        #: Which attempt of ``pool.run`` this is, from 1 on.
        self.attempt = 1
        self._notifications: Notifications | None = None

    # -- statements ----------------------------------------------------------------------------------------------

    async def fetch(
        self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """Run one statement; its rows, made into what `row` says. `timeout` in seconds, like everywhere else."""
        try:
            make = self._lease.context.maker(row)
            return make(await self._lease.run(sql, args, ROWS, timeout))
        except Error as error:
            error.__traceback__ = None
            raise error

    async def fetch_result(self, sql: str, /, *args: Any, timeout: float | None = None) -> Result:
        """Run one statement: its rows, its columns (also where there is no row) and its command tag, in one answer."""
        try:
            result: Result = await self._lease.run(sql, args, RESULT, timeout)
        except Error as error:
            error.__traceback__ = None
            raise error
        return result

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None) -> Any:
        """Run one statement; its first row, or None."""
        try:
            make = self._lease.context.maker(row)
            rows = await self._lease.run(sql, args, ROWS, timeout)
            return make(rows[:1])[0] if rows else None
        except Error as error:
            error.__traceback__ = None
            raise error

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Run one statement; one value of its first row, or None if there is no row."""
        try:
            rows = await self._lease.run(sql, args, ROWS, timeout)
        except Error as error:
            error.__traceback__ = None
            raise error
        return rows[0][column] if rows else None

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """Run one statement; its command tag. Without arguments `sql` may hold several statements: the last one's.

        Several statements are one implicit transaction, unless they control transactions themselves.
        """
        try:
            if not args and self._lease.lookup(sql).lexical.count > 1:
                return await self._lease.script(sql, timeout)
            status: Status = await self._lease.run(sql, args, STATUS, timeout)
        except Error as error:
            error.__traceback__ = None
            raise error
        return status

    async def executemany(self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Run one statement once for each element of `args`: pipelined, and as a whole or not at all."""
        try:
            await self._many(sql, args, STATUS, timeout)
        except Error as error:
            error.__traceback__ = None
            raise error

    async def fetchmany(
        self,
        sql: str,
        args: Iterable[Iterable[Any]],
        /,
        *,
        timeout: float | None = None,
        row: Row[Any] | None = None,
    ) -> list[Any]:
        """`executemany` with the rows of all executions, one after the other, in the order of `args`."""
        try:
            make = self._lease.context.maker(row)
            return make(await self._many(sql, args, ROWS, timeout))
        except Error as error:
            error.__traceback__ = None
            raise error

    async def _many(self, sql: str, args: Iterable[Iterable[Any]], want: bool, timeout: float | None) -> list[Record]:
        context = self._lease.context
        sql, args = many_by_number(sql, args, context.database.dialect)
        session, query = self._lease.taken(sql)
        deadline = context.deadline(timeout)
        todo = iter(args)
        if query.kind is StatementClass.EMPTY:
            for none in todo:
                empty_result(tuple(none), want)
            return []
        chunk, first = list(islice(todo, CHUNK)), 0
        if len(chunk) < CHUNK and context.database.atomic_groups:
            return await self._lease.run_many(query, chunk, first, want, deadline)
        rows: list[Record] = []
        async with session.kept(deadline), self.transaction():
            while chunk:
                rows += await self._lease.run_many(query, chunk, first, want, deadline, undone=True)
                chunk, first = list(islice(todo, CHUNK)), first + CHUNK
        return rows

    async def prepare(
        self, sql: str, /, *, timeout: float | None = None, row: Row[Any] | None = None
    ) -> PreparedStatement:
        """Have the database check one statement; it can then be run many times. Raises what is wrong with it.

        What is told of it, columns among it, is asked for once: types that are not built in cost a round trip more.

        `row` is that of its fetches and cursors.
        """
        context = self._lease.context
        try:
            context.maker(row)
            deadline = context.deadline(timeout)
            told = await self._lease.describe(text_by_number(sql, context.database.dialect), remaining(deadline))
            types = await types_of(self._lease, told, remaining(deadline))
        except Error as error:
            error.__traceback__ = None
            raise error
        return PreparedStatement(self, sql, row, told, types)

    def cursor(
        self,
        sql: str,
        /,
        *args: Any,
        prefetch: int = PREFETCH,
        timeout: float | None = None,
        row: Row[Any] | None = None,
    ) -> Cursor:
        """The rows of a query a few at a time, inside a transaction: ``async for row in connection.cursor(...)``.

        `prefetch` rows are fetched at a time; `timeout` is that of each round trip. It begins with its first row.
        """
        return Cursor(self._lease, sql, args, prefetch, timeout, row)

    # -- transactions --------------------------------------------------------------------------------------------

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """A transaction block (``async with``); inside another one, a savepoint.

        `isolation`: "read_uncommitted", "read_committed", "repeatable_read" or "serializable"; None is the server's
        default. A block that ends normally is committed, one that ends with an exception is rolled back.
        """
        return Transaction(self, self._lease, isolation, readonly, deferrable)

    def is_in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self._lease.session().in_transaction()

    # -- the session itself --------------------------------------------------------------------------------------

    async def ping(self, *, timeout: float | None = None) -> None:
        """Ask the server for a sign of life: one round trip, always."""
        await self._lease.run("SELECT 1", (), ROWS, timeout)

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection instead of giving it back: what was called is finished first.

        After `timeout` seconds it is cut off. The pool opens another one when it needs it.
        """
        session = self._lease.end()
        if session is None:
            return
        try:
            with contextlib.suppress(Expired):
                await within(session.wait_idle(), timeout)
        finally:
            close(session)

    def terminate(self) -> None:
        """Close the connection at once; what runs on it gets ConnectionLost."""
        session = self._lease.end()
        if session is not None:
            close(session)

    def is_closed(self) -> bool:
        """Whether it was closed, lost, or given back."""
        return self._lease.is_over()

    def get_server_pid(self) -> int:
        """The process of the server that serves this session; InterfaceError where there is no server (SQLite)."""
        return int(self._server().pid)

    def get_settings(self) -> dict[str, str]:
        """The settings that the server reports without being asked, as it reported them last."""
        return dict(self._server().parameters())

    def get_server_version(self) -> ServerVersion:
        """The version of the server."""
        return ServerVersion.parse(self.get_settings().get("server_version", ""))

    def _server(self) -> Any:
        session = self._lease.held()
        if not session.database.has_settings:
            raise InterfaceError("SQLite has no server, and its connections have no settings of a session")
        return session.link

    async def reload_schema_state(self) -> None:
        """Forget what the pool knows of tables and types: it is asked for again where it is needed."""
        self._lease.session().database.schema_changed(True)

    # -- COPY (named and used as asyncpg's) ----------------------------------------------------------------------

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Any,
        columns: Any = None,
        schema_name: str | None = None,
        where: str | None = None,
        timeout: float | None = None,
    ) -> Status:
        """Insert many records at once, by COPY: an iterable, or an asynchronous one, of sequences of values.

        `columns` names the columns that they hold, all of the table's by default; `where` is an SQL condition on them.
        All of it is inserted or, if one does not fit (ArgumentError, DatabaseError), nothing.
        """
        return await copy.records_to_table(
            self._lease, table_name, records, columns=columns, schema=schema_name, where=where, timeout=timeout
        )

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Any,
        columns: Any = None,
        schema_name: str | None = None,
        where: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Status:
        """Insert rows from a file or stream: a path, a binary file, or an asynchronous iterable of bytes.

        `options` are those of COPY: format ("text", "csv", "binary"), delimiter, null, header, quote, escape,
        force_not_null, force_null, encoding, freeze.
        """
        table = copy.table(table_name, schema_name, columns)
        return await copy.to_table(self._lease, table, source, where, options, timeout)

    async def copy_from_table(
        self,
        table_name: str,
        *,
        output: Any,
        columns: Any = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Status:
        """Write a table to a path, a binary file, or a coroutine function that takes bytes.

        `options` are those of COPY: format ("text", "csv", "binary"), delimiter, null, header, quote, escape,
        force_quote, encoding.
        """
        table = copy.table(table_name, schema_name, columns)
        return await copy.from_table(self._lease, table, output, options, timeout)

    async def copy_from_query(
        self, query: str, /, *args: Any, output: Any, timeout: float | None = None, **options: Any
    ) -> Status:
        """Write the rows of a query, which may have arguments, as `copy_from_table` does those of a table."""
        query, args = self._lease.context.by_number(query, args)
        return await copy.from_query(self._lease, query, args, output, options, timeout)

    def copy_out(
        self,
        what: str,
        /,
        *args: Any,
        columns: Any = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> AsyncGenerator[bytes, None]:
        """The rows of a query, or a table, as COPY sends them: ``async for data in connection.copy_out(what)``.

        As many rows at a time as have arrived, no more than are taken. To leave it early stops the server. `timeout` is
        for all of it; `options` are those of `copy_from_table`.
        """
        out = partial(copy.out, columns=columns, schema=schema_name, given=options, timeout=timeout)
        return CopyPieces(self._lease, pieces(lambda sink: out(self._lease, what, args, sink)))

    async def copy_in(
        self,
        table_name: str,
        *,
        source: Any,
        columns: Any = None,
        schema_name: str | None = None,
        where: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Status:
        """Insert rows: records as for `copy_records_to_table`, or data as for `copy_to_table`, bytes included.

        An iterable of bytes, asynchronous or not, is data, any other is records. `options` belong to data.
        """
        return await copy.into(
            self._lease, table_name, source, options, columns=columns, schema=schema_name, where=where, timeout=timeout
        )

    # -- Arrow ---------------------------------------------------------------------------------------------------

    async def fetch_arrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> abc.ArrowTable:
        """The rows of a query as a table that polars, pandas, DuckDB and pyarrow read by the Arrow C stream interface.

        No Python object is made for a value. PostgreSQL sends the rows by COPY in binary; docs/arrow.md says what each
        type becomes. SQLite's columns are what their values are: DecodeError if those are of several types. `full`
        needs nothing else for PostgreSQL; `simple`, `balanced` and SQLite need pyarrow, else InterfaceError.
        """
        return await arrow.fetch(self._lease, sql, args, timeout)

    def stream_arrow(
        self, sql: str, /, *args: Any, batch: int = ARROW_BATCH, timeout: float | None = None
    ) -> AsyncGenerator[abc.ArrowTable, None]:
        """The same, at most `batch` rows at a time and no faster than they are taken; on SQLite in a transaction.

        To leave it early stops the server. `timeout` is for all of it.
        """
        return arrow.tables(sql, args, arrow.check_rows(batch), timeout, self)

    # -- what the session is told unasked ------------------------------------------------------------------------

    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """Listen to a channel: ``callback(connection, pid, channel, payload)`` is called for each notification.

        It may be a coroutine function. LISTEN inside a transaction begins with its commit, and is gone if it is rolled
        back. Releasing the connection ends it.
        """
        await self._listeners().add(channel, callback)

    async def remove_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """End what `add_listener` began."""
        await self._listeners().remove(channel, callback)

    def add_termination_listener(self, callback: Callable[..., Any]) -> None:
        """``callback(connection)`` is called once if the connection is lost while it is held."""
        self._listeners().add_callback("end", callback)

    def remove_termination_listener(self, callback: Callable[..., Any]) -> None:
        """End what `add_termination_listener` began."""
        self._listeners().remove_callback("end", callback)

    def add_notice_listener(self, callback: Callable[..., Any]) -> None:
        """``callback(connection, notice)`` is called for each notice and warning of the server on this connection."""
        self._listeners().add_callback("notice", callback)

    def remove_notice_listener(self, callback: Callable[..., Any]) -> None:
        """End what `add_notice_listener` began."""
        self._listeners().remove_callback("notice", callback)

    def _listeners(self) -> Notifications:
        """The callbacks of this connection; InterfaceError where the database has no notifications."""
        session = self._lease.session()
        if not session.database.notifications:
            raise InterfaceError("SQLite has no notifications, and its connections are not lost")
        if self._notifications is None:
            self._notifications = Notifications(self, session, self._lease.context.config.command_timeout)
        return self._notifications

    def __repr__(self) -> str:
        return f"<Connection {'returned' if self._lease.ended else 'held'}>"
