"""What a pool must know of PostgreSQL, in every engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...aio import ResultFuture, no_callback
from ...config import PoolConfig
from ...errors import InterfaceError
from ...sql import StatementClass

if TYPE_CHECKING:
    from ...scheduler.cost import Query
    from ...scheduler.model import StatementRequest

_ALTERING = frozenset(("ALTER", "CREATE", "DROP", "IMPORT"))
_ISOLATION = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")
#: Statements that are worth preparing; the others (DDL, SET ...) are rarely sent twice.
PREPARABLE = frozenset(("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"))
#: What a new session is asked: whether statements of a group share a snapshot, and whether floats in text are exact.
QUESTION = "SELECT " + ", ".join(
    f"pg_catalog.current_setting('{name}')" for name in ("default_transaction_isolation", "extra_float_digits")
)


#: Deferred keys are checked at the end of each statement, as if it ran alone (rule 8.3). Bare, outside a
#: transaction block, the command would write a WARNING into the server's log each time.
CHECK_KEYS = "DO $$BEGIN SET CONSTRAINTS ALL IMMEDIATE; END$$"


def alters_schema(query: Query) -> bool:
    """Whether a text that succeeds may change types, or what the guard has found. What is temporary does not."""
    return query.lexical.command in _ALTERING and query.kind is StatementClass.OTHER


def is_shared(group: Sequence[StatementRequest]) -> bool:
    """Whether a group is the pool's, of several callers; else it is a session's."""
    return len(group) > 1 and group[0].conn is not None


def checks_keys(group: Sequence[StatementRequest]) -> bool:
    """Whether a group begins with :data:`CHECK_KEYS`."""
    if len(group) < 2 or group[0].query.kind is not StatementClass.WRITE or not is_shared(group):
        return False
    return any(statement.query.keys for statement in group)


class PostgresDialect:
    """The part of a :class:`~db_pool_rs.drivers.base.Database` that needs no connection."""

    dialect = "postgresql"
    read_lanes = 2
    max_write_lanes = 1_000_000
    breaks_stalls = True
    answer: type[ResultFuture[Any]] = ResultFuture

    def __init__(self, config: PoolConfig) -> None:
        #: Called when DDL was executed.
        self.on_altered: Callable[[], None] = no_callback
        self.question: str | None = QUESTION

    def answered(self, values: Sequence[Any]) -> bool:
        """Statements of a group share a snapshot in every isolation level but READ COMMITTED: then none are grouped."""
        isolation, _ = values
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
