"""What one borrower leaves behind, the next one does not find; and who leaves nothing pays nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, DatabaseError, InterfaceError
from tests.contract.guarding import at_rest
from tests.contract.waiting import until
from tests.plugins.proxy import TO_CLIENT, FaultProxy

SETUP = """
CREATE TABLE item (id serial PRIMARY KEY, name text);
CREATE SCHEMA other;
CREATE ROLE stranger;
"""
#: Statements that leave something behind, and a question whose answer must be as if they had never been.
LEFT_BEHIND: dict[str, tuple[list[str], str, Any]] = {
    "set": (["SET work_mem = '77kB'"], "SELECT current_setting('work_mem') = '77kB'", False),
    "set_role": (["SET ROLE pg_monitor"], "SELECT current_user = session_user", True),
    "set_session_authorization": (["SET SESSION AUTHORIZATION pg_monitor"], "SELECT session_user::text", "postgres"),
    "set_config": (
        ["SELECT set_config('own.tenant', '7', false)"],
        "SELECT coalesce(current_setting('own.tenant', true), '')",
        "",
    ),
    "search_path": (["SET search_path = pg_catalog"], "SELECT current_schemas(false)", ["public"]),
    "replication_role": (
        ["SET session_replication_role = replica"],
        "SELECT current_setting('session_replication_role')",
        "origin",
    ),
    "temporary_table": (["CREATE TEMP TABLE item (secret text)"], "SELECT to_regclass('pg_temp.item') IS NULL", True),
    "select_into_temp": (["SELECT 1 AS a INTO TEMP left_over"], "SELECT to_regclass('left_over') IS NULL", True),
    "advisory_lock": (
        ["SELECT pg_advisory_lock(4711)"],
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
        0,
    ),
    "listen": (["LISTEN news"], "SELECT count(*) FROM pg_listening_channels()", 0),
    "prepare": (
        ["PREPARE left_over AS SELECT 1"],
        "SELECT count(*) FROM pg_prepared_statements WHERE name = 'left_over'",
        0,
    ),
    "cursor_with_hold": (
        ["DECLARE left_over CURSOR WITH HOLD FOR SELECT 1"],
        "SELECT count(*) FROM pg_cursors WHERE name = 'left_over'",
        0,
    ),
    "sequence": (["CREATE TEMP SEQUENCE own", "SELECT nextval('own')"], "SELECT to_regclass('own') IS NULL", True),
    "lastval_guard": (["SET lock_timeout = '5s'", "SET TimeZone = 'Asia/Tokyo'"], "SHOW TimeZone", "UTC"),
    "load": (["LOAD 'auto_explain'", "SET auto_explain.log_min_duration = 0"], "SELECT 1", 1),
    "in_a_function": (
        ["DO $$ BEGIN PERFORM set_config('own.tenant', '8', false); END $$"],
        "SELECT coalesce(current_setting('own.tenant', true), '')",
        "",
    ),
}


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    """A pool of one connection: the next borrower gets the last one's."""
    return await open_pool(pg_database, max_size=1)


async def _answer(pool: Any, sql: str) -> Any:
    answer = await pool.fetchval(sql)
    async with pool.acquire() as conn:
        assert await conn.fetchval(sql) == answer
    return answer


@pytest.mark.parametrize("kind", LEFT_BEHIND)
async def test_the_next_borrower_does_not_find_it(pool: Any, kind: str) -> None:
    statements, question, expected = LEFT_BEHIND[kind]
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    for _ in range(3):
        async with pool.acquire() as conn:
            for sql in statements:
                await conn.execute(sql)
        assert await _answer(pool, question) == expected
    assert await pool.fetchval("SELECT pg_backend_pid()") == pid, "cleaned, not thrown away"


@pytest.mark.parametrize("kind", LEFT_BEHIND)
async def test_strangers_do_not_find_what_a_pool_call_left(pool: Any, kind: str) -> None:
    statements, question, expected = LEFT_BEHIND[kind]
    for _ in range(3):
        for sql in statements:
            if kind in ("sequence", "load") and sql != statements[0]:
                continue  # what the first statement made is gone already
            await pool.execute(sql)
        assert await _answer(pool, question) == expected
        together = await asyncio.gather(*[pool.execute(statements[0])], *[pool.fetchval(question) for _ in range(10)])
        assert set(map(repr, together[1:])) == {repr(expected)}


