"""What traces show of a statement: never a value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.sql.without_values import SHOWN, without_values


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ("SELECT * FROM t WHERE id = $1", "SELECT * FROM t WHERE id = $1"),
        ("SELECT 'secret', 42, -1.5e-3, .5", "SELECT ?, ?, -?, ?"),
        ("SELECT 'it''s secret' AS a1, t2.b3", "SELECT ? AS a1, t2.b3"),
        (r"SELECT E'a\'secret', b", "SELECT ?, b"),
        ("SELECT $$secret$$, $tag$ secret $$ $tag$, $2", "SELECT ?, ?, $2"),
        ("SELECT \"a 1\", x'00ff', U&'secret'", 'SELECT "a 1", ?, ?'),
        ("SELECT 1 -- secret\n/* secret */ , a::int4", "SELECT ? , a::int4"),
        ("SELECT 'secret", "SELECT ?"),
        ("SELECT /* secret", "SELECT"),
        ("SELECT 0xFF, 1_000, 10::text", "SELECT ?, ?, ?::text"),
    ],
)
def test_examples(sql: str, shown: str) -> None:
    assert without_values(sql) == shown


@pytest.mark.parametrize(
    ("sql", "shown"),
    [
        ('SELECT * FROM t WHERE name = "secret"', "SELECT * FROM t WHERE name = ?"),
        (
            'SELECT "t"."a" FROM "my t" AS "t" JOIN u ON t."b c" = 5',
            'SELECT "t"."a" FROM "my t" AS "t" JOIN u ON t."b c" = ?',
        ),
        ('CREATE TABLE "a" (v DEFAULT "secret")', 'CREATE TABLE "a" (v DEFAULT ?)'),
        ("SELECT [it's], 'secret'", "SELECT [it's], ?"),
        ("SELECT `it's`, x'00ff', 'it''s secret'", "SELECT `it's`, ?, ?"),
        ("SELECT ?1, :two, @three, $4, 5", "SELECT ?1, :two, @three, $4, ?"),
        (r"SELECT 'a\', secret", "SELECT ?, secret"),
        ('SELECT a_from "secret', "SELECT a_from ?"),
    ],
)
def test_examples_of_sqlite(sql: str, shown: str) -> None:
    assert without_values(sql, "sqlite") == shown


LITERALS = st.sampled_from(["'{}'", "E'{}'", "$${}$$", "$a${}$a$", "x'{}'", "/*{}*/", "--{}\n"])


@given(
    st.lists(st.tuples(LITERALS, st.text("secret ,()=", max_size=9)), max_size=8), st.sampled_from([" ", ",", " = "])
)
def test_no_literal_is_shown(pieces: list[tuple[str, str]], between: str) -> None:
    text = between.join(form.format(f"hidden{word}") for form, word in pieces)
    assert "hidden" not in without_values(f"SELECT {text}")


def test_long_texts_are_cut() -> None:
    assert len(without_values("SELECT " + "a, " * SHOWN)) == SHOWN
