"""`Connection.prepare`: mistakes are found when it is called, and the handle runs the statement."""

from __future__ import annotations

from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError


async def test_runs_like_the_connection(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE t (id integer PRIMARY KEY, name text)")
        insert = await connection.prepare("INSERT INTO t VALUES ($1, $2)")
        assert await insert.execute(1, "one") == "INSERT 0 1"
        await insert.executemany([(2, "two"), (3, "three")])
        select = await connection.prepare("SELECT id, name FROM t WHERE id >= $1 ORDER BY id")
        assert select.query == "SELECT id, name FROM t WHERE id >= $1 ORDER BY id"
        assert [tuple(row) for row in await select.fetch(2)] == [(2, "two"), (3, "three")]
        assert (await select.fetchrow(3))["name"] == "three"
        assert await select.fetchrow(4) is None
        assert await select.fetchval(1, column=1) == "one"
        async with connection.transaction():
            assert [row["id"] async for row in select.cursor(1, prefetch=1)] == [1, 2, 3]
    assert await pool.fetchval("SELECT count(*) FROM t") == 3


async def test_nothing_is_run(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    await pool.execute("CREATE TABLE t (id integer)")
    async with pool.transaction() as tx:
        insert = await tx.prepare("INSERT INTO t VALUES (1)")
        assert await tx.fetchval("SELECT count(*) FROM t") == 0
        await insert.execute()
    assert await pool.fetchval("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize(
    "sql", ["SELECT nonsense", "SELEC 1", "INSERT INTO missing VALUES ($1)", "UPDATE t SET b = $1"]
)
async def test_mistakes_are_found_at_once(open_pool: Any, backend: Any, sql: str) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    await pool.execute("CREATE TABLE t (id integer)")
    async with pool.acquire() as connection:
        with pytest.raises(DatabaseError) as caught:
            await connection.prepare(sql)
        assert caught.value.sqlstate
        assert caught.value.query == sql
        assert await connection.fetchval("SELECT 7") == 7
        async with connection.transaction():
            with pytest.raises(DatabaseError):
                async with connection.transaction():
                    await connection.prepare(sql)
            assert await connection.fetchval("SELECT 8") == 8


async def test_what_was_begun_comes_first(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.transaction(isolation="serializable") as tx:
        level = await tx.prepare("SELECT current_setting('transaction_isolation') || $1")
        assert await level.fetchval("!") == "serializable!"


async def test_wrong_use(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    async with pool.acquire() as connection:
        with pytest.raises(InterfaceError, match="one statement"):
            await connection.prepare("SELECT 1; SELECT 2")
        with pytest.raises(InterfaceError, match="str"):
            await connection.prepare(1)
        one = await connection.prepare("SELECT CAST($1 AS integer)")
        with pytest.raises(ArgumentError):
            await one.fetch()
        assert await one.fetchval(1) == 1
        assert await (await connection.prepare("-- nothing")).fetch() == []
    with pytest.raises(InterfaceError, match="given back"):
        await one.fetch(1)


async def test_a_text_that_is_known_is_checked_again(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    sql = "SELECT a FROM t WHERE a = $1"
    async with pool.acquire() as connection:
        for _ in range(2):
            await connection.execute("CREATE TABLE t (a integer)")
            for _ in range(2):
                one = await connection.prepare(sql)
                assert await one.fetch(1) == []
            await connection.execute("DROP TABLE t")
            with pytest.raises(DatabaseError) as caught:
                await connection.prepare(sql)
            assert caught.value.query == sql


async def test_what_it_finds_changed_counts_from_then_on(open_pool: Any, backend: Any) -> None:
    """Also for others, who know the text from before."""
    pool = await open_pool(backend.dsn, max_size=2)
    sql = "SELECT * FROM t WHERE a = $1"
    for values in ("1, 2", "1, 'two', 3"):
        columns = ("a integer, b integer", "a integer, b text, c integer")[values.count(",") - 1]
        await pool.execute(f"CREATE TABLE t ({columns})")
        await pool.execute(f"INSERT INTO t VALUES ({values})")
        async with pool.acquire() as first, pool.acquire() as second:
            one = await first.prepare(sql)
            expected = [(1, 2)] if values == "1, 2" else [(1, "two", 3)]
            for connection in (one, one):
                assert [tuple(row) for row in await connection.fetch(1)] == expected
            for connection in (second, first):
                assert [tuple(row) for row in await connection.fetch(sql, 1)] == expected
        for _ in range(4):
            assert [tuple(row) for row in await pool.fetch(sql, 1)] == expected
        await pool.execute("DROP TABLE t")
