"""SQLite as mode full knows it: texts are read here, carried out by the engine, with the SQLite of this Python.

Errors are made of what SQLite said, through the exception that the standard library would have raised: so they are
those of mode simple, causes included.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from db_pool_rs_full import ResultFuture, fill_objects

from ..drivers.base import STATUS
from ..drivers.sqlite.dialect import SqliteDialect
from ..drivers.sqlite.errors import statement_error
from ..drivers.sqlite.plan import Description, Lock, Role
from ..errors import ConnectFailed, Error, ModeUnavailableError
from ..errors.server import server_error
from ..guard.verdicts import REASONS
from ..scheduler.cost import Query
from ..sql import classify
from .driver import kind_of
from .sqlite_library import REMEDY, problem

if TYPE_CHECKING:
    from db_pool_rs_full import Pool as Native
    from db_pool_rs_full import Query as Known

    from ..config import PoolConfig
    from ..rows import Fill

#: Texts of sessions that are kept: BEGIN, COMMIT, the parts of scripts.
_MOST_COMMANDS = 512
#: The letter of the extended result code in what the engine tells.
_CODE = "e"
_PRIMARY = (
    "OK", "ERROR", "INTERNAL", "PERM", "ABORT", "BUSY", "LOCKED", "NOMEM", "READONLY", "INTERRUPT", "IOERR", "CORRUPT",
    "NOTFOUND", "FULL", "CANTOPEN", "PROTOCOL", "EMPTY", "SCHEMA", "TOOBIG", "CONSTRAINT", "MISMATCH", "MISUSE",
    "NOLFS", "AUTH", "FORMAT", "RANGE", "NOTADB", "NOTICE", "WARNING",
)  # fmt: skip
#: What the extended codes add, by the code that they extend and their own number.
_EXTENDED: dict[int, tuple[str, ...]] = {
    5: ("", "RECOVERY", "SNAPSHOT", "TIMEOUT"),
    11: ("", "VTAB", "SEQUENCE", "INDEX"),
    19: (
        "", "CHECK", "COMMITHOOK", "FOREIGNKEY", "FUNCTION", "NOTNULL", "PRIMARYKEY", "TRIGGER", "UNIQUE", "VTAB",
        "ROWID", "PINNED", "DATATYPE",
    ),
}  # fmt: skip
#: The class that the standard library raises, by SQLite's result code.
_RAISED: dict[int, type[sqlite3.Error]] = {
    **dict.fromkeys((2, 12), sqlite3.InternalError),
    **dict.fromkeys((1, 3, 4, 5, 6, 8, 9, 10, 13, 14, 15, 16, 17), sqlite3.OperationalError),
    **dict.fromkeys((19, 20), sqlite3.IntegrityError),
    11: sqlite3.DatabaseError,
    18: sqlite3.DataError,
    21: sqlite3.InterfaceError,
    25: sqlite3.InterfaceError,
}


class FullSqliteDriver(SqliteDialect):
    """A :class:`~db_pool_rs.full.driver.Driver`; `native` is set when the pool is opened."""

    native: Native
    answer: Any = ResultFuture  # see FullDriver

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        if (reason := problem()) is not None:
            raise ModeUnavailableError("full", reason, REMEDY)
        self._config = config
        self._checks = count()
        self._command = lru_cache(_MOST_COMMANDS)(self._learn_command)

    @property
    def fill_objects(self) -> Fill | None:
        """The engine's own."""
        return fill_objects

    def target(self) -> dict[str, Any]:
        """What the engine opens."""
        settings = self.settings
        return {
            "uri": settings.uri,
            "path": None if settings.memory else settings.shown,
            "busy_timeout": settings.busy_timeout,
            "foreign_keys": settings.foreign_keys,
            "synchronous": settings.synchronous,
            "read_only": settings.read_only,
            "max_statements": settings.cached_statements,
            "threads": self._config.thread_pool_size,
            "stall": self.stall,
            "patience": self.patience,
        }

    def describe(self, query: Query) -> None:
        """Tell the engine; a text's description is the engine's name for it."""
        kind = kind_of(query)
        description = Description(query.sql)
        why = REASONS.index(query.why)
        query.description = self.native.learn_sqlite(
            query.sql, kind, query.groupable, why, query.lexical.dirties, description
        )

    def altered(self, certain: bool) -> None:
        """Tables were changed, or may have been."""
        self.on_altered(certain)

    def regroup(self, query: Query) -> None:
        """SQLite's texts need no guard."""

    def known(self, query: Query) -> Known:
        """The engine's name for a text of a session."""
        known: Known = query.description or self._command(query.sql)
        return known

    def _learn_command(self, sql: str) -> Known:
        lexical = classify(sql, self.dialect)
        return self.native.learn_sqlite(sql, "other", False, 0, lexical.dirties, Description(sql))

    def check(self, conn: int, token: int, queries: Sequence[Query]) -> bool:
        """Have SQLite compile it, there being no types to ask for of several."""
        (query,) = queries
        description = Description(query.sql)
        if description.role is not Role.PLAIN and description.role is not Role.OUTSIDE:
            return False
        # EXPLAIN of a text that was compiled before tells of tables as they were then: the number makes it another one.
        description.sql = f"EXPLAIN /* {next(self._checks)} */ {description.sql}"
        description.lock, description.writes, description.tag = Lock.READ, False, "EXPLAIN"
        known = self.native.learn_sqlite(query.sql, "other", False, 0, False, description)
        self.native.run(conn, token, [(known, (None,) * description.count, None, STATUS, None)])
        return True

    def error(self, fields: Mapping[str, str], sql: str | None) -> Exception:
        """The error of a statement, for what SQLite or the engine said."""
        return server_error(fields.get, sql) if "C" in fields else statement_error(_raised(fields), sql)

    def not_opened(
        self, attempts: list[str], sqlstate: str | None, permanent: bool, cause: Mapping[str, str] | None
    ) -> Error:
        """The error of a connection that could not be opened."""
        raised = None if cause is None else _raised(cause)
        if raised is not None:
            sqlstate = getattr(statement_error(raised, None), "sqlstate", None)
        error = ConnectFailed("the database cannot be opened", attempts, sqlstate=sqlstate, permanent=permanent)
        error.__cause__ = raised
        return error

    async def close(self) -> None:
        """Nothing is held besides the engine."""


def _raised(fields: Mapping[str, str]) -> sqlite3.Error:
    """What the standard library would have raised."""
    message = fields["M"]
    if _CODE not in fields:
        return sqlite3.ProgrammingError(message)
    code = int(fields[_CODE])
    error = _RAISED.get(code & 0xFF, sqlite3.DatabaseError)(message)
    error.__dict__.update(sqlite_errorcode=code, sqlite_errorname=_name(code))
    return error


def _name(code: int) -> str:
    """SQLite's name for a result code; of an extended one that makes no difference, that of the code it extends."""
    primary, extension = code & 0xFF, code >> 8
    name = "SQLITE_" + (_PRIMARY[primary] if primary < len(_PRIMARY) else "UNKNOWN")
    extended = _EXTENDED.get(primary, ())
    return f"{name}_{extended[extension]}" if 0 < extension < len(extended) and extended[extension] else name
