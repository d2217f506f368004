"""asyncpg's interface over the pools of this package: a program made for asyncpg runs with one import changed.

    import db_pool_rs.asyncpg as asyncpg

    pool = await asyncpg.create_pool("postgresql://user@host/database")
    await pool.fetch("SELECT 1")            # travels in groups with the calls of other tasks

Names, signatures, classes of errors and what programs rely on are asyncpg's: json is a str, `ssl=True` verifies the
server, a missing row is None. What is different is in one table of docs/asyncpg.md; what cannot be done raises
NotImplementedError, which says why. The engine is chosen by DB_POOL_MODE or config.yaml, or by `mode=`.

:mod:`.pool`, :mod:`.connection`, :mod:`.transaction`, :mod:`.cursor`, :mod:`.prepared_stmt`, :mod:`.exceptions`,
:mod:`.types` and :mod:`.protocol` are asyncpg's modules; :mod:`.calls` is what pools and connections do alike,
:mod:`.options` asyncpg's options. :func:`install_as_asyncpg` is for libraries that import asyncpg themselves.
"""

from __future__ import annotations

import sys
from typing import Any

from . import connection, cursor, exceptions, pool, prepared_stmt, protocol, transaction, types
from .connection import Connection
from .cursor import Cursor
from .exceptions import DataError, InterfaceError, InterfaceWarning, PostgresError
from .pool import Pool, PoolAcquireContext, connect, create_pool
from .prepared_stmt import PreparedStatement
from .protocol import Record
from .transaction import Transaction
from .types import (
    Attribute,
    BitString,
    Box,
    Circle,
    Line,
    LineSegment,
    Path,
    Point,
    Polygon,
    Range,
    ServerVersion,
    Type,
)

#: The version of asyncpg whose interface this is.
__version__ = "0.32.0"

__all__ = [
    "Attribute",
    "BitString",
    "Box",
    "Circle",
    "Connection",
    "Cursor",
    "DataError",
    "InterfaceError",
    "InterfaceWarning",
    "Line",
    "LineSegment",
    "Path",
    "Point",
    "Polygon",
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
    "install_as_asyncpg",
]
__all__ += exceptions.__all__

setattr(connection, "connect", connect)  # noqa: B010 (asyncpg has it there)
_MODULES = (connection, cursor, exceptions, pool, prepared_stmt, protocol, transaction, types)


def install_as_asyncpg() -> None:
    """Have `import asyncpg` mean this module from now on, for libraries that import it: call it before they do."""
    sys.modules["asyncpg"] = sys.modules[__name__]
    for module in _MODULES:
        sys.modules[f"asyncpg.{module.__name__.rpartition('.')[2]}"] = module
    for name in ("protocol.protocol", "pgproto", "pgproto.pgproto"):
        sys.modules[f"asyncpg.{name}"] = protocol


def __getattr__(name: str) -> Any:
    """An error by asyncpg's name."""
    return getattr(exceptions, name)
