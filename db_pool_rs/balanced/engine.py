"""The balanced engine: the pool and scheduler of mode simple over a driver in C.

SQLite has nothing to gain from it (its driver's work is done in C as it is), and is served as in mode simple.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..abc import Engine
    from ..config import DeploymentConfig, PoolConfig
    from ..pool.pool import Pool


@dataclass(frozen=True, slots=True)
class BalancedEngine:
    """Serves PostgreSQL through the C kernel, and SQLite as mode simple does.

    `native_workers`: threads of a pool that decode long results.
    """

    name: str = "balanced"
    native_workers: int = 8

    def pool(self, config: PoolConfig) -> Pool:
        """A pool, not yet opened."""
        if config.target.database_system == "sqlite":
            from ..simple.engine import SimpleEngine

            return SimpleEngine(self.name).pool(config)
        from ..pool.pool import Pool
        from ..simple.executor import PythonExecutor
        from .driver import KernelDriver

        driver = KernelDriver(config, self.native_workers)
        return Pool(config, driver, partial(PythonExecutor, driver), self.name, self.pool)


def engine(deployment: DeploymentConfig) -> Engine:
    """The engine that `deployment` describes; `python_workers` is the `thread_pool_size` of its pools."""
    return BalancedEngine(native_workers=deployment.balanced.native_workers)
