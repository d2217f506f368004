"""asyncpg's prepared statements."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..described import Attribute, Type
from .calls import as_class, guarded
from .cursor import CursorFactory
from .fitting import fitting, fitting_many

if TYPE_CHECKING:
    from ..abc import PreparedStatement as Prepared


class PreparedStatement:
    """Made by `Connection.prepare`."""

    __slots__ = ("__weakref__", "_connection", "_made", "_name", "_query", "_record_class", "_status")

    def __init__(
        self, connection: Any, made: Prepared[Any], query: str, record_class: type[Any] | None, name: str = ""
    ) -> None:
        self._connection = connection
        self._name = name
        self._made = made
        self._query = query
        self._record_class = record_class
        self._status: str | None = None

    @guarded
    def get_query(self) -> str:
        """The text."""
        return self._query

    @guarded
    def get_name(self) -> str:
        """The name that `prepare` was given; "" without one: the pool's own names are for itself, and change."""
        return self._name

    @guarded
    def get_statusmsg(self) -> str | None:
        """The command tag of the last execution; None before the first one."""
        return self._status

    @guarded
    def get_parameters(self) -> tuple[Type, ...]:
        """The types of its parameters."""
        return self._made.get_parameters()

    @guarded
    def get_attributes(self) -> tuple[Attribute, ...]:
        """Its columns."""
        return self._made.get_attributes()

    @guarded
    async def fetch(self, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None) -> list[Any]:
        """All rows."""
        async with self._connection._target(timeout, self._query, args):
            result = await fitting(self._made, self._query, self._made.fetch_result, args, timeout=timeout)
        self._status = str(result.status)
        kind = record_class or self._record_class
        return result.rows if kind is None else [as_class(row, kind) for row in result.rows]

    @guarded
    async def fetchrow(self, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None) -> Any:
        """The first row, or None."""
        rows = await self.fetch(*args, timeout=timeout, record_class=record_class)
        return rows[0] if rows else None

    @guarded
    async def fetchval(self, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or None."""
        row = await self.fetchrow(*args, timeout=timeout)
        return None if row is None else row[column]

    @guarded
    async def executemany(self, args: Iterable[Any], *, timeout: float | None = None) -> None:
        """Once for each element of `args`, in one transaction."""
        async with self._connection._target(timeout, self._query, args):
            await fitting_many(self._made, self._query, self._made.executemany, args, timeout=timeout)

    @guarded
    async def fetchmany(
        self, args: Iterable[Any], *, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> list[Any]:
        """The rows of all executions, one for each element of `args`, in one transaction."""
        async with self._connection._target(timeout, self._query, args):
            rows = await fitting_many(self._made, self._query, self._made.fetchmany, args, timeout=timeout)
        kind = record_class or self._record_class
        return rows if kind is None else [as_class(row, kind) for row in rows]

    @guarded
    async def explain(self, *args: Any, analyze: bool = False) -> Any:
        """The server's plan, as Python objects; with `analyze` what the statement does is undone."""
        options = "FORMAT JSON, VERBOSE" + (", ANALYZE" if analyze else "")
        async with self._connection._target(None) as session:
            block = session.transaction()
            await block.start()
            try:
                return json.loads(await session.fetchval(f"EXPLAIN ({options}) {self._query}", *args))
            finally:
                await block.rollback()

    @guarded
    def cursor(
        self,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> CursorFactory:
        """`async for` its rows, or `await` it for a cursor."""
        kind = record_class or self._record_class
        return CursorFactory(self._connection, self._query, args, prefetch, timeout, kind)
