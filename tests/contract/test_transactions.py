"""Transactions: all or nothing, savepoints inside, and no round trip that is not needed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs import errors
from db_pool_rs.errors import ConnectionLost, DatabaseError, InterfaceError, StatementTimeout
from tests.contract.guarding import at_rest
from tests.contract.waiting import in_thread, until, until_async
from tests.plugins.proxy import FaultProxy

TABLE = "CREATE TABLE item (id int PRIMARY KEY)"
INSERT = "INSERT INTO item VALUES ($1)"


class OwnError(Exception):
    """An error of the application's."""


@pytest.fixture
async def items(pool: Any) -> Any:
    """A pool with an empty table, on each database."""
    await pool.execute(TABLE)
    return pool


@pytest.fixture
async def pg_items(pg_pool: Any) -> Any:
    """The same on PostgreSQL."""
    await pg_pool.execute(TABLE)
    return pg_pool


async def _ids(queries: Any) -> list[int]:
    return [row[0] for row in await queries.fetch("SELECT id FROM item ORDER BY id")]


async def test_a_block_is_committed_at_its_end(items: Any) -> None:
    async with items.transaction() as conn:
        assert conn.is_in_transaction()
        await conn.execute(INSERT, 1)
        assert await _ids(conn) == [1]
        assert await _ids(items) == []
    assert await _ids(items) == [1]
    async with items.acquire() as conn:
        async with conn.transaction() as same:
            assert same is conn
            await conn.execute(INSERT, 2)
        assert not conn.is_in_transaction()
        assert await _ids(items) == [1, 2]


