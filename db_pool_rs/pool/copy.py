"""The COPY calls of a connection, named and used as asyncpg's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..aio import remaining
from ..drivers.base import STATUS, Sink, Source
from ..errors import InterfaceError
from ..record import Status
from ..scheduler.model import StatementRequest
from . import copycommand
from .copystreams import sink_of, source_of
from .exclusive import session_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from .copyquery import Host


class CopyCalls:
    """Mixed into :class:`~db_pool_rs.pool.connection.Connection`."""

    __slots__ = ()

    async def copy_records_to_table(
        self: Host,
        table_name: str,
        *,
        records: Any,
        columns: Any = None,
        schema_name: str | None = None,
        where: str | None = None,
        timeout: float | None = None,
    ) -> Status:
        """Insert many records at once (COPY in binary): an iterable, or an asynchronous one, of sequences of values.

        `columns` names the columns that they hold, all of the table's by default; `where` is an SQL condition on them.
        All of it is inserted or, if one does not fit (ArgumentError, DatabaseError), nothing.
        """
        from .copy_data import COLUMNS, RecordEncoder

        table = copycommand.table(table_name, schema_name)
        full = copycommand.table(table_name, schema_name, columns)
        _postgresql(self)
        deadline = self.pool.deadline(timeout)
        there = {row["name"]: row for row in await self.fetch(COLUMNS, table, timeout=remaining(deadline))}
        chosen = list(there) if columns is None else list(columns)
        missing = [name for name in chosen if name not in there]
        if missing:
            raise InterfaceError(f"columns: {table} has no column {missing[0]!r} to be filled; it has {list(there)}")
        encoder = RecordEncoder([there[name] for name in chosen])
        sql = f"COPY {full} FROM STDIN WITH (FORMAT binary){_where(where)}"
        return await _copy(self, sql, encoder.pieces(records), remaining(deadline))

    async def copy_to_table(
        self: Host,
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
        table = copycommand.table(table_name, schema_name, columns)
        sql = f"COPY {table} FROM STDIN{copycommand.options(options)}{_where(where)}"
        return await _copy(self, sql, source_of(source), timeout)

    async def copy_from_table(
        self: Host,
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
        table = copycommand.table(table_name, schema_name, columns)
        return await _copy_out(self, f"COPY {table} TO STDOUT{copycommand.options(options)}", output, timeout)

    async def copy_from_query(
        self: Host, query: str, /, *args: Any, output: Any, timeout: float | None = None, **options: Any
    ) -> Status:
        """Write the rows of a query, which may have arguments, as `copy_from_table` does those of a table."""
        text = self.lookup(query)
        if text.lexical.count != 1:
            raise InterfaceError(f"query: one statement expected, got {text.lexical.count}")
        from .copyquery import with_literals

        _postgresql(self)
        deadline = self.pool.deadline(timeout)
        sql = f"COPY ({await with_literals(self, query, args, deadline)}\n) TO STDOUT{copycommand.options(options)}"
        return await _copy_out(self, sql, output, remaining(deadline))


def _where(condition: str | None) -> str:
    return "" if condition is None else f" WHERE {condition}"


def _postgresql(connection: Host) -> None:
    if connection.session().user.dialect != "postgresql":
        raise InterfaceError("COPY is PostgreSQL's; executemany() inserts many rows into SQLite")


async def _copy_out(connection: Host, sql: str, output: Any, timeout: float | None) -> Status:
    async with sink_of(output) as sink:
        return await _copy(connection, sql, sink, timeout)


async def _copy(connection: Host, sql: str, stream: Source | Sink, timeout: float | None) -> Status:
    _postgresql(connection)
    statement = StatementRequest(session_text(sql, "postgresql"), (), STATUS, None)
    session = connection.session()
    session.dirty = session.dirty or statement.query.dirties
    session.last_sql = sql
    close: Callable[[], Any] | None = getattr(stream, "aclose", None)
    try:
        await session.copy(statement, stream, connection.pool.timeout(timeout))
    finally:
        if close is not None and not session.user.busy:
            await close()
    status: Status = statement.value
    return status
