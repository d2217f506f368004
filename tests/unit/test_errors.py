"""The error tree: classes by SQLSTATE, what may be repeated, pickling, messages."""

from __future__ import annotations

import copy
import pickle

import pytest

from db_pool_rs import errors
from db_pool_rs.errors import (
    ArgumentError,
    ConfigError,
    ConnectFailed,
    ConnectionLost,
    DatabaseError,
    DecodeError,
    Error,
    InterfaceError,
    ModeUnavailableError,
    PoolClosed,
    PoolOverloaded,
    PoolTimeout,
    StatementTimeout,
    UniqueViolation,
    database_error,
)

FIELDS = {
    "sqlstate": "23505",
    "severity": "ERROR",
    "message": "duplicate key value",
    "detail": "Key (id)=(1) already exists.",
    "hint": "Take another.",
    "position": "7",
    "internal_position": None,
    "internal_query": None,
    "where": "PL/pgSQL function f()",
    "schema": "public",
    "table": "t",
    "column": None,
    "datatype": None,
    "constraint": "t_pkey",
}

EXAMPLES: list[Error] = [
    ConfigError("simple.thread_pool_size", -1, "a whole number from 1 to 1024"),
    ModeUnavailableError("full", "the engine is not installed", 'pip install "db-pool-rs[full]"'),
    InterfaceError("the pool belongs to another event loop"),
    ArgumentError("$1: int4 expected, got str"),
    DecodeError("year 200000"),
    StatementTimeout("no answer within 2 s", sent=True),
    PoolTimeout("no connection within 30 s", ["task-1, app.py:3, 12.1 s, SELECT 1"], {"size": 10}),
    PoolClosed("the pool is closed"),
    PoolOverloaded("100000 callers are waiting"),
    ConnectFailed("cannot connect", ["db1 (10.0.0.1): refused"], sqlstate="28P01", permanent=True),
    ConnectionLost(sent=True, sqlstate="57P01"),
    database_error(FIELDS, "INSERT INTO t VALUES (1)"),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_errors_survive_pickle_and_copy(error: Error, protocol: int) -> None:
    for other in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error)):
        assert type(other) is type(error)
        assert other.args == error.args
        assert vars(other) == vars(error)
        assert str(other) == str(error)
        assert other.safe_to_retry == error.safe_to_retry


def test_errors_are_also_what_people_catch() -> None:
    assert issubclass(PoolTimeout, TimeoutError)
    assert issubclass(StatementTimeout, TimeoutError)
    assert issubclass(PoolClosed, InterfaceError)
    assert issubclass(ConfigError, ValueError)
    assert all(issubclass(getattr(errors, name), Error) for name in errors.__all__ if name[0].isupper())


@pytest.mark.parametrize(
    ("sqlstate", "name"),
    [
        ("23505", "UniqueViolation"),
        ("23999", "IntegrityConstraintViolation"),
        ("40001", "SerializationFailure"),
        ("10999", "XqueryError"),
        ("MY001", "DatabaseError"),
        ("", "DatabaseError"),
        (None, "DatabaseError"),
    ],
)
def test_the_class_follows_the_sqlstate(sqlstate: str | None, name: str) -> None:
    error = database_error({"sqlstate": sqlstate, "message": "m"})
    assert type(error).__name__ == name
    assert error.sqlstate == (sqlstate or None)


def test_a_database_error_has_all_fields() -> None:
    error = database_error(FIELDS, "INSERT INTO t VALUES (1)")
    assert isinstance(error, UniqueViolation)
    assert error.position == 7
    assert error.query == "INSERT INTO t VALUES (1)"
    for name in FIELDS.keys() - {"position"}:
        assert getattr(error, name) == FIELDS[name]


def test_an_error_without_fields() -> None:
    error = database_error({})
    assert str(error) == "unknown error"
    assert (error.sqlstate, error.position, error.query) == (None, None, None)
    assert UniqueViolation("raised by hand").sqlstate == "23505"


def test_the_text_of_a_database_error() -> None:
    error = database_error(FIELDS)
    assert str(error) == (
        "duplicate key value (SQLSTATE 23505)\nDETAIL:  Key (id)=(1) already exists.\nHINT:  Take another."
    )
    assert repr(error) == "UniqueViolation('duplicate key value', sqlstate='23505')"


def test_a_pool_timeout_shows_the_holders() -> None:
    error = PoolTimeout("no connection within 1 s", [f"task-{number}" for number in range(30)], None)
    assert len(error.holders) == 30
    assert str(error).splitlines()[:2] == ["no connection within 1 s", "  task-0"]
    assert str(error).endswith("  task-19\n  and 10 more")
    assert error.stats is None


def test_a_failed_connect_shows_what_was_tried() -> None:
    error = ConnectFailed("no server could be reached", ["db1 (10.0.0.1:5432): refused", "db2: unknown name"])
    assert str(error) == "no server could be reached\n  db1 (10.0.0.1:5432): refused\n  db2: unknown name"
    assert error.attempts == ("db1 (10.0.0.1:5432): refused", "db2: unknown name")


def test_a_config_error_says_what_is_allowed() -> None:
    error = ConfigError("deployment.mode", "fast", ["auto", "simple"])
    assert str(error) == "deployment.mode: 'fast' is not allowed; allowed: auto, simple"
    assert (error.key, error.value, error.allowed) == ("deployment.mode", "fast", "auto, simple")


def database(sqlstate: str, query: str | None = None) -> DatabaseError:
    return database_error({"sqlstate": sqlstate, "message": "m"}, query)


@pytest.mark.parametrize(
    ("error", "safe"),
    [
        (ConnectFailed("m"), True),
        (ConnectFailed("m", permanent=True), False),
        (ConnectionLost(sent=False), True),
        (ConnectionLost(sent=True), False),
        (StatementTimeout("m", sent=False), True),
        (StatementTimeout("m", sent=True), False),
        (PoolTimeout("m"), True),
        (PoolOverloaded("m"), True),
        (PoolClosed("m"), False),
        (InterfaceError("m"), False),
        (ArgumentError("m"), False),
        (database("40001"), True),
        (database("40P01", "UPDATE t SET a = 1"), True),
        (database("55P03"), True),
        (database("53300"), True),
        (database("40001", "CALL p()"), False),
        (database("40001", "/* CALL */ do $$ begin end $$"), False),
        (database("40P01", "UPDATE t SET a = 1; COMMIT; UPDATE t SET a = 2"), False),
        (database("40P01", "UPDATE t SET a = ';call' ON CONFLICT DO NOTHING;"), True),
        (database("40003"), False),
        (database("08007"), False),
        (database("08006"), False),
        (database("57014"), False),
        (database("57P01"), False),
        (database("23505"), False),
        (database("XX000"), False),
    ],
)
def test_what_is_safe_to_retry(error: Error, safe: bool) -> None:
    assert error.safe_to_retry is safe
