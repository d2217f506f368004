"""Named parameters in a text, against what the databases' own lexers see."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from db_pool_rs.sql.named import named
from tests.unit.sql_grammar import statements

pglast_parser = pytest.importorskip("pglast.parser", reason="pglast has no wheels for this platform")


def found(sql: str, dialect: str = "postgresql") -> tuple[str, tuple[str, ...]]:
    text = named(sql, dialect)
    return (sql, ()) if text is None else (text.sql, text.names)


@pytest.mark.parametrize(
    ("sql", "expected", "names"),
    [
        ("SELECT :id", "SELECT $1", ("id",)),
        ("SELECT :id::int + :age, :id", "SELECT $1::int + $2, $1", ("id", "age")),
        ("SELECT (:a)::text,:b", "SELECT ($1)::text,$2", ("a", "b")),
        ("SELECT ':a', E'\\':b', \"c:d :e\", $$:f$$, $x$ $$ :g $x$, :h", None, ("h",)),
        ("SELECT 1 -- :a\n /* :b /* :c */ :d */ + :e", "SELECT 1 -- :a\n /* :b /* :c */ :d */ + $1", ("e",)),
        ("SELECT E'a\\''\n'\\':b', :c", "SELECT E'a\\''\n'\\':b', $1", ("c",)),
        ("SELECT f(a := :a)", "SELECT f(a := $1)", ("a",)),
        ("SELECT :größe, :A, :a, :_1", "SELECT $1, $2, $3, $4", ("größe", "A", "a", "_1")),
        ("SELECT l[low:high], l[:n], l[2:n], f(x)[:n], (l)[a::int:b]", None, ()),
        ("SELECT l[1 + :a], l[1: :b], l[(:c)], l[f(:d):e]", "SELECT l[1 + $1], l[1: $2], l[($3)], l[f($4):e]", None),
        ("SELECT ARRAY[:a, :b], array [[:a],[:b]]", "SELECT ARRAY[$1, $2], array [[$1],[$2]]", ("a", "b")),
        ("SELECT a:b, 1:c", None, ()),
        ("SELECT :1, : a, :", None, ()),
        ("SELECT :a 'never closed :b", "SELECT $1 'never closed :b", ("a",)),
        ("SELECT :a /* never closed :b", "SELECT $1 /* never closed :b", ("a",)),
    ],
)
def test_postgresql(sql: str, expected: str | None, names: tuple[str, ...] | None) -> None:
    text, seen = found(sql)
    assert names is None or seen == names
    assert text == (expected if expected is not None else sql if not names else text)
    assert not names or f"${len(names)}" in text


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT :a, [b:c], `:d`, \":e\", ':f', :a", "SELECT $1, [b:c], `:d`, \":e\", ':f', $1"),
        ("SELECT [:a], :b /* :c */ -- :d\n, :e", "SELECT [:a], $1 /* :c */ -- :d\n, $2"),
        ("SELECT $a::b, @c, ?1, #d", None),
    ],
)
def test_sqlite(sql: str, expected: str | None) -> None:
    assert found(sql, "sqlite")[0] == (expected or sql)


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite"])
def test_numbers_beside_names_are_seen(dialect: str) -> None:
    text = named("SELECT :a, $1", dialect)
    assert text is not None
    assert text.numbered
    for sql in ("SELECT :a, '$1'", "SELECT :a -- $1", 'SELECT :a AS "$1"', "SELECT :a AS x$1"):
        text = named(sql, dialect)
        assert text is not None
        assert not text.numbered, sql


PIECES = (
    ":a", ":b", ":Long_name1", "::", ":", ":=", " ", "\n", "a", "x1", "E", "array", "1", "1.5", "$1", "$", "'", "''",
    '"', "\\", "\\'", "E'", "e'\\''", "$$", "$t$", "--", "/*", "*/", "[", "]", "(", ")", ",", ";", "+", "-", "/", "@>",
    "U&'", "é",
)  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=25).map("".join)


def by_the_server(sql: str) -> str | None:
    """The text with `<name>` for each of its names, from the tokens of PostgreSQL's lexer; None if it refuses them."""
    try:
        tokens = [one for one in pglast_parser.scan(sql) if "COMMENT" not in one.name]
    except Exception:
        return None
    operand, subscripts, cut = False, [], []
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        text = sql[token.start : token.end + 1]
        if token.name == "ASCII_58":
            glued = sql[token.start - 1 : token.start]
            slices = bool(subscripts and subscripts[-1]) and (operand or sql[before.start] in "[(")
            word = after is not None and after.start == token.end + 1 and sql[after.start].isidentifier()
            word = (
                word
                and sql[after.start : after.end + 1].isidentifier()
                and sql[after.end + 1 :][:1] not in tuple("'\"$")
            )
            if word and not slices and not (glued.isalnum() or glued in ("_", "$")):
                cut.append((token.start, after.end + 1))
            operand = False
        elif text in "[(":
            subscripts.append(text == "[" and operand and sql[before.start : before.end + 1].upper() != "ARRAY")
            operand = False
        elif text in "])":
            if subscripts:
                subscripts.pop()
            operand = True
        else:
            operand = token.name in ("SCONST", "ICONST", "FCONST", "PARAM", "IDENT", "USCONST", "UIDENT", "BCONST") or (
                token.kind != "NO_KEYWORD"
            )
    return _cut(sql, cut)


