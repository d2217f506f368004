"""What takes several calls, on the one connection of a :class:`RolledBack`: batches, streams, prepared statements."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, NamedTuple

from ..abc import Cursor
from ..errors import ConnectionLost, Error, InterfaceError, StatementTimeout
from ..sql import StatementClass, classify, split_statements
from ..sql.lexer import WORD, tokens

#: Makes a block in which nothing else of its level runs: a savepoint.
Block = Callable[[], AbstractAsyncContextManager[Any]]

#: Calls that run a statement, and are a savepoint each.
CALLS = frozenset(("execute", "executemany", "fetch", "fetch_result", "fetchmany", "fetchrow", "fetchval"))


def check_text(sql: object, dialect: str) -> None:
    """InterfaceError for what begins or ends a transaction by hand: what a test has written would be committed."""
    for one in split_statements(sql, dialect) if isinstance(sql, str) else ():
        words = [text for kind, text, _, _ in tokens(one, dialect) if kind == WORD]
        inner = words[:1] in (["SAVEPOINT"], ["RELEASE"]) or (words[:1] == ["ROLLBACK"] and "TO" in words)
        if not inner and classify(one, dialect).kind is StatementClass.CONTROL:
            raise InterfaceError(
                f"{words[0]} begins or ends a transaction, and all of a test happens in one, which is rolled back: "
                "use `async with transaction()`"
            )


def saved(
    call: Callable[..., Awaitable[Any]], block: Block, check: Callable[[Any], None] | None = None
) -> Callable[..., Awaitable[Any]]:
    """The same call, in a savepoint of its own; its first argument is a text where there is a `check`."""

    async def run(*args: Any, **options: Any) -> Any:
        if check is not None and args:
            check(args[0])
        async with block():
            return await call(*args, **options)

    return run


class Result:
    """What one statement of a batch comes to, as that of `pool.batch`."""

    def __init__(self) -> None:
        self._value: Any = None
        self._error: Exception | None = None
        self._made = False

    def done(self) -> bool:
        """Whether it is there."""
        return self._made

    def result(self) -> Any:
        """The rows or the tag; raises the error of the statement. InterfaceError before the block has ended."""
        error = self.exception()
        if error is not None:
            raise error
        return self._value

    def exception(self) -> Exception | None:
        """The error of the statement, None if it has none. InterfaceError before the block has ended."""
        if not self._made:
            raise InterfaceError("the results of a batch are there when its block has ended")
        return self._error

    def set(self, value: Any, error: Exception | None) -> None:
        """It is there."""
        self._value, self._error, self._made = value, error, True


class _Added(NamedTuple):
    call: Callable[[], Any]
    result: Result


class Batch:
    """Statements that run one after another when their block ends: all in one savepoint, or each in its own."""

    def __init__(
        self, connection: Any, block: Block, check: Callable[[str], None], atomic: bool, timeout: float | None
    ) -> None:
        self._connection = connection
        self._block = block
        self._check = check
        self._atomic = atomic
        self._timeout = timeout
        self._state = "new"
        self._added: list[_Added] = []

    def fetch(self, sql: str, /, *args: Any, row: Any = None) -> Result:
        """Add a statement; its result is its rows."""
        return self._add(sql, lambda: self._connection.fetch(sql, *args, row=row, timeout=self._timeout))

    def fetchrow(self, sql: str, /, *args: Any, row: Any = None) -> Result:
        """Add a statement; its result is its first row, or None."""
        return self._add(sql, lambda: self._connection.fetchrow(sql, *args, row=row, timeout=self._timeout))

    def fetchval(self, sql: str, /, *args: Any, column: int = 0) -> Result:
        """Add a statement; its result is one value of its first row, or None if there is no row."""
        return self._add(sql, lambda: self._connection.fetchval(sql, *args, column=column, timeout=self._timeout))

    def execute(self, sql: str, /, *args: Any) -> Result:
        """Add a statement; its result is its command tag."""
        return self._add(sql, lambda: self._connection.execute(sql, *args, timeout=self._timeout))

    def _add(self, sql: str, call: Callable[[], Any]) -> Result:
        self._check(sql)
        if self._state != "open":
            raise InterfaceError("statements are added inside of the block: `async with pool.batch() as batch`")
        self._added.append(_Added(call, Result()))
        return self._added[-1].result

    async def __aenter__(self) -> Batch:
        if self._state != "new":
            raise InterfaceError("this batch was used already; call batch() again")
        self._state = "open"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._state = "ended"
        try:
            if error is None and self._added:
                await (self._all() if self._atomic else self._each())
        finally:
            for one in self._added:
                if not one.result.done():
                    one.result.set(None, InterfaceError("the statement was not sent, or was rolled back"))

    async def _all(self) -> None:
        try:
            async with self._block():
                values = [await one.call() for one in self._added]
        except Error as error:
            for one in self._added:
                one.result.set(None, error)
            raise
        for one, value in zip(self._added, values, strict=True):
            one.result.set(value, None)

    async def _each(self) -> None:
        for one in self._added:
            try:
                async with self._block():
                    value = await one.call()
                one.result.set(value, None)
            except Error as error:
                one.result.set(None, error)
                if isinstance(error, (ConnectionLost, StatementTimeout)):
                    raise


class Stream:
    """The rows of a query; each list of them is read in a savepoint of its own, so others may call in between."""

    def __init__(self, cursor: Cursor[Any], block: Block, batch: int) -> None:
        self._cursor = cursor
        self._block = block
        self._batch = batch
        self._used = False
        self._batches: AsyncGenerator[list[Any], None]

    async def __aenter__(self) -> AsyncIterator[list[Any]]:
        if self._used:
            raise InterfaceError("this stream was used already; call stream() again")
        self._used = True
        self._batches = self._lists()
        return self._batches

    async def __aexit__(self, *exc: object) -> None:
        await self._batches.aclose()
        async with self._block():
            await self._cursor.close()

    async def __aiter__(self) -> AsyncGenerator[Any, None]:
        async with self:
            async for rows in self._batches:
                for row in rows:
                    yield row

    async def _lists(self) -> AsyncGenerator[list[Any], None]:
        while rows := await self._next():
            yield rows
            if len(rows) < self._batch:
                return

    async def _next(self) -> list[Any]:
        async with self._block():
            return await self._cursor.fetch(self._batch)


class Prepared:
    """A prepared statement: each of its calls is a savepoint, as that of the pool's."""

    def __init__(self, inner: Any, block: Block) -> None:
        self._inner = inner
        self._block = block

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return saved(found, self._block) if name in CALLS else found

    def cursor(self, /, *args: Any, **options: Any) -> SavedCursor:
        """Its rows a few at a time."""
        return SavedCursor(self._inner.cursor(*args, **options), self._block)


