"""asyncpg's interface over the pools of this package: a program made for asyncpg runs with one import changed.

    import db_pool_rs.asyncpg as asyncpg

    pool = await asyncpg.create_pool("postgresql://user@host/database")
    await pool.fetch("SELECT 1")            # travels in groups with the calls of other tasks

Names, signatures, classes of errors and what programs rely on are asyncpg's: json is a str, `ssl=True` verifies the
server, a missing row is None. What is different is in one table of docs/asyncpg.md; what cannot be done raises
NotImplementedError, which says why. The engine is chosen by DB_POOL_MODE or config.yaml, or by `mode=`.

:mod:`.pool`, :mod:`.connection` and :mod:`.prepared` are asyncpg's classes, :mod:`.calls` what pools and connections do
alike, :mod:`.exceptions` its errors, :mod:`.options` its options.
"""

from __future__ import annotations

from typing import Any

from ..described import Attribute, ServerVersion, Type
from ..ranges import Range
from ..record import Record
from . import exceptions
from .connection import Connection, Transaction
from .exceptions import DataError, InterfaceError, PostgresError
from .pool import Pool, PoolAcquireContext
from .prepared import Cursor, PreparedStatement

__all__ = [
    "Attribute",
    "Connection",
    "Cursor",
    "DataError",
    "InterfaceError",
    "Pool",
    "PoolAcquireContext",
    "PostgresError",
    "PreparedStatement",
    "Range",
    "Record",
    "ServerVersion",
    "Transaction",
    "Type",
    "connect",
    "create_pool",
    "exceptions",
]


def create_pool(dsn: str | None = None, **options: Any) -> Pool:
    """A pool, to be awaited or used with `async with`; options are those of asyncpg."""
    return Pool(dsn, **options)


async def connect(
    dsn: str | None = None,
    *,
    connection_class: type[Connection] | None = None,
    record_class: type[Any] | None = None,
    loop: Any = None,
    **options: Any,
) -> Connection:
    """One connection; options are those of asyncpg. `close` it."""
    pool = Pool(dsn, connection_class=connection_class, record_class=record_class, min_size=1, max_size=1, **options)
    await pool
    try:
        connection = await pool.acquire()
    except BaseException:
        pool.terminate()
        raise
    connection._owns = True
    return connection


def __getattr__(name: str) -> Any:
    """An error by asyncpg's name."""
    return getattr(exceptions, name)
