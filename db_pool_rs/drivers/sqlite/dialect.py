"""What a pool must know of SQLite."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ...aio import ResultFuture
from ...codecs import Codec
from ...conninfo import ConnectConfig, SqliteConfig
from ...errors import InterfaceError
from ...scheduler.cost import Query
from ..base import Groupable
from .database import Settings
from .plan import BEGIN_READ_ONLY, BEGIN_READ_WRITE

if TYPE_CHECKING:
    from ...config import PoolConfig
    from ...rows import Fill
    from ..base import WriteRecords

ISOLATION = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")
#: How long others of the same pool are kept waiting by one writer before they are refused, at least.
PATIENCE = 5.0


class SqliteDialect:
    """The part of a :class:`~db_pool_rs.drivers.base.Driver` that needs no connection."""

    dialect = "sqlite"
    copy = notifications = atomic_groups = has_settings = has_catalog = False
    #: Nothing to ask: the time of a statement is taken on its thread, without the way there.
    startup_query: str | None = None
    #: Backslashes mean nothing in SQLite's strings.
    read_lanes = 1
    max_write_lanes = 1
    #: Only the links can tell a group that waits for its turn from one that runs: they break up what stalls themselves.
    breaks_stalls = False
    answer: type[ResultFuture[Any]] = ResultFuture

    def __init__(self, config: PoolConfig) -> None:
        self.on_altered: Callable[[bool], None]
        assert isinstance(config.target, SqliteConfig)
        self.settings = Settings.of(config.target, config.max_statements, f"dbp-{uuid.uuid4()}")
        self.patience = max(PATIENCE, config.target.busy_timeout)
        self.stall = config.stall_ms / 1000

    def on_startup_result(self, values: Sequence[object]) -> Groupable:
        """Nothing is asked."""
        return Groupable.ALL

    def may_be_stale(self, query: Query) -> bool:
        """The text itself never changes."""
        return False

    def schema_changed(self, certain: bool) -> None:
        """Nothing is known of tables."""

    def retyped(self, queries: Iterable[Query]) -> None:
        """Parameters have no types."""

    def set_codec(self, codec: Codec, queries: Iterable[Query]) -> None:
        """There are no types to have codecs."""
        raise InterfaceError("SQLite has no types that codecs could be for: its values are int, float, str and bytes")

    def set_target(self, target: ConnectConfig, queries: Iterable[Query]) -> None:
        """There is no server."""
        raise InterfaceError("SQLite has no server to change")

    def reset_codec(self, name: str, schema: str | None, queries: Iterable[Query]) -> None:
        """There are none."""

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
        """SQLite has none."""
        return False

    def begin(self, isolation: str | None, readonly: bool, deferrable: bool) -> str:
        """The BEGIN for these options. All transactions are serializable; `deferrable` has no meaning here."""
        if isolation is not None and str(isolation).lower().replace(" ", "_") not in ISOLATION:
            raise InterfaceError(f"isolation: one of {', '.join(ISOLATION)} expected, got {isolation!r}")
        return BEGIN_READ_ONLY if readonly else BEGIN_READ_WRITE
