"""What SQLite does with an argument, it does on every engine: equal values of equal type, or equal errors."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs import create_pool
from tests.plugins.engines import ENGINES

_NUMBERS = st.one_of(st.integers(), st.integers(-(2**65), 2**65), st.floats(), st.decimals(), st.booleans())
_TEXTS = st.one_of(st.text(), st.text(st.characters(codec=None)), st.binary(), st.binary().map(bytearray))
_TIMES = st.one_of(st.datetimes(timezones=st.none() | st.timezones()), st.dates(), st.times(), st.timedeltas())
_JSON = st.recursive(st.none() | _NUMBERS | st.text(), lambda one: st.lists(one) | st.dictionaries(st.text(), one))
VALUES = st.one_of(st.none(), _NUMBERS, _TEXTS, _TIMES, st.uuids(), _JSON, st.tuples(st.integers()))
# None in which SQLite makes a text of a number or the other way round: there its versions differ, and so do engines.
EXPRESSIONS = st.sampled_from(["$1", "typeof($1)", "coalesce($1, 0)", "$1 IS NULL", "nope($1)"])


@pytest.fixture
async def pools() -> AsyncIterator[list[Any]]:
    """A pool of each engine that is installed, simple first."""
    opened = [await create_pool("sqlite://", mode=spec.name, max_size=1) for spec in ENGINES if spec.installed]
    yield opened
    for pool in opened:
        await pool.close()


async def outcome(pool: Any, sql: str, *args: Any) -> Any:
    """The rows with their types, or the error as the caller sees it."""
    try:
        rows = await pool.fetch(sql, *args)
    except Exception as error:
        cause = error.__context__  # what the standard library says
        return type(error), str(error), getattr(error, "sqlstate", None), type(cause), str(cause)
    return [[(type(value), repr(value)) for value in row] for row in rows], [row.keys() for row in rows]


@given(value=VALUES, expression=EXPRESSIONS)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_values_and_errors(pools: list[Any], value: Any, expression: str) -> None:
    expected, *others = [await outcome(pool, f"SELECT {expression} AS x", value) for pool in pools]
    for other in others:
        assert other == expected


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO t VALUES (1)",
        "INSERT INTO t VALUES (NULL)",
        "INSERT INTO t VALUES (-1)",
        "INSERT INTO c VALUES (99)",
        "INSERT INTO s VALUES ('x')",
        "SELECT * FROM missing",
        "SELECT missing FROM t",
        "SELEC",
        "INSERT INTO v VALUES (1)",
        "SELECT CAST(x'ff' AS TEXT) AS x",
        "SELECT abs(-9223372036854775808)",
        "SELECT json('{')",
        "CREATE TABLE t (a)",
        "DELETE FROM t WHERE a = 12 RETURNING a",
        "UPDATE t SET a = a",
        "WITH n AS (SELECT 7) INSERT INTO t SELECT * FROM n",
        "PRAGMA foreign_keys",
    ],
)
async def test_statements_and_their_errors(pools: list[Any], sql: str) -> None:
    for pool in pools:
        async with pool.acquire() as conn:
            await conn.execute(
                "CREATE TABLE t (a INTEGER NOT NULL UNIQUE CHECK (a > 0)); CREATE TABLE c (a REFERENCES t (a));"
                "CREATE TABLE s (a INTEGER) STRICT; CREATE VIEW v AS SELECT 1; INSERT INTO t VALUES (1), (2)"
            )
    expected, *others = [await outcome(pool, sql) for pool in pools]
    for other in others:
        assert other == expected
    tags = [await pool.execute("UPDATE t SET a = a + 100") for pool in pools]
    assert len(set(tags)) == 1
