"""What SQLAlchemy expects of a driver's module (PEP 249)."""

from __future__ import annotations

import sqlite3
from typing import Any

from ..ranges import Range
from . import exceptions
from .connection import AdaptedSession, opened
from .pools import SharedPools


class Dbapi:
    """The module, as an object: one for each engine, whose pools below it knows."""

    paramstyle = "numeric_dollar"
    apilevel, threadsafety = "2.0", 0
    Warning = Warning
    Error = exceptions.Error
    InterfaceError = exceptions.InterfaceError
    DatabaseError = exceptions.DatabaseError
    DataError = exceptions.DataError
    OperationalError = exceptions.OperationalError
    IntegrityError = exceptions.IntegrityError
    InternalError = exceptions.InternalError
    ProgrammingError = exceptions.ProgrammingError
    NotSupportedError = exceptions.NotSupportedError
    Range = Range
    #: Of the library that Python has.
    sqlite_version_info = sqlite3.sqlite_version_info
    STRING, NUMBER, DATETIME, BINARY, ROWID = str, float, object, bytes, int

    def __init__(self) -> None:
        self.pools = SharedPools()

    def connect(self, dsn: str | None = None, **options: Any) -> AdaptedSession:
        """A connection of the pool below, which is opened with these options if it is the first."""
        if dsn is None or "async_creator_fn" in options:
            raise NotImplementedError("a creator: connections are a pool's, whose options go into connect_args")
        return opened(self, self.pools, dsn, **options)

    @property
    def asyncpg(self) -> Dbapi:
        """SQLAlchemy's types of PostgreSQL for an asyncio driver ask for the class of ranges here."""
        return self

    def Binary(self, value: Any) -> Any:
        """Bytes are bytes."""
        return value
