"""COPY as the calls of a connection make it: the text of the command, names quoted, and the data in or out.

COPY takes no arguments, so that those of a query become constants of its text: the server says what type each has, and
writes the constant.
"""

from __future__ import annotations

import re
from asyncio import CancelledError
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ..aio import EndedItself, Expired, remaining, within
from ..drivers.base import STATUS, Sink, Source, error_of_stream
from ..errors import ArgumentError, DatabaseError, InterfaceError, StatementTimeout
from ..record import Status
from ..scheduler.model import StatementRequest
from ..sql import classify
from ..sql.quoting import literal, quoted
from .queries import single

if TYPE_CHECKING:
    from .lease import Lease

FORMATS = ("text", "csv", "binary")
#: How the statements begin whose rows can be copied.
QUERIES = frozenset(("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"))


async def records_to_table(
    lease: Lease, name: str, records: Any, *, columns: Any, schema: str | None, where: str | None, timeout: float | None
) -> Status:
    """Insert many records; see :meth:`Connection.copy_records_to_table`."""
    from .copy_data import COLUMNS, record_encoder

    whole = table(name, schema)
    full = table(name, schema, columns)
    _check(lease)
    deadline = lease.context.deadline(timeout)
    there = {row["name"]: row for row in await lease.ask(COLUMNS, (whole,), remaining(deadline))}
    chosen = list(there) if columns is None else list(columns)
    missing = [name for name in chosen if name not in there]
    if missing:
        raise InterfaceError(f"columns: {whole} has no column {missing[0]!r} to be filled; it has {list(there)}")
    encoder = await record_encoder(lease, [there[name] for name in chosen], deadline)
    sql = f"COPY {full} FROM STDIN WITH (FORMAT {encoder.format}){_where(where)}"
    try:
        return await _copy(lease, sql, encoder.pieces(records), remaining(deadline))
    except (ArgumentError, DatabaseError):
        encoder.forget()
        raise


async def to_table(
    lease: Lease, table: str, source: Any, where: str | None, given: dict[str, Any], timeout: float | None
) -> Status:
    """Insert rows from a file or stream; see :meth:`Connection.copy_to_table`."""
    from .copy_data import source_of

    sql = f"COPY {table} FROM STDIN{options(given)}{_where(where)}"
    return await _copy(lease, sql, source_of(source), timeout)


async def from_table(lease: Lease, table: str, output: Any, given: dict[str, Any], timeout: float | None) -> Status:
    """Write a table; see :meth:`Connection.copy_from_table`."""
    return await _copy_out(lease, f"COPY {table} TO STDOUT{options(given)}", output, timeout)


async def from_query(
    lease: Lease, query: str, args: tuple[Any, ...], output: Any, given: dict[str, Any], timeout: float | None
) -> Status:
    """Write the rows of a query; see :meth:`Connection.copy_from_query`."""
    found = lease.lookup(query)
    if found.lexical.count != 1:
        raise InterfaceError(f"query: one statement expected, got {found.lexical.count}")
    _check(lease)
    deadline = lease.context.deadline(timeout)
    sql = f"COPY ({await _with_literals(lease, query, args, deadline)}\n) TO STDOUT{options(given)}"
    shown = f"COPY ({query}\n) TO STDOUT{options(given)}" if args else None
    return await _copy_out(lease, sql, output, remaining(deadline), shown)


async def out(
    lease: Lease,
    what: str,
    args: tuple[Any, ...],
    output: Sink,
    *,
    columns: Any,
    schema: str | None,
    given: dict[str, Any],
    timeout: float | None,
) -> Status:
    """Write a table, or the rows of a query; see :meth:`Connection.copy_out`."""
    if not _is_query(what, lease.context.database.dialect):
        if args:
            raise InterfaceError(f"arguments belong to a query; {what!r} is taken for the name of a table")
        return await from_table(lease, table(what, schema, columns), output, given, timeout)
    if columns is not None or schema is not None:
        raise InterfaceError("columns and schema_name belong to a table, not to a query")
    return await from_query(lease, what, args, output, given, timeout)


async def into(
    lease: Lease,
    name: str,
    source: Any,
    given: dict[str, Any],
    *,
    columns: Any,
    schema: str | None,
    where: str | None,
    timeout: float | None,
) -> Status:
    """Insert records, or rows from a file or stream; see :meth:`Connection.copy_in`."""
    from .copy_data import told_apart

    _check(lease)
    deadline = lease.context.deadline(timeout)
    try:
        data, records = await within(told_apart(source), remaining(deadline))
    except Expired:
        raise StatementTimeout(
            "the deadline passed before the source gave something; nothing was sent", sent=False
        ) from None
    except EndedItself:
        cancelled = CancelledError()
        raise error_of_stream(cancelled) from cancelled
    if data is not None:
        return await to_table(lease, table(name, schema, columns), data, where, given, remaining(deadline))
    if set_options := [option for option, value in given.items() if value is not None]:
        raise InterfaceError(f"{set_options[0]}: options are for data in bytes; records are sent as they are")
    rest = remaining(deadline)
    return await records_to_table(lease, name, records, columns=columns, schema=schema, where=where, timeout=rest)


def _is_query(what: Any, dialect: str) -> bool:
    """Whether it is a statement, and not the name of a table."""
    if not isinstance(what, str):
        raise InterfaceError(f"a query or the name of a table expected, got {type(what).__name__}")
    return classify(what, dialect).command in QUERIES and what.strip().upper() not in QUERIES


def _check(lease: Lease) -> None:
    if not lease.session().database.copy:
        raise InterfaceError("COPY is PostgreSQL's; executemany() inserts many rows into SQLite")


