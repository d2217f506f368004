"""Prepared statements: no program sees them, whatever becomes of the tables, the session or the server connection."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, FeatureNotSupported
from tests.contract.waiting import in_thread, until_async

NAMES = "SELECT count(*) FROM pg_prepared_statements"


async def _teach(queries: Any, sql: str, *args: Any) -> Any:
    """Run a text until it is prepared everywhere."""
    for _ in range(4):
        value = await queries.fetch(sql, *args)
    return value


# rule 4.3
async def test_alter_table_under_a_cached_statement_heals_on_the_pool(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int, name text)")
    await pool.execute("INSERT INTO item VALUES (1, 'one')")
    sql = "SELECT * FROM item WHERE id = $1"
    assert await _teach(pool, sql, 1) == [(1, "one")]
    await pool.execute("ALTER TABLE item ADD COLUMN price int DEFAULT 5")
    results = await asyncio.gather(*[pool.fetch(sql, 1) for _ in range(20)])
    assert results == [[(1, "one", 5)]] * 20
    await pool.execute("ALTER TABLE item DROP COLUMN name")
    results = await asyncio.gather(*[pool.fetch(sql, 1) for _ in range(20)])
    assert results == [[(1, 5)]] * 20
    assert list(results[0][0].keys()) == ["id", "price"]
    assert pool.stats().lost == 0


# rule 4.1
async def test_alter_table_heals_on_every_connection(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int, name text)")
    sql = "SELECT * FROM item WHERE id = $1"
    await pg_pool.execute("INSERT INTO item VALUES (1, 'one')")
    async with pg_pool.acquire() as first, pg_pool.acquire() as second:
        for conn in (first, second):
            await _teach(conn, sql, 1)
        await first.execute("ALTER TABLE item ALTER COLUMN id TYPE text USING 'n' || id")
        for conn in (first, second, first, second):
            assert await conn.fetch("SELECT * FROM item") == [("n1", "one")]
            assert await conn.fetch(sql, "n1") == [("n1", "one")]


# rule 4.3
async def test_stale_plan_inside_a_transaction_is_reported_once_then_heals(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int, name text)")
    sql = "SELECT * FROM item WHERE id = $1"
    await _teach(pg_pool, sql, 1)
    failures = 0
    async with pg_pool.acquire() as first, pg_pool.acquire() as second:
        for conn in (first, second):
            await _teach(conn, sql, 1)
        await first.execute("ALTER TABLE item ADD COLUMN price int")
        for conn in (first, second, first, second):
            try:
                async with conn.transaction():
                    await conn.execute("SELECT 1")
                    await conn.fetch(sql, 1)
            except FeatureNotSupported:
                failures += 1
    assert failures <= 1
    assert await pg_pool.fetch(sql, 1) == []


async def test_first_statement_of_a_transaction_with_a_stale_plan(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int, name text)")
    sql = "SELECT * FROM item WHERE id = $1"
    await _teach(pg_pool, sql, 1)
    await pg_pool.execute("ALTER TABLE item ADD COLUMN price int")
    failures = 0
    for _ in range(3):
        try:
            async with pg_pool.transaction() as conn:
                await conn.fetch(sql, 1)
        except FeatureNotSupported:
            failures += 1
    assert failures <= 1


async def test_a_table_made_anew_with_other_types(pool: Any) -> None:
    sql = "SELECT id, value FROM item WHERE id = $1"
    for kind, value in (("int", 5), ("text", "five"), ("int", 6)):
        await pool.execute(f"CREATE TABLE item (id int, value {kind})")
        await pool.execute("INSERT INTO item VALUES ($1, $2)", 1, value)
        for _ in range(4):
            assert await pool.fetch(sql, 1) == [(1, value)]
        await pool.execute("DROP TABLE item")
        with pytest.raises(DatabaseError):
            await pool.fetch(sql, 1)


async def test_types_that_another_session_changed(pg_pool: Any, pg_server: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int, value int)")
    sql = "INSERT INTO item VALUES ($1, $2)"
    await _teach(pg_pool, sql, 1, 1)
    await in_thread(pg_server.sql, "ALTER TABLE item ALTER COLUMN value TYPE text", "contract")

    async def accepted() -> bool:
        try:
            return bool(await pg_pool.execute(sql, 2, "two"))
        except ArgumentError:  # what was learned within the last second is believed
            return False

    await until_async(accepted)
    for _ in range(4):
        assert await pg_pool.execute(sql, 3, "three") == "INSERT 0 1"
        with pytest.raises(ArgumentError, match="text expected"):
            await pg_pool.execute(sql, 3, 3)
    await in_thread(pg_server.sql, "ALTER TABLE item ALTER COLUMN id TYPE numeric", "contract")
    results = await asyncio.gather(*[pg_pool.execute(sql, i, "n") for i in range(20)])
    assert results == ["INSERT 0 1"] * 20


async def test_search_path_of_a_session_decides_which_table(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE SCHEMA IF NOT EXISTS other")
    await pg_pool.execute("CREATE TABLE item (id int)")
    await pg_pool.execute("CREATE TABLE IF NOT EXISTS other.item (name text)")
    await pg_pool.execute("TRUNCATE other.item")
    await pg_pool.execute("INSERT INTO item VALUES (1)")
    await pg_pool.execute("INSERT INTO other.item VALUES ('other')")
    sql = "SELECT * FROM item"
    for _ in range(4):
        assert await pg_pool.fetchrow(sql) == (1,)
        async with pg_pool.acquire() as conn:
            assert await conn.fetchrow(sql) == (1,)
            await conn.execute("SET search_path = other")
            assert await conn.fetchrow(sql) == ("other",)
            assert await pg_pool.fetchrow(sql) == (1,)
        assert await pg_pool.fetchrow(sql) == (1,)
    await pg_pool.execute("DROP SCHEMA other CASCADE")


@pytest.mark.parametrize("text", ["DISCARD ALL", "DEALLOCATE ALL", "DISCARD ALL; SELECT 1", "deallocate  prepare all"])
async def test_dropped_by_the_borrower(pg_pool: Any, text: str) -> None:
    async with pg_pool.acquire() as conn:
        for _ in range(3):
            assert await _teach(conn, "SELECT $1::int", 5) == [(5,)]
            await conn.execute(text)
            assert await conn.fetchval("SELECT $1::int", 6) == 6
    for _ in range(3):
        await pg_pool.execute(text.split(";")[0])
        assert await pg_pool.fetchval("SELECT $1::int", 7) == 7
    assert pg_pool.stats().lost == 0


async def test_dropped_behind_our_back(pg_pool: Any) -> None:
    forget = "CREATE FUNCTION forget() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DEALLOCATE ALL; RETURN 1; END $$"
    await pg_pool.execute(forget)
    await pg_pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    texts = [f"SELECT $1::int + {i}" for i in range(5)]
    for sql in texts:
        await _teach(pg_pool, sql, 0)
    for turn in range(10):
        calls: list[Any] = [pg_pool.fetchval(texts[i % 5], i) for i in range(30)]
        calls.insert(15, pg_pool.fetchval("SELECT forget()"))
        calls += [pg_pool.execute("INSERT INTO item VALUES ($1)", turn * 10 + i) for i in range(10)]
        results = await asyncio.gather(*calls)
        assert results.pop(15) == 1
        assert results[:30] == [i + i % 5 for i in range(30)]
        assert results[30:] == ["INSERT 0 1"] * 10
    assert await pg_pool.fetchval("SELECT count(*) FROM item") == 100
    assert pg_pool.stats().lost == 0


# rule 4.2
async def test_max_statements_bounds_what_the_server_keeps(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, max_statements=10)
    async with pool.acquire() as conn:
        for i in range(50):
            for _ in range(2):
                assert await conn.fetchval(f"SELECT $1::int + {i}", 1) == 1 + i
            assert await conn.fetchval(NAMES) <= 10
        assert await conn.fetchval(NAMES) >= 9
        for i in range(50):
            assert await conn.fetchval(f"SELECT $1::int + {i}", 1) == 1 + i
    results = await asyncio.gather(*[pool.fetchval(f"SELECT $1::int + {i}", 1) for i in range(50)])
    assert results == list(range(1, 51))
    assert await pool.fetchval(NAMES) <= 10


async def test_a_group_of_more_texts_than_may_be_kept(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, max_statements=3)
    texts = [f"SELECT $1::int + {i}" for i in range(12)]
    for sql in texts:
        await _teach(pool, sql, 0)
    for _ in range(5):
        results = await asyncio.gather(*[pool.fetchval(sql, 1) for sql in texts])
        assert results == list(range(1, 13))
        assert await pool.fetchval(NAMES) <= 3
    assert pool.stats().lost == 0


async def test_the_most_recently_used_are_kept(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, max_statements=4)
    async with pool.acquire() as conn:
        await _teach(conn, "SELECT $1::int AS favourite", 1)
        for i in range(20):
            await conn.fetchval(f"SELECT $1::int + {i}", 1)
            await conn.fetchval("SELECT $1::int AS favourite", 1)
        names = "SELECT prepare_time FROM pg_prepared_statements WHERE statement LIKE '%favourite'"
        first = await conn.fetchval(names)
        await conn.fetchval("SELECT $1::int + 99", 1)
        assert await conn.fetchval(names) == first is not None


async def test_none_are_kept_with_max_statements_0(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, max_statements=0)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    for turn in range(5):
        results = await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(20)])
        assert results == list(range(20))
        await asyncio.gather(*[pool.execute("INSERT INTO item VALUES ($1)", turn * 20 + i) for i in range(20)])
        assert await pool.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name > ''") == 0
    async with pool.acquire() as conn:
        await conn.executemany("INSERT INTO item VALUES ($1)", [(i,) for i in range(1000, 1600)])
        assert await conn.fetchval("SELECT count(*) FROM item") == 700


async def test_a_text_that_cannot_be_prepared(pg_pool: Any) -> None:
    """Utility statements: no error, whether they have rows or not, however often they come."""
    await pg_pool.execute("CREATE TABLE item (id int)")
    for _ in range(4):
        assert await pg_pool.fetchval("SHOW server_encoding") == "UTF8"
        assert await pg_pool.fetch("EXPLAIN SELECT * FROM item") != []
        assert await pg_pool.execute("VACUUM item") == "VACUUM"
        assert await pg_pool.execute("DO $$ BEGIN PERFORM 1; END $$") == "DO"
        assert await pg_pool.execute("CHECKPOINT") == "CHECKPOINT"
        assert "id = 7" in str(await pg_pool.fetch("EXPLAIN SELECT * FROM item WHERE id = $1", 7))
    assert pg_pool.stats().lost == 0


async def test_a_name_that_is_taken_inside_a_transaction_is_the_last_one(pg_pool: Any) -> None:
    """Only a proxy that shares server connections has a name be taken: after that, statements have none."""
    sql = "SELECT $1::int + 1000"
    async with pg_pool.acquire() as first, pg_pool.acquire() as second:
        await _teach(first, sql, 0)
        name = await first.fetchval("SELECT name FROM pg_prepared_statements WHERE statement = $1", sql)
        stem, taken = name.rstrip("0123456789"), []
        for conn in (first, second):
            await conn.execute("DEALLOCATE ALL; " + "; ".join(f'PREPARE "{stem}{i}" AS SELECT 0' for i in range(20)))
        for conn in (first, second, first, second):
            try:
                async with conn.transaction():
                    await conn.execute("SELECT 1")
                    assert await conn.fetchval(sql, 1) == 1001
            except DatabaseError as error:
                taken.append(error.sqlstate)
    assert taken == ["42P05"]
    assert await pg_pool.fetchval(sql, 1) == 1001
