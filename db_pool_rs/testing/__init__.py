"""For the tests of programs: a pool of which nothing stays.

    from db_pool_rs.testing import rolled_back

    async with rolled_back(pool) as db:
        await db.execute("INSERT INTO users VALUES (1, 'Ada')")     # db is used like the pool
    # and it never happened

All that is called on `db` runs on one connection, inside one transaction, which is rolled back at the end. Each call,
and each `transaction()`, is a savepoint of it: so an expected error (a UniqueViolation, say) undoes its own call and
spoils nothing, as on the pool. `acquire()` and `transaction()` give connections that are used like the pool's.

What cannot be the same: there is one connection, so calls of several tasks run one after another, `now()` stands
still, and no other session sees what was written: `listen` hears what others send, and no NOTIFY of the test's own.
`copy_out` and `stream_arrow` read all at first; the source or the sink of a COPY cannot call `db`: InterfaceError.
Options of `transaction()` and `run` (isolation, readonly) have no effect; `run` repeats without a pause. What begins or
ends a transaction by hand (BEGIN, COMMIT, ROLLBACK) is refused: InterfaceError. `transaction()` is for ``async with``.

Fixtures for pytest: :mod:`.for_asyncio` (pytest-asyncio) and :mod:`.for_anyio`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DatabaseError, InterfaceError
from ._parts import CALLS, Batch, Prepared, SavedCursor, Stream, Whole, check_text, saved

if TYPE_CHECKING:
    from ..abc import Pool

T = TypeVar("T")

__all__ = ["RolledBack", "rolled_back"]

#: Calls that are a savepoint each.
_SAVED = CALLS | {
    "copy_from_query",
    "copy_from_table",
    "copy_in",
    "copy_records_to_table",
    "copy_to_table",
    "fetch_arrow",
}
#: What concerns the pool itself is asked of it, or done to it.
_OF_THE_POOL = frozenset(
    (
        "add_notice_listener",
        "add_query_logger",
        "config",
        "expire_connections",
        "explain",
        "health",
        "listen",
        "mode",
        "name",
        "remove_notice_listener",
        "remove_query_logger",
        "resize",
        "set_target",
        "set_type_codec",
        "stats",
        "top",
    )
)
#: What `run` repeats: a serialization failure, and a deadlock.
_REPEATED = frozenset(("40001", "40P01"))


class _Level:
    """A savepoint, or the transaction of all: what is called directly inside it runs one after another."""

    def __init__(self, outer: _Level | None = None) -> None:
        self.lock = asyncio.Lock()
        self._outer = outer
        self.ended = False

    def open(self) -> _Level:
        """This one or, where it has ended, the innermost around it that has not."""
        return self._outer.open() if self.ended and self._outer is not None else self


class _Call:
    """A savepoint of one call."""

    ended = False


class RolledBack:
    """Used like a pool, and like a connection of it; made by :func:`rolled_back`."""

    def __init__(self, pool: Pool, connection: Any) -> None:
        self._pool = pool
        self._connection = connection
        self._dialect = connection._lease.context.database.dialect
        self._root = _Level()
        #: Where a caller stands; tasks that it makes stand there too.
        self._level: ContextVar[_Level] = ContextVar("level", default=self._root)
        #: The call that a caller is within: its source or its sink.
        self._call: ContextVar[_Call | None] = ContextVar("call", default=None)
        self._runs: ContextVar[bool] = ContextVar("runs", default=False)
        #: Which attempt of `run` this is, from 1 on.
        self.attempt = 1

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_POOL:
            return getattr(self._pool, name)
        found = getattr(self._connection, name)
        return saved(found, self._saved, self._check_text if name in CALLS else None) if name in _SAVED else found

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[RolledBack]:
        """A block whose work is undone if it ends with an exception: a savepoint. `options` have no effect."""
        self._check()
        async with self._turn() as outer:
            inner = _Level(outer)
            token = self._level.set(inner)
            try:
                async with self._connection.transaction():
                    try:
                        yield self
                    finally:
                        async with inner.lock:  # calls of its tasks end before it does
                            inner.ended = True
            finally:
                inner.ended = True
                self._level.reset(token)

    async def run(
        self,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        retries: int = 5,
        retry_for: float = 30.0,
        **options: Any,
    ) -> T:
        """The result of `await function(connection, *args)` in a savepoint, repeated at once after 40001 and 40P01."""
        if self._runs.get():
            raise InterfaceError("run was called by the function of a run: what it is to repeat is a part of that")
        clock = asyncio.get_running_loop().time
        end, attempt = clock() + retry_for, 1
        token = self._runs.set(True)
        try:
            while True:
                try:
                    async with self.transaction() as connection:
                        self.attempt = attempt
                        return await function(connection, *args)
                except DatabaseError as error:
                    if attempt > retries or clock() > end or error.sqlstate not in _REPEATED:
                        raise
                attempt += 1
        finally:
            self._runs.reset(token)

    def batch(self, *, atomic: bool = True, timeout: float | None = None) -> Batch:
        """Statements that run one after another when the block ends; with `atomic` in one savepoint, else each its own.

        `timeout` is that of each.
        """
        return Batch(self._connection, self._saved, self._check_text, atomic, timeout)

    def stream(
        self, sql: str, /, *args: Any, batch: int = 1000, timeout: float | None = None, row: Any = None
    ) -> Stream:
        """The rows of a query a few at a time; other calls may be made meanwhile."""
        return Stream(self._connection.cursor(sql, *args, prefetch=batch, timeout=timeout, row=row), self._saved, batch)

    async def prepare(self, sql: str, /, **options: Any) -> Prepared:
        """A statement that the database has checked; each of its calls is a savepoint."""
        self._check_text(sql)
        async with self._saved():
            return Prepared(await self._connection.prepare(sql, **options), self._saved)

    def cursor(self, sql: str, /, *args: Any, **options: Any) -> SavedCursor:
        """The rows of a query a few at a time; other calls may be made meanwhile."""
        return SavedCursor(self._connection.cursor(sql, *args, **options), self._saved)

    def stream_arrow(self, sql: str, /, *args: Any, **options: Any) -> Whole:
        """The rows of a query as Arrow, read whole at first; other calls may be made meanwhile."""
        return Whole(self._connection.stream_arrow(sql, *args, **options), self._saved)

    def copy_out(self, what: str, /, *args: Any, **options: Any) -> Whole:
        """The data of a COPY, read whole at first; other calls may be made meanwhile."""
        return Whole(self._connection.copy_out(what, *args, **options), self._saved)

    @asynccontextmanager
    async def _saved(self) -> AsyncIterator[None]:
        self._check()
        async with self._turn(), self._connection.transaction():
            call = _Call()
            token = self._call.set(call)
            try:
                yield
            finally:
                call.ended = True
                self._call.reset(token)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[_Level]:
        """Nothing else runs where the caller stands. What waits when its block ends goes on outside of it."""
        while True:
            level = self._level.get().open()
            async with level.lock:
                if not level.ended:
                    yield level
                    return

    def _check(self) -> None:
        """InterfaceError for what is called by the source or the sink of a call, and would wait for its end."""
        call = self._call.get()
        if call is not None and not call.ended:
            raise InterfaceError("this is called within another call, a COPY; there is one connection, which that has")

    def _check_text(self, sql: Any) -> None:
        check_text(sql, self._dialect)

    def acquire(self, *, timeout: float | None = None) -> _Acquired:
        """What is used like a connection of one's own: it is that of all."""
        return _Acquired(self)

    async def release(self, connection: Any) -> None:
        """Give back what was awaited from `acquire`."""
        if connection is not self:
            raise InterfaceError(f"a connection of this pool is expected, not of another pool: {connection!r}")

    async def close(self, timeout: float | None = None) -> None:
        """Nothing: the pool goes on."""

    def terminate(self) -> None:
        """Nothing: the pool goes on."""

    @property
    def closed(self) -> bool:
        """Whether the pool is closed."""
        return self._pool.closed

    async def __aenter__(self) -> RolledBack:
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing: the pool goes on."""


class _Acquired:
    """The answer of `acquire`."""

    def __init__(self, db: RolledBack) -> None:
        self._db = db

    def __await__(self) -> Any:
        return self._given().__await__()

    async def _given(self) -> RolledBack:
        return self._db

    async def __aenter__(self) -> RolledBack:
        return self._db

    async def __aexit__(self, *exc: object) -> None:
        """It is that of all."""


@asynccontextmanager
async def rolled_back(pool: Pool) -> AsyncIterator[RolledBack]:
    """A pool to use for one test: all of it happens in one transaction of `pool`, which is rolled back."""
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        try:
            yield RolledBack(pool, connection)
        finally:
            await transaction.rollback()