@pytest.mark.parametrize("error", [OwnError, KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
async def test_an_exception_rolls_back_and_goes_on(items: Any, error: type[BaseException]) -> None:
    async def work() -> None:
        async with items.transaction() as conn:
            await conn.execute(INSERT, 1)
            raise error

    with pytest.raises(error):
        await work()
    assert await _ids(items) == []
    await until(lambda: items.stats().sessions == 0)


async def test_savepoints(items: Any) -> None:
    async def fail(conn: Any, *ids: int) -> None:
        async with conn.transaction():
            for i in ids:
                await conn.execute(INSERT, i)
            raise OwnError

    async with items.transaction() as conn:
        await conn.execute(INSERT, 1)
        async with conn.transaction():
            await conn.execute(INSERT, 2)
            with pytest.raises(OwnError):
                await fail(conn, 3, 4)
            async with conn.transaction():
                await conn.execute(INSERT, 5)
            assert await _ids(conn) == [1, 2, 5]
        with pytest.raises(OwnError):
            await fail(conn, 6)
        with pytest.raises(OwnError):
            await fail(conn)
        assert await _ids(conn) == [1, 2, 5]
        assert conn.is_in_transaction()
    assert await _ids(items) == [1, 2, 5]


async def test_a_savepoint_saves_from_a_failed_statement(items: Any) -> None:
    async def fail(conn: Any) -> None:
        async with conn.transaction():
            await conn.execute(INSERT, 7)
            await conn.execute(INSERT, 1)

    async with items.transaction() as conn:
        await conn.execute(INSERT, 1)
        for _ in range(3):
            with pytest.raises(errors.UniqueViolation):
                await fail(conn)
        await conn.execute(INSERT, 2)
    assert await _ids(items) == [1, 2]


async def test_the_first_statement_of_a_savepoint_may_fail(items: Any) -> None:
    async def fail(conn: Any) -> None:
        async with conn.transaction():
            await conn.execute("SELEKT")

    async with items.transaction() as conn:
        await conn.execute(INSERT, 1)
        with pytest.raises(errors.SyntaxError):
            await fail(conn)
        await conn.execute(INSERT, 2)
        async with conn.transaction():
            with pytest.raises(errors.SyntaxError):
                await fail(conn)
        await conn.execute(INSERT, 3)
    assert await _ids(items) == [1, 2, 3]


async def test_savepoints_all_pending_at_the_first_statement(items: Any) -> None:
    async def fail(conn: Any) -> None:
        async with conn.transaction(), conn.transaction():
            await conn.execute(INSERT, 9)
            raise OwnError

    async with items.transaction() as conn, conn.transaction():
        with pytest.raises(OwnError):
            await fail(conn)
        async with conn.transaction():
            pass
        await conn.execute(INSERT, 1)
    assert await _ids(items) == [1]


@pytest.mark.parametrize("first", ["SELEKT 1", "SELECT 1 / 0", "SELECT * FROM no_table WHERE id = $1"])
async def test_a_failed_first_statement_keeps_the_block_aborted(pg_items: Any, first: str) -> None:
    args = (1,) if "$1" in first else ()
    for _ in range(3):
        async with pg_items.acquire() as conn:
            block = conn.transaction()
            await block.__aenter__()
            with pytest.raises(DatabaseError):
                await conn.execute(first, *args)
            for _ in range(2):
                with pytest.raises(errors.InFailedSqlTransaction):
                    await conn.execute(INSERT, 1)
            with pytest.raises(DatabaseError) as caught:
                await block.__aexit__(None, None, None)
            assert caught.value.sqlstate == "25P02"
            assert "rolled back" in str(caught.value)
            assert not conn.is_in_transaction()
            assert await _ids(conn) == []


async def test_commit_of_a_failed_transaction_says_so(pg_items: Any) -> None:
    async def swallow() -> None:
        async with pg_items.transaction() as conn:
            await conn.execute(INSERT, 1)
            with pytest.raises(errors.UniqueViolation):
                await conn.execute(INSERT, 1)

    with pytest.raises(DatabaseError) as caught:
        await swallow()
    assert caught.value.sqlstate == "25P02"
    assert not caught.value.safe_to_retry
    assert await _ids(pg_items) == []


LEVELS = ["read_uncommitted", "read_committed", "repeatable_read", "serializable", "REPEATABLE READ"]


@pytest.mark.parametrize("level", LEVELS)
async def test_isolation_levels(pg_pool: Any, level: str) -> None:
    for _ in range(2):
        async with pg_pool.transaction(isolation=level) as conn:
            shown = await conn.fetchval("SHOW transaction_isolation")
            assert shown == level.lower().replace("_", " ")
    assert await pg_pool.fetchval("SHOW transaction_isolation") == "read committed"


@pytest.mark.parametrize("level", LEVELS)
async def test_isolation_levels_are_understood_everywhere(items: Any, level: str) -> None:
    async with items.transaction(isolation=level) as conn:
        await conn.execute(INSERT, 1)
    assert await _ids(items) == [1]


async def test_repeatable_read_sees_one_state(pg_items: Any) -> None:
    async with pg_items.transaction(isolation="repeatable_read") as conn:
        assert await _ids(conn) == []
        await pg_items.execute(INSERT, 1)
        assert await _ids(conn) == []
    assert await _ids(pg_items) == [1]


@pytest.mark.parametrize("level", ["", "chaos", "serializable; DROP TABLE item", 5])
async def test_bad_isolation_names_what_is_allowed(items: Any, level: Any) -> None:
    async def enter() -> None:
        async with items.transaction(isolation=level):
            pytest.fail("entered")

    with pytest.raises(InterfaceError, match="serializable"):
        await enter()
    assert await _ids(items) == []
    assert items.stats().sessions == 0


async def test_readonly(items: Any) -> None:
    async def write() -> None:
        async with items.transaction(readonly=True) as conn:
            assert await _ids(conn) == []
            await conn.execute(INSERT, 1)

    for _ in range(2):
        with pytest.raises(DatabaseError) as caught:
            await write()
        assert caught.value.sqlstate == "25006"
    await items.execute(INSERT, 2)
    assert await _ids(items) == [2]


async def test_deferrable(pg_pool: Any) -> None:
    async with pg_pool.transaction(isolation="serializable", readonly=True, deferrable=True) as conn:
        row = await conn.fetchrow("SELECT current_setting('transaction_deferrable'), pg_is_in_recovery()")
        assert row[0] == "on"


async def test_options_belong_to_the_outermost_block(items: Any) -> None:
    async def nested(conn: Any, **options: Any) -> None:
        async with conn.transaction(**options):
            pytest.fail("entered")

    async with items.transaction() as conn:
        for options in ({"isolation": "serializable"}, {"readonly": True}, {"deferrable": True}):
            with pytest.raises(InterfaceError, match="outermost"):
                await nested(conn, **options)
        await conn.execute(INSERT, 1)
    assert await _ids(items) == [1]


async def test_a_block_is_used_once(items: Any) -> None:
    async with items.acquire() as conn:
        block = conn.transaction()
        async with block:
            await conn.execute(INSERT, 1)
        with pytest.raises(InterfaceError, match="already"):
            await block.__aenter__()
        assert not conn.is_in_transaction()


# rule 6.2
async def test_begin_travels_with_the_first_statement(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.fetchval("SELECT $1::int", 0)
    await at_rest(pool)  # to read the catalogue takes round trips of its own
    before = proxy.round_trips
    for _ in range(10):
        async with pool.transaction():
            pass
    assert proxy.round_trips == before, "an empty block costs nothing"
    for i in range(10):
        async with pool.transaction() as conn:
            assert await conn.fetchval("SELECT $1::int", i) == i
    assert proxy.round_trips - before == 20
    before = proxy.round_trips
    async with pool.transaction() as conn, conn.transaction(), conn.transaction():
        await conn.fetchval("SELECT $1::int", 1)
    assert proxy.round_trips - before == 4


# rule 6.1
async def test_tasks_on_one_session_are_served_in_call_order(items: Any) -> None:
    async with items.transaction() as conn:
        calls = [conn.execute(INSERT, i) for i in range(20)]
        calls[10:10] = [conn.fetchval("SELECT count(*) FROM item") for _ in range(3)]
        results = await asyncio.gather(*calls)
    assert results[10:13] == [10, 10, 10]
    assert await _ids(items) == list(range(20))


async def test_explicit_begin_and_commit_on_a_held_connection(items: Any) -> None:
    async with items.acquire() as conn:
        await conn.execute("BEGIN")
        assert conn.is_in_transaction()
        await conn.execute(INSERT, 1)
        assert await _ids(items) == []
        await conn.execute("COMMIT")
        assert not conn.is_in_transaction()
        assert await _ids(items) == [1]
        await conn.execute("BEGIN")
        await conn.execute(INSERT, 2)
        async with conn.transaction():
            await conn.execute(INSERT, 3)
        await conn.execute("ROLLBACK")
    assert await _ids(items) == [1]


async def test_a_block_ended_by_its_own_commit(items: Any) -> None:
    async with items.transaction() as conn:
        await conn.execute(INSERT, 1)
        await conn.execute("COMMIT")
        assert not conn.is_in_transaction()
    assert await _ids(items) == [1]

    async def roll_back() -> None:
        async with items.transaction() as conn:
            await conn.execute(INSERT, 2)
            await conn.execute("ROLLBACK")
            raise OwnError

    with pytest.raises(OwnError):
        await roll_back()
    assert await _ids(items) == [1]


@pytest.mark.usefixtures("patient")
async def test_cancelled_inside_a_block(pg_items: Any) -> None:
    entered = asyncio.Event()

    async def work() -> None:
        async with pg_items.transaction() as conn:
            await conn.execute(INSERT, 1)
            entered.set()
            await conn.fetch("SELECT pg_sleep(60)")

    task = asyncio.ensure_future(work())
    await entered.wait()
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    await until_async(lambda: pg_items.fetchval(asleep))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _ids(pg_items) == []
    await until(lambda: pg_items.stats().sessions == 0)
    assert pg_items.stats().lost == 0


async def test_timed_out_statement_leaves_a_block_that_is_rolled_back(pg_items: Any) -> None:
    async def work() -> None:
        async with pg_items.transaction() as conn:
            await conn.execute(INSERT, 1)
            await conn.fetch("SELECT pg_sleep(60)", timeout=0.05)

    for _ in range(3):
        with pytest.raises(StatementTimeout):
            await work()
        assert await _ids(pg_items) == []


async def test_an_abandoned_generator_rolls_back(items: Any) -> None:
    async def numbers() -> Any:
        async with items.transaction() as conn:
            await conn.execute(INSERT, 1)
            for row in await conn.fetch("SELECT 1 UNION ALL SELECT 2"):
                yield row

    generator = numbers()
    async for _ in generator:
        break
    await generator.aclose()
    assert await _ids(items) == []
    await until(lambda: items.stats().sessions == 0)


async def test_connection_lost_inside_a_block(pg_items: Any, pg_server: Any) -> None:
    async def work(caught: list[BaseException]) -> None:
        async with pg_items.transaction() as conn:
            await conn.execute(INSERT, 1)
            pid = await conn.fetchval("SELECT pg_backend_pid()")
            await in_thread(pg_server.sql, f"SELECT pg_terminate_backend({pid})")
            for _ in range(2):
                try:
                    await conn.execute(INSERT, 2)
                except (ConnectionLost, DatabaseError) as error:
                    caught.append(error)

    caught: list[BaseException] = []
    with pytest.raises(ConnectionLost):
        await work(caught)  # what cannot be committed is an error, even if the others were swallowed
    assert len(caught) == 2
    assert await _ids(pg_items) == []
