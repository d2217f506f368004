"""Results in Arrow: PostgreSQL's by COPY, one table at once or batch by batch; SQLite's from its rows.

A column whose type has no form in Arrow is sent as text, which takes a second SELECT around the query.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ..aio import Expired, remaining, within
from ..arrow import forms
from ..drivers.base import RESULT
from ..errors import InterfaceError
from ..record import Column, Record
from ..sql.quoting import quoted
from . import copy
from .context import ARROW_BATCH
from .cursor import Cursor, columns_of
from .queries import single
from .stream import pieces

if TYPE_CHECKING:
    from .. import abc
    from .lease import Lease

_ARROW = forms.__name__.rpartition(".")[0]
_SELECTS = frozenset(("SELECT", "VALUES", "TABLE"))


async def fetch(lease: Lease, query: str, args: tuple[Any, ...], timeout: float | None) -> abc.ArrowTable:
    """All rows of a query; see :meth:`Connection.fetch_arrow`."""
    deadline = lease.context.deadline(timeout)
    if not lease.session().database.copy:
        made = await _with_pyarrow(lease, "table", deadline)
        result = await lease.run(query, args, RESULT, remaining(deadline))
        table: abc.ArrowTable = made.of_rows([column.name for column in result.columns], result.rows)
        return table
    query, args = lease.context.by_number(query, args)
    text, decoder = await _prepared(lease, query, ARROW_BATCH, remaining(deadline))

    async def take(data: bytes) -> None:
        decoder.feed(data)

    await copy.from_query(lease, text, args, take, {"format": "binary"}, remaining(deadline))
    whole: abc.ArrowTable = decoder.take(rest=True)
    return whole


async def tables(
    query: str, args: tuple[Any, ...], rows: int, timeout: float | None, connection: Any
) -> AsyncGenerator[abc.ArrowTable, None]:
    """The same, so many rows at a time."""
    lease: Lease = connection._lease
    if not lease.session().database.copy:
        made = await _with_pyarrow(lease, "table", lease.context.deadline(timeout))
        async for table in _of_cursor(made.of_rows, Cursor(lease, query, args, rows, timeout, Record, RESULT), rows):
            yield table
        return
    query, args = lease.context.by_number(query, args)
    deadline = lease.context.deadline(timeout)
    text, decoder = await _prepared(lease, query, rows, remaining(deadline))
    out = partial(copy.from_query, given={"format": "binary"}, timeout=remaining(deadline))
    given = False
    async with aclosing(pieces(lambda sink: out(lease, text, args, sink))) as data:
        async for piece in data:
            decoder.feed(piece)
            while decoder.ready:
                given = True
                yield decoder.take(rest=False)
    last = decoder.take(rest=True)
    if last.num_rows or not given:
        yield last


def check_rows(rows: Any) -> int:
    """InterfaceError unless a batch can have so many rows."""
    if type(rows) is not int or rows < 1:
        raise InterfaceError(f"batch: an int of at least 1 expected, got {rows!r:.50}")
    return rows


async def _of_cursor(of_rows: Any, cursor: Cursor, count: int) -> AsyncGenerator[abc.ArrowTable, None]:
    """SQLite's rows; the first batch decides what the columns are."""
    first = None
    while (rows := await cursor.fetch(count)) or first is None:
        table = of_rows([column.name for column in columns_of(cursor)], rows, first)
        first = first or table
        yield table
        if len(rows) < count:
            return


async def _prepared(lease: Lease, query: str, rows: int, timeout: float | None) -> tuple[str, Any]:
    """The text to be copied, and the decoder of its data."""
    database, context = lease.session().database, lease.context
    deadline = context.deadline(timeout)
    command = lease.lookup(query).lexical.command
    if command not in copy.QUERIES:
        raise InterfaceError(f"Arrow: a query expected, one of {', '.join(sorted(copy.QUERIES))}; got {query!r:.60}")
    query = single(await lease.parts(query, remaining(deadline)))
    told = await lease.describe(query, remaining(deadline))
    columns = told[1] if told is not None else ()
    if not columns:
        raise InterfaceError("Arrow: a statement with rows expected; this one has no columns")
    chosen = await _forms(lease, columns, remaining(deadline))
    text = query if all(form.kind for form in chosen) else _as_text(query, command, chosen)
    kept = [form if form.kind else forms.Form(form.name, "text") for form in chosen]
    decoder = database.arrow_decoder or (await _with_pyarrow(lease, "python", deadline)).Decoder
    return text, decoder(kept, rows, context.config.infinity == "clamp", forms.MOST_BYTES)


async def _forms(lease: Lease, columns: tuple[Column, ...], timeout: float | None) -> list[forms.Form]:
    asked = sorted({column.type_oid for column in columns if forms.is_foreign(column.type_oid)})
    foreign: dict[int, tuple[str, bool]] = {}
    if asked:
        for oid, sent, is_array in await lease.ask(forms.FOREIGN, (asked,), timeout):
            foreign[oid] = (sent, is_array)
    return [forms.form(column, foreign) for column in columns]


def _as_text(query: str, command: str, chosen: list[forms.Form]) -> str:
    """The query, with text for what has no form in Arrow. Names may be there twice, so the columns get others."""
    if command not in _SELECTS:
        name = next(form.name for form in chosen if not form.kind)
        raise InterfaceError(
            f'Arrow: the type of the column "{name}" has no form there; cast it: {quoted(name, "column")}::text'
        )
    names = [f"c{number}" for number in range(len(chosen))]
    columns = [name if form.kind else f"{name}::pg_catalog.text" for name, form in zip(names, chosen, strict=True)]
    return f"SELECT {', '.join(columns)} FROM ({query}\n) AS q({', '.join(names)})"


async def _with_pyarrow(lease: Lease, module: str, deadline: float | None) -> Any:
    """A module of ours that needs pyarrow. To import that takes a second, so a thread does it."""
    imported = asyncio.get_running_loop().run_in_executor(None, import_module, f"{_ARROW}.{module}")
    try:
        return await within(imported, remaining(deadline))
    except Expired:
        raise lease.session().too_late(sent=False) from None
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise InterfaceError("Arrow needs pyarrow here: pip install 'db-pool-rs[arrow]'") from None
