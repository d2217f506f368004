"""The pure Python engine: a pool, and the driver that its database needs.

The only place where the parts of this package meet. Drivers are imported when a pool asks for one: a program that uses
SQLite never loads psycopg, and the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ..errors import INSTALL_PSYCOPG, ModeUnavailableError

if TYPE_CHECKING:
    from ..abc import Engine
    from ..config import DeploymentConfig, PoolConfig
    from ..drivers.base import Driver
    from ..pool.pool import Pool


@dataclass(frozen=True, slots=True)
class SimpleEngine:
    """Serves PostgreSQL through psycopg's libpq bindings, and SQLite through the standard library."""

    name: str = "simple"

    def pool(self, config: PoolConfig) -> Pool:
        """A pool, not yet opened; ModeUnavailableError if it is for PostgreSQL and psycopg is missing."""
        from ..pool.pool import Pool
        from .executor import PythonExecutor

        driver = _driver(config)
        return Pool(config, driver, partial(PythonExecutor, driver), self.name, self.pool)


def engine(deployment: DeploymentConfig) -> Engine:
    """The engine that `deployment` describes. Its one option, `thread_pool_size`, is an option of each pool."""
    return SimpleEngine()


def _driver(config: PoolConfig) -> Driver:
    if config.target.database_system == "sqlite":
        from ..drivers.sqlite.driver import SqliteDriver

        return SqliteDriver(config)
    try:
        from ..drivers.postgres.driver import PostgresDriver

        return PostgresDriver(config)
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "db_pool_rs":
            raise
        # psycopg itself fails with a list of what it tried when libpq is missing.
        raise ModeUnavailableError("simple", f"PostgreSQL needs psycopg: {error}", INSTALL_PSYCOPG) from None
