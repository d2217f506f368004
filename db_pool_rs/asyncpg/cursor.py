"""asyncpg's cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError, database_error
from .calls import as_class, check_record_class, guarded
from .fitting import fitted_arguments

if TYPE_CHECKING:
    from ..abc import Cursor as Rows

#: Rows that `async for` fetches at a time.
_PREFETCH = 50


class CursorFactory:
    """`async for row in ...`, or `await` it for a :class:`Cursor`."""

    __slots__ = ("_args", "_connection", "_kind", "_prefetch", "_query", "_timeout")

    def __init__(
        self,
        connection: Any,
        query: str,
        args: tuple[Any, ...],
        prefetch: int | None,
        timeout: float | None,
        kind: type[Any] | None,
    ) -> None:
        if prefetch is not None and prefetch <= 0:
            raise InterfaceError("prefetch argument must be greater than zero")
        check_record_class(kind)
        self._connection = connection
        self._query = query
        self._args = args
        self._prefetch = prefetch
        self._timeout = timeout
        self._kind = kind

    @guarded
    async def _rows(self) -> Rows[Any]:
        session = self._connection._session_
        if not session.is_in_transaction():
            message = "cursor cannot be created outside of a transaction"
            raise database_error({"severity": "ERROR", "sqlstate": "25P01", "message": message})
        args = await fitted_arguments(session, self._query, self._args, self._timeout) or self._args
        prefetch = self._prefetch or _PREFETCH
        rows: Rows[Any] = session.cursor(self._query, *args, prefetch=prefetch, timeout=self._timeout)
        return rows

    async def __aiter__(self) -> AsyncIterator[Any]:
        async with self._connection._errors():
            async for row in await self._rows():
                yield row if self._kind is None else as_class(row, self._kind)

    def __await__(self) -> Generator[Any, None, Cursor]:
        return self._cursor().__await__()

    async def _cursor(self) -> Cursor:
        if self._prefetch is not None:
            raise InterfaceError("prefetch argument can only be specified for iterable cursor")
        async with self._connection._errors():
            return Cursor(self._connection, self._query, await self._rows(), self._kind)


class Cursor:
    """Rows a few at a time."""

    __slots__ = ("_connection", "_exhausted", "_kind", "_query", "_rows")

    def __init__(self, connection: Any, query: str, rows: Rows[Any], kind: type[Any] | None) -> None:
        self._connection = connection
        self._query = query
        self._rows = rows
        self._kind = kind
        self._exhausted = False

    @guarded
    async def fetch(self, n: int, *, timeout: float | None = None) -> list[Any]:
        """The next `n` rows."""
        rows = await self._next(n, timeout)
        return rows if self._kind is None else [as_class(row, self._kind) for row in rows]

    @guarded
    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """The next row, or None."""
        rows = await self.fetch(1, timeout=timeout)
        return rows[0] if rows else None

    @guarded
    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip the next `n` rows; how many there were."""
        return len(await self._next(n, timeout))

    async def _next(self, n: int, timeout: float | None) -> list[Any]:
        if n <= 0:
            raise InterfaceError("n must be greater than zero")
        async with self._connection._errors():
            rows = await self._rows.fetch(n, timeout=timeout)
        self._exhausted = len(rows) < n
        return rows

    def __repr__(self) -> str:
        query = self._query if len(self._query) <= 60 else f"{self._query[:57]}..."
        return f'<asyncpg.Cursor "{query}" {"exhausted " if self._exhausted else ""}{id(self):#x}>'
