"""The entry points: a pool by connection string, or a `DatabasePool` with several by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .config import load_config, named_pool, pool_config
from .config.deployment import DEFAULT_POOL
from .config.options import discreet
from .config.pool import says_where
from .exporters import observed
from .modes import choose_mode, detect_best_mode, load_engine, pool_defaults

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .abc import Pool
    from .config import PoolConfig
    from .config.deployment import ConfigSource
    from .interface import DatabasePoolInterface
    from .options import ModeName, PoolOptions

__all__ = ["create_database_pool", "create_pool", "detect_best_mode"]


@discreet
def create_pool(
    dsn: str | None = None, *, mode: ModeName = "auto", config: ConfigSource = None, **options: Unpack[PoolOptions]
) -> Pool:
    """A pool of one database, not yet opened: `async with create_pool() as pool`, or `pool = await create_pool()`.

    `dsn`: "postgresql://user@host/database", "host=... dbname=...", "sqlite:///file" or "sqlite://" (in memory);
    "postgresql://" takes everything from libpq's PG* variables. If nothing says where to connect, it is the pool
    `default` of config.yaml, else DATABASE_URL, else an in-memory SQLite database.
    `mode`: "auto", "simple", "balanced" or "full", see :mod:`~db_pool_rs.modes`. `config`: a config.yaml, its content
    as a mapping, or a DeploymentConfig; without it DB_POOL_CONFIG or ./config.yaml is read if it is there. `options`:
    see :class:`~db_pool_rs.config.PoolConfig`; :class:`~db_pool_rs.options.PoolOptions` is their type.

    Raises ConfigError for a wrong option, ModeUnavailableError for a mode that is not installed; nothing is connected
    before the pool is opened.
    """
    deployment = load_config(config)

    def describe(defaults: Mapping[str, Any]) -> PoolConfig:
        if DEFAULT_POOL in deployment.pools and not says_where(dsn, options):
            return named_pool(deployment, DEFAULT_POOL, options, defaults)
        return pool_config(dsn, **{**defaults, **options})

    # Which mode can serve depends on the database, and some defaults depend on the mode.
    chosen = choose_mode(mode, deployment, describe({}).target.database_system)
    return observed(load_engine(chosen, deployment).pool(describe(pool_defaults(chosen, deployment))))


def create_database_pool(
    mode: ModeName = "auto", *, config: ConfigSource = None, instrument: Callable[[Pool], Pool] | None = None
) -> DatabasePoolInterface:
    """A :class:`~db_pool_rs.facade.DatabasePool` whose engine is that of `mode`; see there."""
    from .facade import DatabasePool

    return DatabasePool(mode, config=config, instrument=instrument)
