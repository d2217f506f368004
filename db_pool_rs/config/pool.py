"""The options of one pool, and the pool that a caller describes."""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from ..errors import ConfigError, InterfaceError
from .options import (
    Rule,
    apply,
    choice,
    discreet,
    function,
    integer,
    names,
    number,
    option,
    rules,
    shown,
    text,
    unknown,
)

if TYPE_CHECKING:
    from ..codecs import Codec
    from ..conninfo import ConnectConfig, SqliteConfig

#: Called with a connection; what it returns is awaited.
Hook = Callable[[Any], Awaitable[Any]]


def _seconds(milliseconds: float) -> float:
    return milliseconds / 1000


#: The type of the option `row`.
ROW = "Callable[..., Any] | None"


def _usable_row(row: Any) -> Any:
    if row is not None:
        from ..rows import maker

        try:
            maker(row)
        except InterfaceError:
            raise TypeError from None
    return row


def _codecs(codecs: Any) -> tuple[Codec, ...]:
    made = tuple(codecs)
    if not made:
        return made
    from ..codecs import Codec

    if not all(isinstance(codec, Codec) for codec in made):
        raise TypeError
    return made


def _repeats_reads(retry: str) -> bool:
    return retry == "reads"


def _listen_target(given: Any) -> ConnectConfig | None:
    """A connection string, or what one was stored as."""
    from ..conninfo import ConnectConfig, parse_dsn

    if given is None or isinstance(given, ConnectConfig):
        return given
    target = parse_dsn(given) if isinstance(given, str) else None
    if not isinstance(target, ConnectConfig):
        raise TypeError
    return target


_LIMITLESS = math.inf
_LIMITLESS_COUNT = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """One pool. Times are seconds unless a name ends in `_ms`, sizes bytes."""

    target: ConnectConfig | SqliteConfig = field(metadata={"doc": "Where to connect: the parsed connection string."})
    name: str = option("pool", text("a name"), "What messages, logs and metrics call the pool.")
    min_size: int = option(1, integer(0), "Connections kept open when nothing is going on.", limit="min_size")
    max_size: int = option(
        10, integer(1), "The most connections that the server ever sees from this pool.", limit="max_size"
    )
    acquire_timeout: float = option(
        30.0,
        number("seconds", none="no limit", stored_none=_LIMITLESS),
        "How long a call may wait for a connection before it fails with PoolTimeout.",
        limit="acquire_timeout",
    )
    max_waiting: int = option(
        100_000,
        integer(0, 2**31, none="no limit", stored_none=_LIMITLESS_COUNT),
        "How many calls may wait; one more fails at once with PoolOverloaded.",
        limit="max_waiting",
    )
    idle_timeout: float = option(
        600.0,
        number("seconds", none="never", stored_none=_LIMITLESS),
        "A connection beyond min_size that was not used for this long is closed.",
        limit="idle_timeout",
    )
    max_lifetime: float = option(
        3600.0,
        number("seconds", none="for ever", stored_none=_LIMITLESS),
        "A connection is replaced at this age, give or take 10 %.",
    )
    max_statements: int = option(256, integer(0), "Prepared statements kept per connection; 0 prepares none.")
    pipelining: str = option(
        "auto",
        choice("auto", "reads", "off"),
        "What may share a connection in groups: reads and writes (auto), reads only, or nothing.",
    )
    command_timeout: float | None = option(
        None,
        number("seconds", none="no limit"),
        "Deadline of a call that names no timeout of its own, waiting included.",
    )
    reset: str | Hook = option(  # noqa: RUF009 -- a dataclass field
        "dirty",
        choice("dirty", "always", "off", or_callable="SessionHook"),
        "When a released session is reset: only if it may have left something behind, always, never; "
        "or an async callable that is given the connection and does it.",
    )
    init: Hook | None = option(  # noqa: RUF009 -- a dataclass field
        None,
        function("an async callable", "SessionHook"),
        "Called with each new connection before it is used for the first time.",
    )
    row: Callable[..., Any] | None = option(  # noqa: RUF009 -- a dataclass field
        None,
        Rule("a class, dict, tuple or a callable that takes a Record, or None", _usable_row, ROW),
        "What rows are made into where a call has no `row` of its own; None leaves them Records.",
    )
    codecs: tuple[Codec, ...] = option(
        (),
        Rule("an iterable of db_pool_rs.Codec", _codecs, "Iterable[Codec]"),
        "How values of types are read and written in another way than usual; see set_type_codec.",
    )
    infinity: str = option(
        "error",
        choice("error", "clamp"),
        "What infinite dates and timestamps are, which Python lacks: a DecodeError, or the first or last that it has.",
    )
    slow_query_ms: float | None = option(
        None,
        number("milliseconds", none="off", zero=True),
        "Statements that take longer than this are logged (logger `db_pool_rs`).",
    )
    leak_after: float | None = option(
        None, number("seconds", none="off"), "Warn, with the place of the acquire, of a session held longer than this."
    )
    listen_dsn: ConnectConfig | None = option(  # noqa: RUF009 -- a dataclass field
        None,
        Rule("a connection string of PostgreSQL", _listen_target, "str | None"),
        "Where the connection of `pool.listen` goes, if not where the others do: past a PgBouncer that shares them.",
    )
    retry: str = option(
        "off",
        choice("off", "reads"),
        "Whether reads outside transactions are sent again when their connection is lost.",
        limit="retry_reads",
        convert=_repeats_reads,
    )
    alone_functions: frozenset[str] = option(
        frozenset(),
        names("SQL function names"),
        "Functions of yours that change the session or must see a transaction of their own: "
        "statements that call them are never grouped.",
    )
    shared_functions: frozenset[str] = option(
        frozenset(),
        names("SQL function names"),
        "Functions of yours that may be grouped although the guard has found something in them: you answer for it.",
    )
    guard_refresh: float = option(
        30.0,
        number("seconds"),
        "How often the guard looks whether others have changed the database's functions, triggers and the like.",
    )
    thread_pool_size: int = option(4, integer(1, 1024), "Worker threads for SQLite and for blocking calls.")
    group_max: int = option(64, integer(1, 10_000), "The most statements in one group.", limit="group_max")
    stall_ms: float = option(
        50.0,
        number("milliseconds"),
        "A group that runs longer is broken up.",
        limit="stall peak_time",
        convert=_seconds,
    )
    fast_ms: float = option(
        2.0,
        number("milliseconds"),
        "Statements expected to take longer get a connection to themselves.",
        limit="group_time fast_time",
        convert=_seconds,
    )
    fast_bytes: int = option(
        262_144,
        integer(1, 2**31),
        "Statements expected to return more get a connection to themselves.",
        limit="fast_bytes",
    )
    lane_wait_ms: float = option(
        1.0,
        number("milliseconds", zero=True),
        "When reads have waited longer, another connection carries groups.",
        limit="lane_wait",
        convert=_seconds,
    )
    write_lane_wait_ms: float = option(
        5.0,
        number("milliseconds", zero=True),
        "When no lane has taken from the waiting writes for so long (and for twice as long as the last group took), "
        "another connection carries groups.",
        limit="write_lane_wait",
        convert=_seconds,
    )

    def __post_init__(self) -> None:
        apply(self)
        if self.min_size > self.max_size:
            raise ConfigError("min_size", self.min_size, f"an int from 0 to max_size ({self.max_size})")


