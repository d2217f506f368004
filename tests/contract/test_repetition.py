"""A statement is sent again only on proof that this pool's own prepared statement was meant, and once for each cause.

Functions, blocks and EXECUTE may raise whatever they like: what they raise is theirs.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError
from tests.contract.guarding import at_rest

#: The codes that a stale prepared statement leads to, and others that one could take for such.
CODES = ("26000", "42P05", "0A000", "08P01", "42804", "42883", "42846", "42725", "42704", "XX000", "42P01")
OWN = "SELECT name FROM pg_prepared_statements WHERE statement = $1"
KEPT = "SELECT count(*) FROM pg_prepared_statements WHERE NOT from_sql"


@pytest.fixture
async def counted(pg_pool: Any) -> Any:
    """A pool whose database counts executions in a sequence, which no ROLLBACK sets back, and in a table."""
    await pg_pool.execute("CREATE SEQUENCE executions")
    await pg_pool.execute("CREATE TABLE item (id serial)")
    await pg_pool.execute(
        "CREATE FUNCTION raising(code text, said text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM nextval('executions'); RAISE EXCEPTION USING ERRCODE = code, MESSAGE = said; END $$"
    )
    return pg_pool


async def _executions(pool: Any) -> int:
    called: int = await pool.fetchval("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM executions")
    return called


# rule 4.3
@pytest.mark.parametrize("code", CODES)
async def test_a_function_that_raises_is_called_once(counted: Any, code: str) -> None:
    sql = "SELECT raising($1, $2)"
    for turn in range(1, 4):
        with pytest.raises(DatabaseError) as caught:
            await counted.fetchval(sql, code, f"one's own {code}")
        assert (caught.value.sqlstate, caught.value.message) == (code, f"one's own {code}")
        assert await _executions(counted) == turn


@pytest.mark.parametrize("code", ["26000", "42P05"])
async def test_a_function_that_names_the_pool_s_statement_is_called_once(counted: Any, code: str) -> None:
    sql = "SELECT raising($1, $2)"
    async with counted.acquire() as conn:
        await conn.fetch("SELECT raising($1, $2) WHERE false", code, "")
        with pytest.raises(DatabaseError):
            await conn.fetchval(sql, code, "")
        name = await conn.fetchval(OWN, sql)
        before = await _executions(conn)
        with pytest.raises(DatabaseError) as caught:
            await conn.fetchval(sql, code, f'prepared statement "{name}" does not exist')
        assert name in caught.value.message
        assert await _executions(conn) == before + 1
        assert await conn.fetchval(OWN, sql) == name


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("commits", [False, True])
async def test_a_block_that_raises_runs_once(counted: Any, code: str, commits: bool) -> None:
    commit = "COMMIT;" if commits else ""
    block = (
        f"DO $$ BEGIN PERFORM nextval('executions'); INSERT INTO item DEFAULT VALUES; {commit} "
        f"RAISE EXCEPTION USING ERRCODE = '{code}', MESSAGE = 'the block''s own'; END $$"
    )
    for turn in range(1, 3):
        with pytest.raises(DatabaseError, match="the block's own"):
            await counted.execute(block)
        assert await _executions(counted) == turn
        assert await counted.fetchval("SELECT count(*) FROM item") == (turn if commits else 0)


@pytest.mark.parametrize("code", CODES)
async def test_a_procedure_that_commits_and_raises_runs_once(counted: Any, code: str) -> None:
    await counted.execute(
        "CREATE PROCEDURE committing(code text) LANGUAGE plpgsql AS $$ BEGIN INSERT INTO item DEFAULT VALUES; COMMIT; "
        "RAISE EXCEPTION USING ERRCODE = code; END $$"
    )
    for turn in range(1, 4):
        with pytest.raises(DatabaseError):
            await counted.execute("CALL committing($1)", code)
        assert await counted.fetchval("SELECT count(*) FROM item") == turn


async def test_execute_of_an_unknown_name_is_sent_once(counted: Any, pg_server: Any) -> None:
    for _ in range(3):
        with pytest.raises(DatabaseError) as caught:
            await asyncio.wait_for(counted.execute("EXECUTE somebody_else_s"), 10)
        assert caught.value.sqlstate == "26000"
    sql = "SELECT $1::int + 7"
    for _ in range(4):
        assert await counted.fetchval(sql, 1) == 8
    assert await counted.fetchval(KEPT) > 0


async def test_execute_of_the_borrower_s_own_stale_statement_is_told(counted: Any) -> None:
    async with counted.acquire() as conn:
        await conn.execute("PREPARE own AS SELECT * FROM item")
        assert await conn.fetch("EXECUTE own") == []
        await conn.execute("ALTER TABLE item ADD COLUMN name text")
        for _ in range(2):
            with pytest.raises(DatabaseError) as caught:
                await conn.fetch("EXECUTE own")
            assert caught.value.sqlstate == "0A000"


async def test_a_function_with_a_stale_plan_of_its_own_is_called_once(counted: Any) -> None:
    await counted.execute("CREATE TABLE changing (id int)")
    await counted.execute(
        "CREATE FUNCTION stale() RETURNS bigint LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN "
        "PERFORM nextval('executions'); PERFORM count(*) FROM (SELECT * FROM changing) q; "
        "IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'changing'::regclass AND attname = 'name') THEN "
        "RAISE 'cached plan must not change result type' USING ERRCODE = '0A000'; END IF; RETURN 1; END $$"
    )
    assert await counted.fetchval("SELECT stale()") == 1
    await counted.execute("ALTER TABLE changing ADD COLUMN name text")
    before = await _executions(counted)
    with pytest.raises(DatabaseError) as caught:
        await counted.fetchval("SELECT stale()")
    assert caught.value.sqlstate == "0A000"
    assert await _executions(counted) == before + 1


# rule 4.5
@pytest.mark.parametrize("inside", [False, True])
async def test_a_foreign_name_does_not_cost_the_pool_its_prepared_statements(pg_pool: Any, inside: bool) -> None:
    sql, told = "SELECT $1::int + 1000", []
    for _ in range(4):
        await pg_pool.fetchval(sql, 0)
    async with pg_pool.acquire() as first, pg_pool.acquire() as second:
        for conn in (first, second):
            await conn.fetchval(sql, 0)
        name = await first.fetchval(OWN, sql)
        stem = name.rstrip("0123456789")
        for conn in (first, second):
            await conn.execute("DEALLOCATE ALL; " + "; ".join(f'PREPARE "{stem}{i}" AS SELECT 0' for i in range(20)))
        for conn in (first, second) * 3:
            try:
                if inside:
                    async with conn.transaction():
                        await conn.execute("SELECT 1")
                        assert await conn.fetchval(sql, 1) == 1001
                else:
                    assert await conn.fetchval(sql, 1) == 1001
            except DatabaseError as error:
                told.append(error.sqlstate)
        assert told == (["42P05"] if inside else [])
        for conn in (first, second):
            assert await conn.fetchval(sql, 1) == 1001
            times = [await conn.fetchval(f"SELECT prepare_time {OWN[11:]} AND NOT from_sql", sql) for _ in range(2)]
            assert times[0] == times[1] is not None
    assert pg_pool.stats().lost == 0


async def test_names_dropped_behind_the_pool_s_back_cost_nothing_for_good(open_pool: Any, pg_database: str) -> None:
    """DEALLOCATE inside a block, when the connection has as many statements as it may: one of them is to be dropped."""
    pool = await open_pool(pg_database, max_size=1, max_statements=5)
    for turn in range(4):
        for i in range(8):
            for _ in range(2):
                assert await pool.fetchval(f"SELECT $1::int + {i}", 1) == 1 + i
        await pool.execute("DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$")
        await at_rest(pool)  # a block may change the schema: the catalogue is read again, on this connection
        for i in range(8, 16):
            for _ in range(2):
                assert await pool.fetchval(f"SELECT $1::int + {i}", turn) == turn + i
        assert 3 <= await pool.fetchval(KEPT) <= 5
    assert pool.stats().lost == 0


@pytest.mark.parametrize("code", ["26000", "42P05", "42883", "0A000"])
async def test_after_a_group_that_failed_each_statement_runs_once(counted: Any, code: str) -> None:
    sql = "INSERT INTO item SELECT raising($1, $2)"
    with pytest.raises(DatabaseError):
        await counted.execute(sql, code, "learning")
    await counted.execute("INSERT INTO item VALUES ($1)", 0)
    before = await _executions(counted)
    calls: list[Any] = [counted.execute("INSERT INTO item VALUES ($1)", i) for i in range(1, 11)]
    calls.insert(5, counted.execute(sql, code, "own"))
    results = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(results.pop(5), DatabaseError)
    assert results == ["INSERT 0 1"] * 10
    assert await counted.fetchval("SELECT count(*) FROM item") == 11
    assert await _executions(counted) - before <= 2  # once with the group, once alone
