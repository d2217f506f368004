"""PostgreSQL as mode full knows it: texts are told to the engine, which keeps what the server says of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from db_pool_rs_full import ResultFuture, fill_objects, write_records

from ..drivers.base import Database, WriteRecords
from ..drivers.postgres.dialect import PREPARABLE, PostgresDialect, alters_schema
from ..errors import ConnectFailed, Error
from ..errors.server import server_error
from ..guard.verdicts import REASONS
from ..sql import StatementClass
from . import options

if TYPE_CHECKING:
    from db_pool_rs_full import Pool as Native
    from db_pool_rs_full import Query as Known

    from ..config import PoolConfig
    from ..conninfo import ConnectConfig
    from ..rows import Fill
    from ..scheduler.cost import Query

_KINDS = {StatementClass.READ: "read", StatementClass.WRITE: "write"}


def kind_of(query: Query) -> str:
    """The class of a text by its name in the engine."""
    return _KINDS.get(query.kind, "other")


class Driver(Database, Protocol):
    """What a pool of the engine's must know of a database; `native` is set when the pool is opened."""

    native: Native

    def target(self) -> dict[str, Any]:
        """What the engine connects to."""

    def known(self, query: Query) -> Known | str:
        """The engine's name for a text of a session, or the text itself."""

    def regroup(self, query: Query) -> None:
        """The text is of another class than the engine was told, or may be grouped, or no longer."""

    def altered(self, certain: bool) -> None:
        """Tables and types were changed, or (False) may have been, as the engine knows."""

    def check(self, conn: int, token: int, queries: Sequence[Query]) -> bool:
        """Have texts checked on a connection that is lent, without running them; False if nothing need be asked."""

    def error(self, fields: Mapping[str, str], sql: str | None) -> Exception:
        """The error of a statement."""

    def not_opened(
        self, attempts: list[str], sqlstate: str | None, permanent: bool, cause: Mapping[str, str] | None
    ) -> Error:
        """The error of a connection that could not be opened."""


class FullDriver(PostgresDialect):
    """A :class:`Driver` for PostgreSQL."""

    answer: Any = ResultFuture  # `hand_out` is not needed: the engine answers the pool's callers itself

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self._config = config
        self._native: Native | None = None

    @property
    def native(self) -> Native:
        """The engine's pool; there is none before it is opened."""
        assert self._native is not None, "bug: the pool is not open"
        return self._native

    @native.setter
    def native(self, native: Native) -> None:
        self._native = native
        changed = self._config.codecs or self._config.infinity == "clamp"
        native.use_catalog(self.make_catalog, sorted(self.catalog.overridden) if changed else [])

    @property
    def arrow_decoder(self) -> Callable[..., Any] | None:
        """The engine's own."""
        from db_pool_rs_full import ArrowDecoder

        return ArrowDecoder

    @property
    def write_records(self) -> WriteRecords | None:
        """The engine's own."""
        return write_records

    @property
    def fill_objects(self) -> Fill | None:
        """The engine's own."""
        return fill_objects

    def target(self) -> dict[str, Any]:
        """What the engine connects to."""
        return options.target(self._config)

    def describe(self, query: Query) -> None:
        """Tell the engine; a text's description is the engine's name for it."""
        kind, lexical = kind_of(query), query.lexical
        preparable, alters = lexical.command in PREPARABLE, alters_schema(query)
        asks = "$" in query.sql or self.may_have_records(query)
        query.description = self.native.learn(
            query.sql,
            kind,
            query.groupable,
            REASONS.index(query.why),
            query.dirties,
            query.keys,
            preparable,
            asks,
            alters,
            query.urgent,
        )

    def set_target(self, target: ConnectConfig, queries: Iterable[Query]) -> None:
        """Tell the engine, if it is there; ConfigError for what only libpq can do."""
        config = replace(self._config, target=target)
        wanted = options.target(config)
        self._config = config
        if self._native is not None:
            self._native.retarget(wanted, target.password_provider is not None)
        super().set_target(target, queries)

    def retyped(self, queries: Iterable[Query]) -> None:
        """Tell the engine, which describes known texts with arguments again."""
        for query in queries:
            if query.description is not None and "$" in query.sql:
                query.description.describe_again()

    def _describe_again(self, queries: Iterable[Query]) -> None:
        """Tell the engine, which describes known texts again."""
        if self._native is not None:
            self._native.use_catalog(self.make_catalog, sorted(self.catalog.overridden))
        for query in queries:
            if query.description is not None:
                query.description.describe_again()

    def regroup(self, query: Query) -> None:
        """Tell the engine, if it knows the text."""
        if query.description is not None:
            kind = kind_of(query)
            why = REASONS.index(query.why)
            self.native.regroup(query.description, kind, query.groupable, why, query.dirties, query.keys)

    def may_be_stale(self, query: Query) -> bool:
        """The engine has doubts of its own."""
        return False

    def schema_changed(self, certain: bool) -> None:
        """Tables and types were changed, or may have been."""
        self.native.schema_changed()
        self.altered(certain)

    def altered(self, certain: bool) -> None:
        """Tables and types were changed, or may have been, as the engine knows."""
        self.doubt_types()
        self.on_altered(certain)

    def known(self, query: Query) -> Known | str:
        """What no other caller will run need not be told to the engine."""
        known: Known | str = query.description or query.sql
        return known

    def check(self, conn: int, token: int, queries: Sequence[Query]) -> bool:
        """Ask the server for their types."""
        self.native.describe(conn, token, [query.description or query.sql for query in queries])
        return True

    def error(self, fields: Mapping[str, str], sql: str | None) -> Exception:
        """The error that the server reported."""
        return server_error(fields.get, sql)

    def not_opened(
        self, attempts: list[str], sqlstate: str | None, permanent: bool, cause: Mapping[str, str] | None
    ) -> Error:
        """The error of a connection that could not be opened."""
        return ConnectFailed("could not connect to PostgreSQL", attempts, sqlstate=sqlstate, permanent=permanent)
