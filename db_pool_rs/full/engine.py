"""The full engine: pools whose rules and connections are written in Rust."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..abc import Engine
    from ..config import DeploymentConfig, PoolConfig
    from ..pool.pool import Pool
    from .driver import Driver


@dataclass(frozen=True, slots=True)
class FullEngine:
    """Serves PostgreSQL and SQLite on threads of the engine's own.

    `threads`: the most that pools live on (each on one); `blocking`: the most that each starts for blocking work.
    """

    name: str = "full"
    threads: int = 1
    blocking: int = 512

    def pool(self, config: PoolConfig) -> Pool:
        """A pool, not yet opened."""
        from .executor import RustExecutor
        from .pool import Pool

        driver = _driver(config)
        return Pool(config, driver, partial(RustExecutor, driver, self.threads, self.blocking), self.name, self.pool)


def engine(deployment: DeploymentConfig) -> Engine:
    """The engine that `deployment` describes."""
    asked = deployment.full.tokio_threads
    threads = asked if isinstance(asked, int) else os.cpu_count() or 1
    return FullEngine(threads=threads, blocking=deployment.full.max_blocking_threads)


def remedy() -> str:
    """What helps where there is a problem."""
    from .sqlite_library import REMEDY

    return REMEDY


def problem(database: str | None) -> str | None:
    """Why this installation cannot serve such a database in mode full; None if it can."""
    if database != "sqlite":
        return None
    from .sqlite_library import problem

    return problem()


def _driver(config: PoolConfig) -> Driver:
    if config.target.database_system == "sqlite":
        from .sqlite import FullSqliteDriver

        return FullSqliteDriver(config)
    from .driver import FullDriver

    return FullDriver(config)
