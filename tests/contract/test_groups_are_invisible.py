"""Statements that travel in groups behave exactly as if each had run alone.

Every case runs the same concurrent calls through the pool and, one by one, through a plain connection of its own, and
compares outcomes and what the tables hold afterwards.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError
from tests.contract.waiting import PROMPT

from .guarding import QUICK, guarded

SETUP = """
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL CHECK (balance >= 0), owner text);
CREATE TABLE audit (id serial PRIMARY KEY, what text);
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION write_audit(what text) RETURNS int LANGUAGE sql AS
    $$ INSERT INTO audit (what) VALUES (what) RETURNING 1 $$;
CREATE FUNCTION write_and_fail(what text) RETURNS int LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO audit (what) VALUES (what); RETURN 1 / 0; END $$;
"""
RESET = """
TRUNCATE account, audit, parent, child;
INSERT INTO account SELECT i, 100, 'owner' || i FROM generate_series(1, 20) i;
INSERT INTO parent VALUES (1), (2);
"""
TABLES = (
    "SELECT id, balance, owner FROM account ORDER BY id",
    "SELECT what, count(*) FROM audit GROUP BY what ORDER BY what",
    "SELECT id, parent FROM child ORDER BY id",
)
#: Texts that commute: the order of concurrent statements is not defined, their effect must be.
CALLS: dict[str, tuple[str, st.SearchStrategy[tuple[Any, ...]]]] = {
    "read": ("SELECT owner FROM account WHERE id = $1", st.tuples(st.integers(1, 25))),
    "divide": ("SELECT 100 / $1::int AS q", st.tuples(st.integers(0, 3))),
    "add": (
        "UPDATE account SET balance = balance + $2 WHERE id = $1",
        st.tuples(st.integers(1, 20), st.integers(0, 9)),
    ),
    "reject": ("UPDATE account SET balance = -1 WHERE id = $1", st.tuples(st.integers(1, 25))),
    "insert": ("INSERT INTO account VALUES ($1, 0, 'new')", st.tuples(st.integers(100, 400))),
    "null": ("INSERT INTO account VALUES ($1, NULL, 'new')", st.tuples(st.integers(100, 400))),
    "child": ("INSERT INTO child VALUES ($1, $2)", st.tuples(st.integers(1, 10_000), st.integers(1, 3))),
    "audit": ("SELECT write_audit($1)", st.tuples(st.sampled_from("abc"))),
    "fail": ("SELECT write_and_fail($1)", st.tuples(st.sampled_from("xyz"))),
}


def _unique(calls: list[tuple[str, tuple[Any, ...]]]) -> list[tuple[str, tuple[Any, ...]]]:
    """Inserts of one key twice would depend on the order: keep the first."""
    seen: set[Any] = set()
    kept = []
    for name, args in calls:
        key = (name in ("insert", "null"), args[0]) if name in ("insert", "null") else (name, args[0])
        if name in ("insert", "null", "child"):
            if key in seen:
                continue
            seen.add(key)
        kept.append((name, args))
    return kept


async def _outcome(call: Any) -> tuple[Any, ...]:
    try:
        return ("rows", [tuple(row) for row in await call])
    except DatabaseError as error:
        return ("error", type(error), error.sqlstate, error.constraint, error.table, error.message)


async def _contents(pool: Any) -> list[Any]:
    return [[tuple(row) for row in await pool.fetch(sql)] for sql in TABLES]


async def _prepare(pool: Any) -> None:
    async with pool.acquire() as conn:
        await conn.execute(SETUP)
        await conn.execute(RESET)


async def _teach(pool: Any) -> None:
    """Run every text until it is known to be fast, without lasting effects where that is possible."""
    await guarded(pool, CALLS["child"][0])
    for _ in range(4):
        await pool.fetch(CALLS["read"][0], 1)
        await pool.fetch(CALLS["divide"][0], 1)
        await pool.fetch(CALLS["add"][0], 1, 0)
        await pool.fetch(CALLS["reject"][0], 10_000)
        await pool.fetch(CALLS["audit"][0], "taught")
    for i in range(4):
        await pool.fetch(CALLS["insert"][0], 1000 + i)
        await pool.fetch(CALLS["child"][0], 100_000 + i, 1)


one_call = st.one_of([st.tuples(st.just(name), args) for name, (_, args) in CALLS.items()])
calls = st.lists(one_call, min_size=2, max_size=40)


@pytest.fixture
async def pair(open_pool: Any, pg_server: Any) -> AsyncIterator[tuple[Any, Any]]:
    """A pool that groups, and one that sends one statement after the other on one connection; a database each."""
    pools = []
    for name, options in (("exact_grouped", {}), ("exact_plain", {"pipelining": "off", "max_size": 1})):
        pg_server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        pg_server.sql(f"CREATE DATABASE {name}")
        pools.append(await open_pool(pg_server.dsn(name), **options))
        await _prepare(pools[-1])
        await _teach(pools[-1])
    yield pools[0], pools[1]
    for pool in pools:
        await pool.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(program=calls)
async def test_random_groups_equal_a_plain_connection(pair: tuple[Any, Any], program: Any) -> None:
    program = _unique(program)
    for pool in pair:
        async with pool.acquire() as conn:
            await conn.execute(RESET)
    grouped, plain = pair
    together = await asyncio.gather(*[_outcome(grouped.fetch(CALLS[name][0], *args)) for name, args in program])
    alone = [await _outcome(plain.fetch(CALLS[name][0], *args)) for name, args in program]
    assert together == alone
    assert await _contents(grouped) == await _contents(plain)


async def test_deferred_constraint_hits_only_the_culprit(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, **QUICK)
    await _prepare(pool)
    await _teach(pool)
    before = pool.stats().broken_up
    sql = CALLS["child"][0]
    results = await asyncio.gather(
        *[pool.execute(sql, i, 99 if i == 7 else 1) for i in range(1, 17)], return_exceptions=True
    )
    assert pool.stats().broken_up > before, "they did not travel as a group: the test shows nothing"
    failed = [i for i, result in enumerate(results, 1) if isinstance(result, Exception)]
    assert failed == [7]
    assert results[6].sqlstate == "23503"
    assert {row[0] for row in await pool.fetch("SELECT id FROM child WHERE id < 100000")} == set(range(1, 17)) - {7}


async def test_function_that_writes_inside_a_failing_group_writes_once(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    await _prepare(pool)
    await _teach(pool)
    calls = [pool.fetch(CALLS["audit"][0], "once") for _ in range(10)]
    results = await asyncio.gather(*calls, pool.fetch(CALLS["divide"][0], 0), return_exceptions=True)
    assert isinstance(results[-1], DatabaseError)
    assert await pool.fetchval("SELECT count(*) FROM audit WHERE what = 'once'") == 10


@pytest.mark.usefixtures("patient")
async def test_row_lock_holder_needs_one_more_statement(open_pool: Any, pg_database: str) -> None:
    """A group that waits for a lock whose holder waits for the pool: broken up, no call hangs."""
    pool = await open_pool(pg_database, max_size=6)
    await _prepare(pool)
    await _teach(pool)
    loop = asyncio.get_running_loop()
    async with pool.transaction() as conn:
        await conn.execute("UPDATE account SET balance = 5 WHERE id = 1")
        waiting = [asyncio.ensure_future(pool.execute(CALLS["add"][0], 1, 1)) for _ in range(3)]
        others = [asyncio.ensure_future(pool.execute(CALLS["add"][0], i, 1)) for i in range(2, 12)]
        started = loop.time()
        assert await pool.fetchval(CALLS["read"][0], 1) == "owner1"
        await asyncio.gather(*others)
        assert loop.time() - started < PROMPT
        assert not any(task.done() for task in waiting)
    await asyncio.gather(*waiting)
    assert await pool.fetchval("SELECT balance FROM account WHERE id = 1") == 8


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
async def test_nothing_is_grouped_where_a_snapshot_would_be_shared(
    open_pool: Any, pg_database: str, level: str
) -> None:
    settings = {"default_transaction_isolation": level}
    pool = await open_pool(pg_database, max_size=3, server_settings=settings)
    for _ in range(4):
        await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(20)])
    assert pool.stats().group_size.max == 1


async def test_every_new_connection_is_asked_whether_a_snapshot_would_be_shared(
    open_pool: Any, pg_server: Any, pg_database: str
) -> None:
    """A setting was changed, or the address leads to another server."""
    pool = await open_pool(pg_database, max_size=1)
    name = await pool.fetchval("SELECT current_database()")
    pg_server.sql(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    try:
        pool.expire_connections()
        for _ in range(4):
            await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(20)])
        assert pool.stats().group_size.max == 1
    finally:  # other tests share this database
        pg_server.sql(f"ALTER DATABASE {name} RESET default_transaction_isolation")


async def test_a_failing_text_does_not_disturb_its_neighbours_for_long(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    await _prepare(pool)
    await _teach(pool)
    began = time.monotonic()
    for _ in range(20):
        results = await asyncio.gather(
            *[pool.fetchval(CALLS["divide"][0], i % 2) for i in range(10)], return_exceptions=True
        )
        assert [getattr(r, "sqlstate", r) for r in results] == ["22012", 100] * 5
    most = 3 + (time.monotonic() - began)  # a while is a second
    assert pool.stats().broken_up <= most, "a text that failed lately is not grouped for a while"


async def test_what_is_known_of_a_text_stays_with_its_database(open_pool: Any, pg_server: Any) -> None:
    """The same script in two databases, where its columns have different types."""
    for name, kind in (("kind_a", "int"), ("kind_b", "text")):
        pg_server.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        pg_server.sql(f"CREATE DATABASE {name}")
        pool = await open_pool(pg_server.dsn(name))
        async with pool.acquire() as conn:
            for _ in range(3):
                await conn.execute(f"DROP TABLE IF EXISTS v; CREATE TABLE v (a {kind})")
                await conn.execute("INSERT INTO v VALUES ('7'); INSERT INTO v SELECT a FROM v RETURNING a; TABLE v")
            assert await conn.fetchval("SELECT a FROM v LIMIT 1") == (7 if kind == "int" else "7")
        await pool.close()
