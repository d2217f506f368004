"""The same statement on every engine: equal values of equal types, equal errors."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import Error
from tests.cross.values import ANYTHING, ARRAYS, VALUES

MORE = settings(max_examples=16, suppress_health_check=[HealthCheck.function_scoped_fixture])
STATEMENTS = [
    "SELECT 1 AS a, 'x'::text AS b, NULL::int AS n",
    "SELECT 'infinity'::timestamptz",
    "SELECT '4000-01-01 BC'::date",
    "SELECT 'infinity'::numeric, 'NaN'::numeric, '-0.00'::numeric, 1e-12::numeric, 1e30::numeric",
    "SELECT '24:00'::time",
    "SELECT now() - now(), '1 mon'::interval, '[2020-01-01,2021-01-01)'::tstzrange, '{1,2,NULL}'::int4[]",
    "SELECT '2020-01-01 12:00+00'::timestamptz, ARRAY['2020-07-01 12:00+00'::timestamptz], '9999-12-31'::timestamptz",
    "SELECT inet '1.2.3.4', cidr '10.0.0.0/8', 'a'::\"char\", point '(1,2)', '{\"a\": [1]}'::json, B'101', 7::oid",
    "SELECT ROW(1, 'a'), 1.5::float4, 0.1::float4, 'x'::bpchar(3), 'n'::name, true, '\\x00ff'::bytea",
    "SELECT 1.5::float4, 0.1::float4, '\\x00ff'::bytea, 12::money",
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


def for_all(
    strategy: st.SearchStrategy[Any], check: Callable[[Any], Awaitable[None]], how_many: settings = MORE
) -> Awaitable[None]:
    """`check` for random values; Hypothesis, which knows no event loops, runs in a thread of its own."""
    loop = asyncio.get_running_loop()

    @how_many
    @given(strategy)
    def run(value: Any) -> None:
        asyncio.run_coroutine_threadsafe(_awaited(check(value)), loop).result()

    return asyncio.to_thread(run)


async def _awaited(awaitable: Awaitable[None]) -> None:
    await awaitable


@pytest.mark.parametrize("typename", [*VALUES, *ARRAYS])
async def test_values(pools: dict[str, Any], typename: str) -> None:
    sql = f"SELECT $1::{typename} AS value, 7 AS seven"

    async def check(values: list[Any]) -> None:
        for value in values:
            await same(pools, sql, value)

    await for_all(st.lists(st.none() | (VALUES | ARRAYS)[typename], min_size=1, max_size=5), check)


async def test_statements_of_several_types(pools: dict[str, Any]) -> None:
    types = st.sampled_from(sorted((VALUES | ARRAYS).items()))
    pairs = types.flatmap(lambda pair: st.tuples(st.just(pair[0]), st.none() | pair[1]))

    async def check(values: list[tuple[str, Any]]) -> None:
        columns = ", ".join(f"${i}::{typename} AS c{i}" for i, (typename, _) in enumerate(values, 1))
        for _ in range(2):
            await same(pools, f"SELECT {columns}", *[value for _, value in values])

    await for_all(st.lists(pairs, min_size=1, max_size=6), check)


@pytest.mark.parametrize("typename", [*VALUES, "int4[]", "text[]", "point", "int4range"])
async def test_arguments_of_any_class(pools: dict[str, Any], typename: str) -> None:
    """Taken or refused, for the same reason, also by the server."""

    async def check(value: Any) -> None:
        await same(pools, f"SELECT $1::{typename}", value)

    await for_all(ANYTHING, check)


#: Where asyncpg has another idea of a type than all others.
NOT_ASYNCPG = ("json", "jsonb", "jsonb[]", "inet[]")


@pytest.mark.parametrize("typename", [*VALUES, *ARRAYS])
async def test_psycopg_and_asyncpg_read_what_was_stored(pools: dict[str, Any], pg_database: str, typename: str) -> None:
    asyncpg = pytest.importorskip("asyncpg")
    first = next(iter(pools.values()))
    await first.execute(f"CREATE TABLE stored (id serial, value {typename})")
    psycopg_side = await psycopg.AsyncConnection.connect(pg_database, autocommit=True)
    asyncpg_side = await asyncpg.connect(pg_database)
    select = "SELECT value FROM stored ORDER BY id"

    async def check(value: Any) -> None:
        await first.execute("TRUNCATE stored")
        for pool in pools.values():
            await pool.execute("INSERT INTO stored (value) VALUES ($1)", value)
        rows = await (await psycopg_side.cursor(binary=True).execute(select)).fetchall()
        assert len({repr(row) for row in rows}) == 1
        for pool in pools.values():
            assert repr([tuple(row) for row in await pool.fetch(select)]) == repr(rows)
        if typename not in NOT_ASYNCPG:
            theirs = [tuple(row) for row in await asyncpg_side.fetch(select)]
            assert theirs == rows or repr(theirs) == repr(rows)

    try:
        await for_all((VALUES | ARRAYS)[typename], check)
    finally:
        await psycopg_side.close()
        await asyncpg_side.close()


async def test_groups_with_errors(pools: dict[str, Any]) -> None:
    """Many at once, some of which fail: each caller gets its own."""
    for _ in range(4):
        answers = [
            await asyncio.gather(*[answer(pool, "SELECT 10 / $1::int AS a", i % 5) for i in range(40)])
            for pool in pools.values()
        ]
        assert all(other == answers[0] for other in answers)
