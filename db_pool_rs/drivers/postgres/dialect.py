"""What a pool must know of PostgreSQL, whoever opens the connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...aio import Answer
from ...config import PoolConfig
from ...errors import InterfaceError

_ISOLATION = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")
#: Statements that are worth preparing; the others (DDL, SET ...) are rarely sent twice.
PREPARABLE = frozenset(("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"))
#: What a new session is asked: how strings are read, whether statements of a group share a snapshot, and whether floats
#: in text are exact.
QUESTION = "SELECT " + ", ".join(
    f"pg_catalog.current_setting('{name}')"
    for name in ("standard_conforming_strings", "default_transaction_isolation", "extra_float_digits")
)


class PostgresDialect:
    """The part of a :class:`~db_pool_rs.drivers.base.Database` that needs no connection."""

    dialect = "postgresql"
    read_lanes = 2
    max_write_lanes = 1_000_000
    breaks_stalls = True
    answer: type[Answer[Any]] = Answer

    def __init__(self, config: PoolConfig) -> None:
        self.question: str | None = QUESTION
        self.escapes: bool | None = None

    def answered(self, values: Sequence[Any]) -> bool:
        """Statements of a group share a snapshot in every isolation level but READ COMMITTED: then none are grouped."""
        strings, isolation, _ = values
        self.escapes = bool(self.escapes) or strings != "on"
        return bool(isolation == "read committed")

    def begin(self, isolation: str | None, readonly: bool, deferrable: bool) -> str:
        """BEGIN with these options."""
        parts = ["BEGIN"]
        if isolation is not None:
            level = str(isolation).lower().replace(" ", "_")
            if level not in _ISOLATION:
                raise InterfaceError(f"isolation: one of {', '.join(_ISOLATION)} expected, got {isolation!r}")
            parts.append("ISOLATION LEVEL " + level.replace("_", " ").upper())
        if readonly:
            parts.append("READ ONLY")
        if deferrable:
            parts.append("DEFERRABLE")
        return " ".join(parts)

    async def close(self) -> None:
        """Nothing is held besides the links."""
