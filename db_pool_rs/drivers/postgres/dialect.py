"""What a pool must know of PostgreSQL, in every engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

from ...aio import ResultFuture
from ...config import PoolConfig
from ...errors import InterfaceError
from ...sql import StatementClass
from ...sql.records import may_have_records
from ..base import Groupable
from .types_query import TYPES_QUERY

if TYPE_CHECKING:
    from ...codecs import Codec
    from ...conninfo import ConnectConfig
    from ...rows import Fill
    from ...scheduler.cost import Query
    from ...scheduler.model import StatementRequest
    from ...types.catalog import Catalog
    from ..base import WriteRecords

#: Commands that change the schema. A block may, and is rarely sent for anything else.
_ALTERING = frozenset(("ALTER", "CREATE", "DROP", "IMPORT", "DO"))
_ISOLATION = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")
#: Statements that are worth preparing; the others (DDL, SET ...) are rarely sent twice.
PREPARABLE = frozenset(("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"))
#: What a new session is asked: whether statements of a group share a snapshot, whether a commit waits for a standby
#: (servers that are not PostgreSQL may not know of such), and whether floats in text are exact.
STARTUP_QUERY = """SELECT pg_catalog.current_setting('default_transaction_isolation'),
  CASE WHEN pg_catalog.current_setting('synchronous_standby_names', true) <> ''
   AND pg_catalog.current_setting('synchronous_commit', true) NOT IN ('off', 'local') THEN 'waits' ELSE '' END,
  pg_catalog.current_setting('extra_float_digits')"""


#: Deferred keys are checked at the end of each statement, as if it ran alone (rule 8.3). Bare, outside a
#: transaction block, the command would write a WARNING into the server's log each time.
CHECK_KEYS = "DO $$BEGIN SET CONSTRAINTS ALL IMMEDIATE; END$$"


def alters_schema(query: Query) -> bool | None:
    """Whether a text that succeeds changes types, or what the guard has found: True, False for procedures, which may do
    so unseen, None if it does not. What is temporary does not."""
    if query.kind is not StatementClass.OTHER:
        return None
    command = query.lexical.command
    return True if command in _ALTERING else False if command == "CALL" else None


def alters(group: Sequence[StatementRequest], before: bool | None) -> bool | None:
    """Whether a group that succeeded, or what came before it, has changed the schema, as `alters_schema` has it."""
    if not group or group[0].query.groupable:
        return before
    for statement in group:
        if statement.query.kind is StatementClass.OTHER and (found := alters_schema(statement.query)) is not None:
            before = found if before is None else before or found
    return before


def before_error(group: Sequence[StatementRequest]) -> Sequence[StatementRequest]:
    """What was executed of a group, in front of the statement that failed: of a script it may be committed."""
    failed = next((number for number, one in enumerate(group) if one.error is not None), len(group))
    return group[:failed]


def is_shared(group: Sequence[StatementRequest]) -> bool:
    """Whether a group is the pool's, of several callers; else it is a session's."""
    return len(group) > 1 and group[0].conn is not None


def executed(group: Sequence[StatementRequest], in_block: bool) -> Sequence[StatementRequest]:
    """Of a group that failed, what was executed: nothing, unless it is inside a transaction block."""
    return [one for one in group if one.value is not None and one.error is None] if in_block else ()


def checks_keys(group: Sequence[StatementRequest]) -> bool:
    """Whether a group begins with :data:`CHECK_KEYS`."""
    if len(group) < 2 or group[0].query.kind is not StatementClass.WRITE or not is_shared(group):
        return False
    return any(statement.query.keys for statement in group)


@lru_cache(maxsize=1024)
def _takes_names(sql: str) -> bool:
    """Whether the name of a setting may be an argument."""
    return "set_config" in sql.lower() and "$" in sql


def names_digits(statement: StatementRequest) -> bool:
    """Whether an argument is the name of `extra_float_digits`, which the text does not tell."""
    if not statement.args or not _takes_names(statement.query.sql):
        return False
    return any(isinstance(value, str) and value.lower() == "extra_float_digits" for value in statement.args)


def _nothing(certain: bool) -> None:
    """There is no guard."""


def _catalog_of(config: PoolConfig) -> Callable[[], Catalog]:
    """The catalog of a pool, made when it is needed: to import all types takes a part of the start."""

    @cache
    def make() -> Catalog:
        from ...types.catalog import Catalog

        catalog = Catalog()
        if config.infinity == "clamp":
            catalog.clamp()
        for codec in config.codecs:
            catalog.set_codec(codec)
        return catalog

    return make


class PostgresDialect:
    """The part of a :class:`~db_pool_rs.drivers.base.Database` that needs no connection."""

    dialect = "postgresql"
    copy = notifications = atomic_groups = has_settings = has_catalog = True
    read_lanes = 2
    max_write_lanes = 1_000_000
    breaks_stalls = True
    #: The question for the types of `catalog`.
    types_query = TYPES_QUERY
    answer: type[ResultFuture[Any]] = ResultFuture

    def __init__(self, config: PoolConfig) -> None:
        #: Called when DDL was executed, or (False) may have been.
        self.on_altered: Callable[[bool], None] = _nothing
        self.startup_query: str | None = STARTUP_QUERY
        self.make_catalog = _catalog_of(config)
        self._doubted = float("-inf")

    @property
    def catalog(self) -> Catalog:
        """What is known of types that are not built in, and codecs of the caller's."""
        catalog = self.make_catalog()
        catalog.altered = max(catalog.altered, self._doubted)
        return catalog

    def doubt_types(self) -> None:
        """Types may have changed, as an engine knows that has a catalogue only where one is needed."""
        self._doubted = time.monotonic()

    def set_codec(self, codec: Codec, queries: Iterable[Query]) -> None:
        """Values of a type are read and written in another way from now on, also in texts that are known."""
        self.catalog.set_codec(codec)
        self._describe_again(queries)

    def reset_codec(self, name: str, schema: str | None, queries: Iterable[Query]) -> None:
        """Values of the type are read and written as usual again, also in texts that are known."""
        self.catalog.reset_codec(name, schema)
        self._describe_again(queries)

    def set_target(self, target: ConnectConfig, queries: Iterable[Query]) -> None:
        """Links that are opened from now on lead there, where texts may have other types."""
        self._describe_again(queries)

    def retyped(self, queries: Iterable[Query]) -> None:
        """Arguments of known texts may have to be of other types: the server would cast them from the former ones."""
        self._describe_again([query for query in queries if "$" in query.sql])

    def _describe_again(self, queries: Iterable[Query]) -> None:
        for query in queries:
            query.description = None

    def on_startup_result(self, values: Sequence[Any]) -> Groupable:
        """Statements of a group share a snapshot in every isolation level but READ COMMITTED: then none are grouped.

        A cancelled COMMIT that waits for a standby is made without it: where there are such, no group that writes may
        be broken up, so there is none (rule 2.6).
        """
        isolation, commit, _ = values
        if isolation != "read committed":
            return Groupable.NOTHING
        return Groupable.READS if commit == "waits" else Groupable.ALL

    @property
    def arrow_decoder(self) -> Callable[..., Any] | None:
        """None of its own."""
        return None

    @property
    def write_records(self) -> WriteRecords | None:
        """None of its own."""
        return None

    @property
    def fill_objects(self) -> Fill | None:
        """None of its own."""
        return None

    def may_have_records(self, query: Query) -> bool:
        """As its text tells."""
        return may_have_records(query.sql, query.lexical.command)

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
