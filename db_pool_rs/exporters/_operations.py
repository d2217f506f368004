"""What takes longer than one call, as it is observed: cursors, streams, COPY, batches, subscriptions.

The span of such a thing is a child of what its caller was in when it began. It is not the current one meanwhile:
between two rows the program does what is its own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from types import TracebackType
from typing import Any, TypeVar

from ..sql import classify
from ._telemetry import Operation, Watched, What

T = TypeVar("T")


class Observed:
    """Used like what it is about: whatever it does not know is asked of that."""

    def __init__(self, inner: Any, watched: Watched) -> None:
        self._inner = inner
        self._watched = watched

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __repr__(self) -> str:
        return f"<instrumented {self._inner!r}>"

    def _begin(self, what: What) -> Operation:
        return self._watched.telemetry.begin(self._watched, what)


async def observed(items: AsyncGenerator[T, None], watched: Watched, what: What) -> AsyncGenerator[T, None]:
    """What `items` gives, as one operation, which ends with the last one or where it is left."""
    operation = watched.telemetry.begin(watched, what)
    try:
        async with aclosing(items):
            async for item in items:
                yield item
    except GeneratorExit:
        raise  # left early
    except BaseException as error:
        operation.end(error)
        raise
    finally:
        operation.end()


class ObservedCursor(Observed):
    """One operation from the first row that is asked for to the last, `close`, or the end of the transaction."""

    def __init__(self, inner: Any, watched: Watched, what: What, under_way: set[Operation]) -> None:
        super().__init__(inner, watched)
        self._what = what
        self._under_way = under_way
        self._operation: Operation | None = None
        self._rows = 0

    def __aiter__(self) -> ObservedCursor:
        return self

    async def __anext__(self) -> Any:
        operation = self._started()
        try:
            row = await self._inner.__anext__()
        except StopAsyncIteration:
            self._ended(operation)
            raise
        except BaseException as error:
            self._ended(operation, error)
            raise
        self._counted(operation, 1)
        return row

    async def fetch(self, count: int, *, timeout: float | None = None) -> list[Any]:
        """Some rows."""
        operation = self._started()
        try:
            rows: list[Any] = await self._inner.fetch(count, timeout=timeout)
        except BaseException as error:
            self._ended(operation, error)
            raise
        self._counted(operation, len(rows))
        if len(rows) < count:
            self._ended(operation)
        return rows

    async def fetchrow(self, *, timeout: float | None = None) -> Any:
        """One row."""
        rows = await self.fetch(1, timeout=timeout)
        return rows[0] if rows else None

    async def close(self) -> None:
        """It has ended."""
        try:
            await self._inner.close()
        finally:
            if self._operation is not None:
                self._ended(self._operation)

    def _started(self) -> Operation:
        if self._operation is None:
            self._operation = self._begin(self._what)
            self._under_way.add(self._operation)
        return self._operation

    def _counted(self, operation: Operation, rows: int) -> None:
        self._rows += rows
        operation.span.set_attribute("db.response.returned_rows", self._rows)

    def _ended(self, operation: Operation, error: BaseException | None = None) -> None:
        operation.end(error)
        self._under_way.discard(operation)


class ObservedStream(Observed):
    """A stream: one operation from where its block begins to where it ends."""

    def __init__(self, inner: Any, watched: Watched, what: What, *, whole: bool = False) -> None:
        super().__init__(inner, watched)
        self._what = what
        self._whole = whole
        self._operation: Operation | None = None
        self._batches: AsyncGenerator[Collection[Any], None]

    async def __aenter__(self) -> AsyncIterator[Any]:
        operation = self._begin(self._what)
        try:
            batches = await self._inner.__aenter__()
        except BaseException as error:
            operation.end(error)
            raise
        self._operation = operation
        self._batches = _counting(batches, operation)
        return self._batches

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            await self._batches.aclose()
            await self._inner.__aexit__(kind, error, traceback)
        finally:
            if self._operation is not None:
                self._operation.end()

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        async with self as batches:
            async for batch in batches:
                if self._whole:
                    yield batch
                    continue
                for row in batch:
                    yield row


async def _counting(batches: AsyncIterator[Any], operation: Operation) -> AsyncGenerator[Any, None]:
    rows = 0
    try:
        async for batch in batches:
            rows += len(batch)
            operation.span.set_attribute("db.response.returned_rows", rows)
            yield batch
    except GeneratorExit:
        raise  # left early
    except BaseException as error:
        operation.end(error)
        raise


class ObservedBatch(Observed):
    """A batch: one operation, from the end of its block, where it is sent, to its answer."""

    def __init__(self, inner: Any, watched: Watched) -> None:
        super().__init__(inner, watched)
        self._texts: list[str] = []

    def fetch(self, sql: str, /, *args: Any, **options: Any) -> Any:
        """Add a statement."""
        return self._add("fetch", sql, *args, **options)

    def fetchrow(self, sql: str, /, *args: Any, **options: Any) -> Any:
        """Add a statement."""
        return self._add("fetchrow", sql, *args, **options)

    def fetchval(self, sql: str, /, *args: Any, **options: Any) -> Any:
        """Add a statement."""
        return self._add("fetchval", sql, *args, **options)

    def execute(self, sql: str, /, *args: Any) -> Any:
        """Add a statement."""
        return self._add("execute", sql, *args)

    def _add(self, name: str, sql: str, /, *args: Any, **options: Any) -> Any:
        result = getattr(self._inner, name)(sql, *args, **options)
        self._texts.append(sql)
        return result

    async def __aenter__(self) -> ObservedBatch:
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None or not self._texts:  # nothing is sent
            await self._inner.__aexit__(kind, error, traceback)
            return
        with self._watched.telemetry.call(self._watched, self._what()):
            await self._inner.__aexit__(kind, error, traceback)

    def _what(self) -> What:
        commands = {classify(sql, self._watched.system).command or "EMPTY" for sql in self._texts}
        command = commands.pop() if len(commands) == 1 else "BATCH"
        return What("; ".join(self._texts), command, size=len(self._texts))


class ObservedBlock(Observed):
    """A block whose beginning is one operation, as that of a subscription."""

    def __init__(self, inner: Any, watched: Watched, what: What) -> None:
        super().__init__(inner, watched)
        self._what = what

    async def __aenter__(self) -> Any:
        with self._watched.telemetry.call(self._watched, self._what):
            return await self._inner.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.__aexit__(kind, error, traceback)
