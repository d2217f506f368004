"""One connection without a pool of one's own: `await db_pool_rs.connect(dsn)`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from .api import create_pool
from .pool.connection import Connection
from .pool.lease import Lease

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from . import abc
    from .config.deployment import ConfigSource
    from .options import ModeName, PoolOptions


class StandaloneConnection(Connection):
    """A connection that `connect` has opened: `close` it, or use it with ``async with``."""

    __slots__ = ("_pool",)

    def __init__(self, lease: Lease, pool: abc.Pool) -> None:
        super().__init__(lease)
        self._pool = pool

    async def close(self, *, timeout: float | None = None) -> None:
        """Close it: what was called is finished first. After `timeout` seconds it is cut off."""
        await super().close(timeout=timeout)
        await self._pool.close(timeout=timeout)

    def terminate(self) -> None:
        """Close it at once; what runs on it gets ConnectionLost."""
        super().terminate()
        self._pool.terminate()

    async def __aenter__(self) -> StandaloneConnection:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()


async def connect(
    dsn: str | None = None, *, mode: ModeName = "auto", config: ConfigSource = None, **options: Unpack[PoolOptions]
) -> StandaloneConnection:
    """Open one connection, for its caller alone; `dsn`, `mode`, `config` and `options` are those of `create_pool`.

    ConnectFailed says why there is none. What a statement knows of others is nothing: it is for scripts and for what
    must not share a pool.
    """
    options["min_size"] = options["max_size"] = 1
    pool = await create_pool(dsn, mode=mode, config=config, **options)
    try:
        lent = cast("Connection", await pool.acquire())
    except BaseException:
        pool.terminate()
        raise
    return StandaloneConnection(lent._lease, pool)
