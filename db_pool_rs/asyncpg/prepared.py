"""asyncpg's prepared statements and cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterable
from typing import TYPE_CHECKING, Any, NoReturn

from ..described import Attribute, Type
from ..errors import InterfaceError, database_error
from .calls import also_theirs, as_class

if TYPE_CHECKING:
    from ..abc import Connection as Session
    from ..abc import Cursor as Rows
    from ..abc import PreparedStatement as Prepared

#: Rows that `async for` fetches at a time.
_PREFETCH = 50


class PreparedStatement:
    """Made by `Connection.prepare`."""

    __slots__ = ("_made", "_query", "_record_class", "_session", "_status")

    def __init__(self, session: Session, made: Prepared[Any], query: str, record_class: type[Any] | None) -> None:
        self._session = session
        self._made = made
        self._query = query
        self._record_class = record_class
        self._status: str | None = None

    def get_query(self) -> str:
        """The text."""
        return self._query

    def get_name(self) -> NoReturn:
        """Not here: names of prepared statements are the pool's own."""
        raise NotImplementedError("get_name: names of prepared statements are the pool's own")

    def get_statusmsg(self) -> str | None:
        """The command tag of the last execution; None before the first one."""
        return self._status

    def get_parameters(self) -> tuple[Type, ...]:
        """The types of its parameters."""
        return self._made.get_parameters()

    def get_attributes(self) -> tuple[Attribute, ...]:
        """Its columns."""
        return self._made.get_attributes()

    async def fetch(self, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None) -> list[Any]:
        """All rows."""
        async with also_theirs():
            result = await self._made.fetch_result(*args, timeout=timeout)
        self._status = str(result.status)
        kind = record_class or self._record_class
        return result.rows if kind is None else [as_class(row, kind) for row in result.rows]

    async def fetchrow(self, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None) -> Any:
        """The first row, or None."""
        rows = await self.fetch(*args, timeout=timeout, record_class=record_class)
        return rows[0] if rows else None

    async def fetchval(self, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or None."""
        row = await self.fetchrow(*args, timeout=timeout)
        return None if row is None else row[column]

    async def executemany(self, args: Iterable[Any], *, timeout: float | None = None) -> None:
        """Once for each element of `args`, in one transaction."""
        async with also_theirs():
            await self._made.executemany(args, timeout=timeout)

    async def explain(self, *args: Any, analyze: bool = False) -> Any:
        """The server's plan, as Python objects; with `analyze` what the statement does is undone."""
        options = "FORMAT JSON, VERBOSE" + (", ANALYZE" if analyze else "")
        async with also_theirs():
            block = self._session.transaction()
            await block.start()
            try:
                return await self._session.fetchval(f"EXPLAIN ({options}) {self._query}", *args)
            finally:
                await block.rollback()

    def cursor(
        self,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> CursorFactory:
        """`async for` its rows, or `await` it for a cursor."""
        kind = record_class or self._record_class
        return CursorFactory(self._session, self._query, args, prefetch, timeout, kind)


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
