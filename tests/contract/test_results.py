"""What a statement tells besides its rows: columns, types and command tag, in one answer; and a session of itself."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs import Column, Result
from db_pool_rs.errors import ArgumentError, ConnectionLost, DatabaseError, InterfaceError

from .waiting import until


def names(result: Result) -> list[str]:
    """The names of a result's columns."""
    return [column.name for column in result.columns]


async def test_rows_columns_and_tag_come_together(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (id integer PRIMARY KEY, name varchar(7))")
    async with pool.acquire() as connection:
        for target in (pool, connection):
            for _ in range(3):  # met first, described, prepared
                result = await target.fetch_result("SELECT id, name FROM t WHERE id > $1", 0)
                assert (result.rows, names(result), result.status) == ([], ["id", "name"], "SELECT 0")
            done = await target.fetch_result("CREATE TABLE IF NOT EXISTS t (id integer)")
            assert (done.rows, done.columns, done.status) == ([], (), "CREATE TABLE")
            assert await target.fetch_result("-- nothing") == Result([], (), db_pool_rs.Status(""))
        added = await pool.fetch_result("INSERT INTO t VALUES ($1, $2), (2, 'two') RETURNING id", 1, "one")
        assert (added.rows, names(added), added.status.rows) == ([(1,), (2,)], ["id"], 2)
        assert added.rows[0]["id"] == 1
        changed = await connection.fetch_result("UPDATE t SET name = $1", "new")
        assert (changed.rows, changed.columns, changed.status) == ([], (), "UPDATE 2")
        with pytest.raises(DatabaseError):
            await pool.fetch_result("SELECT nonsense FROM t")
        with pytest.raises(ArgumentError):
            await pool.fetch_result("SELECT id FROM t WHERE id = $1")


async def test_results_and_rows_share_groups(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (id integer)")
    await pool.executemany("INSERT INTO t VALUES ($1)", [(number,) for number in range(20)])
    sql = "SELECT id FROM t WHERE id < $1"
    for _ in range(3):
        calls = [(pool.fetch_result, pool.fetch, pool.execute)[number % 3](sql, number) for number in range(12)]
        found = await asyncio.gather(*calls)
        for number, one in enumerate(found):
            if number % 3 == 0:
                assert (len(one.rows), names(one), one.status) == (number, ["id"], f"SELECT {number}")
            else:
                assert (len(one) if number % 3 == 1 else one.rows) == number


async def test_a_long_result(pool: Any, backend: Any) -> None:
    many = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i FROM n"
    async with pool.acquire() as connection:
        for target in (pool, connection):
            result = await target.fetch_result(many)
            assert (len(result.rows), names(result), result.status) == (20000, ["i"], "SELECT 20000")


async def test_types_and_modifiers_of_columns(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    await pg_pool.execute("CREATE TABLE t (id integer, name varchar(7), price numeric(6, 2), mood mood, list int8[])")
    enum = await pg_pool.fetchval("SELECT 'mood'::regtype::oid")
    expected = (
        Column("id", 23, -1),
        Column("name", 1043, 11),
        Column("price", 1700, (6 << 16 | 2) + 4),
        Column("mood", enum, -1),
        Column("list", 1016, -1),
    )
    async with pg_pool.acquire() as connection:
        for target in (pg_pool, connection):
            for _ in range(3):
                assert (await target.fetch_result("SELECT * FROM t")).columns == expected
        statement = await connection.prepare("SELECT * FROM t WHERE id = $1 AND mood = $2 AND list = $3")
        assert [(one.name, one.kind, one.schema) for one in statement.get_parameters()] == [
            ("int4", "scalar", "pg_catalog"),
            ("mood", "enum", "public"),
            ("int8[]", "array", "pg_catalog"),
        ]
        attributes = statement.get_attributes()
        assert [(one.name, one.type.oid) for one in attributes] == [column[:2] for column in expected]
        assert (await statement.fetch_result(1, "sad", [1])).columns == expected
        assert (await connection.prepare("DELETE FROM t")).get_attributes() == ()
        assert (await connection.prepare("")).get_parameters() == ()
        ranges = await connection.prepare("SELECT $1::int4range, $2::int4multirange, $3::tstzmultirange")
        assert [one.kind for one in ranges.get_parameters()] == ["range", "multirange", "multirange"]


async def test_columns_follow_a_change_of_the_table(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE t (a varchar(7))")
    for name, modifier in (("a", 11), ("a", 13), ("b", 13)):
        await pg_pool.execute("DROP TABLE t")
        await pg_pool.execute(f"CREATE TABLE t ({name} varchar({modifier - 4}))")
        for _ in range(2):
            assert (await pg_pool.fetch_result("SELECT * FROM t")).columns == (Column(name, 1043, modifier),)


async def test_sqlite_tells_columns_with_the_rows_only(open_pool: Any) -> None:
    pool = await open_pool("sqlite://")
    async with pool.acquire() as connection:
        statement = await connection.prepare("SELECT 1 AS one")
        for ask in (statement.get_attributes, statement.get_parameters):
            with pytest.raises(InterfaceError, match="SQLite"):
                ask()
        assert (await statement.fetch_result()).columns == (Column("one", 0, -1),)
        for ask in (connection.get_server_pid, connection.get_settings, connection.get_server_version):
            with pytest.raises(InterfaceError, match="SQLite"):
                ask()


async def test_a_session_tells_of_itself(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, application_name="tests")
    await pool.ping()
    async with pool.acquire() as connection:
        assert connection.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()")
        assert connection.get_settings()["application_name"] == "tests"
        await connection.execute("SET application_name TO other")
        await connection.ping()
        assert connection.get_settings()["application_name"] == "other"
        number = await connection.fetchval("SELECT current_setting('server_version_num')::int")
        version = connection.get_server_version()
        assert version.major * 10000 + version.micro == number
        assert version >= (10, 0, 0)


async def test_a_connection_that_is_closed_is_replaced(pool: Any, backend: Any) -> None:
    for end in ("close", "terminate"):
        async with pool.acquire() as connection:
            await connection.fetch("SELECT 1")
            assert not connection.is_closed()
            if end == "close":
                await connection.close(timeout=5)
            else:
                connection.terminate()
            assert connection.is_closed()
            with pytest.raises(InterfaceError):
                await connection.fetch("SELECT 1")
        assert await pool.fetchval("SELECT 7") == 7
    await until(lambda: pool.stats().busy == 0)


async def test_terminating_cuts_off_what_runs(pg_pool: Any) -> None:
    connection = await pg_pool.acquire()
    running = asyncio.ensure_future(connection.fetch("SELECT pg_sleep(60)"))
    await asyncio.sleep(0)
    connection.terminate()
    with pytest.raises(ConnectionLost):
        await running
    assert await pg_pool.fetchval("SELECT 7") == 7


async def test_transactions_without_a_block(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (id integer)")
    async with pool.acquire() as connection:
        for kept in (True, False):
            outer = connection.transaction()
            await outer.start()
            await connection.execute("INSERT INTO t VALUES (1)")
            inner = connection.transaction()
            await inner.start()
            await connection.execute("INSERT INTO t VALUES (2)")
            await inner.rollback()
            assert connection.is_in_transaction()
            await (outer.commit if kept else outer.rollback)()
            assert not connection.is_in_transaction()
            assert await connection.fetchval("SELECT count(*) FROM t") == 1
            for again in (outer.start, outer.commit, outer.rollback):
                with pytest.raises(InterfaceError):
                    await again()
        with pytest.raises(InterfaceError, match="start"):
            await connection.transaction().commit()


async def test_what_is_known_is_asked_for_again(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE t (a integer)")
    assert (await pg_pool.fetch_result("SELECT a FROM t WHERE a = $1", 1)).columns[0].type_oid == 23
    async with pg_pool.acquire() as connection:
        await connection.reload_schema_state()
    assert (await pg_pool.fetch_result("SELECT a FROM t WHERE a = $1", 1)).columns[0].type_oid == 23


async def test_one_connection_without_a_pool(engine: Any, backend: Any) -> None:
    connection = await db_pool_rs.connect(backend.dsn, mode=engine.name)
    await connection.execute("CREATE TABLE t (id integer)")
    async with connection.transaction():
        await connection.execute("INSERT INTO t VALUES ($1)", 7)
    await connection.close()
    assert connection.is_closed()
    await connection.close()
    async with await db_pool_rs.connect(backend.dsn, mode=engine.name) as other:
        assert await other.fetchval("SELECT id FROM t") == 7
    ended = await db_pool_rs.connect(backend.dsn, mode=engine.name)
    ended.terminate()
    assert ended.is_closed()


async def test_what_controls_transactions_has_a_tag_and_no_rows(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn)
    async with pool.acquire() as connection:
        for text in ("BEGIN", "SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "COMMIT", "BEGIN", "ROLLBACK", "COMMIT"):
            if text == "BEGIN":
                await connection.execute(text)
                continue
            result = await connection.fetch_result(text)
            assert (result.rows, list(result.columns), result.status) == ([], [], text.split()[0])
        await connection.execute("BEGIN")
        for text in ("SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "COMMIT"):
            assert await connection.fetch(text) == []
            assert await connection.fetchval("SELECT 1") == 1
