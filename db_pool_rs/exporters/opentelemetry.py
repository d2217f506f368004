"""Spans and metrics by OpenTelemetry's semantic conventions for databases. Needs the extra `otel`.

    pool = await opentelemetry.instrument(create_pool(dsn))
    db = DatabasePool(instrument=opentelemetry.instrument)

What is returned is used like the pool itself. Each call is a span of kind CLIENT, a child of the caller's, with the
operation, the statement without its values, the server, and on failure the class and the SQLSTATE of the error; its
duration is a value of `db.client.operation.duration`. Sessions give `db.client.connection.wait_time` and `use_time`,
pools `db.client.connection.count` and its kin. Where the spans go is the business of OpenTelemetry's SDK; without one
they go nowhere. A pool that is not instrumented has no trace of any of this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Generator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from opentelemetry.trace import Span

from ..errors import PoolTimeout
from ._telemetry import Telemetry, Watched

if TYPE_CHECKING:
    from ..abc import Connection, Pool
    from ..record import Status

__all__ = ["Telemetry", "instrument"]


def instrument(pool: Pool, telemetry: Telemetry | None = None) -> Pool:
    """The pool, observed. Without `telemetry`, by the providers that are set globally."""
    return cast("Pool", _Pool(pool, (telemetry or _global()).watch(pool)))


@cache
def _global() -> Telemetry:
    return Telemetry()


class _Queries:
    """The calls that a pool and a session have in common; everything else is theirs."""

    def __init__(self, inner: Any, watched: Watched) -> None:
        self._inner = inner
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<instrumented {self._inner!r}>"

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None, row: Any = None) -> list[Any]:
        with self._watched.telemetry.call(self._watched, sql) as span:
            rows: list[Any] = await self._inner.fetch(sql, *args, timeout=timeout, row=row)
            span.set_attribute("db.response.returned_rows", len(rows))
            return rows

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None, row: Any = None) -> Any:
        with self._watched.telemetry.call(self._watched, sql):
            return await self._inner.fetchrow(sql, *args, timeout=timeout, row=row)

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        with self._watched.telemetry.call(self._watched, sql):
            return await self._inner.fetchval(sql, *args, column=column, timeout=timeout)

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        with self._watched.telemetry.call(self._watched, sql):
            return cast("Status", await self._inner.execute(sql, *args, timeout=timeout))

    async def executemany(self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        with self._many(sql, args) as (_, batch):
            await self._inner.executemany(sql, batch, timeout=timeout)

    async def fetchmany(
        self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None, row: Any = None
    ) -> list[Any]:
        with self._many(sql, args) as (span, batch):
            rows: list[Any] = await self._inner.fetchmany(sql, batch, timeout=timeout, row=row)
            span.set_attribute("db.response.returned_rows", len(rows))
            return rows

    @contextmanager
    def _many(self, sql: str, args: Iterable[Iterable[Any]]) -> Iterator[tuple[Span, Collection[Iterable[Any]]]]:
        batch = args if isinstance(args, (list, tuple)) else list(args)
        with self._watched.telemetry.call(self._watched, sql) as span:
            if len(batch) > 1:
                span.set_attribute("db.operation.batch.size", len(batch))
            yield span, batch


class _Pool(_Queries):
    def __await__(self) -> Generator[Any, None, _Pool]:
        return self._opened().__await__()

    async def __aenter__(self) -> _Pool:
        return await self._opened()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)

    async def open(self) -> None:
        await self._opened()

    def acquire(self, *, timeout: float | None = None) -> _Acquisition:
        return _Acquisition(self._inner.acquire(timeout=timeout), self._watched)

    async def release(self, connection: Any) -> None:
        if isinstance(connection, _Connection):
            connection._ended()
            connection = connection._inner
        await self._inner.release(connection)

    @asynccontextmanager
    async def transaction(self, *, timeout: float | None = None, **options: Any) -> AsyncIterator[Connection]:
        async with self.acquire(timeout=timeout) as connection, connection.transaction(**options):
            yield connection

    async def _opened(self) -> _Pool:
        await self._inner
        self._watched.loop = asyncio.get_running_loop()
        return self


class _Connection(_Queries):
    def __init__(self, inner: Any, watched: Watched) -> None:
        super().__init__(inner, watched)
        self._since = time.perf_counter()

    def transaction(self, **options: Any) -> _Transaction:
        return _Transaction(self._inner.transaction(**options), self)

    def _ended(self) -> None:
        self._watched.telemetry.used(self._watched, self._since)


class _Acquisition:
    def __init__(self, inner: Any, watched: Watched) -> None:
        self._inner = inner
        self._watched = watched
        self._held: _Connection | None = None

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._lent(self._inner).__await__()

    async def __aenter__(self) -> Connection:
        return await self._lent(self._inner.__aenter__())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._held is not None:
            self._held._ended()
        await self._inner.__aexit__(kind, error, traceback)

    async def _lent(self, waiting: Any) -> Connection:
        begun = time.perf_counter()
        try:
            self._held = _Connection(await waiting, self._watched)
        except PoolTimeout:
            self._watched.telemetry.waited(self._watched, begun, timed_out=True)
            raise
        self._watched.telemetry.waited(self._watched, begun, timed_out=False)
        return cast("Connection", self._held)


class _Transaction:
    def __init__(self, inner: Any, connection: _Connection) -> None:
        self._inner = inner
        self._connection = connection

    async def __aenter__(self) -> _Connection:
        await self._inner.__aenter__()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)