async def _copy_out(lease: Lease, sql: str, output: Any, timeout: float | None, shown: str | None = None) -> Status:
    from .copy_data import sink_of

    async with sink_of(output) as sink:
        return await _copy(lease, sql, sink, timeout, shown)


async def _copy(
    lease: Lease, sql: str, stream: Source | Sink, timeout: float | None, shown: str | None = None
) -> Status:
    """`shown` is the text with placeholders: values stand in no log, and in no other caller's error."""
    _check(lease)
    session, queries = lease.session(), lease.context.queries
    statement = StatementRequest(queries.copying(sql), (), STATUS, None)
    told = statement.query if shown is None else queries.copying(shown)
    session.dirty = session.dirty or statement.query.dirties
    session.last_sql = told.sql
    close: Callable[[], Any] | None = getattr(stream, "aclose", None)
    try:
        await session.copy(statement, stream, told, lease.context.timeout(timeout))
    finally:
        if close is not None and not session.busy:
            await close()
    status: Status = statement.value
    return status


# -- the text of the command -------------------------------------------------------------------------------------------


def _where(condition: str | None) -> str:
    return "" if condition is None else f" WHERE {condition}"


def table(name: Any, schema: Any = None, columns: Any = None) -> str:
    """`"schema"."table" ("a", "b")`."""
    full = quoted(name, "table_name")
    if schema is not None:
        full = f"{quoted(schema, 'schema_name')}.{full}"
    return full if columns is None else f"{full} ({_names(columns, 'columns')})"


def options(given: dict[str, Any]) -> str:
    """`WITH (...)` for the options that are not None; nothing if none is."""
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown:
        raise InterfaceError(f"no option of COPY: {unknown[0]}; known: {', '.join(_OPTIONS)}")
    parts = [_OPTIONS[name](name, value) for name, value in given.items() if value is not None]
    return f" WITH ({', '.join(parts)})" if parts else ""


def _names(names: Any, what: str) -> str:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InterfaceError(f"{what}: a list of names expected, got {names!r}")
    found = [quoted(name, what) for name in names]
    if not found:
        raise InterfaceError(f"{what}: at least one name expected, got none")
    return ", ".join(found)


def _format(name: str, value: Any) -> str:
    if value not in FORMATS:
        raise InterfaceError(f"format: one of {', '.join(FORMATS)} expected, got {value!r}")
    return f"FORMAT {value}"


def _text(name: str, value: Any) -> str:
    return f"{name.upper()} {literal(value, name)}"


def _flag(name: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise InterfaceError(f"{name}: True or False expected, got {value!r}")
    return f"{name.upper()} {'TRUE' if value else 'FALSE'}"


def _columns(name: str, value: Any) -> str:
    return f"{name.upper()} ({_names(value, name)})"


def _all_or_columns(name: str, value: Any) -> str:
    return f"{name.upper()} *" if value is True else _columns(name, value)


_OPTIONS: dict[str, Callable[[str, Any], str]] = {
    "format": _format, "freeze": _flag, "delimiter": _text, "null": _text, "header": _flag, "quote": _text,
    "escape": _text, "force_quote": _all_or_columns, "force_not_null": _columns, "force_null": _columns,
    "encoding": _text,
}  # fmt: skip


# -- arguments of a query ----------------------------------------------------------------------------------------------

#: What types are called on this session; its search path decides.
_NAMES = """\
SELECT pg_catalog.format_type(oid, NULL)
FROM pg_catalog.unnest($1::pg_catalog.oid[]) WITH ORDINALITY AS asked(oid, number) ORDER BY number"""
#: A parameter, or what may look as if there were one in it.
_PARAMETER_PATTERN = (
    r"""'[^']*'|"[^"]*"|(?P<comment>/\*.*?\*/)|--[^\n\r]*"""
    r"""|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$|[^\W\d][\w$]*|\$(?P<number>[0-9]+)"""
)
_ESCAPED = r"'(?:[^'\\]|\\.|'')*'|"
_PARAMETER = re.compile(f"[eE]{_ESCAPED}{_PARAMETER_PATTERN}", re.DOTALL)


async def _with_literals(lease: Lease, query: str, args: tuple[Any, ...], deadline: float | None) -> str:
    """The one statement of `query`, its parameters replaced by the arguments."""
    query = single(await lease.parts(query, remaining(deadline)))
    if not args:
        return query
    types = await _types(lease, query, remaining(deadline))
    if types:
        columns = [f"pg_catalog.quote_nullable(${number}::{name}::text)" for number, name in enumerate(types, 1)]
        rows = await lease.ask(f"SELECT {', '.join(columns)}", args, remaining(deadline))
    else:  # refuses the arguments
        rows = await lease.ask("SELECT 1 WHERE false", args, remaining(deadline))
    return _PARAMETER.sub(
        lambda found: _replaced(found, [f"({v}::{t})" for v, t in zip(rows[0], types, strict=True)]), query
    )


def _replaced(found: re.Match[str], constants: list[str]) -> str:
    if found["comment"] is not None and "/*" in found["comment"][2:]:
        raise InterfaceError("query: a comment within a comment cannot be copied with arguments")
    return constants[int(found["number"]) - 1] if found["number"] is not None else found[0]


async def _types(lease: Lease, query: str, timeout: float | None) -> list[str]:
    """The types of the parameters, as the server writes them."""
    deadline = lease.context.deadline(timeout)
    told = await lease.describe(query, remaining(deadline))
    if told is None or not told[0]:
        return []
    return [row[0] for row in await lease.ask(_NAMES, (list(told[0]),), remaining(deadline))]
