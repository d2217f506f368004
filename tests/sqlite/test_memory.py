"""In-memory databases: one per pool, shared by its connections, with one lock for readers and writers."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import LockNotAvailable
from tests.sqlite.harness import harness


async def test_all_connections_of_a_pool_share_it_and_no_other_pool_does(create_pool: Any) -> None:
    async with create_pool("sqlite://", min_size=3) as pool, create_pool("sqlite://") as other:
        await pool.execute("CREATE TABLE t (a)")
        async with pool.acquire() as one, pool.acquire() as two:
            await one.execute("INSERT INTO t VALUES (1)")
            assert await two.fetchval("SELECT a FROM t") == 1
        assert await other.fetchval("SELECT count(*) FROM sqlite_master") == 0


async def test_it_lives_as_long_as_the_pool(create_pool: Any) -> None:
    async with create_pool("sqlite://", min_size=0) as pool:
        await pool.execute("CREATE TABLE t (a)")
        pool.expire_connections()
        assert await pool.fetchval("SELECT count(*) FROM t") == 0


async def test_a_connection_opens_while_another_one_writes() -> None:
    async with harness("sqlite://") as desk:
        writer = await desk.connect()
        await desk.do(writer, "BEGIN IMMEDIATE", "CREATE TABLE t (a)")
        other = await desk.connect()
        reading = desk.pool(other, ("SELECT count(*) FROM t",), want=True)
        assert not reading.ok.done()
        await desk.do(writer, "COMMIT")
        assert await reading.outcomes() == [[(0,)]]


async def test_readers_wait_for_a_writer_and_writers_for_readers() -> None:
    async with harness("sqlite://", thread_pool_size=1) as desk:
        a, b, c = [await desk.connect() for _ in range(3)]
        await desk.do(a, "CREATE TABLE t (a)", "BEGIN READ ONLY", "SELECT * FROM t")
        await desk.do(b, "BEGIN READ ONLY", "SELECT * FROM t")
        writing = desk.pool(c, ("INSERT INTO t VALUES (1)",))
        await desk.do(a, "SELECT * FROM t")
        assert not writing.ok.done()
        await desk.do(a, "COMMIT")
        assert not writing.ok.done()
        await desk.do(b, "COMMIT")
        assert await writing.outcomes() == ["INSERT 0 1"]


async def test_a_caller_that_waits_for_itself_is_told() -> None:
    async with harness("sqlite://") as desk:
        desk.driver.write_lock.patience = 0.02
        writer, other = await desk.connect(), await desk.connect()
        await desk.do(writer, "BEGIN IMMEDIATE", "CREATE TABLE t (a)")
        reads = await desk.pool(other, ("SELECT 1 FROM t",), ("SELECT 2 FROM t",)).outcomes()
        assert [type(one) for one in reads] == [LockNotAvailable] * 2
        with pytest.raises(LockNotAvailable):
            await desk.do(other, "BEGIN")


async def test_many_readers_and_writers(create_pool: Any) -> None:
    async with create_pool("sqlite://", max_size=8) as pool:
        await pool.execute("CREATE TABLE t (a)")

        async def read() -> None:
            for _ in range(20):
                async with pool.transaction(readonly=True) as conn:
                    first = await conn.fetchval("SELECT count(*) FROM t")
                    assert await conn.fetchval("SELECT count(*) FROM t") == first

        async def write() -> None:
            for _ in range(20):
                await pool.execute("INSERT INTO t VALUES (1)")
                async with pool.transaction() as conn:
                    await conn.execute("INSERT INTO t VALUES (2)")
                await pool.fetch("SELECT max(a) FROM t")

        await asyncio.gather(*[read() for _ in range(6)], *[write() for _ in range(6)])
        assert await pool.fetchval("SELECT count(*) FROM t") == 240