class SavedCursor:
    """A cursor that reads in savepoints: what others call in between may fail."""

    def __init__(self, inner: Cursor[Any], block: Block) -> None:
        self._inner = inner
        self._next = saved(inner.__anext__, block)
        self.fetch = saved(inner.fetch, block)
        self.fetchrow = saved(inner.fetchrow, block)
        self.close = saved(inner.close, block)

    def __aiter__(self) -> SavedCursor:
        return self

    async def __anext__(self) -> Any:
        return await self._next()


class Whole:
    """What COPY gives, read whole at first, so that others may call in between; used like a stream or a generator."""

    def __init__(self, items: AsyncGenerator[Any, None], block: Block) -> None:
        self._given = self._give(items, block)

    async def _give(self, items: AsyncGenerator[Any, None], block: Block) -> AsyncGenerator[Any, None]:
        async with block():
            read = [item async for item in items]
        for item in read:
            yield item

    def __aiter__(self) -> AsyncIterator[Any]:
        return self._given

    async def __anext__(self) -> Any:
        return await self._given.__anext__()

    async def aclose(self) -> None:
        """It is left."""
        await self._given.aclose()

    async def __aenter__(self) -> AsyncIterator[Any]:
        return self._given

    async def __aexit__(self, *exc: object) -> None:
        await self._given.aclose()
