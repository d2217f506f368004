"""Statement classes: tables of examples for each rule, scripts, placeholders, the cache."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs import sql as statement
from db_pool_rs.sql import Lexical, StatementClass, classify, split_statements, sqlite_placeholders
from tests.unit.statement_examples import (
    BODY,
    OTHER,
    POSTGRESQL,
    READ,
    SESSION,
    SQLITE,
    TRIGGER,
    examples,
    flat_gaps,
)


# rule 1.1
@pytest.mark.parametrize(("sql", "kind"), examples(POSTGRESQL))
def test_postgresql_classes(sql: str, kind: StatementClass) -> None:
    assert classify(sql).kind is kind


@pytest.mark.parametrize(("sql", "kind"), examples(SQLITE))
def test_sqlite_classes(sql: str, kind: StatementClass) -> None:
    assert classify(sql, "sqlite").kind is kind


@pytest.mark.parametrize(
    ("sql", "command"),
    [
        ("select 1", "SELECT"),
        ("((select 1))", "SELECT"),
        ("/* x */ With x AS (SELECT 1) DELETE FROM t", "WITH"),
        ("create table t (a int)", "CREATE"),
        ("", ""),
        ("'x'", ""),
        ('"select"', ""),
        ("begin; select 1", "BEGIN"),
        ("\u017felect 1", "\u017felect"),
    ],
)
def test_the_command_is_the_first_keyword(sql: str, command: str) -> None:
    assert classify(sql).command == command


@pytest.mark.parametrize(
    ("sql", "dirties"),
    [
        ("SELECT 1", False),
        ("UPDATE t SET a = 1", False),
        ("CREATE TABLE t (a int)", False),
        ("LOCK TABLE t", False),
        ("COMMIT", False),
        ("SET a = 1", True),
        ("SET SESSION a = 1", True),
        ("SET LOCAL a = 1", False),
        ("SET TRANSACTION READ ONLY", False),
        ("SET CONSTRAINTS ALL DEFERRED", False),
        ("LISTEN c", True),
        ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", True),
        ("COPY t FROM STDIN", False),
        ("COPY (SELECT set_config('a', 'b', false)) TO STDOUT", True),
        ("CREATE TEMP TABLE t (a int)", True),
        ("SELECT 1 AS a INTO TEMP t", True),
        ("DO $$ $$", True),
        ("CALL p()", True),
        ("SELECT pg_advisory_lock(1)", True),
        ("SELECT pg_advisory_xact_lock(1)", False),
        ("SELECT lastval()", False),
        ("SELECT set_config('a', 'b', false)", True),
        ("SELECT set_config('a', $1, true)", False),
        ("SELECT set_config('a', ($1), TRUE), set_config('b', $2, true)", False),
        ("SELECT set_config('a', $1, true), set_config('b', $2, $3)", True),
        ("SELECT set_config('a', f(true, true), false)", True),
        ("SELECT set_config('a', 'b', true AND false)", True),
        ("SELECT \"set_config\"('a', 'b', false)", True),
        ("SELECT set_config('a', 'b', true), setseed(0)", True),
        ("SELECT 1; SET a = 1", True),
        ("SELECT 1; SELECT 2", False),
    ],
)
def test_what_may_leave_state_behind(sql: str, dirties: bool) -> None:
    assert classify(sql).dirties is dirties


@pytest.mark.parametrize(
    ("sql", "dirties"),
    [
        ("SELECT 1", False),
        ("PRAGMA foreign_keys", False),
        ("PRAGMA foreign_keys = OFF", True),
        ("ATTACH 'x' AS y", True),
        ("CREATE TEMP TABLE t (a)", True),
        ("VACUUM", False),
        ("SELECT changes()", False),
    ],
)
def test_what_may_leave_state_behind_in_sqlite(sql: str, dirties: bool) -> None:
    assert classify(sql, "sqlite").dirties is dirties


# rule 1.2
def test_functions_that_users_add() -> None:
    functions = frozenset({"app.Enter_Tenant", "audit"})
    assert classify("SELECT enter_tenant(1)").kind is READ
    for sql in ("SELECT enter_tenant(1)", 'SELECT app."enter_tenant" (1)', "INSERT INTO t SELECT AUDIT()"):
        assert classify(sql, "postgresql", functions) == Lexical(OTHER, sql.split()[0], True, 1)
        assert classify(sql, "sqlite", functions) == Lexical(OTHER, sql.split()[0], True, 1)
    assert classify("SELECT audit FROM t", "postgresql", functions).kind is READ
    assert classify("SELECT audit(), pg_advisory_lock(1)", "postgresql", functions).kind is SESSION


# rule 1.3
@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("", []),
        (" ; -- x\n ; /* y */", []),
        ("SELECT 1", ["SELECT 1"]),
        ("SELECT 1; -- x", ["SELECT 1"]),
        ("/*+ hint */ SELECT 1 -- x\n; SELECT 2;;", ["/*+ hint */ SELECT 1 -- x", "SELECT 2"]),
        ("SELECT ';', \";\", $$;$$, E'\\';' ; SELECT 2", ["SELECT ';', \";\", $$;$$, E'\\';'", "SELECT 2"]),
        ("SELECT E'a'\n-- ;\n'\\';'; SELECT 2", ["SELECT E'a'\n-- ;\n'\\';'", "SELECT 2"]),
        ("SELECT E'a' '\\'; SELECT 2", ["SELECT E'a' '\\'", "SELECT 2"]),
        ("SELECT a$b; SELECT $1$a$;$a$", ["SELECT a$b", "SELECT $1$a$;$a$"]),
        (f"{BODY}; SELECT 3", [BODY, "SELECT 3"]),
        ("BEGIN; SELECT 1; END", ["BEGIN", "SELECT 1", "END"]),
        (
            "CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2); SELECT 3",
            ["CREATE RULE r AS ON INSERT TO t DO ALSO (SELECT 1; SELECT 2)", "SELECT 3"],
        ),
        ("SELECT ')'; SELECT (1), ((2)); SELECT 3", ["SELECT ')'", "SELECT (1), ((2))", "SELECT 3"]),
    ],
)
def test_splitting_a_script(sql: str, parts: list[str]) -> None:
    assert split_statements(sql) == parts
    assert classify(sql).count == len(parts)


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("SELECT 1; SELECT [;], `;`, ';', \";\" /* ; */; -- ;", ["SELECT 1", "SELECT [;], `;`, ';', \";\" /* ; */"]),
        (f"{TRIGGER}; SELECT 3;", [TRIGGER, "SELECT 3"]),
        ("BEGIN; SELECT 1; END", ["BEGIN", "SELECT 1", "END"]),
    ],
)
def test_splitting_a_script_for_sqlite(sql: str, parts: list[str]) -> None:
    assert split_statements(sql, "sqlite") == parts
    assert classify(sql, "sqlite").count == len(parts)


def test_texts_are_classified_once() -> None:
    sql = "SELECT 'classified once'"
    assert classify(sql) is classify(sql)
    assert classify(sql, "sqlite") is classify(sql, "sqlite")


def test_long_texts_are_not_kept() -> None:
    sql = f"SELECT '{'x' * statement.CACHED_LENGTH}'"
    assert classify(sql) == classify(sql)
    assert classify(sql) is not classify(sql)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", "SELECT 1"),
        ("SELECT $1, $22", "SELECT ?1, ?22"),
        ("SELECT $1+$2", "SELECT ?1+?2"),
        ("SELECT '$1', \"$1\", `$1`, [$1], $1", "SELECT '$1', \"$1\", `$1`, [$1], ?1"),
        ("SELECT 'it''s $1', $1 -- $1\n, $2 /* $1 */", "SELECT 'it''s $1', ?1 -- $1\n, ?2 /* $1 */"),
        ("SELECT a$1, $name, $1a", "SELECT a$1, $name, $1a"),
        ("SELECT '$1", "SELECT '$1"),
    ],
)
def test_placeholders(sql: str, expected: str) -> None:
    assert sqlite_placeholders(sql) == expected


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5), st.data())
def test_placeholders_reach_their_arguments(numbers: list[int], data: st.DataObject) -> None:
    sql = "SELECT " + ",".join(f"{data.draw(flat_gaps)}${number}{data.draw(flat_gaps)}" for number in numbers)
    connection = sqlite3.connect(":memory:")
    try:
        args = [number * 10 for number in range(1, max(numbers) + 1)]
        row = connection.execute(sqlite_placeholders(sql), args).fetchone()
    finally:
        connection.close()
    assert row == tuple(number * 10 for number in numbers)