@pytest.mark.parametrize("kind", LEFT_BEHIND)
async def test_script_and_transaction_leave_nothing_either(pool: Any, kind: str) -> None:
    statements, question, expected = LEFT_BEHIND[kind]
    async with pool.acquire() as conn:
        await conn.execute("; ".join(statements))
    assert await _answer(pool, question) == expected
    async with pool.transaction() as conn:
        for sql in statements:
            await conn.execute(sql)
    assert await _answer(pool, question) == expected


# rule 6.3
async def test_open_transaction_is_rolled_back_with_a_warning(pool: Any, caplog: Any) -> None:
    await pool.execute("CREATE TABLE item (id int)")
    for text in ("BEGIN", "/* c */ start transaction read write", "BEGIN; SELECT 1"):
        async with pool.acquire() as conn:
            await conn.execute(text)
            await conn.execute("INSERT INTO item VALUES (1)")
        assert await pool.fetchval("SELECT count(*) FROM item") == 0
        assert "rolled back" in caplog.text
        caplog.clear()


async def test_failed_transaction_is_rolled_back(pool: Any) -> None:
    async with pool.acquire() as conn:
        await conn.execute("BEGIN")
        with pytest.raises(DatabaseError):
            await conn.execute("SELECT 1 / 0")
    assert await pool.fetchval("SELECT 1") == 1


