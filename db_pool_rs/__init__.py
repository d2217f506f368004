"""A database connection pool for asyncio: many tasks, few connections, statements sent in groups.

One pool:

    import asyncio
    import db_pool_rs

    async def main():
        async with db_pool_rs.create_pool("sqlite://") as pool:         # or "postgresql://user@host/database"
            await pool.execute("CREATE TABLE users (id int PRIMARY KEY, name text)")
            await pool.executemany("INSERT INTO users VALUES ($1, $2)", [(1, "Ada"), (2, "Grace")])
            for row in await pool.fetch("SELECT id, name FROM users WHERE id > $1", 0):
                print(row["id"], row["name"])
            async with pool.transaction() as connection:
                await connection.execute("UPDATE users SET name = $2 WHERE id = $1", 1, "Ada L.")

    asyncio.run(main())

Several pools by name, and none of it has to be configured (see :mod:`~db_pool_rs.facade`):

    async with db_pool_rs.DatabasePool() as db:
        rows = await db.query("default", "SELECT 1 AS one")

- Statements use `$1, $2, ...` on every database. A statement on the pool is a transaction of its own; `transaction()`
  and `acquire()` give a session to oneself (:mod:`~db_pool_rs.abc` has all calls).
- What connects and how is said by a connection string and options (:mod:`~db_pool_rs.config`), or in config.yaml.
- Three engines serve the same interface, from pure Python to Rust (:mod:`~db_pool_rs.modes`).
- Rows are tuples that know their column names (:mod:`~db_pool_rs.record`).
- All errors are one tree, the same for every engine and database (:mod:`~db_pool_rs.errors`).

Names are imported when they are first used: `import db_pool_rs` itself costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import create_database_pool, create_pool, detect_best_mode
    from .codecs import Codec
    from .config import DeploymentConfig, PoolConfig, load_config
    from .errors import (
        ArgumentError,
        ConfigError,
        ConnectFailed,
        ConnectionLost,
        DatabaseConnectionError,
        DatabaseError,
        DecodeError,
        Error,
        InterfaceError,
        ModeUnavailableError,
        PoolClosed,
        PoolError,
        PoolOverloaded,
        PoolTimeout,
        StatementTimeout,
    )
    from .facade import DatabasePool
    from .interface import DatabasePoolInterface
    from .metrics import Health, Metrics, PoolStats
    from .modes import Decision
    from .options import PoolOptions
    from .ranges import Range
    from .record import Column, Event, Record, Result, Status
    from .standalone import connect

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Codec",
    "Column",
    "ConfigError",
    "ConnectFailed",
    "ConnectionLost",
    "DatabaseConnectionError",
    "DatabaseError",
    "DatabasePool",
    "DatabasePoolInterface",
    "Decision",
    "DecodeError",
    "DeploymentConfig",
    "Error",
    "Event",
    "Health",
    "InterfaceError",
    "Metrics",
    "ModeUnavailableError",
    "PoolClosed",
    "PoolConfig",
    "PoolError",
    "PoolOptions",
    "PoolOverloaded",
    "PoolStats",
    "PoolTimeout",
    "Range",
    "Record",
    "Result",
    "StatementTimeout",
    "Status",
    "__version__",
    "connect",
    "create_database_pool",
    "create_pool",
    "detect_best_mode",
    "load_config",
]

#: Where the public names live; what is not here is an error.
_HOMES = {
    "api": ("create_database_pool", "create_pool", "detect_best_mode"),
    "codecs": ("Codec",),
    "config": ("DeploymentConfig", "PoolConfig", "load_config"),
    "facade": ("DatabasePool",),
    "interface": ("DatabasePoolInterface",),
    "metrics": ("Health", "Metrics", "PoolStats"),
    "modes": ("Decision",),
    "ranges": ("Range",),
    "options": ("PoolOptions",),
    "record": ("Column", "Event", "Record", "Result", "Status"),
    "standalone": ("connect",),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = next((module for module, names in _HOMES.items() if name in names), "errors")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
