"""Stopping what runs and what waits, without hitting another caller."""

from __future__ import annotations

import asyncio
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest

from db_pool_rs.drivers.sqlite.driver import SqliteLink
from db_pool_rs.errors import DatabaseError, StatementTimeout
from db_pool_rs.pool.pool import Pool
from tests.sqlite.harness import ENDLESS, Harness, harness, running

BEGUN = f"{ENDLESS} WHERE running()"


async def test_a_running_statement_is_interrupted() -> None:
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        begun = running(link)
        group = desk.pool(link, (BEGUN,))
        await begun.wait()
        assert await link.cancel(5)
        assert not await group.ok
        assert (await group.outcomes())[0].sqlstate == "57014"
        assert await desk.fetch(link, "SELECT 1") == [(1,)]
        assert await link.cancel(5), "nothing runs"


async def test_cancels_hit_this_statement_or_nothing() -> None:
    """The cancel comes before, while and after the statement runs; the next statement never notices."""
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        await desk.do(link, "CREATE TABLE t (a)")
        for turns in [0, 1, 2, 3] * 50:
            group = desk.pool(link, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",))
            for _ in range(turns):
                await asyncio.sleep(0)
            assert await link.cancel(5)
            assert await desk.do(link, "SELECT 1") == "SELECT 1"
            ok = await group.ok
            assert await _count(desk, link) == (2 if ok else 0)
            if ok:
                assert await group.outcomes() == ["INSERT 0 1"] * 2
            await desk.do(link, "DELETE FROM t")


async def _count(desk: Harness, link: SqliteLink) -> int:
    ((count,),) = await desk.fetch(link, "SELECT count(*) FROM t")
    assert isinstance(count, int)
    return count


async def test_a_group_whose_callers_left_does_nothing() -> None:
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        begun = running(link)
        await desk.do(link, "CREATE TABLE t (a)")
        group = desk.pool(link, ("INSERT INTO t VALUES (1)",), (f"INSERT INTO t SELECT * FROM ({BEGUN})",))
        await begun.wait()
        assert await link.cancel(5)
        assert not await group.ok
        assert await desk.fetch(link, "SELECT * FROM t") == []


async def test_waiting_for_the_turn_is_given_up_at_once() -> None:
    async with harness("sqlite://", thread_pool_size=1) as desk:
        writer, other = await desk.connect(), await desk.connect()
        await desk.do(writer, "BEGIN IMMEDIATE", "CREATE TABLE t (a)")
        alone = desk.pool(other, ("INSERT INTO t VALUES (1)",))
        assert await other.cancel(0)
        assert (await alone.outcomes())[0].sqlstate == "57014"
        session = desk.session(other, ("BEGIN IMMEDIATE",))
        assert await other.cancel(0)
        assert (await session.outcomes())[0].sqlstate == "57014"
        assert not other.in_transaction()
        await desk.do(writer, "COMMIT")
        assert await desk.pool(other, ("INSERT INTO t VALUES (1)",)).outcomes() == ["INSERT 0 1"]


async def test_a_group_that_waits_goes_on_for_calls_that_still_want_it() -> None:
    """One caller of a waiting group gives up: his statement is left out, the others keep their place."""
    async with harness("sqlite://") as desk:
        writer, other = await desk.connect(), await desk.connect()
        await desk.do(writer, "CREATE TABLE t (a)", "BEGIN IMMEDIATE")
        group = desk.pool(other, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",))
        group.statements[0].future.cancel()
        assert await other.cancel(0)
        assert not group.ok.done()
        await desk.do(writer, "COMMIT")
        assert await group.ok
        assert await desk.fetch(other, "SELECT a FROM t") == [(2,)]


async def test_a_group_that_waits_ends_when_no_caller_wants_it() -> None:
    async with harness("sqlite://") as desk:
        writer, other = await desk.connect(), await desk.connect()
        await desk.do(writer, "CREATE TABLE t (a)", "BEGIN IMMEDIATE")
        group = desk.pool(other, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",))
        for statement in group.statements:
            statement.future.cancel()
        await desk.do(writer, "COMMIT")
        assert not await group.ok
        again = desk.pool(other, ("INSERT INTO t VALUES (3)",), ("INSERT INTO t VALUES (4)",))
        assert await again.ok
        assert await desk.fetch(other, "SELECT a FROM t") == [(3,), (4,)]


async def test_an_interrupted_write_ends_the_block_of_a_session() -> None:
    async with harness("sqlite://") as desk:
        link = await desk.connect()
        begun = running(link)
        await desk.do(link, "CREATE TABLE t (a)", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)")
        group = desk.session(link, (f"INSERT INTO t SELECT * FROM ({BEGUN})",))
        await begun.wait()
        assert link.in_transaction()
        assert await link.cancel(5)
        assert (await group.outcomes())[0].sqlstate == "57014"
        assert link.in_transaction()
        with pytest.raises(DatabaseError, match="rolled back"):
            await desk.do(link, "INSERT INTO t VALUES (2)")
        assert await desk.do(link, "COMMIT") == "ROLLBACK"
        assert await desk.fetch(link, "SELECT * FROM t") == []


async def _too_slow(conn: Any) -> None:
    async with conn.transaction():
        await conn.execute("INSERT INTO t VALUES (1)")
        await conn.fetch(ENDLESS, timeout=0.02)


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "file"])
async def test_deadlines_and_cancels_through_the_pool(tmp_path: Path, memory: bool, create_pool: Any) -> None:
    async with create_pool("sqlite://" if memory else f"sqlite:///{tmp_path}/a.db", max_size=2) as pool:
        await pool.execute("CREATE TABLE t (a)")
        with pytest.raises(StatementTimeout):
            await pool.fetch(ENDLESS, timeout=0.02)
        task = asyncio.ensure_future(pool.fetch(ENDLESS))
        while not pool.stats().in_flight:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with pool.acquire() as conn:
            with pytest.raises(StatementTimeout):
                await _too_slow(conn)
            assert not conn.is_in_transaction()
            assert await conn.fetchval("SELECT count(*) FROM t") == 0
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (2)")
            with pytest.raises(StatementTimeout):
                await pool.execute("INSERT INTO t VALUES (3)", timeout=1.0)
        assert [row[0] for row in await pool.fetch("SELECT a FROM t")] == [2]


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "file"])
async def test_random_cancels_under_load_lose_and_mix_up_nothing(
    tmp_path: Path, memory: bool, create_pool: Any
) -> None:
    dsn = "sqlite://" if memory else f"sqlite:///{tmp_path}/a.db?synchronous=normal"
    random = Random(1)
    confirmed: set[int] = set()
    numbers = count()

    async def work(pool: Pool) -> None:
        number = next(numbers)
        what = number % 4
        if what == 0:
            assert await pool.fetchval("SELECT $1 + 1", number) == number + 1
        elif what == 1:
            await pool.execute("INSERT INTO t VALUES ($1)", number)
            confirmed.add(number)
        elif what == 2:
            async with pool.transaction() as conn:
                await conn.execute("INSERT INTO t VALUES ($1)", number)
                assert await conn.fetchval("SELECT a FROM t WHERE a = $1", number) == number
            confirmed.add(number)
        else:
            async with pool.transaction(readonly=True) as conn:
                assert await conn.fetchval("SELECT $1 || 'x'", number) == f"{number}x"

    async with create_pool(dsn, max_size=4) as pool:
        await pool.execute("CREATE TABLE t (a INTEGER PRIMARY KEY)")
        for _ in range(40):
            tasks = [asyncio.ensure_future(work(pool)) for _ in range(50)]
            for _ in range(random.randrange(30)):
                await asyncio.sleep(0)
                random.choice(tasks).cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(end) for end in ends} <= {type(None), asyncio.CancelledError}
        stored = {row[0] for row in await pool.fetch("SELECT a FROM t")}
        assert confirmed <= stored, "told that it was done, and it is not there"
        assert pool.stats().size <= 4
        assert pool.stats().sessions == 0
        async with pool.acquire() as a, pool.acquire() as b, pool.acquire() as c, pool.acquire() as d:
            assert [await one.fetchval("SELECT 1") for one in (a, b, c, d)] == [1] * 4


