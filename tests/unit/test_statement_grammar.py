"""The class of a text against the opinion of PostgreSQL's own parser: never more freedom than that allows."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

pytest.importorskip("pglast", reason="pglast has no wheels for this platform")

import pglast.parser
from pglast import ast

from db_pool_rs.sql import classify, split_statements
from tests.unit.sql_grammar import statements
from tests.unit.sql_oracle import CONTROL, STRICTER, opinion, parse
from tests.unit.sql_utilities import UTILITIES
from tests.unit.statement_examples import POSTGRESQL, examples

#: Forms that PostgreSQL 15 has not, or that are parts of others.
NO_STATEMENTS = {
    "AlterObjectDependsStmt", "CompositeTypeStmt", "PLAssignStmt", "RawStmt", "ReplicaIdentityStmt", "ReturnStmt",
    "SetOperationStmt", "AlterTableMoveAllStmt",
}  # fmt: skip


def judge(sql: str) -> str:
    """Compare both opinions on a text; how much more careful we are than we must be ("" for not at all)."""
    trees = parse(sql)
    lexical = classify(sql)
    assert lexical.count == len(trees), f"{lexical.count} statements where the server sees {len(trees)}: {sql!r}"
    parts = split_statements(sql)
    extra = ""
    for part, tree in zip(parts, trees, strict=True):
        ours, (kind, leaves) = classify(part), opinion(tree)
        context = f"{part!r}: {ours} where the server sees {kind}, leaves={leaves}"
        assert STRICTER.index(ours.kind) >= STRICTER.index(kind), context
        assert ours.dirties or not leaves, context
        assert (ours.kind is CONTROL) == (kind is CONTROL), context
        if ours.kind is not kind:
            extra = f"{type(tree).__name__}: {ours.kind.name} for {kind.name}"
    return extra


def test_examples() -> None:
    judged = Counter(judge(sql) for sql, kind in examples(POSTGRESQL) if _parses(sql))
    assert judged.total() > 100


def _parses(sql: str) -> bool:
    try:
        return bool(parse(sql))
    except pglast.parser.ParseError:
        return False


@settings(max_examples=1000)
@given(statements)
def test_statements_of_the_grammar(sql: str) -> None:
    assume(_parses(sql))
    event(judge(sql) or "the same")


@given(st.lists(statements, min_size=2, max_size=4), st.sampled_from([";", " ;\n", "; ;", ";--;\n"]))
def test_scripts_of_the_grammar(parts: list[str], between: str) -> None:
    sql = between.join(parts)
    assume(_parses(sql))
    judge(sql)


@pytest.mark.parametrize("template", UTILITIES["utility"], ids=lambda text: text[:40])
def test_each_form_of_statement(template: str) -> None:
    """Once in its plainest spelling, so that none depends on luck."""
    sql = _plain(template)
    assert _parses(sql), sql
    judge(sql)


def _plain(template: str) -> str:
    from tests.unit.sql_grammar import RULES

    while "{" in template:
        before, _, rest = template.partition("{")
        name, _, after = rest.partition("}")
        template = before + RULES[name][0] + after
    return template


def test_no_form_of_statement_is_left_out() -> None:
    seen = {type(tree).__name__ for template in UTILITIES["utility"] for tree in parse(_plain(template))}
    seen |= {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
    assert {name for name in dir(ast) if name.endswith("Stmt")} - seen - NO_STATEMENTS == set()


@pytest.mark.skipif("DB_POOL_REGRESS_SQL" not in os.environ, reason="DB_POOL_REGRESS_SQL: a folder of .sql files")
def test_statements_of_the_regression_tests() -> None:
    """PostgreSQL's own regression tests, as far as the parser takes them: `nox -s grammar` has their SQL."""
    judged: Counter[str] = Counter()
    for path in sorted(Path(os.environ["DB_POOL_REGRESS_SQL"]).rglob("*.sql")):
        for sql in split_statements(_without_psql(path.read_text("utf-8", "replace"))):
            if _parses(sql):
                judged[judge(sql) or "the same"] += 1
    print(*judged.most_common(), sep="\n")
    assert judged.total() > 10_000


def _without_psql(text: str) -> str:
    """Without the lines that are psql's, and the data of COPY."""
    lines, copying = [], False
    for line in text.splitlines():
        copying = (copying or "from stdin" in line.lower()) and line != "\\."
        if not line.startswith("\\") and not (copying and "from stdin" not in line.lower()):
            lines.append(line)
    return "\n".join(lines)


#: EXPLAIN (ANALYZE 'off') runs nothing, which only a value tells.
MORE_CAREFUL = {"ExplainStmt: SESSION for OTHER"}


def test_where_we_are_more_careful_than_needed() -> None:
    """Every form of statement and every example: what costs a reset without need."""
    plain = [_plain(template) for template in UTILITIES["utility"]]
    texts = [*plain, *(sql for sql, _ in examples(POSTGRESQL) if _parses(sql))]
    found = Counter(judge(sql) or "the same" for sql in texts)
    print(*found.most_common(), sep="\n")
    assert set(found) - {"the same"} == MORE_CAREFUL
