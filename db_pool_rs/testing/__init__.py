"""For the tests of programs: a pool of which nothing stays.

    from db_pool_rs.testing import rolled_back

    async with rolled_back(pool) as db:
        await db.execute("INSERT INTO users VALUES (1, 'Ada')")     # db is used like the pool
    # and it never happened

All that is called on `db` runs on one connection, inside one transaction, which is rolled back at the end. Each call,
and each `transaction()`, is a savepoint of it: so an expected error (a UniqueViolation, say) undoes its own call and
spoils nothing, as on the pool. `acquire()` and `transaction()` give connections that are used like the pool's.

What cannot be the same: there is one connection, so calls of several tasks run one after another, `now()` stands
still, and no other session sees what was written. Options of `transaction()` (isolation, readonly) have no effect.

Fixtures for pytest: :mod:`.for_asyncio` (pytest-asyncio) and :mod:`.for_anyio`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError

if TYPE_CHECKING:
    from ..abc import Connection, Pool

__all__ = ["RolledBack", "rolled_back"]

#: Calls that are a savepoint each.
_SAVED = frozenset(
    (
        "copy_from_query",
        "copy_from_table",
        "copy_records_to_table",
        "copy_to_table",
        "execute",
        "executemany",
        "fetch",
        "fetch_result",
        "fetchmany",
        "fetchrow",
        "fetchval",
    )
)
#: What concerns the pool itself is asked of it, or done to it.
_OF_THE_POOL = frozenset(("config", "explain", "expire_connections", "mode", "name", "resize", "stats"))


class _Level:
    """A savepoint, or the transaction of all: what is called directly inside it runs one after another."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()


class RolledBack:
    """Used like a pool, and like a connection of it; made by :func:`rolled_back`."""

    def __init__(self, pool: Pool, connection: Connection) -> None:
        self._pool = pool
        self._connection = connection
        self._root = _Level()
        #: Where a caller stands; tasks that it makes stand there too.
        self._level: ContextVar[_Level] = ContextVar("level", default=self._root)

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_POOL:
            return getattr(self._pool, name)
        found = getattr(self._connection, name)
        if name not in _SAVED:
            return found

        async def call(*args: Any, **options: Any) -> Any:
            async with self._level.get().lock, self._connection.transaction():
                return await found(*args, **options)

        return call

    @asynccontextmanager
    async def transaction(self, **options: Any) -> AsyncIterator[RolledBack]:
        """A block whose work is undone if it ends with an exception: a savepoint. `options` have no effect."""
        inner = _Level()
        async with self._level.get().lock:
            token = self._level.set(inner)
            try:
                async with self._connection.transaction():
                    yield self
            finally:
                self._level.reset(token)

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
