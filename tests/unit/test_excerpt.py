"""What an error shows of its statement, and the advice that it gives."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError, database_error
from db_pool_rs.errors.excerpt import WIDTH, advice, excerpt, stray_placeholder


def test_the_line_and_a_caret() -> None:
    assert excerpt("SELEC 1", 1) == ["LINE 1: SELEC 1", "        ^"]
    assert excerpt("SELECT 1\nFROM a WHER b\nLIMIT 2", 17) == ["LINE 2: FROM a WHER b", "               ^"]
    assert excerpt("SELECT 1 +", 11) == ["LINE 1: SELECT 1 +", "                  ^"]
    assert excerpt("a\r\n\tb c\r\n", 7) == ["LINE 2:  b c", "           ^"]
    assert excerpt("", 1) == ["LINE 1: ", "        ^"]


def test_a_long_line_is_cut_around_the_caret() -> None:
    sql = f"SELECT {'a_column, ' * 100} wrong FROM t WHERE {'a = 1 AND ' * 50} true"
    line, caret = excerpt(sql, sql.index("wrong") + 1)
    assert line.startswith("LINE 1: ...")
    assert line.endswith("...")
    assert line[caret.index("^") :].startswith("wrong FROM")
    assert len(line) == len("LINE 1: ......") + WIDTH


def test_wide_characters_take_two_columns() -> None:
    assert excerpt("SELECT '日本' x y", 15) == ["LINE 1: SELECT '日本' x y", " " * 24 + "^"]
    assert excerpt("SELECT 'é' x", 12)[1] == " " * 19 + "^"


@pytest.mark.parametrize("position", [0, -1, 99])
def test_a_position_outside_the_text_shows_nothing(position: int) -> None:
    assert excerpt("SELECT 1", position) == []


@pytest.mark.parametrize(
    "sql",
    [
        "ALTER ROLE app PASSWORD 'tiger' x",
        "CREATE USER app WITH ENCRYPTED PASSWORD E'tiger' x",
        "CREATE ROLE app\nPASSWORD\n'tiger' x",
        "SELECT dblink('host=a password=tiger', 'x') x y",
        "SELECT 'postgresql://app:tiger@host/db' x y",
        "CREATE SUBSCRIPTION s CONNECTION 'host=a\npassword = tiger' x",
    ],
)
def test_a_text_with_a_password_is_not_shown(sql: str) -> None:
    assert excerpt(sql, len(sql)) == []
    assert "tiger" not in str(database_error({"message": "no", "position": str(len(sql))}, sql))


@given(st.text(), st.integers(-3, 40))
def test_any_text_can_be_shown(sql: str, position: int) -> None:
    shown = excerpt(sql, position)
    assert len(shown) in (0, 2)
    assert all("\n" not in line for line in shown)
    advice("42601", sql, position)
    stray_placeholder(sql)


@pytest.mark.parametrize(
    ("sqlstate", "sql", "at", "expected"),
    [
        ("42601", "SELECT %s", "%", "not %s"),
        ("42703", "SELECT 1 WHERE a =%s", "s", "not %s"),
        ("42601", "SELECT %(id)s", "%", "not %s"),
        ("42601", "SELECT ? AND b", "AND", "not ?"),
        ("42601", "VALUES (?, ?)", ",", "not ?"),
        ("42883", "SELECT @name", "@", "not @name"),
        ("42601", "SELECT $name", "$", "not $name"),
        ("42601", "a IN $12", "$", "write = ANY($12)"),
        ("42601", "a not in\n $1", "$", "write <> ALL($1)"),
        ("42601", "a = any $1", "$", "parentheses: ($1)"),
        ("42601", "SELECT SELECT", "SELECT", None),
        ("42703", "SELECT names", "names", None),
        ("42703", "SELECT x.s", "x", None),
        ("23505", "SELECT ?", "?", None),
    ],
)
def test_advice_against_common_mistakes(sqlstate: str, sql: str, at: str, expected: str | None) -> None:
    given = advice(sqlstate, sql, sql.rindex(at) + 1)
    assert given is None if expected is None else expected in str(given)


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT %s", "not %s"),
        ("SELECT '%s', \"?\", [?], `?` -- ?\n/* ? */ + ?", "not ?"),
        ("SELECT @name", "not @name"),
        ("SELECT $name", "not $name"),
        ("SELECT ?1", None),
        ("SELECT '?', a % s, $1", None),
    ],
)
def test_placeholders_of_another_kind(sql: str, expected: str | None) -> None:
    given = stray_placeholder(sql)
    assert given is None if expected is None else str(given).endswith(expected)


def test_the_error_shows_it_between_message_and_detail() -> None:
    fields = {"message": "syntax error", "sqlstate": "42601", "position": "8", "detail": "D", "hint": "H"}
    error = database_error(fields, "SELECT ? AND 1")
    assert str(error).splitlines() == [
        "syntax error (SQLSTATE 42601)",
        "LINE 1: SELECT ? AND 1",
        "               ^",
        "HINT:  parameters are $1, $2, ..., or :name with a mapping; not ?",
        "DETAIL:  D",
        "HINT:  H",
    ]
    assert error.reason.splitlines() == ["syntax error (SQLSTATE 42601)", "DETAIL:  D", "HINT:  H"]
    again: DatabaseError = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
