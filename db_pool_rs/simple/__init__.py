"""The pure Python engine, which is the specification: what it does, the others do.

Read it in this order: scheduler, cost, pool, connection, driver, postgres, sqlite, engine.

`DatabasePool` of this package is :class:`db_pool_rs.DatabasePool` in mode simple, whatever DB_POOL_MODE says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..facade import DatabasePool

__all__ = ["DatabasePool"]


def __getattr__(name: str) -> Any:
    # Not imported with the package: the engine below must not depend on the facade above it.
    if name != "DatabasePool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ..facade import pinned

    value = globals()[name] = pinned("simple")
    return value
