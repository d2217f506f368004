"""The error tree: classes by SQLSTATE, what may be repeated, pickling, and no secret in any message."""

from __future__ import annotations

import copy
import json
import pickle
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import quote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

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
    redact,
    sqlite_error,
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
        "duplicate key value (SQLSTATE 23505)\nDETAIL: Key (id)=(1) already exists.\nHINT: Take another."
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


# No secret in any message.

passwords = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1)
words = st.text("abcxyz0123456789_.", min_size=1)


def quoted(text: str) -> str:
    return "'" + text.replace("\\", r"\\").replace("'", r"\'") + "'"


def unquoted(text: str) -> str:
    return "".join(f"\\{char}" if char in "\\'" or char.isspace() else char for char in text)


@given(words, passwords, words)
@example("u", "p@ss:w/o?r#d", "h")
def test_redact_userinfo(user: str, password: str, host: str) -> None:
    dsn = f"postgresql://{user}:{quote(password, safe='')}@{host}:5432/db?sslmode=require"
    assert redact(dsn) == f"postgresql://{user}:***@{host}:5432/db?sslmode=require"


@given(st.text("ab@:/?#&=%' ", min_size=1).filter(lambda password: "://" not in password))
def test_redact_userinfo_that_should_have_been_escaped(password: str) -> None:
    shown = redact(f"postgresql://user:{password}SECRET{password}@host/db")
    assert "SECRET" not in shown
    assert shown.endswith("@host/db")


@pytest.mark.parametrize("name", ["password", "sslpassword", "PASSWORD", "pass%77ord", "oauth_client_secret"])
@given(password=passwords)
def test_redact_url_parameter(name: str, password: str) -> None:
    dsn = f"postgresql://host/db?a=1&{name}={quote(password)}&sslmode=require"
    assert redact(dsn) == f"postgresql://host/db?a=1&{name}=***&sslmode=require"


@pytest.mark.parametrize("name", ["password", "sslpassword", "Password"])
@given(password=passwords, equals=st.sampled_from(["=", " = ", "= ", " ="]), bare=st.booleans())
def test_redact_key_and_value(name: str, password: str, equals: str, bare: bool) -> None:
    assume(not (bare and password.startswith('"')))  # taken for a quote, as it would be in other notations
    value = unquoted(password) if bare else quoted(password)
    assert redact(f"host=h {name}{equals}{value} user=u") == f"host=h {name}{equals}*** user=u"


def test_redact_a_quote_that_never_ends() -> None:
    assert redact("host=h password='a b c") == "host=h password=***"
    assert redact(r"host=h password='a b c\'") == "host=h password=***"
    assert redact("password='abc\\") == "password=***"


@given(passwords)
def test_redact_a_dict_of_options(password: str) -> None:
    options = {"host": "h", "password": password, "port": 5432}
    assert redact(repr(options)) == "{'host': 'h', 'password': ***, 'port': 5432}"
    assert redact(json.dumps(options)) == '{"host": "h", "password": ***, "port": 5432}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "host=h user=u dbname=d",
        "postgresql://user@host:5432/db?application_name=a",
        "sqlite:///path/to/file.db",
        'password authentication failed for user "u"',
        "passfile=/home/u/.pgpass",
        "cannot reach postgresql://host:5432/db: ask admin@example.com",
    ],
)
def test_redact_leaves_what_is_no_secret(text: str) -> None:
    assert redact(text) == text


@given(st.text())
def test_redact_is_idempotent(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    "error",
    [
        ConfigError("dsn", "postgresql://u:hunter2@h/db", "a URL"),
        ConfigError("main.password", "hunter2", "a text"),
        ConfigError("password", b"hunter2", "a text"),
        ConfigError("pools", {"dsn": "password='hunter2'"}, "a name"),
        ConnectFailed("cannot connect with password=hunter2", ["postgresql://u:hunter2@h/db: refused"]),
        ConnectionLost("lost postgresql://u:hunter2@h/db", sent=True),
        PoolTimeout("m", ["task-1 connecting to postgresql://u:hunter2@h/db"]),
        InterfaceError("bad: password=hunter2"),
        ModeUnavailableError("full", "postgresql://u:hunter2@h", "x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_message_carries_a_password(error: Error) -> None:
    assert "hunter2" not in f"{error} {error!r} {error.args}"
    if not isinstance(error, ModeUnavailableError) and error.__dict__.get("key") != "pools":
        assert "hunter2" not in repr(vars(error))


def test_redact_more_than_one() -> None:
    assert (
        redact("postgresql://u:a@h1/db, postgresql://u:b@h2/db") == "postgresql://u:***@h1/db, postgresql://u:***@h2/db"
    )
    assert redact("password=a sslpassword=b c=d") == "password=*** sslpassword=*** c=d"


def test_an_example_of_what_is_allowed_is_shown() -> None:
    error = ConfigError("dsn", "http://host:80/db", "postgresql://user:password@host/db")
    assert str(error) == "dsn: 'http://host:80/db' is not allowed; allowed: postgresql://user:password@host/db"


# SQLite

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
