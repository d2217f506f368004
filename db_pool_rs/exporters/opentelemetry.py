"""Spans and metrics by OpenTelemetry's semantic conventions for databases. Needs the extra `otel`.

    pool = await opentelemetry.instrument(create_pool(dsn))
    db = DatabasePool(instrument=opentelemetry.instrument)

What is returned is used like the pool itself. Each call is a span of kind CLIENT, a child of the caller's, with the
operation, the statement without its values, the server, and on failure the class and the SQLSTATE of the error; its
duration is a value of `db.client.operation.duration`. A cursor, a stream and a COPY are one span each, from the first
row that is asked for to the last, or to where they are left; a batch is one, and so is the LISTEN of a subscription.
Sessions give `db.client.connection.wait_time` and `use_time`, pools `db.client.connection.count` and its kin. Where the
spans go is the business of OpenTelemetry's SDK; without one they go nowhere. A pool that is not instrumented has no
trace of any of this.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

from opentelemetry.trace import Span

from ..errors import InterfaceError, PoolTimeout
from ..sql import classify
from ..sql.quoting import quoted
from ._operations import Observed, ObservedBatch, ObservedBlock, ObservedCursor, ObservedStream, observed
from ._telemetry import Operation, Telemetry, Watched, What

if TYPE_CHECKING:
    from ..abc import ArrowTable, Connection, NotificationListener, Pool
    from ..record import Result, Status

T = TypeVar("T")

__all__ = ["Telemetry", "instrument"]

#: What `copy_out` takes for a query, and not for the name of a table, begins so.
_QUERIES = frozenset(("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"))


def instrument(pool: Pool, telemetry: Telemetry | None = None) -> Pool:
    """The pool, observed. Without `telemetry`, by the providers that are set globally. Never twice."""
    if isinstance(pool, _Pool):
        pool = pool._inner
    return cast("Pool", _Pool(pool, (telemetry or _global()).watch(pool)))


@cache
def _global() -> Telemetry:
    return Telemetry()


class _Queries(Observed):
    """The calls that a pool and a session have in common; everything else is theirs."""

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

    async def fetch_result(self, sql: str, /, *args: Any, timeout: float | None = None) -> Result:
        with self._watched.telemetry.call(self._watched, sql) as span:
            result: Result = await self._inner.fetch_result(sql, *args, timeout=timeout)
            span.set_attribute("db.response.returned_rows", len(result.rows))
            return result

    async def fetch_arrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> ArrowTable:
        with self._watched.telemetry.call(self._watched, sql) as span:
            table: ArrowTable = await self._inner.fetch_arrow(sql, *args, timeout=timeout)
            span.set_attribute("db.response.returned_rows", table.num_rows)
            return table

    def copy_out(self, what: str, /, *args: Any, **options: Any) -> AsyncGenerator[bytes, None]:
        query = classify(str(what), self._watched.system).command in _QUERIES
        copied = What(what, "COPY") if query else What(None, "COPY", str(what))
        return observed(self._inner.copy_out(what, *args, **options), self._watched, copied)

    async def copy_in(self, table_name: str, **options: Any) -> Status:
        with self._watched.telemetry.call(self._watched, What(None, "COPY", table_name)):
            return cast("Status", await self._inner.copy_in(table_name, **options))

    @contextmanager
    def _many(self, sql: str, args: Iterable[Iterable[Any]]) -> Iterator[tuple[Span, Collection[Iterable[Any]]]]:
        batch = args if isinstance(args, (list, tuple)) else list(args)
        with self._watched.telemetry.call(self._watched, What(sql, size=len(batch))) as span:
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

    async def run(self, function: Callable[..., Awaitable[T]], /, *args: Any, **options: Any) -> T:
        if not callable(function):
            raise InterfaceError(f"run: a coroutine function expected, got {function!r}")

        async def attempt(connection: Any, *given: Any) -> T:
            seen = _Connection(connection, self._watched)
            try:
                return await function(seen, *given)
            finally:
                seen._ended()

        return cast("T", await self._inner.run(attempt, *args, **options))

    def batch(self, **options: Any) -> ObservedBatch:
        return ObservedBatch(self._inner.batch(**options), self._watched)

    def stream(self, sql: str, /, *args: Any, **options: Any) -> ObservedStream:
        return ObservedStream(self._inner.stream(sql, *args, **options), self._watched, What(sql))

    def stream_arrow(self, sql: str, /, *args: Any, **options: Any) -> ObservedStream:
        return ObservedStream(self._inner.stream_arrow(sql, *args, **options), self._watched, What(sql), whole=True)

    def listen(self, *channels: str, **options: Any) -> ObservedBlock:
        listening = What("; ".join(_named("LISTEN", one) for one in channels), "LISTEN", size=len(channels))
        return ObservedBlock(self._inner.listen(*channels, **options), self._watched, listening)

    async def _opened(self) -> _Pool:
        await self._inner
        self._watched.loop = asyncio.get_running_loop()
        return self


class _Connection(_Queries):
    def __init__(self, inner: Any, watched: Watched) -> None:
        super().__init__(inner, watched)
        self._since = time.perf_counter()
        #: Cursors that may have rows left: they end with their transaction.
        self._cursors: set[Operation] = set()

    def transaction(self, **options: Any) -> _Transaction:
        return _Transaction(self._inner.transaction(**options), self)

    def cursor(self, sql: str, /, *args: Any, **options: Any) -> ObservedCursor:
        return ObservedCursor(self._inner.cursor(sql, *args, **options), self._watched, What(sql), self._cursors)

    def stream_arrow(self, sql: str, /, *args: Any, **options: Any) -> AsyncGenerator[ArrowTable, None]:
        return observed(self._inner.stream_arrow(sql, *args, **options), self._watched, What(sql))

    async def prepare(self, sql: str, /, **options: Any) -> _Prepared:
        with self._watched.telemetry.call(self._watched, What(sql, "PREPARE")):
            return _Prepared(await self._inner.prepare(sql, **options), self)

    async def copy_records_to_table(self, table_name: str, **options: Any) -> Status:
        return await self._copied("copy_records_to_table", What(None, "COPY", table_name), table_name, **options)

    async def copy_to_table(self, table_name: str, **options: Any) -> Status:
        return await self._copied("copy_to_table", What(None, "COPY", table_name), table_name, **options)

    async def copy_from_table(self, table_name: str, **options: Any) -> Status:
        return await self._copied("copy_from_table", What(None, "COPY", table_name), table_name, **options)

    async def copy_from_query(self, query: str, /, *args: Any, **options: Any) -> Status:
        return await self._copied("copy_from_query", What(query, "COPY"), query, *args, **options)

    async def add_listener(self, channel: str, callback: NotificationListener) -> None:
        with self._watched.telemetry.call(self._watched, What(_named("LISTEN", channel))):
            await self._inner.add_listener(channel, callback)

    async def remove_listener(self, channel: str, callback: NotificationListener) -> None:
        with self._watched.telemetry.call(self._watched, What(_named("UNLISTEN", channel))):
            await self._inner.remove_listener(channel, callback)

    async def _copied(self, name: str, what: What, /, *args: Any, **options: Any) -> Status:
        with self._watched.telemetry.call(self._watched, what):
            return cast("Status", await getattr(self._inner, name)(*args, **options))

    def _ended(self) -> None:
        self._end_cursors(set())
        self._watched.telemetry.used(self._watched, self._since)

    def _end_cursors(self, but: set[Operation]) -> None:
        for operation in self._cursors - but:
            operation.end()
            self._cursors.discard(operation)


class _Prepared(Observed):
    """A prepared statement: its calls are those of the connection, with its text."""

    def __init__(self, inner: Any, connection: _Connection) -> None:
        super().__init__(inner, connection._watched)
        self._cursors = connection._cursors

    async def fetch_result(self, /, *args: Any, timeout: float | None = None) -> Result:
        return cast("Result", await self._call("fetch_result", 1, *args, timeout=timeout))

    async def fetch(self, /, *args: Any, timeout: float | None = None) -> list[Any]:
        return cast("list[Any]", await self._call("fetch", 1, *args, timeout=timeout))

    async def fetchrow(self, /, *args: Any, timeout: float | None = None) -> Any:
        return await self._call("fetchrow", 1, *args, timeout=timeout)

    async def fetchval(self, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        return await self._call("fetchval", 1, *args, column=column, timeout=timeout)

    async def execute(self, /, *args: Any, timeout: float | None = None) -> Status:
        return cast("Status", await self._call("execute", 1, *args, timeout=timeout))

    async def executemany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        batch = list(args)
        await self._call("executemany", len(batch), batch, timeout=timeout)

    async def fetchmany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> list[Any]:
        batch = list(args)
        return cast("list[Any]", await self._call("fetchmany", len(batch), batch, timeout=timeout))

    def cursor(self, /, *args: Any, **options: Any) -> ObservedCursor:
        cursor = self._inner.cursor(*args, **options)
        return ObservedCursor(cursor, self._watched, What(self._inner.query), self._cursors)

    async def _call(self, name: str, size: int, /, *args: Any, **options: Any) -> Any:
        with self._watched.telemetry.call(self._watched, What(self._inner.query, size=size)):
            return await getattr(self._inner, name)(*args, **options)


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


class _Transaction(Observed):
    def __init__(self, inner: Any, connection: _Connection) -> None:
        super().__init__(inner, connection._watched)
        self._connection = connection
        self._outer = set(connection._cursors)

    async def __aenter__(self) -> _Connection:
        self._outer = set(self._connection._cursors)
        await self._inner.__aenter__()
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._connection._end_cursors(self._outer)
        await self._inner.__aexit__(kind, error, traceback)

    async def start(self) -> None:
        self._outer = set(self._connection._cursors)
        await self._inner.start()

    async def commit(self) -> None:
        self._connection._end_cursors(self._outer)
        await self._inner.commit()

    async def rollback(self) -> None:
        self._connection._end_cursors(self._outer)
        await self._inner.rollback()


def _named(command: str, channel: str) -> str:
    return f"{command} {quoted(channel, 'channel')}"
