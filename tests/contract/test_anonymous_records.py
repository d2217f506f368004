"""Records without a type of their own, `ROW(1, 'a')`, nested: PostgreSQL's text of each field; with a type, its values.

They are asked for in text. In binary a record names the types of its fields, but PostgreSQL refuses to send one with a
field that has no binary form, and what is read as text elsewhere (point, money, regclass ...) would come without it.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROW = "ROW($1::int, ROW($2::text, ROW($3::text, $4::numeric)))"
TYPES = """
CREATE TYPE inmost AS (c text, d numeric); CREATE TYPE inner_one AS (b text, inmost inmost);
CREATE TYPE outer_one AS (a int, inner_one inner_one);
"""
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
quoted = st.none() | st.text('"\\(),{} \na\t', max_size=6)
fields = st.tuples(
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.one_of(texts, quoted),
    st.one_of(texts, quoted),
    st.none() | st.decimals(-1000, 1000, places=3),
)


@pytest.fixture
async def typed(open_pool: Any, pg_database: str) -> Any:
    """A pool whose database has types for the same rows."""
    pool = await open_pool(pg_database, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute(TYPES)
    return pool


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(fields, min_size=1, max_size=3))
async def test_nested_two_deep(typed: Any, rows: list[tuple[Any, ...]]) -> None:
    for values in rows:
        a, b, c, d = values
        found, inner, inmost = await typed.fetchrow(
            f"SELECT {ROW}, ROW($2::text, ROW($3::text, $4::numeric))::text, ROW($3::text, $4::numeric)::text", *values
        )
        assert found == (None if a is None else str(a), inner)
        as_typed = (a, (b, (c, d)))
        assert await typed.fetchval(f"SELECT {ROW}::outer_one", *values) == as_typed
        # What was read as text is read back by PostgreSQL as what it was.
        assert await typed.fetchval("SELECT $1::inner_one", found[1]) == as_typed[1]
        assert await typed.fetchval("SELECT $1::inmost", inmost) == as_typed[1][1]
        array = f"SELECT ARRAY[{ROW}, NULL, {ROW}]"
        assert await typed.fetchval(array, *values) == [found, None, found]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("1, acldefault('r', 10)::aclitem[]", ("1", "{postgres=arwdDxt/postgres}")),
        ("point(1, 2), '1'::money", ("(1,2)", "$1.00")),
        ("1, 'pg_class'::regclass", ("1", "pg_class")),
        ("'a', NULL, ''", ("a", None, "")),
        ("", ()),
    ],
)
async def test_fields_without_a_binary_form(pg_pool: Any, row: str, expected: tuple[Any, ...]) -> None:
    async with pg_pool.acquire() as connection:
        for _ in range(3):  # once it is known and prepared, too
            assert await connection.fetchval(f"SELECT ROW({row})") == expected
            assert await connection.fetchrow(f"SELECT 1, ROW({row})") == (1, expected)
