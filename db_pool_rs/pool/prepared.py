"""A statement that was checked before it is run, from `Connection.prepare`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .cursor import PREFETCH

if TYPE_CHECKING:
    from ..abc import Connection, Cursor
    from ..record import Status
    from ..rows import Row


class PreparedStatement:
    """Made by :meth:`Connection.prepare`. Its calls are those of the connection, without the text.

    Every text that is run is prepared anyway, where that helps: this handle adds that a mistake in the text is found
    when it is made.
    """

    __slots__ = ("_connection", "_row", "_sql")

    def __init__(self, connection: Connection, sql: str, row: Row[Any] | None) -> None:
        self._connection = connection
        self._sql = sql
        self._row = row

    @property
    def query(self) -> str:
        """The text."""
        return self._sql

    async def fetch(self, /, *args: Any, timeout: float | None = None) -> list[Any]:
        """Every row."""
        return await self._connection.fetch(self._sql, *args, timeout=timeout, row=self._row)

    async def fetchrow(self, /, *args: Any, timeout: float | None = None) -> Any:
        """The first row, or None."""
        return await self._connection.fetchrow(self._sql, *args, timeout=timeout, row=self._row)

    async def fetchval(self, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or None if there is no row."""
        return await self._connection.fetchval(self._sql, *args, column=column, timeout=timeout)

    async def execute(self, /, *args: Any, timeout: float | None = None) -> Status:
        """The command tag."""
        return await self._connection.execute(self._sql, *args, timeout=timeout)

    async def executemany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Once for each element of `args`, in one transaction."""
        await self._connection.executemany(self._sql, args, timeout=timeout)

    async def fetchmany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> list[Any]:
        """The same with the rows of all executions."""
        return await self._connection.fetchmany(self._sql, args, timeout=timeout, row=self._row)

    def cursor(self, /, *args: Any, prefetch: int = PREFETCH, timeout: float | None = None) -> Cursor[Any]:
        """Its rows a few at a time; see :meth:`Connection.cursor`."""
        return self._connection.cursor(self._sql, *args, prefetch=prefetch, timeout=timeout, row=self._row)

    def __repr__(self) -> str:
        return f"<PreparedStatement {self._sql[:60]!r}>"
