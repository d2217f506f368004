"""The engine whose driver is written in C: mode balanced.

`DatabasePool` of this package is :class:`db_pool_rs.DatabasePool` in mode balanced, whatever DB_POOL_MODE says. To make
one raises ModeUnavailableError as long as the engine is not installed.
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

    value = globals()[name] = pinned("balanced")
    return value
