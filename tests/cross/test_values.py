"""The same statement on every engine: equal values of equal types, equal errors."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import Error

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
VALUES = {
    "bool": st.booleans(),
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "float4": st.floats(width=32),
    "float8": st.floats(),
    "numeric": st.decimals(allow_nan=False, allow_infinity=False, places=7, min_value=-(10**20), max_value=10**20),
    "text": TEXT,
    "bytea": st.binary(),
    "date": st.dates(),
    "time": st.times(),
    "timestamp": st.datetimes(),
    "timestamptz": st.datetimes(timezones=st.timezones()),
    "interval": st.timedeltas(),
    "uuid": st.uuids(),
    "jsonb": st.recursive(st.none() | st.booleans() | TEXT, lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    "int4[]": st.lists(st.none() | st.integers(-(2**31), 2**31 - 1)),
    "timestamptz[]": st.lists(st.datetimes(timezones=st.timezones()), max_size=3),
}
MORE = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
STATEMENTS = [
    "SELECT 1 AS a, 'x'::text AS b, NULL::int AS n",
    "SELECT 'infinity'::timestamptz",
    "SELECT '4000-01-01 BC'::date",
    "SELECT 'infinity'::numeric, 'NaN'::numeric, '-0.00'::numeric, 1e-12::numeric, 1e30::numeric",
    "SELECT '24:00'::time",
    "SELECT now() - now(), '1 mon'::interval, '[2020-01-01,2021-01-01)'::tstzrange, '{1,2,NULL}'::int4[]",
    "SELECT '2020-01-01 12:00+00'::timestamptz, ARRAY['2020-07-01 12:00+00'::timestamptz], '9999-12-31'::timestamptz",
    "SELECT inet '1.2.3.4', cidr '10.0.0.0/8', 'a'::\"char\", point '(1,2)', '{\"a\": [1]}'::json, B'101', 7::oid",
    "SELECT ROW(1, 'a'), 1.5::float4, 0.1::float4, 'x'::bpchar(3), 'n'::name, true, '\\x00ff'::bytea, 12::money",
    "SELECT",
    "SELECT i, repeat('é', i % 7), CASE WHEN i % 3 > 0 THEN i END FROM generate_series(1, 5000) i",
    "SELECT 1/0",
    "SELECT nothing",
    "SELECT 1 WHERE false",
]


async def answer(pool: Any, sql: str, *args: Any) -> Any:
    """Rows with the types of their values, or the error as the caller sees it."""
    try:
        rows = await pool.fetch(sql, *args)
    except Error as error:
        return type(error), error.sqlstate, str(error)
    return [(row.keys(), [(type(value), repr(value)) for value in row]) for row in rows]


async def same(pools: dict[str, Any], sql: str, *args: Any) -> None:
    """Every engine answers like the first."""
    first, *others = [await answer(pool, sql, *args) for pool in pools.values()]
    for name, other in zip(list(pools)[1:], others, strict=True):
        assert other == first, name


@pytest.mark.parametrize("sql", STATEMENTS)
async def test_statements(pools: dict[str, Any], sql: str) -> None:
    for _ in range(3):  # unknown to the pool, described, prepared
        await same(pools, sql)


@pytest.mark.parametrize("typename", VALUES)
async def test_values(pools: dict[str, Any], typename: str) -> None:
    loop, sql = asyncio.get_running_loop(), f"SELECT $1::{typename} AS value, 7 AS seven"

    @MORE
    @given(st.lists(st.none() | VALUES[typename], min_size=1, max_size=5))
    def check(values: list[Any]) -> None:
        async def run() -> None:
            for value in values:
                await same(pools, sql, value)

        asyncio.run_coroutine_threadsafe(run(), loop).result()

    await asyncio.to_thread(check)


async def test_groups_with_errors(pools: dict[str, Any]) -> None:
    """Many at once, some of which fail: each caller gets its own."""
    for _ in range(4):
        answers = [
            await asyncio.gather(*[answer(pool, "SELECT 10 / $1::int AS a", i % 5) for i in range(40)])
            for pool in pools.values()
        ]
        assert all(other == answers[0] for other in answers)