@discreet
def pool_config(dsn: str | None = None, **options: Any) -> PoolConfig:
    """A PoolConfig of a connection string and options.

    `options` are those of PoolConfig, and those that say where to connect: `host`, `port`, `user`, `password` and the
    rest of :mod:`~db_pool_rs.conninfo`, which win over the same in `dsn`. Other names in common use are understood:
    `min_connections`, `max_connections`, `username`, and `db_type` ("postgresql" or "sqlite"). If nothing says where,
    it is the database of DATABASE_URL, else an in-memory SQLite database (a local PostgreSQL, if one of `options` is
    PostgreSQL's). Anything else, and any value that its option does not accept, is a ConfigError.
    """
    own, connect = _sort(options)
    if not says_where(dsn, connect):
        dsn = os.environ.get("DATABASE_URL") or _fallback(connect)
    return PoolConfig(target=_target(dsn, **connect), **own)


def postgres_target(dsn: str | None, options: Mapping[str, Any]) -> ConnectConfig:
    """Where a connection string and options of a connection lead. ConfigError for an option of the pool, or SQLite."""
    connect = connect_options()
    for given in options:
        if given not in connect:
            raise unknown(given, ("dsn", *connect))
    target = pool_config(dsn, **options).target
    if target.database_system != "postgresql":
        raise ConfigError("dsn", str(target), "a connection string of PostgreSQL")
    return cast("ConnectConfig", target)


#: Names in common use for options of ours; those for options of the connection are conninfo's.
ALIASES = MappingProxyType({"min_connections": "min_size", "max_connections": "max_size"})


def pool_options() -> frozenset[str]:
    """The options of a pool that do not say where to connect, other names in common use included."""
    return frozenset((*rules(PoolConfig), *ALIASES))


def connect_options() -> frozenset[str]:
    """The options that say where and how to connect, other names in common use included."""
    from ..conninfo import OPTIONS

    return OPTIONS | {"db_type"}


def says_where(dsn: str | None, options: Mapping[str, Any]) -> bool:
    """Whether a connection string or one of `options` says where to connect; None says nothing."""
    return dsn is not None or any(options.get(name) is not None for name in _WHERE)


def _sort(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Which of `options` are the pool's, and which say where to connect, by their proper names."""
    pool_names, connect_names = pool_options(), connect_options()
    own: dict[str, Any] = {}
    connect: dict[str, Any] = {}
    for given, value in options.items():
        name = ALIASES.get(given, given)
        if given not in pool_names and given not in connect_names:
            raise unknown(given, ("dsn", *pool_names, *connect_names))
        if name != given and name in options:
            raise ConfigError(given, shown(value), f"only one of {given} and {name}")
        (own if given in pool_names else connect)[name] = value
    return own, connect


def _target(dsn: str | None, db_type: str | None = None, **options: Any) -> ConnectConfig | SqliteConfig:
    from ..conninfo import parse_dsn

    if db_type is not None:
        DB_TYPE("db_type", db_type)
        if dsn is None and db_type == "sqlite":
            dsn = "sqlite://"
    target = parse_dsn(dsn, **options)
    if db_type not in (None, target.database_system):
        raise ConfigError("db_type", db_type, "the kind of database that the connection string names")
    return target


_WHERE = ("db_type", "host", "hostaddr", "port", "database", "dbname", "service")
#: What the option `db_type` accepts.
DB_TYPE = choice("postgresql", "sqlite")


def _fallback(connect: Mapping[str, Any]) -> str | None:
    from ..conninfo.params import SQLITE_OPTIONS

    given = {name for name, value in connect.items() if value is not None}
    return "sqlite://" if given <= {*SQLITE_OPTIONS} else None
