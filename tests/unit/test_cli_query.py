"""`query`, the parts without a database: which statements give rows, and what a bare argument is."""

from __future__ import annotations

import pytest

from db_pool_rs.cli.query import _gives_rows, _literal, _number_or_text


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT 1", True),
        ("-- a comment\n(VALUES (1))", True),
        ("SELECT * FROM t FOR UPDATE", True),
        ("SELECT set_config('a', 'b', false)", True),
        ("WITH x AS (SELECT 1) SELECT * FROM x", True),
        ("EXPLAIN DELETE FROM t", True),
        ("show timezone", True),
        ("INSERT INTO t VALUES (1)", False),
        ("INSERT INTO t VALUES (1) RETURNING id", True),
        ("INSERT INTO t VALUES ('returning customer') -- returning", False),
        ("WITH x AS (SELECT 1) DELETE FROM t", False),
        ("CREATE TABLE t (id int)", False),
        ("VACUUM", False),
        ("", False),
    ],
)
def test_which_statements_give_rows(sql: str, expected: bool) -> None:
    assert _gives_rows(sql, "postgresql") is expected


def test_pragmas_give_rows() -> None:
    assert _gives_rows("PRAGMA journal_mode", "sqlite")


@pytest.mark.parametrize(
    ("arg", "value"),
    [
        ("0", 0),
        ("-7", -7),
        ("9223372036854775807", 2**63 - 1),
        ("9223372036854775808", "9223372036854775808"),
        ("1.50", 1.5),
        ("-1e-3", -0.001),
        ("007", "007"),
        ("1_000", "1_000"),
        ("٣", "٣"),
        ("nan", "nan"),
        (" 1", " 1"),
        (None, None),
    ],
)
def test_what_is_a_number_in_json_is_a_number(arg: str | None, value: object) -> None:
    assert _number_or_text(arg) == value
    assert type(_number_or_text(arg)) is type(value)


def test_a_literal_keeps_quotes_and_backslashes() -> None:
    assert _literal("it's \\n") == "E'it''s \\\\n'"
