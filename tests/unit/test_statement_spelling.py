"""What no comment, quote or odd spelling may change in a statement's class; any text has one, in linear time."""

from __future__ import annotations

import gc
import re
import sqlite3
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db_pool_rs import sql as statement
from db_pool_rs.sql import Lexical, StatementClass, classify, split_statements, sqlite_placeholders
from tests.unit.statement_examples import BODY, EMPTY, POSTGRESQL, READ, SQLITE, WRITE, examples, flat_gaps

gaps = st.sampled_from(
    [
        " ",
        "\n",
        "\t \r\n",
        "/**/",
        "/* FOR UPDATE ; ' */",
        "/* /* nested */ ' \" $$ */",
        "-- SET x ; '\n",
        " -- ' /*\r\n",
    ]
)
PIECES = re.compile(r"'[^']*'|\"[^\"]*\"|\$\$.*?\$\$|[A-Za-z_0-9$.]+|.")
SIMPLE = [(sql, kind) for sql, kind in examples(POSTGRESQL) if not re.search(r"[\\&-]|\$q|never|/\*|^$|^\s|^;", sql)]
SIMPLE_SQLITE = [
    (sql, kind) for sql, kind in examples(SQLITE) if not re.search(r"[\\\[`-]|never|/\*|^;|\ufeff|^$", sql)
]


def respelled(data: st.DataObject, sql: str, between: st.SearchStrategy[str]) -> str:
    pieces = [piece for piece in PIECES.findall(sql) if not piece.isspace()]
    cased = [piece.swapcase() if piece.isalpha() and data.draw(st.booleans()) else piece for piece in pieces]
    return data.draw(between) + "".join(piece + data.draw(between) for piece in cased)


@given(st.sampled_from(SIMPLE), st.data())
def test_comments_white_space_and_case_change_nothing(found: tuple[str, StatementClass], data: st.DataObject) -> None:
    sql, kind = found
    assert classify(respelled(data, sql, gaps)).kind is kind


@given(st.sampled_from(SIMPLE_SQLITE), st.data())
def test_comments_white_space_and_case_change_nothing_in_sqlite(
    found: tuple[str, StatementClass], data: st.DataObject
) -> None:
    sql, kind = found
    assert classify(respelled(data, sql, flat_gaps), "sqlite").kind is kind


hidden = st.sampled_from(
    [
        " FOR UPDATE ",
        " INTO TEMP x ",
        "; DELETE FROM t; ",
        "set_config('a','b',false)",
        "-- ",
        "/* ",
        "WITH x AS (INSERT INTO",
    ]
)


@given(hidden, st.text("abc \n;()$-/*", max_size=10))
@example("; DELETE FROM t; ", "$")
def test_quotes_hide_what_they_hold(text: str, more: str) -> None:
    inside = text + more
    doubled, names = inside.replace("'", "''"), inside.replace('"', '""')
    for quoted in (f"'{doubled}'", f"E'\\'{doubled}\\\\'", f"N'{doubled}'", f'"{names}"', f"$b1${inside}$b1$"):
        assert classify(f"SELECT {quoted} FROM t") == Lexical(READ, "SELECT", False, 1)
    for quoted in (f"'{doubled}'", f'"{names}"', f"`{inside}`", f"[{inside}]"):
        assert classify(f"SELECT {quoted} FROM t", "sqlite") == Lexical(READ, "SELECT", False, 1)


scripts = st.lists(st.sampled_from([*(sql for sql, _ in SIMPLE), BODY]), max_size=5)


@given(scripts)
def test_joining_and_splitting_agree(parts: list[str]) -> None:
    script = "\n;\n".join(parts)
    again = split_statements(script)
    assert classify(script).count == len(again) == sum(classify(part).count for part in parts)
    assert split_statements("\n;\n".join(again)) == again


MARKS = [*"'\"$E\\/*-\n;()[]`, 1?:@#é.a", "$$", "$a$", "$1", "E'", "U&", "/*", "*/", "--"]
WORDS = ["SELECT", "WITH", "AS", "INSERT", "CREATE", "FUNCTION", "TRIGGER", "BEGIN", "ATOMIC", "CASE", "END"]
sql_like = st.lists(st.sampled_from(MARKS)).map("".join) | st.lists(st.sampled_from(MARKS + WORDS)).map(" ".join)


@given(st.text() | sql_like, st.sampled_from(["postgresql", "sqlite"]))
def test_any_text_has_a_class(sql: str, dialect: str) -> None:
    lexical = classify(sql, dialect)
    parts = split_statements(sql, dialect)
    assert lexical.count == len(parts)
    assert (lexical.kind is EMPTY) == (not parts)
    assert all(part in sql for part in parts)
    sqlite_placeholders(sql)


@given(sql_like)
def test_sqlite_agrees_where_a_script_is_complete(sql: str) -> None:
    """What SQLite takes for complete has its last semicolon at the top level: so adding one adds no statement."""
    if "\0" not in sql and "CREATE" not in sql and sqlite3.complete_statement(sql):
        assert classify(f"{sql}\nSELECT 1", "sqlite").count == classify(sql, "sqlite").count + 1


@pytest.mark.parametrize("end", ["END", "END;", ";END", "; END ;", "; /* x */ END -- y\n;", ";END x;", "; END END ;"])
def test_sqlite_agrees_where_a_trigger_ends(end: str) -> None:
    sql = f"CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1 {end}"
    expected = 2 if sqlite3.complete_statement(sql) else 1
    assert classify(f"{sql}\nSELECT 1", "sqlite").count == expected


UNITS = [
    "(", ")", "'", "''", '"', '""', "$", "$$", "$a$ $b", "/*", "*/", "--", ";", "a ", "x.", "(1,'b'),", "(a,'b'),",
    ",(1", "E'", "E'\\\\", "E'\\''", "E'a'\n--x\n", "E'a'\n'b'", "WITH ", "AS (", "INTO ", "[", "`", "set_config(",
    "set_config(,true)", 'U&"a" ', "CREATE FUNCTION f() BEGIN ATOMIC ", "CREATE TRIGGER ; END ", "-", "/",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_time_is_linear(unit: str) -> None:
    """Sixteen times the text takes about sixteen times as long; it would be up to 256 times if it were quadratic."""

    def seconds(length: int) -> float:
        sql = f"SELECT 1; CREATE {unit * (length // len(unit))}"
        gc.disable()  # else the collector walks everything that the other tests left, once for so many tokens
        try:
            started = time.process_time()
            for dialect in ("postgresql", "sqlite"):
                statement._classify(sql, dialect, frozenset())
            statement._placeholders(sql)
            return time.process_time() - started
        finally:
            gc.enable()

    # In the middle between the two, since a busy machine can double a time. The constant covers the texts that take
    # next to no time at all.
    assert min(seconds(48_000), seconds(48_000)) <= 64 * min(seconds(3_000) for _ in range(3)) + 0.03


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_a_megabyte_of_values(dialect: str) -> None:
    sql = "INSERT INTO t VALUES " + ", ".join(f"({number}, 'it''s {number}', -1.5)" for number in range(40_000))
    assert len(sql) > 1_000_000
    assert classify(sql, dialect) == Lexical(WRITE, "INSERT", False, 1)