def _cut(sql: str, pieces: list[tuple[int, int]]) -> str:
    for start, end in reversed(pieces):
        sql = f"{sql[:start]}<{sql[start + 1 : end]}>{sql[end:]}"
    return sql


def by_us(sql: str, dialect: str = "postgresql") -> str:
    """The same from ours."""
    text = named(sql, dialect)
    if text is None:
        return sql
    shown = text.sql
    for number, name in reversed(list(enumerate(text.names, 1))):
        shown = shown.replace(f"${number}", f"<{name}>")
    return shown


# `:U&'x'` is taken for a parameter and an operator, which it was meant for, and not for a Unicode string.
@given(texts.filter(lambda sql: "$1" not in sql and ":U&" not in sql))
def test_names_are_where_postgresqls_lexer_sees_them(sql: str) -> None:
    expected = by_the_server(sql)
    assume(expected is not None)
    event("with names" if expected != sql else "without")
    assert by_us(sql) == expected


@given(statements)
def test_statements_of_postgresql_have_no_names(sql: str) -> None:
    assert named(sql, "postgresql") is None


EXPRESSIONS = (
    ":a", ":b_1", "(:a)", "':c'", "'it''s :d'", '"e:f"', "[e:f]", "`e:f`", "x'00'", "/* :g */ 1", "1 -- :h\n", "+:i",
    "CAST(:a AS text)", "1.5", "NULL", "max(:b_1, 1)", "':j' || :k", "é", "x$y",
)  # fmt: skip


class Recorder(dict[str, None]):
    """Is asked for each name of a text, as SQLite sees them."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __missing__(self, name: str) -> None:
        self.asked.append(name)


@given(
    st.lists(st.sampled_from(EXPRESSIONS), min_size=1, max_size=8), st.sampled_from(["", " ", "\n", "/**/", "-- :z\n"])
)
def test_names_are_those_that_sqlite_sees(expressions: list[str], gap: str) -> None:
    sql = f'SELECT {f"{gap},{gap}".join(expressions)} FROM (SELECT 1 AS "e:f", 2 AS é, 3 AS x$y)'
    recorder = Recorder()
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(sql, recorder)
    assert list(found(sql, "sqlite")[1]) == recorder.asked


def test_long_texts_take_linear_time_and_no_memory() -> None:
    import time

    def seconds(count: int) -> float:
        sql = "SELECT :a" + ", 'x:y', 1::int, b[1:2]" * count
        begun = time.process_time()
        assert found(sql)[1] == ("a",)
        return time.process_time() - begun

    assert seconds(32_000) < 40 * max(seconds(2_000), 0.001)