async def test_what_ends_a_block_is_executed_though_its_caller_has_gone(tmp_path: Path) -> None:
    """It waits for a thread when the cancel comes."""
    async with harness(f"sqlite:///{tmp_path / 'a.db'}", thread_pool_size=1) as desk:
        link, other = await desk.connect(), await desk.connect()
        await desk.do(link, "CREATE TABLE t (a)")
        for ends, there in (("COMMIT",), 3), (("ROLLBACK",), 0), (("ROLLBACK TO s", "RELEASE s", "COMMIT"), 2):
            await desk.do(link, "DELETE FROM t")
            await desk.do(link, "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2)")
            await desk.do(link, "SAVEPOINT s", "INSERT INTO t VALUES (3)")
            begun = running(other)
            busy = desk.session(other, (BEGUN,))
            await begun.wait()
            group = desk.session(link, *((text,) for text in ends))
            cancelling = asyncio.ensure_future(link.cancel(5))
            await asyncio.sleep(0)
            await other.cancel(5)
            await cancelling
            assert (await busy.outcomes())[0].sqlstate == "57014"
            assert [str(one).partition(" ")[0] for one in await group.outcomes()] == [
                end.partition(" ")[0] for end in ends
            ]
            assert not link.in_transaction()
            assert await _count(desk, other) == there


@pytest.mark.parametrize("call", ["plain", "savepoint", "script", "commit"])
async def test_an_interrupt_with_an_open_cursor_hits_no_later_call(tmp_path: Path, create_pool: Any, call: str) -> None:
    """SQLite lets an interrupt stay in effect as long as any statement is under way, and a cursor is."""
    async with create_pool(f"sqlite:///{tmp_path}/a.db") as pool:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as connection:
            async with connection.transaction():
                cursor = connection.cursor("VALUES (1), (2), (3)")
                assert await cursor.fetch(1) == [(1,)]
                with pytest.raises(StatementTimeout):
                    await connection.fetch(ENDLESS, timeout=0.05)
                if call == "savepoint":
                    async with connection.transaction():
                        await connection.execute("INSERT INTO t VALUES (1)")
                elif call == "script":
                    await connection.execute("INSERT INTO t VALUES (0); UPDATE t SET a = 1")
                elif call == "plain":
                    await connection.execute("INSERT INTO t VALUES (1)")
                    with pytest.raises(DatabaseError) as caught:  # it has ended, and is not told to have no more rows
                        await cursor.fetch(1)
                    assert caught.value.sqlstate == "57014"
                    await cursor.close()
                    assert await connection.cursor("VALUES (7)").fetch(2) == [(7,)]
            assert await connection.execute("INSERT INTO t VALUES (2)") == "INSERT 0 1"
        assert await pool.fetch("SELECT a FROM t ORDER BY a") == ([(1,)] if call != "commit" else []) + [(2,)]
