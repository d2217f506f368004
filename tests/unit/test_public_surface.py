"""The classes that callers hold have the public names of `db_pool_rs.abc` and no others; what programs import stays."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from db_pool_rs import abc
from db_pool_rs.facade import DatabasePool
from db_pool_rs.interface import DatabasePoolInterface
from db_pool_rs.pool import acquire, connection, cursor, pool

#: What programs may import, and from where: wherever it moves within the package, these places stay.
IMPORTS = {
    "db_pool_rs": (
        "ArgumentError ConfigError ConnectFailed ConnectionLost DatabaseConnectionError DatabaseError "
        "DatabasePool Decision DecodeError DeploymentConfig Error InterfaceError Metrics ModeUnavailableError "
        "PoolClosed PoolConfig PoolError PoolOverloaded PoolStats PoolTimeout Record StatementTimeout Status "
        "create_database_pool create_pool detect_best_mode load_config"
    ),
    "db_pool_rs.simple": "DatabasePool",
    "db_pool_rs.balanced": "DatabasePool",
    "db_pool_rs.full": "DatabasePool",
    "db_pool_rs.abc": "Acquisition Connection Cursor Engine Pool PreparedStatement Queries Transaction",
    "db_pool_rs.config": (
        "AutoSelection BalancedOptions DeploymentConfig FullOptions PoolConfig SimpleOptions load_config pool_config"
    ),
    "db_pool_rs.conninfo": (
        "OPTIONS REQUIRE_AUTH ConnectConfig HostSpec PasswordProvider SqliteConfig SslConfig parse_dsn"
    ),
    "db_pool_rs.errors": (
        "DatabaseError IntegrityConstraintViolation UniqueViolation database_error redact sqlite_error"
    ),
    "db_pool_rs.metrics": (
        "Histogram HistogramSummary Metrics PoolGauges PoolMetrics PoolStats SlidingRate measure resident_memory_mb"
    ),
    "db_pool_rs.modes": (
        "MODES Decision Mode ModeFigures Rejected detect_best_mode load_engine load_figures pool_defaults "
        "resolve_mode save_figures unavailable"
    ),
    "db_pool_rs.record": "Record Status record_class",
    "db_pool_rs.types": "Encoder ParameterCodec encoder",
}


def names(cls: type) -> set[str]:
    """The public names of a class; attributes that only its Protocol declares are properties there."""
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize(
    ("made", "promised"),
    [
        (pool.Pool, abc.Pool),
        (connection.Connection, abc.Connection),
        (connection.Transaction, abc.Transaction),
        (connection.PreparedStatement, abc.PreparedStatement),
        (cursor.Cursor, abc.Cursor),
        (acquire.Acquire, abc.Acquisition),
        (DatabasePool, DatabasePoolInterface),
    ],
)
def test_a_class_has_the_public_names_of_its_protocol(made: type, promised: type) -> None:
    set_by_init = set(inspect.get_annotations(promised)) | ({"config"} if made is pool.Pool else set())
    assert names(made) | set_by_init == names(promised) | set_by_init


@pytest.mark.parametrize("module", IMPORTS)
def test_public_imports_stay(module: str) -> None:
    offered = import_module(module)
    assert not [name for name in IMPORTS[module].split() if not hasattr(offered, name)]
