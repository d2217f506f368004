"""What the words of a text tell, and what the connection tells of how they are read (rules 1.2, 1.4 and 2.6)."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import pytest

from db_pool_rs.errors import InterfaceError
from tests.contract.guarding import QUICK, guarded
from tests.contract.waiting import until

#: With escapes it is one statement, and two without.
ONE_OR_TWO = r"INSERT INTO note VALUES ('a\'); DELETE FROM note; --')"


async def _largest_group(pool: Any) -> int:
    """The largest group among many equal calls made together, once their text is known to be fast."""
    for _ in range(6):
        assert await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(20)]) == list(range(20))
    return int(pool.stats().group_size.max)


async def test_version_tokens_are_never_shared(open_pool: Any, pg_database: str) -> None:
    """`xmin` as a token of optimistic locking: of two rows that a group wrote it would be one."""
    pool = await open_pool(pg_database)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, value int)")
    await pool.execute("INSERT INTO item SELECT i, 0 FROM generate_series(1, 32) i")
    for column in ("xmin", '"xmin"', "item.xmin"):
        sql = f"UPDATE item SET value = value + 1 WHERE id = $1 RETURNING {column}::text"
        for _ in range(4):
            await pool.fetchval(sql, 1)
        tokens = await asyncio.gather(*[pool.fetchval(sql, i) for i in range(1, 33)])
        assert len(set(tokens)) == 32


async def test_equal_notifications_arrive_one_by_one(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=4)
    heard: list[str] = []
    async with pool.acquire() as listener:
        await listener.add_listener("news", lambda connection, pid, channel, payload: heard.append(payload))
        for _ in range(4):
            await pool.execute("SELECT pg_notify('news', $1)", "same")
        await asyncio.gather(*[pool.execute("SELECT pg_notify('news', $1)", "same") for _ in range(40)])
        await until(lambda: len(heard) == 44)


@pytest.mark.parametrize(
    "explain",
    ["EXPLAIN ANALYZE", "EXPLAIN ANALYSE VERBOSE", "EXPLAIN (ANALYZE true)", 'EXPLAIN ("analyze")'],
)
async def test_a_temporary_table_that_explain_has_made_is_gone(open_pool: Any, pg_database: str, explain: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute(f"{explain} CREATE TEMP TABLE scratch AS SELECT 1 AS a")
    assert await pool.fetchval("SELECT to_regclass('scratch')::text") is None


async def test_what_a_copied_query_or_a_cursor_sets_does_not_reach_the_next_borrower(
    open_pool: Any, pg_database: str
) -> None:
    pool = await open_pool(pg_database, max_size=1)
    sql = "SELECT set_config('own.tenant', 'a', false)"

    async def drop(data: bytes) -> None:
        assert data

    async with pool.acquire() as connection:
        await connection.copy_from_query(sql, output=drop)
    assert await pool.fetchval("SELECT current_setting('own.tenant', true)") in (None, "")
    async with pool.transaction() as connection:
        assert [row[0] async for row in connection.cursor(sql)] == ["a"]
    assert await pool.fetchval("SELECT current_setting('own.tenant', true)") in (None, "")


# -- standard_conforming_strings ----------------------------------------------------------------------------------


async def test_a_backslash_ends_nothing_where_the_server_says_so(open_pool: Any, pg_database: str) -> None:
    """The default: two statements, and texts with ESCAPE '\\' are grouped like others."""
    pool = await open_pool(pg_database, max_size=1, **QUICK)
    await pool.execute("CREATE TABLE note (what text)")
    async with pool.acquire() as connection:
        await connection.execute(ONE_OR_TWO)
    assert await pool.fetchval("SELECT count(*) FROM note") == 0
    with pytest.raises(InterfaceError):
        await pool.execute(ONE_OR_TWO)
    sql = r"SELECT $1::text LIKE '\%' ESCAPE '\'"
    for _ in range(4):
        assert await asyncio.gather(*[pool.fetchval(sql, "%") for _ in range(20)]) == [True] * 20
    assert pool.stats().group_size.max > 1


# rule 1.4
@pytest.mark.parametrize("way", ["script", "cursor", "copy"])
async def test_a_text_is_not_divided_where_its_strings_are_read_otherwise(
    open_pool: Any, pg_database: str, way: str
) -> None:
    """A function has switched the setting off unseen."""
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TABLE note (what text)")
    await pool.execute("INSERT INTO note VALUES ('kept')")
    await pool.execute(
        "CREATE OR REPLACE FUNCTION unseen() RETURNS text LANGUAGE sql AS"
        " $$ SELECT set_config('standard_conforming_' || 'strings', 'off', false) $$"
    )

    async def drop(data: bytes) -> None:
        raise AssertionError(data)

    async with pool.transaction() as connection:
        assert await connection.fetchval("SELECT unseen()") == "off"
        ways = {
            "script": lambda: connection.execute(ONE_OR_TWO),
            "cursor": lambda: connection.cursor(r"SELECT 'a\'' AS b; --'").fetchrow(),
            "copy": lambda: connection.copy_from_query(r"SELECT '\'$1' AS a, $1::int AS b", 7, output=drop),
        }
        with pytest.raises(InterfaceError, match="standard_conforming_strings is off on this session"):
            await ways[way]()
        assert [row[0] for row in await connection.fetch("SELECT what FROM note")] == ["kept"]


# -- isolation ----------------------------------------------------------------------------------------------------


async def _serializable(connection: Any) -> None:
    await connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE")


@pytest.mark.parametrize("where", ["init", "options", "server_settings", "role", "database"])
async def test_the_isolation_that_counts_is_that_of_the_prepared_connection(
    open_pool: Any, pg_server: Any, pg_database: str, where: str
) -> None:
    dsn, options = pg_database, {}
    name = pg_database.rpartition("/")[2].partition("?")[0]
    setting = "SET default_transaction_isolation = 'repeatable read'"
    if where == "init":
        options["init"] = _serializable
    elif where == "options":
        dsn += ("&" if "?" in dsn else "?") + "options=" + quote("-c default_transaction_isolation=serializable")
    elif where == "server_settings":
        options["server_settings"] = {"default_transaction_isolation": "repeatable read"}
    elif where == "role":
        pg_server.sql("DROP ROLE IF EXISTS careful; CREATE ROLE careful LOGIN", name)
        pg_server.sql(f"ALTER ROLE careful {setting}", name)
        options["user"] = "careful"
    else:
        pg_server.sql(f"ALTER DATABASE {name} {setting}", name)
    try:
        pool = await open_pool(dsn, max_size=3, **options)
        assert await _largest_group(pool) == 1
    finally:  # other tests share this database
        pg_server.sql(f"ALTER DATABASE {name} RESET default_transaction_isolation", name)


async def test_init_may_bring_groups_back(open_pool: Any, pg_database: str) -> None:
    async def read_committed(connection: Any) -> None:
        await connection.execute("SET default_transaction_isolation = 'read committed'")

    settings = {"default_transaction_isolation": "serializable"}
    pool = await open_pool(pg_database, max_size=3, server_settings=settings, init=read_committed, **QUICK)
    await guarded(pool, "SELECT $1::int")
    assert await _largest_group(pool) > 1
