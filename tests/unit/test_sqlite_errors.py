"""SQLite's errors become members of the same tree, by result code and by message."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs import errors
from db_pool_rs.errors import ArgumentError, DecodeError, Error, InterfaceError, sqlite_error

SCHEMA = """
    PRAGMA foreign_keys = ON;
    CREATE TABLE p (id INTEGER PRIMARY KEY, a TEXT NOT NULL UNIQUE, b INT CONSTRAINT positive CHECK (b > 0));
    CREATE TABLE c (x INT REFERENCES p (id), y INT, UNIQUE (x, y));
    CREATE UNIQUE INDEX lowered ON p (lower(a) || '-');
    CREATE TABLE s (i INTEGER PRIMARY KEY);
    CREATE VIEW v AS SELECT 1 AS a;
    CREATE TRIGGER protect BEFORE DELETE ON p BEGIN SELECT RAISE(ABORT, 'database is locked'); END;
    INSERT INTO p VALUES (1, 'a', 1);
    INSERT INTO c VALUES (1, 1);
"""


@pytest.fixture
def memory() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript(SCHEMA)
        yield connection


def failure(connection: sqlite3.Connection, sql: str, *args: object) -> Error:
    try:
        connection.execute(sql, args).fetchall()
    except (sqlite3.Error, sqlite3.Warning) as exc:
        return sqlite_error(exc, sql)
    pytest.fail(f"no error from {sql}")


@pytest.mark.parametrize(
    ("sql", "name", "fields"),
    [
        ("INSERT INTO p VALUES (1, 'b', 1)", "UniqueViolation", {"table": "p", "column": "id"}),
        ("INSERT INTO c VALUES (1, 1)", "UniqueViolation", {"table": "c", "column": None}),
        ("INSERT INTO p VALUES (2, 'A', 1)", "UniqueViolation", {"constraint": "lowered"}),
        ("INSERT INTO p VALUES (2, NULL, 1)", "NotNullViolation", {"table": "p", "column": "a"}),
        ("INSERT INTO p VALUES (2, 'b', 0)", "CheckViolation", {"constraint": "positive"}),
        ("INSERT INTO c VALUES (9, 9)", "ForeignKeyViolation", {}),
        ("INSERT INTO s VALUES ('x')", "DatatypeMismatch", {}),
        ("SELEC 1", "SyntaxError", {"query": "SELEC 1"}),
        ("SELECT (", "SyntaxError", {}),
        ('SELECT "database is locked', "SyntaxError", {}),
        ("SELECT 1; SELECT 2", "SyntaxError", {}),
        ("INSERT INTO p VALUES (1)", "SyntaxError", {}),
        ("SELECT * FROM nope", "UndefinedTable", {"table": "nope"}),
        ("SELECT nope FROM p", "UndefinedColumn", {"column": "nope"}),
        ("INSERT INTO p (nope) VALUES (1)", "UndefinedColumn", {"table": "p", "column": "nope"}),
        ("SELECT nope(1)", "UndefinedFunction", {}),
        ("CREATE TABLE p (a)", "DuplicateTable", {"table": "p"}),
        ("CREATE TABLE q (a, a)", "DuplicateColumn", {"column": "a"}),
        ("SELECT a FROM p, p AS q", "AmbiguousColumn", {"column": "a"}),
        ("SELECT id FROM p WHERE count(*) > 1", "GroupingError", {}),
        ("ROLLBACK TO nope", "InvalidSavepointSpecification", {}),
        ("COMMIT", "NoActiveSqlTransaction", {}),
        ("INSERT INTO v VALUES (1)", "WrongObjectType", {}),
        ("SELECT zeroblob(3000000000)", "ProgramLimitExceeded", {}),
        ("SELECT abs(-9223372036854775807 - 1)", "NumericValueOutOfRange", {}),
        ("DROP TABLE sqlite_master", "SyntaxErrorOrAccessRuleViolation", {}),
    ],
)
def test_sqlite_errors_by_class(memory: sqlite3.Connection, sql: str, name: str, fields: dict[str, str | None]) -> None:
    error = failure(memory, sql)
    assert type(error).__name__ == name
    assert {key: getattr(error, key) for key in fields} == fields


def test_sqlite_raise_is_not_taken_for_what_it_says(memory: sqlite3.Connection) -> None:
    error = failure(memory, "DELETE FROM p")
    if hasattr(sqlite3, "SQLITE_CONSTRAINT_TRIGGER"):  # Python 3.11; before it, there is only the message
        assert isinstance(error, errors.RaiseException)
        assert not error.safe_to_retry


def test_sqlite_arguments_that_do_not_fit(memory: sqlite3.Connection) -> None:
    assert isinstance(failure(memory, "SELECT ?"), ArgumentError)
    assert isinstance(failure(memory, "SELECT ?", 1, 2), ArgumentError)
    assert isinstance(failure(memory, "SELECT ?", object()), ArgumentError)


def test_sqlite_text_that_is_none(memory: sqlite3.Connection) -> None:
    assert isinstance(failure(memory, "SELECT CAST(x'ff' AS TEXT)"), DecodeError)


def test_sqlite_closed_connection(memory: sqlite3.Connection) -> None:
    memory.close()
    error = failure(memory, "SELECT 1")
    assert isinstance(error, InterfaceError)
    assert not isinstance(error, ArgumentError)


def test_sqlite_lock_and_read_only(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("locked") / "d.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as one,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
        closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader,
    ):
        one.execute("PRAGMA journal_mode = WAL")
        one.execute("CREATE TABLE t (a)")
        one.execute("BEGIN IMMEDIATE")
        locked = failure(other, "INSERT INTO t VALUES (1)")
        assert isinstance(locked, errors.LockNotAvailable)
        assert locked.safe_to_retry
        assert isinstance(failure(reader, "INSERT INTO t VALUES (1)"), errors.ReadOnlySqlTransaction)


@pytest.mark.skipif(not hasattr(sqlite3, "SQLITE_BUSY_SNAPSHOT"), reason="result codes came with Python 3.11")
def test_sqlite_stale_snapshot_is_a_serialization_failure(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("snapshot") / "d.db"
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as one,
        closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as other,
    ):
        one.execute("PRAGMA journal_mode = WAL")
        one.execute("CREATE TABLE t (a)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM t").fetchall()
        one.execute("INSERT INTO t VALUES (1)")
        assert isinstance(failure(other, "INSERT INTO t VALUES (2)"), errors.SerializationFailure)


def test_sqlite_interrupt(memory: sqlite3.Connection) -> None:
    memory.set_progress_handler(lambda: 1, 1)
    assert isinstance(failure(memory, "SELECT count(*) FROM p"), errors.QueryCanceled)


def test_sqlite_files_that_are_no_databases(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("files")
    (folder / "text").write_text("no database" * 100)
    with closing(sqlite3.connect(folder / "text")) as connection:
        assert isinstance(failure(connection, "SELECT * FROM t"), errors.DataCorrupted)
    with pytest.raises(sqlite3.OperationalError) as caught:
        sqlite3.connect(folder / "missing" / "d.db")
    assert isinstance(sqlite_error(caught.value), errors.IoError)


@pytest.mark.parametrize(
    ("exc", "sqlstate"),
    [
        (sqlite3.IntegrityError("something new"), "23000"),
        (sqlite3.OperationalError("something new"), "42000"),
        (sqlite3.DatabaseError("something new"), "XX000"),
        (sqlite3.OperationalError("database table is locked: t"), "55P03"),
        (sqlite3.OperationalError("error in view v: no such table: main.t"), "42P01"),
    ],
)
def test_sqlite_messages_alone(exc: sqlite3.Error, sqlstate: str) -> None:
    assert sqlite_error(exc).sqlstate == sqlstate


@given(st.text())
def test_sqlite_any_message(message: str) -> None:
    for kind in (sqlite3.OperationalError, sqlite3.ProgrammingError, sqlite3.IntegrityError):
        assert isinstance(sqlite_error(kind(message)), Error)
