"""`db_pool_rs.asyncpg`: names of prepared statements, and other targets for a pool that is open; asyncpg beside it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import asyncpg as original
import pytest

import db_pool_rs.asyncpg as asyncpg
from db_pool_rs.asyncpg.options import made

HERS = ("SELECT name FROM pg_prepared_statements WHERE name = ANY ($1::text[]) ORDER BY 1", ["hers", 'a "b"; c'])


@pytest.fixture
async def connection(engine: Any, pg_database: str) -> AsyncIterator[Any]:
    """One connection."""
    connection = await asyncpg.connect(pg_database, mode=engine.name)
    yield connection
    await connection.close()


async def named(module: Any, connection: Any) -> list[Any]:
    """What a program sees that names its statements."""
    seen: list[Any] = []
    first = await connection.prepare("SELECT $1::int + 1", name="hers")
    seen.append((first.get_name(), await first.fetchval(1), await connection.fetchval("EXECUTE hers (4)")))
    quoted = await connection.prepare("SELECT 2 -- the end", name='a "b"; c')
    seen.append((quoted.get_name(), await quoted.fetchval()))
    seen.append([row[0] for row in await connection.fetch(*HERS)])
    shown = await connection.prepare("SHOW server_encoding", name="shown")
    seen.append((shown.get_name(), await shown.fetchval()))
    for name in ("hers", "shown"):
        for query in ("SELECT 3", "SHOW work_mem"):
            try:
                await connection.prepare(query, name=name)
            except module.DuplicatePreparedStatementError as error:
                seen.append((error.sqlstate, error.message))
    async with connection.transaction():
        await connection.execute("CREATE TABLE mine (a int)")
        insert = await connection.prepare("INSERT INTO mine VALUES ($1) RETURNING a", name="insert")
        seen.append((await insert.fetchval(7), await connection.fetchval('EXECUTE "insert" (8)')))
        seen.append(await connection.fetchval("SELECT sum(a) FROM mine"))
    seen.append((await connection.prepare("SELECT 1", name="")).get_name())
    return seen


async def test_names_of_prepared_statements_are_asyncpgs(connection: Any, pg_database: str) -> None:
    theirs = await original.connect(pg_database)
    try:
        expected = await named(original, theirs)
        await theirs.execute("DROP TABLE mine")
    finally:
        await theirs.close()
    assert await named(asyncpg, connection) == expected


async def test_a_name_is_free_when_its_statement_is_forgotten(connection: Any) -> None:
    for query in ("SELECT 1", "SELECT 2", "SHOW server_encoding", "SELECT 3"):
        statement = await connection.prepare(query, name="hers")
        with pytest.raises(asyncpg.DuplicatePreparedStatementError):
            await connection.prepare("SELECT 9", name="hers")
        del statement
        gc.collect()
    kept = await connection.prepare("SELECT 4", name="kept")
    await connection.execute("DEALLOCATE kept")
    again = await connection.prepare("SELECT 5", name="kept")
    del kept  # whose name is another's by now
    gc.collect()
    await connection.prepare("SELECT 6", name="more")
    assert await connection.fetchval("EXECUTE kept") == 5
    assert again.get_name() == "kept"


async def test_a_reset_frees_names(connection: Any) -> None:
    kept = [await connection.prepare(query, name=query[:4]) for query in ("SELECT 1", "SHOW work_mem")]
    await connection.reset()
    assert await kept[0].fetchval() == 1
    kept += [await connection.prepare(query, name=query[:4]) for query in ("SELECT 2", "SHOW work_mem")]
    assert await connection.fetchval('EXECUTE "SELE"') == 2


async def test_a_statement_without_a_name_tells_none(connection: Any) -> None:
    assert (await connection.prepare("SELECT 1")).get_name() == ""


async def test_the_next_user_of_a_connection_finds_no_names(engine: Any, pg_database: str) -> None:
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1) as pool:
        for _ in range(2):
            async with pool.acquire() as connection:
                statement = await connection.prepare("SELECT 1", name="hers")
                assert await statement.fetchval() == 1


async def moved(module: Any, dsn: str, other: str, **options: Any) -> list[Any]:
    """What a program sees that leads its pool elsewhere."""
    seen: list[Any] = []
    sql = "SELECT current_database(), current_setting('application_name'), a FROM mine"
    async with module.create_pool(dsn, min_size=1, max_size=2, **options) as pool:
        async with pool.acquire() as held:
            seen.append(tuple(await held.fetchrow(sql)))
            pool.set_connect_args(other, server_settings={"application_name": "moved"})
            await pool.expire_connections()
            seen.append(tuple(await held.fetchrow(sql)))  # one in use stays where it is
        seen.append(await asyncio.gather(*(pool.fetchval("SELECT current_database()") for _ in range(4))))
        async with pool.acquire() as connection:
            seen.append(tuple(await connection.fetchrow(sql)))
    return seen


async def test_an_open_pool_is_led_elsewhere(engine: Any, pg_database: str) -> None:
    base, _, name = pg_database.rpartition("/")
    other = f"{base}/{name}_moved"
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1) as pool:
        await pool.execute(f'DROP DATABASE IF EXISTS "{name}_moved"')
        await pool.execute(f'CREATE DATABASE "{name}_moved"')
        await pool.execute("CREATE TABLE mine AS SELECT 1 AS a")
    async with asyncpg.create_pool(other, mode=engine.name, min_size=1, max_size=1) as pool:
        await pool.execute("CREATE TABLE mine AS SELECT text 'far' AS a")  # of another type
    expected = await moved(original, pg_database, other)
    assert expected[-1] == (f"{name}_moved", "moved", "far")
    assert await moved(asyncpg, pg_database, other, mode=engine.name) == expected


async def test_a_pool_is_led_to_where_no_other_is(engine: Any, pg_database: str) -> None:
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1) as pool:
        with pytest.raises(TypeError, match="'nonsense'"):
            pool.set_connect_args(pg_database, nonsense=1)
        for password in ("wrong", lambda: "right"):  # a callable is asked from then on
            pool.set_connect_args(pg_database, password=password)
            await pool.expire_connections()
            assert await pool.fetchval("SELECT 1") == 1
        pool.set_connect_args("postgresql://127.0.0.1:1/x", timeout=5)
        assert await pool.fetchval("SELECT 2") == 2
        await pool.expire_connections()
        with pytest.raises(OSError, match="connect"):
            await pool.fetchval("SELECT 3", timeout=60)
        pool.set_connect_args(pg_database)
        assert await pool.fetchval("SELECT 4", timeout=60) == 4


@pytest.mark.parametrize(
    ("url", "options", "hosts", "settings"),
    [
        ("postgresql:///d?user=u&host=a:1,b:2", {}, [("a", 1), ("b", 2)], {}),
        (
            "postgresql:///d?user=u&host=[::1]:7,[::2],/tmp",
            {},
            [("::1", 7), ("::2", 5432), ("/tmp", 5432)],
            {},
        ),
        ("postgres://u@h/d?search_path=a%2Cb&jit=off", {}, [("h", 5432)], {"search_path": "a,b", "jit": "off"}),
        ("postgres://u@h/?database=d&x=1&x=2", {"server_settings": {"y": "3"}}, [("h", 5432)], {"x": "2", "y": "3"}),
        ("postgres://u@h/d?host=a:1", {"host": "b", "port": 3}, [("b", 3)], {}),
        ("postgres://u@h/d?jit=off", {"server_settings": {"jit": "on"}}, [("h", 5432)], {"jit": "on"}),
    ],
)
def test_urls_as_asyncpg_reads_them(
    url: str, options: dict[str, Any], hosts: list[Any], settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGOPTIONS"):
        monkeypatch.delenv(name, raising=False)
    target: Any = made(url, {"mode": "simple", **options}).config.target
    assert [(host.host, host.port) for host in target.hosts] == hosts
    assert (target.user, target.dbname, dict(target.server_settings)) == ("u", "d", settings)
