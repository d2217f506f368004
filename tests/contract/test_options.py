"""Options that change how statements travel, never what they do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import ConnectionLost
from tests.contract.guarding import QUICK, guarded
from tests.contract.waiting import until
from tests.plugins.proxy import TO_CLIENT, FaultProxy

GET = "SELECT name FROM item WHERE id = $1"
PUT = "INSERT INTO item VALUES ($1, $2)"


async def _mixed_load(pool: Any) -> None:
    """Reads and writes of many tasks; every answer is checked."""
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    for turn in range(6):
        writes = [pool.execute(PUT, turn * 50 + i, f"n{turn * 50 + i}") for i in range(50)]
        assert await asyncio.gather(*writes) == ["INSERT 0 1"] * 50
        reads = [pool.fetchval(GET, i) for i in range(turn * 50 + 50)]
        assert await asyncio.gather(*reads) == [f"n{i}" for i in range(turn * 50 + 50)]
    assert await pool.fetchval("SELECT count(*) FROM item") == 300


@pytest.mark.parametrize(
    "options",
    [
        {"pipelining": "off"},
        {"pipelining": "reads"},
        {"group_max": 1},
        {"group_max": 3},
        {"max_size": 1},
        {"max_statements": 0},
        {"max_statements": 1},
        {"fast_ms": 0.001},
        {"stall_ms": 1},
        {"lane_wait_ms": 0, "write_lane_wait_ms": 0},
        {"reset": "always"},
        {"thread_pool_size": 1},
    ],
    ids=str,
)
@pytest.mark.usefixtures("patient")
async def test_answers_are_the_same_whatever_the_options(open_pool: Any, backend: Any, options: dict[str, Any]) -> None:
    pool = await open_pool(backend.dsn, **{"max_size": 4, **options})
    await _mixed_load(pool)
    await until(lambda: pool.stats().waiting == 0)  # the guard may be reading
    stats = pool.stats()
    assert stats.size <= stats.max_size
    assert (stats.lost, stats.errors) == (0, 0)


async def test_groups_are_there_by_default_and_end_where_they_are_turned_off(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=4, **QUICK)
    await _mixed_load(pool)
    assert 4 < pool.stats().group_size.max <= 64
    await pool.execute("DROP TABLE item")
    for options, most in (({"pipelining": "off"}, 1), ({"group_max": 3}, 3)):
        other = await open_pool(backend.dsn, max_size=4, **options)
        await _mixed_load(other)
        assert other.stats().group_size.max <= most
        await other.execute("DROP TABLE item")


async def test_own_functions_that_must_run_alone(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, alone_functions=["tenant_of"])
    await pool.execute(
        "CREATE FUNCTION tenant_of(text) RETURNS text LANGUAGE sql AS $$ SELECT set_config('own.tenant', $1, false) $$"
    )
    sql = "SELECT coalesce(current_setting('own.tenant', true), '') WHERE $1::int > 0"
    for turn in range(6):
        calls = [pool.fetchval("SELECT tenant_of($1)", f"t{turn}"), *[pool.fetchval(sql, 1) for _ in range(20)]]
        results = await asyncio.gather(*calls)
        assert results == [f"t{turn}", *[""] * 20]


async def test_no_other_caller_finds_a_setting_made_beside_it(open_pool: Any, pg_database: str) -> None:
    """Row-level security by a setting: the reason for the classes of statements."""
    pool = await open_pool(pg_database, max_size=3)
    question = "SELECT coalesce(current_setting('own.tenant', true), '') WHERE $1::int > 0"
    for turn in range(5):
        calls: list[Any] = [pool.fetchval(question, 1) for _ in range(20)]
        calls[5:5] = [pool.fetchval("SELECT set_config('own.tenant', $1, false)", "mine")]
        calls[9:9] = [pool.execute(f"SET own.tenant = 'theirs{turn}'")]
        results = await asyncio.gather(*calls)
        assert results.pop(9) == "SET"
        assert results.pop(5) == "mine"
        assert results == [""] * 20


@pytest.mark.parametrize("retry", ["off", "reads"])
async def test_reads_are_repeated_where_that_was_asked_for(
    open_pool: Any, proxy: FaultProxy, pg_database: str, retry: str
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), min_size=2, max_size=2, retry=retry)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    for i in range(4):
        await pool.execute(PUT, i, "x")
        assert await pool.fetchval(GET, i) == "x"
    await guarded(pool, PUT)
    await until(lambda: pool.stats().idle == 2)  # nothing is asked, and nothing cleaned, on the pool's own account
    assert (pool.stats().size, pool.stats().opening) == (2, 0), "both connections are to be stalled, and no other one"
    proxy.stall(TO_CLIENT, links="live")
    read, write = asyncio.ensure_future(pool.fetchval(GET, 1)), asyncio.ensure_future(pool.execute(PUT, 10, "x"))
    await until(lambda: pool.stats().in_flight == 2)
    await proxy.drop()
    with pytest.raises(ConnectionLost) as caught:
        await write
    assert caught.value.sent, "a write is never repeated"
    if retry == "reads":
        assert await read == "x"
    else:
        with pytest.raises(ConnectionLost):
            await read
    proxy.resume()
    assert await pool.fetchval(GET, 1) == "x"


async def test_server_settings_and_application_name(open_pool: Any, pg_database: str) -> None:
    settings = {"work_mem": "77kB", "own.tenant": "x y"}
    pool = await open_pool(pg_database, max_size=2, server_settings=settings, application_name="the contract")
    question = "SELECT current_setting('work_mem'), current_setting('own.tenant'), current_setting('application_name')"
    for _ in range(3):
        assert await pool.fetchrow(question) == ("77kB", "x y", "the contract")
        async with pool.acquire() as conn:
            await conn.execute("SET work_mem = '88kB'; SET own.tenant = 'other'")
    await pool.execute("DISCARD ALL")
    assert await pool.fetchrow(question) == ("77kB", "x y", "the contract")


async def test_password_from_a_function(open_pool: Any, own_server: Any) -> None:
    server = own_server(hba=["host all all 127.0.0.1/32 scram-sha-256"])
    server.sql("CREATE ROLE alice LOGIN PASSWORD 'first'")
    passwords = ["first", "second"]
    pool = await open_pool(server.dsn("postgres", user="alice"), max_size=2, password=lambda: passwords[0])
    assert await pool.fetchval("SELECT current_user") == "alice"
    server.sql("ALTER ROLE alice PASSWORD 'second'")
    passwords.pop(0)
    pool.expire_connections()
    assert await pool.fetchval("SELECT current_user") == "alice"
