"""asyncpg's cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError, database_error
from .calls import also_theirs, as_class

if TYPE_CHECKING:
    from ..abc import Cursor as Rows

#: Rows that `async for` fetches at a time.
_PREFETCH = 50


class CursorFactory:
    """`async for row in ...`, or `await` it for a :class:`Cursor`."""

    __slots__ = ("_how",)

    def __init__(self, *how: Any) -> None:
        if how[3] is not None and how[3] <= 0:
            raise InterfaceError("prefetch argument must be greater than zero")
        self._how = how

    def _rows(self) -> tuple[Rows[Any], Any]:
        session, query, args, prefetch, timeout, kind = self._how
        if not session.is_in_transaction():
            message = "cursor cannot be created outside of a transaction"
            raise database_error({"severity": "ERROR", "sqlstate": "25P01", "message": message})
        return session.cursor(query, *args, prefetch=prefetch or _PREFETCH, timeout=timeout), kind

    async def __aiter__(self) -> AsyncIterator[Any]:
        rows, kind = self._rows()
        async with also_theirs():
            async for row in rows:
                yield row if kind is None else as_class(row, kind)

    def __await__(self) -> Generator[Any, None, Cursor]:
        return self._cursor().__await__()

    async def _cursor(self) -> Cursor:
        if self._how[3] is not None:
            raise InterfaceError("prefetch argument can only be specified for iterable cursor")
        return Cursor(*self._rows())


class Cursor:
    """Rows a few at a time."""

    __slots__ = ("_kind", "_rows")

    def __init__(self, rows: Rows[Any], kind: type[Any] | None) -> None:
        self._rows = rows
        self._kind = kind

    async def fetch(self, n: int, *, timeout: float | None = None) -> list[Any]:
        """The next `n` rows."""
        if n <= 0:
            raise InterfaceError("n must be greater than zero")
        async with also_theirs():
            rows = await self._rows.fetch(n, timeout=timeout)
        return rows if self._kind is None else [as_class(row, self._kind) for row in rows]

    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """The next row, or None."""
        rows = await self.fetch(1, timeout=timeout)
        return rows[0] if rows else None

    async def forward(self, n: int, *, timeout: float | None = None) -> int:
        """Skip the next `n` rows; how many there were."""
        return len(await self.fetch(n, timeout=timeout))
