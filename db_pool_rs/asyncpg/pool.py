"""asyncpg's Pool over a pool of this package."""

from __future__ import annotations

import asyncio
import logging
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError
from ..sql import classify
from .calls import Calls, R, also_theirs, check_record_class, records
from .connection import Connection
from .exceptions import of_execute, translated
from .fitting import fitting
from .options import check, lead, made

if TYPE_CHECKING:
    from ..abc import Connection as Session
    from ..abc import Pool as OurPool

logger = logging.getLogger("db_pool_rs")

#: Seconds after which a pool that is being closed says that connections are still in use.
_LONG = 60
#: Called with a connection.
Hook = Callable[[Any], Awaitable[Any]]


class Pool(Calls[R]):
    """A pool, used as asyncpg's are. Calls on the pool itself travel in groups, unless there is a `setup`."""

    def __init__(
        self,
        dsn: str | None = None,
        *,
        init: Hook | None = None,
        setup: Hook | None = None,
        reset: Hook | None = None,
        connect: Any = None,
        connection_class: type[Connection] | None = None,
        record_class: type[Any] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **options: Any,
    ) -> None:
        if connect is not None:
            raise NotImplementedError(
                "create_pool(connect=): the pool opens its connections itself, as they run groups of many callers; "
                "password= may be a callable that is asked for each, and set_connect_args leads an open pool elsewhere"
            )
        check(options)
        check_record_class(record_class)
        self._class = connection_class or Connection
        self._record_class = record_class
        self._init, self._setup, self._reset = init, setup, reset
        self._options = (dsn, options)
        self._pool_: OurPool | None = None
        #: The same while it is being opened: `init` sets codecs, which are the pool's.
        self._made: OurPool | None = None
        #: Codecs that were set, by schema and name: `init` sets the same ones for each connection.
        self._codecs: dict[tuple[str, str], tuple[Any, Any, str]] = {}
        self._opening = self._closing = False
        #: Connections in use; one that the program forgets is noticed by the pool, which takes its session back.
        self._lent: weakref.WeakKeyDictionary[Any, Session] = weakref.WeakKeyDictionary()

    # -- life ----------------------------------------------------------------------------------------------------

    async def _opened(self) -> Pool[R]:
        if self._pool_ is None:
            if self._opening:
                raise InterfaceError("pool is being initialized in another task")
            self._opening = True
            try:
                self._pool_ = await self._open()
            finally:
                self._opening = False
        return self

    async def _open(self) -> OurPool:
        dsn, options = self._options
        hooks = {name: self._hook(hook) for name, hook in (("init", self._init), ("reset", self._reset)) if hook}
        async with also_theirs():
            pool = self._made = made(dsn, {**options, **hooks})
            await pool.open()
            try:
                await _fill(pool, options.get("init_size") or 0)
            except BaseException:
                pool.terminate()
                raise
        return pool

    def _hook(self, hook: Hook) -> Hook:
        async def call(session: Session) -> None:
            await hook(self._connection(session))

        return call

    def __await__(self) -> Generator[Any, None, Pool[R]]:
        return self._opened().__await__()

    async def __aenter__(self) -> Pool[R]:
        return await self._opened()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for the connections that are in use, then close all."""
        self._closing = True
        warning = asyncio.get_running_loop().call_later(_LONG, _warn_of_closing)
        try:
            await self._pool().close()
        finally:
            warning.cancel()

    def terminate(self) -> None:
        """Close all connections at once."""
        self._closing = True
        if self._pool_ is not None:
            self._pool_.terminate()

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return self._closing

    async def expire_connections(self) -> None:
        """Replace every connection as soon as it is free."""
        self._pool().expire_connections()

    def set_connect_args(self, dsn: str | None = None, **options: Any) -> None:
        """Of connections that are opened from now on; `expire_connections` replaces those that are open."""
        if self._pool_ is not None:
            lead(self._pool_, dsn, options)
        self._options = (dsn, {**self._options[1], **options})

    def get_size(self) -> int:
        """How many connections there are."""
        return self._pool().stats().size

    def get_idle_size(self) -> int:
        """How many of them are idle."""
        return self._pool().stats().idle

    def get_min_size(self) -> int:
        """The fewest connections."""
        return self._pool().stats().min_size

    def get_init_size(self) -> int:
        """How many connections are opened at once."""
        least = self.get_min_size()
        return int(self._options[1].get("init_size", least))

    def get_max_size(self) -> int:
        """The most connections."""
        return self._pool().stats().max_size

    # -- statements ----------------------------------------------------------------------------------------------

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Execute an SQL command, or several without arguments on one connection; the command tag of the last."""
        text = str(query)
        if args or ";" not in text or classify(text).count <= 1:
            return await super().execute(query, *args, timeout=timeout)
        with of_execute(args):
            async with self._session(timeout) as session:
                return str(await session.execute(query, timeout=timeout))

    async def fetch(
        self, query: str, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> list[Any]:
        """All rows."""
        if self._setup is not None or self._pool_ is None:
            return await super().fetch(query, *args, timeout=timeout, record_class=record_class)
        try:  # most calls of a program are this one: it has no context managers, which cost as much as a statement
            rows = await fitting(self._pool_, query, partial(self._pool_.fetch, query), args, timeout=timeout)
        except Exception as error:
            made = translated(error)
            if made is error:
                raise
            raise made from made.__cause__
        return records(rows, record_class or self._record_class)

    # -- connections ---------------------------------------------------------------------------------------------

    def acquire(self, *, timeout: float | None = None) -> PoolAcquireContext:
        """`await` it, or use it with `async with`, for a connection."""
        return PoolAcquireContext(self, timeout)

    async def release(self, connection: Any, *, timeout: float | None = None) -> None:
        """Give a connection back."""
        session = self._lent.pop(connection, None) if isinstance(connection, Connection) else None
        if session is not None:
            connection._warn_of_listeners()
            connection._tell_of_transaction()
            connection._top_xact, connection._is_released = None, True
            await self._pool().release(session)
        elif getattr(connection, "_pool", None) is not self:
            raise InterfaceError(
                f"Pool.release() received invalid connection: {connection!r} is not a member of this pool"
            )

    async def _acquire(self, timeout: float | None) -> Connection:
        async with also_theirs():
            session = await self._pool().acquire(timeout=timeout)
            connection = self._connection(session)
            self._lent[connection] = session
            try:
                if self._setup is not None:
                    await self._setup(connection)
            except BaseException:
                await self.release(connection)
                raise
        return connection

    def _connection(self, session: Session) -> Connection:
        return self._class(session, self._record_class, self)

    def _of_codecs(self) -> OurPool:
        """The pool whose codecs they are, also for `init`."""
        return self._pool() if self._made is None else self._made

    def _has_codec(self, schema: str, name: str, *given: Any) -> bool:
        """Whether the codec is this one already; else it is from now on."""
        known, self._codecs[schema, name] = self._codecs.get((schema, name)), (given[0], given[1], given[2])
        return known is not None and all(map(_alike, known, given))

    def _pool(self) -> OurPool:
        if self._pool_ is None:
            raise InterfaceError(
                "pool is being initialized, but not yet ready: is there a race between creating and using it?"
                if self._opening
                else "pool is not initialized"
            )
        return self._pool_

    @asynccontextmanager
    async def _target(self, timeout: float | None, query: Any = None, args: Any = ()) -> AsyncIterator[Any]:
        if self._setup is None:
            async with also_theirs():
                yield self._pool()
        else:  # its statements are to run on a connection that was set up
            async with self._session(timeout) as session:
                yield session

    @asynccontextmanager
    async def _session(self, timeout: float | None) -> AsyncIterator[Any]:
        connection = await self._acquire(timeout)
        try:
            async with connection._target(timeout) as session:
                yield session
        finally:
            await self.release(connection)


#: Where asyncpg has proxies of a pool's connections; here they are connections.
PoolConnectionProxy = Connection


def _alike(one: Any, other: Any) -> bool:
    """Whether two coders do the same: a function within `init` is made anew by each call."""
    if one is other or one == other:
        return True
    parts = ("__code__", "__closure__", "__defaults__", "__kwdefaults__")
    return hasattr(one, "__code__") and all(getattr(one, part) == getattr(other, part, ...) for part in parts)


def _warn_of_closing() -> None:
    logger.warning("Pool.close() takes over %s seconds: are there connections that were not released?", _LONG)


class PoolAcquireContext:
    """The answer of `Pool.acquire`."""

    __slots__ = ("_connection", "_pool", "_timeout")

    def __init__(self, pool: Pool[Any], timeout: float | None) -> None:
        self._pool = pool
        self._timeout = timeout
        self._connection: Connection | None = None

    async def __aenter__(self) -> Connection:
        if self._connection is not None:
            raise InterfaceError("a connection is already acquired")
        self._connection = await self._pool._acquire(self._timeout)
        return self._connection

    async def __aexit__(self, *exc: object) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)

    def __await__(self) -> Generator[Any, None, Connection]:
        return self._pool._acquire(self._timeout).__await__()


