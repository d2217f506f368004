"""Every option of a pool and of a deployment: what it is called, accepts and means.

`PoolConfig` is one frozen value that an engine makes a pool from; :func:`pool_config` makes it of what a caller writes
(`create_pool(dsn, max_size=20)`), and refuses what it does not know. `DeploymentConfig` says which mode to use and how
the modes are set up; it has the shape of config.yaml, which :func:`load_config` reads.

    >>> config = pool_config("sqlite://", max_size=4, command_timeout=2)
    >>> config.max_size, config.command_timeout
    (4, 2.0)

An option is declared once, by :func:`~db_pool_rs.config.options.option`: default, rule and documentation. The rules are
applied whenever a config is made, so a `PoolConfig` that exists is valid. Wrong options raise
:class:`~db_pool_rs.errors.ConfigError`, which names the option, the value (secrets hidden) and what is allowed.
"""

from __future__ import annotations

import math
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .options import (
    apply,
    choice,
    discreet,
    either,
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
    from ..conninfo import ConnectConfig, SqliteConfig

__all__ = [
    "AutoSelection",
    "BalancedOptions",
    "DeploymentConfig",
    "FullOptions",
    "PoolConfig",
    "SimpleOptions",
    "load_config",
    "pool_config",
]

#: Called with a connection; what it returns is awaited.
Hook = Callable[[Any], Awaitable[Any]]

#: The pool that exists without being described.
DEFAULT_POOL = "default"

_LIMITLESS = math.inf
_LIMITLESS_COUNT = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolConfig:
    """One pool. Times are seconds unless a name ends in `_ms`, sizes bytes."""

    target: ConnectConfig | SqliteConfig = field(metadata={"doc": "Where to connect: the parsed connection string."})
    name: str = option("pool", text("a name"), "What messages, logs and metrics call the pool.")
    min_size: int = option(1, integer(0), "Connections kept open when nothing is going on.")
    max_size: int = option(10, integer(1), "The most connections that the server ever sees from this pool.")
    acquire_timeout: float = option(
        30.0,
        number("seconds", none="no limit", stored_none=_LIMITLESS),
        "How long a call may wait for a connection before it fails with PoolTimeout.",
    )
    max_waiting: int = option(
        100_000,
        integer(0, 2**31, none="no limit", stored_none=_LIMITLESS_COUNT),
        "How many calls may wait; one more fails at once with PoolOverloaded.",
    )
    idle_timeout: float = option(
        600.0,
        number("seconds", none="never", stored_none=_LIMITLESS),
        "A connection beyond min_size that was not used for this long is closed.",
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
        choice("dirty", "always", "off", or_callable=True),
        "When a released session is reset: only if it may have left something behind, always, never; "
        "or an async callable that is given the connection and does it.",
    )
    init: Hook | None = option(  # noqa: RUF009 -- a dataclass field
        None, function("an async callable"), "Called with each new connection before it is used for the first time."
    )
    slow_query_ms: float | None = option(
        None,
        number("milliseconds", none="off", zero=True),
        "Statements that take longer than this are logged (logger `db_pool_rs`).",
    )
    leak_after: float | None = option(
        None, number("seconds", none="off"), "Warn, with the place of the acquire, of a session held longer than this."
    )
    retry: str = option(
        "off",
        choice("off", "reads"),
        "Whether reads outside transactions are sent again when their connection is lost.",
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
    group_max: int = option(64, integer(1, 10_000), "The most statements in one group.")
    stall_ms: float = option(50.0, number("milliseconds"), "A group that runs longer is broken up.")
    fast_ms: float = option(
        2.0, number("milliseconds"), "Statements expected to take longer get a connection to themselves."
    )
    fast_bytes: int = option(
        262_144, integer(1, 2**31), "Statements expected to return more get a connection to themselves."
    )
    lane_wait_ms: float = option(
        1.0,
        number("milliseconds", zero=True),
        "When reads have waited longer, another connection carries groups.",
    )
    write_lane_wait_ms: float = option(
        5.0,
        number("milliseconds", zero=True),
        "When no lane has taken from the waiting writes for so long (and for twice as long as the last group took), "
        "another connection carries groups.",
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


#: Names in common use for options of ours; those for options of the connection are conninfo's.
_ALIASES = MappingProxyType({"min_connections": "min_size", "max_connections": "max_size"})


def pool_options() -> frozenset[str]:
    """The options of a pool that do not say where to connect, other names in common use included."""
    return frozenset((*rules(PoolConfig), *_ALIASES))


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
        name = _ALIASES.get(given, given)
        if given not in pool_names and given not in connect_names:
            raise unknown(given, ("dsn", *pool_names, *connect_names))
        if name != given and name in options:
            raise ConfigError(given, shown(value), f"only one of {given} and {name}")
        (own if given in pool_names else connect)[name] = value
    return own, connect


def _target(dsn: str | None, db_type: str | None = None, **options: Any) -> ConnectConfig | SqliteConfig:
    from ..conninfo import parse_dsn

    if db_type is not None:
        _DB_TYPE("db_type", db_type)
        if dsn is None and db_type == "sqlite":
            dsn = "sqlite://"
    target = parse_dsn(dsn, **options)
    if db_type not in (None, target.database_system):
        raise ConfigError("db_type", db_type, "the kind of database that the connection string names")
    return target


_WHERE = ("db_type", "host", "hostaddr", "port", "database", "dbname", "service")
_DB_TYPE = choice("postgresql", "sqlite")


def _fallback(connect: Mapping[str, Any]) -> str | None:
    from ..conninfo.sqlite import SQLITE_OPTIONS

    given = {name for name, value in connect.items() if value is not None}
    return "sqlite://" if given <= {*SQLITE_OPTIONS} else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoSelection:
    """What mode `auto` looks for: the least complex mode that is fast enough (see :mod:`~db_pool_rs.modes`)."""

    performance_threshold: float = option(
        10_000.0, number("statements per second", zero=True), "A mode that reaches this is fast enough."
    )
    memory_limit: float = option(200.0, number("MB"), "Modes that need more resident memory are not chosen.")
    complexity_tolerance: str = option(
        "high",
        choice("low", "medium", "high"),
        "What `auto` may choose of what is installed: pure Python (low), a C extension too (medium), Rust too (high).",
    )

    def __post_init__(self) -> None:
        apply(self, "deployment.auto_selection.")


@dataclass(frozen=True, slots=True, kw_only=True)
class SimpleOptions:
    """Set-up of the pure Python engine."""

    thread_pool_size: int = option(
        4,
        integer(1, 1024),
        "Worker threads of a pool for SQLite and blocking calls, where the pool does not say itself.",
    )

    def __post_init__(self) -> None:
        apply(self, "simple.")


@dataclass(frozen=True, slots=True, kw_only=True)
class BalancedOptions:
    """Set-up of the engine with the C extension."""

    native_workers: int = option(8, integer(1, 1024), "Threads of a pool for decoding long results in C.")
    python_workers: int = option(4, integer(1, 1024), "Worker threads for blocking calls in Python.")

    def __post_init__(self) -> None:
        apply(self, "balanced.")


@dataclass(frozen=True, slots=True, kw_only=True)
class FullOptions:
    """Set-up of the Rust engine."""

    tokio_threads: int | str = option(
        "auto", either("auto", integer(1, 1024)), "Threads of the tokio runtime; auto: what the engine finds best."
    )
    max_blocking_threads: int = option(512, integer(1, 65_536), "The most threads that tokio starts for blocking work.")

    def __post_init__(self) -> None:
        apply(self, "full.")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentConfig:
    """What config.yaml says; without one, the defaults.

    `pools` holds the options of the named pools as they were written, `${VARIABLES}` not yet replaced: a process needs
    the secrets of the pools that it opens, not those of all. They are left out of the repr.
    """

    mode: str = option("auto", choice("auto", "simple", "balanced", "full"), "Which engine serves the pools.")
    auto_selection: AutoSelection = AutoSelection()
    simple: SimpleOptions = SimpleOptions()
    balanced: BalancedOptions = BalancedOptions()
    full: FullOptions = FullOptions()
    pools: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    source: str | None = field(default=None, metadata={"doc": "The file this was read from."})

    def __post_init__(self) -> None:
        apply(self, "deployment.")


#: What says how to deploy: the path of a config.yaml, its content, a DeploymentConfig, or None for the usual places.
ConfigSource = str | os.PathLike[str] | Mapping[str, Any] | DeploymentConfig | None


@discreet
def load_config(source: ConfigSource = None) -> DeploymentConfig:
    """The deployment that config.yaml describes.

    `source` is the path of the file, its content as a mapping ({} for the defaults), or a DeploymentConfig, which is
    returned as it is. Without it the file that DB_POOL_CONFIG names is read, else ./config.yaml if it exists and has a
    section of ours; else the defaults hold. A ConfigError names the path of what is wrong, such as
    `deployment.auto_selection.memory_limit`.
    """
    if isinstance(source, DeploymentConfig):
        return source
    from . import yaml_file

    if source is None:
        found = yaml_file.find_config()
        return DeploymentConfig() if found is None else yaml_file.read_config(*found)
    if isinstance(source, Mapping):
        return yaml_file.build_config(source, None)
    if isinstance(source, (str, os.PathLike)):
        return yaml_file.read_config(os.fspath(source), "config")
    raise ConfigError("config", shown(source), "a path, a mapping, a DeploymentConfig or None")


@discreet
def named_pool(
    deployment: DeploymentConfig, name: str, options: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> PoolConfig:
    """The pool that config.yaml calls `name`: `options` win over what is written there, and that over `defaults`.

    Only here `${VARIABLES}` are replaced. KeyError if there is no such pool.
    """
    from .yaml_file import expand

    path = f"pools.{name}"
    accepts = rules(PoolConfig)
    written = {key: expand(value, f"{path}.{key}", accepts.get(key)) for key, value in deployment.pools[name].items()}
    try:
        return pool_config(**{"name": name, **(defaults or {}), **written, **options})
    except ConfigError as error:
        raise ConfigError(f"{path}.{error.key}", error.value, error.allowed) from None
