"""`DatabasePool`: several pools by name over one engine, usable without any configuration.

    db = DatabasePool()
    await db.create_pool(pool_id="main", dsn="postgresql://app@db.example/shop", max_size=10)
    rows = await db.query("main", "SELECT id, name FROM users WHERE age > $1", 18)
    count = await db.execute("main", "UPDATE users SET name = $2 WHERE id = $1", 7, "x")
    await db.close()

Pools that config.yaml names are opened when they are first used, and so is the pool "default", which always exists: it
is what config.yaml says, else the database of DATABASE_URL, else an in-memory SQLite database. However many callers
come first, one pool is opened; if that fails they all get the error, and the next call tries again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, overload

from .config import load_config, named_pool, pool_config
from .config.deployment import DEFAULT_POOL
from .config.options import discreet
from .errors import ConfigError, InterfaceError, PoolClosed
from .exporters import observed
from .metrics import Health, Metrics, PoolStats, measure
from .modes import choose_mode, load_engine, pool_defaults

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .abc import Connection, Isolation, Pool
    from .config import PoolConfig
    from .config.deployment import ConfigSource
    from .options import ModeName, PoolOptions
    from .record import Record
    from .rows import Row

__all__ = ["DatabasePool"]

T = TypeVar("T")


class DatabasePool:
    """Named pools over one engine. `async with` closes them all at the end.

    `mode` is "auto", "simple", "balanced" or "full"; a mode that is asked for and not installed raises
    ModeUnavailableError. `config` is the path of a config.yaml, its content as a mapping, or a DeploymentConfig;
    without it DB_POOL_CONFIG or ./config.yaml is read if it is there. `instrument` is given each pool before it is
    opened, and gives what takes its place: `db_pool_rs.exporters.opentelemetry.instrument`, say.
    """

    #: The mode of the classes in db_pool_rs.simple, .balanced and .full; None here.
    _pinned: ClassVar[str | None] = None

    @discreet
    def __init__(
        self, mode: ModeName = "auto", *, config: ConfigSource = None, instrument: Callable[[Pool], Pool] | None = None
    ) -> None:
        self._deployment = load_config(config)
        self._mode = choose_mode(self._mode_asked(mode), self._deployment)
        self._engine = load_engine(self._mode, self._deployment)
        self._instrument = instrument
        self._pools: dict[str, Pool] = {}
        self._opening: dict[str, asyncio.Task[Pool]] = {}
        self._closed = False
        self._started = time.monotonic()

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"pools: {', '.join(self._pools) or 'none open'}"
        return f"<DatabasePool mode={self._mode} {state}>"

    @property
    def mode(self) -> str:
        """The mode that serves: "simple", "balanced" or "full"."""
        return self._mode

    @property
    def pool_ids(self) -> tuple[str, ...]:
        """The names that can be used: of the open pools, of those in config.yaml, and "default"."""
        return tuple(dict.fromkeys((*self._pools, *self._opening, *self._deployment.pools, DEFAULT_POOL)))

    async def create_pool(
        self, pool_id: str = DEFAULT_POOL, dsn: str | None = None, **options: Unpack[PoolOptions]
    ) -> Pool:
        """Open a pool and call it `pool_id`.

        `dsn` and `options` are those of :func:`db_pool_rs.create_pool`. Without a `dsn`, a pool of that name in
        config.yaml is meant, and `options` win over what is written there. The pool is returned for calls that this
        class does not have. Raises ConfigError for wrong options, InterfaceError if the name is taken, ConnectFailed
        if the database cannot be reached; after an error the name is free.
        """
        self._check(pool_id)
        if pool_id in self._pools or self._opening_of(pool_id) is not None:
            raise InterfaceError(f"there is a pool {pool_id!r} already; close_pool({pool_id!r}) frees the name")
        try:
            config = self._describe(pool_id, dsn, options)
        finally:
            del dsn, options  # or they would be in the traceback of whatever fails
        opening = self._open(pool_id, config)
        try:
            return await _opened(opening, pool_id)
        except asyncio.CancelledError:
            self._abandon(pool_id)
            raise

    @overload
    async def query(
        self, pool_id: str, sql: str, *args: Any, timeout: float | None = None, row: None = None
    ) -> list[Record]: ...

    @overload
    async def query(self, pool_id: str, sql: str, *args: Any, timeout: float | None = None, row: Row[T]) -> list[T]: ...

    async def query(
        self, pool_id: str, sql: str, *args: Any, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """Every row of one statement, made into what `row` says, as in `Pool.fetch`.

        `timeout` in seconds covers the whole call, opening the pool excepted.
        """
        pool = self._pools.get(pool_id) or await self.pool(pool_id)
        return await pool.fetch(sql, *args, timeout=timeout, row=row)

    async def execute(self, pool_id: str, sql: str, *args: Any, timeout: float | None = None) -> int:
        """Run one statement and return the number of affected rows, 0 for statements that have none."""
        pool = self._pools.get(pool_id) or await self.pool(pool_id)
        return (await pool.execute(sql, *args, timeout=timeout)).rows

    @asynccontextmanager
    async def transaction(
        self,
        pool_id: str,
        *,
        isolation: Isolation | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> AsyncIterator[Connection]:
        """A session inside a transaction: `async with db.transaction("main") as tx`. See `Pool.transaction`."""
        pool = await self.pool(pool_id)
        async with pool.transaction(
            isolation=isolation, readonly=readonly, deferrable=deferrable, timeout=timeout
        ) as connection:
            yield connection

    @asynccontextmanager
    async def acquire(self, pool_id: str, *, timeout: float | None = None) -> AsyncIterator[Connection]:
        """A session of your own: `async with db.acquire("main") as connection`."""
        pool = await self.pool(pool_id)
        async with pool.acquire(timeout=timeout) as connection:
            yield connection

    async def get_pool_status(self, pool_id: str) -> PoolStats:
        """Sizes, queues, health, last error, counters and latencies of a pool, as attributes and as a mapping."""
        return (await self.pool(pool_id)).stats()

    async def health(self, *, probe: bool = False, timeout: float = 2.0) -> dict[str, Health]:
        """The :class:`~db_pool_rs.metrics.Health` of each open pool, by name; see `Pool.health`."""
        pools = dict(self._pools)
        found = await asyncio.gather(*(pool.health(probe=probe, timeout=timeout) for pool in pools.values()))
        return dict(zip(pools, found, strict=True))

    def get_metrics(self) -> Metrics:
        """Mode, statements per second, resident memory and uptime, and the `PoolStats` of every open pool."""
        stats = {pool_id: pool.stats() for pool_id, pool in self._pools.items()}
        return measure(self._mode, stats, time.monotonic() - self._started)

    async def pool(self, pool_id: str = DEFAULT_POOL) -> Pool:
        """The pool of that name, opened if this is its first use. InterfaceError, with the known names, if unknown."""
        self._check(pool_id)
        if pool := self._pools.get(pool_id):
            return pool
        opening = self._opening_of(pool_id)
        if opening is None:
            if pool_id not in self.pool_ids:
                raise self._unknown(pool_id)
            opening = self._open(pool_id, self._describe(pool_id, None, {}))
        return await _opened(opening, pool_id)

    async def close_pool(self, pool_id: str, timeout: float | None = None) -> None:
        """Close a pool and free its name. What still runs after `timeout` seconds is cut off."""
        self._check(pool_id)
        if pool_id not in self.pool_ids:
            raise self._unknown(pool_id)
        await self._close(pool_id, timeout)

    async def close(self, timeout: float | None = None) -> None:
        """Close every pool; the object cannot be used afterwards. Closing twice does nothing."""
        self._closed = True
        names = [*self._opening, *self._pools]
        for failure in await asyncio.gather(*(self._close(name, timeout) for name in names), return_exceptions=True):
            if failure is not None:
                raise failure

    async def __aenter__(self) -> DatabasePool:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _mode_asked(self, mode: str) -> str:
        """What the caller asked for; the class of a mode serves no other."""
        if self._pinned is None:
            return mode
        if mode not in ("auto", self._pinned):
            raise ConfigError("mode", mode, f"{self._pinned}; db_pool_rs.DatabasePool serves every mode")
        return self._pinned

    def _check(self, pool_id: object) -> None:
        if self._closed:
            raise PoolClosed("this DatabasePool is closed")
        if not isinstance(pool_id, str) or not pool_id:
            raise InterfaceError(f"pool_id must be a non-empty str, not {pool_id!r:.50}")

    def _unknown(self, pool_id: str) -> InterfaceError:
        return InterfaceError(f"there is no pool {pool_id[:50]!r}; known: {', '.join(self.pool_ids)}")

    @discreet
    def _describe(self, pool_id: str, dsn: str | None, options: Mapping[str, Any]) -> PoolConfig:
        """The options of a pool: those of the call, else of config.yaml, else of the environment."""
        defaults = {"name": pool_id, **pool_defaults(self._mode, self._deployment)}
        if dsn is None and pool_id in self._deployment.pools:
            return named_pool(self._deployment, pool_id, options, defaults)
        return pool_config(dsn, **{**defaults, **options})

    def _open(self, pool_id: str, config: PoolConfig) -> asyncio.Task[Pool]:
        """Open a pool in a task of its own, so that no caller's cancellation reaches the others that wait for it."""

        async def opening() -> Pool:
            made = self._engine.pool(config)
            pool = await (observed(made) if self._instrument is None else self._instrument(made))
            self._pools[pool_id] = pool
            return pool

        def forget(done: asyncio.Task[Pool]) -> None:
            if self._opening.get(pool_id) is done:
                del self._opening[pool_id]
            if not done.cancelled():
                done.exception()  # seen: the callers that still wait get it, and there may be none

        task = asyncio.create_task(opening(), name=f"open pool {pool_id}")
        self._opening[pool_id] = task
        task.add_done_callback(forget)
        return task

    def _opening_of(self, pool_id: str) -> asyncio.Task[Pool] | None:
        """The task that opens the pool, unless its event loop was closed before it could finish."""
        opening = self._opening.get(pool_id)
        if opening is None or opening.get_loop() is asyncio.get_running_loop():
            return opening
        if not opening.get_loop().is_closed():
            raise InterfaceError(f"the pool {pool_id!r} is being opened in another event loop")
        return None

    def _abandon(self, pool_id: str) -> asyncio.Task[Pool] | None:
        opening = self._opening.pop(pool_id, None)
        if opening is not None:
            opening.cancel()
        return opening

    async def _close(self, pool_id: str, timeout: float | None) -> None:
        if opening := self._abandon(pool_id):
            await asyncio.wait([opening])
        if pool := self._pools.pop(pool_id, None):
            await pool.close(timeout)


async def _opened(opening: asyncio.Task[Pool], pool_id: str) -> Pool:
    # `wait` and not `shield`: it tells the cancellation of the caller from that of the task.
    await asyncio.wait([opening])
    if opening.cancelled():
        raise PoolClosed(f"the pool {pool_id!r} was closed while it was being opened")
    return opening.result()


def pinned(mode: str) -> type[DatabasePool]:
    """The DatabasePool that serves `mode` and no other."""
    return type("DatabasePool", (DatabasePool,), {"_pinned": mode, "__doc__": f"DatabasePool in mode {mode}."})