async def _fill(pool: OurPool, size: int) -> None:
    """Have so many connections; those above `min_size` are closed when they were idle for long enough."""
    if size <= pool.stats().size:
        return
    opened = await asyncio.gather(*(pool.acquire() for _ in range(size)), return_exceptions=True)
    failed = None
    for one in opened:
        if isinstance(one, BaseException):
            failed = one
        else:
            await pool.release(one)
    if failed is not None:
        raise failed


def _terminate(loop: asyncio.AbstractEventLoop, pool: Pool) -> None:
    """Its only connection is forgotten; the garbage collector may run on any thread."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(pool.terminate)


def create_pool(dsn: str | None = None, **options: Any) -> Pool:
    """A pool, to be awaited or used with `async with`; options are those of asyncpg."""
    return Pool(dsn, **options)


async def connect(
    dsn: str | None = None,
    *,
    connection_class: type[Connection[Any]] | None = None,
    record_class: type[Any] | None = None,
    loop: Any = None,
    **options: Any,
) -> Connection[Any]:
    """One connection; options are those of asyncpg. `close` it."""
    pool = Pool(dsn, connection_class=connection_class, record_class=record_class, min_size=1, max_size=1, **options)
    await pool
    try:
        connection = await pool.acquire()
    except BaseException:
        pool.terminate()
        raise
    connection._owns = True
    connection._session_.add_termination_listener(lambda _: pool.terminate())  # it would open another one
    weakref.finalize(connection, _terminate, asyncio.get_running_loop(), pool).atexit = False
    return connection