# rule 6.3
async def test_a_clean_session_costs_no_round_trip(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.fetchval("SELECT $1::int", 0)
    await at_rest(pool)
    before = proxy.round_trips
    for i in range(20):
        async with pool.acquire() as conn:
            assert await conn.fetchval("SELECT $1::int", i) == i
    assert proxy.round_trips - before == 20
    before = proxy.round_trips
    for _ in range(20):
        async with pool.acquire():
            pass
    assert proxy.round_trips == before
    for i in range(20):
        async with pool.transaction() as conn:
            await conn.fetchval("SELECT set_config('own.tenant', $1, true)", str(i))
    assert await pool.fetchval("SELECT coalesce(current_setting('own.tenant', true), '')") == ""


async def test_reset_costs_at_most_one_round_trip_more(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.fetchval("SELECT $1::int", 0)
    await at_rest(pool)
    before = proxy.round_trips
    for _ in range(10):
        await pool.execute("SET work_mem = '77kB'")
    await pool.fetchval("SELECT 1")
    assert proxy.round_trips - before <= 21


CONTROL = [
    "START TRANSACTION",
    "PREPARE TRANSACTION 'x'",
    "BEGIN",
    "COMMIT",
    "END",
    "ROLLBACK",
    "SAVEPOINT a",
    "RELEASE a",
    "/**/ begin -- x",
]


# rule 1.1
async def test_transaction_control_is_refused_on_the_pool(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    for sql in CONTROL if backend.name == "postgresql" else CONTROL[2:]:
        for call in (pool.execute, pool.fetch, pool.fetchval):
            with pytest.raises(InterfaceError, match=r"transaction\(\)"):
                await call(sql)
        with pytest.raises(InterfaceError, match=r"transaction\(\)"):
            await pool.executemany(sql, [()])
    assert await pool.fetchval("SELECT 1") == 1


async def test_sqlite_state_does_not_stay(open_pool: Any, tmp_path: Any) -> None:
    pool = await open_pool(f"sqlite:///{tmp_path / 'state.db'}", max_size=1)
    await pool.execute("CREATE TABLE parent (id INTEGER PRIMARY KEY)")
    await pool.execute("CREATE TABLE child (parent REFERENCES parent)")
    for _ in range(3):
        async with pool.acquire() as conn:
            await conn.execute("CREATE TEMP TABLE left_over (a)")
            await conn.execute("PRAGMA foreign_keys = OFF")
            await conn.execute("BEGIN")
            await conn.execute("INSERT INTO parent VALUES (1)")
        await pool.execute("CREATE TEMP TABLE also_left_over (a)")
        async with pool.acquire() as conn:
            assert await conn.fetch("SELECT name FROM sqlite_temp_master") == []
            assert await conn.fetchval("PRAGMA foreign_keys") == 1
            assert await conn.fetchval("SELECT count(*) FROM parent") == 0


async def test_reset_off_keeps_what_was_set(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, reset="off")
    async with pool.acquire() as conn:
        await conn.execute("SET work_mem = '77kB'")
    async with pool.acquire() as conn:
        assert await conn.fetchval("SHOW work_mem") == "77kB"
        await conn.execute("BEGIN")
    async with pool.acquire() as conn:
        assert not conn.is_in_transaction(), "an open transaction is rolled back whatever `reset` says"


async def test_reset_always_finds_what_is_hidden(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, reset="always")
    hidden = "CREATE FUNCTION hide() RETURNS text LANGUAGE sql AS $$ SELECT set_config('own.tenant', '9', false) $$"
    await pool.execute(hidden)
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT hide()")
    async with pool.acquire() as conn:
        assert await conn.fetchval("SELECT coalesce(current_setting('own.tenant', true), '')") == ""


async def test_reset_by_a_function_of_the_users(open_pool: Any, pg_database: str) -> None:
    seen: list[Any] = []

    async def reset(conn: Any) -> None:
        seen.append(await conn.fetchval("SHOW work_mem"))
        await conn.execute("RESET work_mem")

    pool = await open_pool(pg_database, max_size=1, reset=reset)
    for _ in range(2):
        async with pool.acquire() as conn:
            await conn.execute("SET work_mem = '77kB'")
        async with pool.acquire() as conn:
            assert await conn.fetchval("SHOW work_mem") != "77kB"
    await until(lambda: pool.stats().sessions == 0)
    assert seen[0] == "77kB"
    assert len(seen) == 4


async def test_a_reset_that_fails_costs_that_connection_only(open_pool: Any, pg_database: str) -> None:
    broken: set[Any] = set()
    pool = await open_pool(pg_database, max_size=2, reset=lambda conn: _divide(conn, broken))
    async with pool.acquire() as first, pool.acquire() as second:
        pids = [await conn.fetchval("SELECT pg_backend_pid()") for conn in (first, second)]
        broken.add(pids[0])
    async with pool.acquire() as first, pool.acquire() as second:
        now = {await conn.fetchval("SELECT pg_backend_pid()") for conn in (first, second)}
    assert now & set(pids) == {pids[1]}


async def _divide(conn: Any, broken: set[Any]) -> None:
    if await conn.fetchval("SELECT pg_backend_pid()") in broken:
        await conn.execute("SELECT 1 / 0")


# rule 5.9
async def test_a_reset_that_is_not_answered_costs_the_connection_only(
    open_pool: Any, proxy: FaultProxy, pg_database: str
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1, acquire_timeout=2)
    async with pool.acquire() as conn:
        await conn.execute("SET work_mem = '77kB'")
        proxy.stall(TO_CLIENT, links="live")
    await until(lambda: pool.stats().lost == 1)
    assert await pool.fetchval("SELECT 1") == 1


async def test_init_prepares_every_connection_and_again_after_a_reset(open_pool: Any, pg_database: str) -> None:
    runs: list[int] = []

    async def init(conn: Any) -> None:
        runs.append(await conn.fetchval("SELECT pg_backend_pid()"))
        await conn.execute("SET own.tenant = 'initial'")
        async with conn.transaction():
            await conn.execute("CREATE TEMP TABLE IF NOT EXISTS scratch (a int)")

    pool = await open_pool(pg_database, max_size=2, init=init)
    question = "SELECT current_setting('own.tenant'), to_regclass('scratch') IS NOT NULL"
    async with pool.acquire() as first, pool.acquire() as second:
        for conn in (first, second):
            assert await conn.fetchrow(question) == ("initial", True)
            await conn.execute("SET own.tenant = 'changed'")
    async with pool.acquire() as first, pool.acquire() as second:
        for conn in (first, second):
            assert await conn.fetchrow(question) == ("initial", True)
    await pool.execute("SET own.tenant = 'by the pool'")
    for _ in range(4):
        assert await pool.fetchrow(question) == ("initial", True)
    assert len(set(runs)) == 2


async def test_init_that_fails_is_the_cause(open_pool: Any, pg_database: str) -> None:
    async def init(conn: Any) -> None:
        await conn.execute("SELECT 1 / 0")

    with pytest.raises(ConnectFailed, match="division by zero"):
        await open_pool(pg_database, init=init)
