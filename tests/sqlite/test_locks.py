"""Locks: within the pool its own, between processes SQLite's."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs import create_pool
from db_pool_rs.drivers.sqlite.database import Database
from db_pool_rs.errors import ConnectFailed, LockNotAvailable, StatementTimeout
from tests.contract.waiting import until
from tests.sqlite.harness import harness, outside


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with an empty table."""
    made = tmp_path / "a.db"
    outside(made, "PRAGMA journal_mode = WAL; CREATE TABLE t (a)")
    return made


class Outsider:
    """Another process that takes the write lock, and gives it back when told."""

    def __init__(self, path: Path) -> None:
        code = (
            "import sqlite3, sys\n"
            "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
            "c.execute('BEGIN IMMEDIATE')\n"
            "print('locked', flush=True)\n"
            "sys.stdin.readline()\n"
            "c.execute('INSERT INTO t VALUES (100)')\n"
            "c.execute('COMMIT')\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "locked\n"

    def release(self) -> None:
        self.process.communicate("\n")

    def close(self) -> None:
        if self.process.poll() is None:
            self.release()


@pytest.fixture
def outsider(path: Path) -> Iterator[Outsider]:
    """A process that writes."""
    made = Outsider(path)
    yield made
    made.close()


async def test_another_process_is_waited_for(path: Path, outsider: Outsider) -> None:
    async with harness(f"sqlite:///{path}?busy_timeout=30000") as desk:
        link, session = await desk.connect(), await desk.connect()
        group = desk.pool(link, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",))
        reading = desk.pool(session, ("SELECT * FROM t",), want=True)
        assert await reading.outcomes() == [[]], "readers are not in the way"
        assert not group.ok.done()
        await asyncio.to_thread(outsider.release)
        assert await group.ok
        assert await desk.fetch(link, "SELECT a FROM t") == [(100,), (1,), (2,)]


async def test_another_process_is_not_waited_for_in_vain(path: Path, outsider: Outsider) -> None:
    async with harness(f"sqlite:///{path}?busy_timeout=20", stall_ms=1) as desk:
        link = await desk.connect()
        group = desk.pool(link, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",))
        outcomes = await group.outcomes()
        assert await group.ok, "each has its answer: sent alone they would wait once more"
        assert [type(one) for one in outcomes] == [LockNotAvailable] * 2
        assert outcomes[0] is not outcomes[1]
        assert outcomes[0].safe_to_retry
        for call in ("INSERT INTO t VALUES (1)", "CREATE TABLE u (a)"):
            (outcome,) = await desk.pool(link, (call,)).outcomes()
            assert isinstance(outcome, LockNotAvailable)
        with pytest.raises(LockNotAvailable):
            await desk.do(link, "BEGIN IMMEDIATE", "SELECT 1")
        assert not link.in_transaction()


async def test_waiting_for_another_process_can_be_given_up(path: Path, outsider: Outsider, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{path}?busy_timeout=60000") as pool:
        for sql in ("INSERT INTO t VALUES (1)", "CREATE TABLE u (a)"):
            await until(lambda: pool.stats().idle == pool.stats().size)  # what was given up has ended
            with pytest.raises(StatementTimeout):
                await pool.execute(sql, timeout=0.5)
        async with pool.acquire() as conn:
            with pytest.raises(StatementTimeout):
                await conn.execute("INSERT INTO t VALUES (1)", timeout=0.5)
            assert await conn.fetchval("SELECT count(*) FROM t") == 0
        await asyncio.to_thread(outsider.release)
        assert await pool.execute("INSERT INTO t VALUES (1)") == "INSERT 0 1"


async def test_a_snapshot_that_others_overtook_cannot_write(path: Path) -> None:
    async with harness(f"sqlite:///{path}?busy_timeout=20") as desk:
        link = await desk.connect()
        await desk.do(link, "BEGIN", "SELECT * FROM t")
        outside(path, "INSERT INTO t VALUES (1)")
        (outcome,) = await desk.session(link, ("INSERT INTO t VALUES (2)",)).outcomes()
        assert outcome.sqlstate == ("40001" if sys.version_info >= (3, 11) else "55P03")
        await desk.do(link, "ROLLBACK")


async def test_a_file_that_another_process_keeps_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    holder = sqlite3.connect(path, isolation_level=None)
    holder.executescript("CREATE TABLE t (a); BEGIN EXCLUSIVE")
    async with harness(f"sqlite:///{path}?busy_timeout=20") as desk:
        with pytest.raises(ConnectFailed) as caught:
            await desk.connect()
        assert caught.value.sqlstate == "55P03"
        assert not caught.value.permanent
    holder.close()


# -- within the pool ---------------------------------------------------------------------------------------------------


async def test_waiting_for_a_turn_needs_no_thread(path: Path, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{path}", thread_pool_size=1, max_size=4) as pool:
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (1)")
            waiting = [asyncio.ensure_future(pool.execute("INSERT INTO t VALUES (2)")) for _ in range(2)]
            other = asyncio.ensure_future(pool.executemany("INSERT INTO t VALUES ($1)", [(3,)]))
            for _ in range(20):
                assert await conn.fetchval("SELECT count(*) FROM t") == 1
            assert not any(task.done() for task in (*waiting, other))
        await asyncio.gather(*waiting, other)
        assert await pool.fetchval("SELECT count(*) FROM t") == 4


async def test_readers_read_while_another_one_writes(path: Path, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{path}") as pool, pool.transaction() as conn:
        await conn.execute("INSERT INTO t VALUES (1)")
        assert await pool.fetchval("SELECT count(*) FROM t") == 0
        async with pool.transaction(readonly=True) as other:
            assert await other.fetchval("SELECT count(*) FROM t") == 0


async def test_readers_read_while_many_wait_to_write(path: Path, create_pool: Any) -> None:
    """Each text is new, so each needs a connection to itself, but only one of them at a time."""
    async with create_pool(f"sqlite:///{path}", max_size=3) as pool:
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO t VALUES (0)")
            writes = [asyncio.ensure_future(pool.execute(f"INSERT INTO t VALUES ({n})")) for n in range(1, 21)]
            assert await conn.fetchval("SELECT count(*) FROM t") == 1, "by then all of them wait"
            assert await pool.fetchval("SELECT count(*) FROM t", timeout=20.0) == 0
            assert pool.stats().waiting == 19
            assert not any(write.done() for write in writes)
        await asyncio.gather(*writes)
        rows = await pool.fetch("SELECT a FROM t ORDER BY rowid")
        assert [row[0] for row in rows] == list(range(21)), "first come, first served"


async def test_a_transaction_that_waits_for_itself_is_told(path: Path) -> None:
    async with harness(f"sqlite:///{path}") as desk:
        desk.driver.write_lock.patience = 0.02
        writer, other = await desk.connect(), await desk.connect()
        await desk.do(writer, "BEGIN IMMEDIATE")
        group = desk.pool(other, ("INSERT INTO t VALUES (1)",), ("INSERT INTO t VALUES (2)",))
        assert [type(one) for one in await group.outcomes()] == [LockNotAvailable] * 2
        with pytest.raises(LockNotAvailable, match="another transaction of this pool"):
            await desk.do(other, "BEGIN IMMEDIATE")
        assert not other.in_transaction()
        await desk.do(writer, "ROLLBACK")
        assert await desk.pool(other, ("INSERT INTO t VALUES (1)",)).outcomes() == ["INSERT 0 1"]


async def test_many_writers_all_succeed(path: Path, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{path}?busy_timeout=0", max_size=8) as pool:

        async def transfer(number: int) -> None:
            async with pool.transaction() as conn:
                before = await conn.fetchval("SELECT count(*) FROM t")
                await conn.execute("INSERT INTO t VALUES ($1)", before)

        singles = [pool.execute("INSERT INTO t SELECT count(*) FROM t") for _ in range(100)]
        await asyncio.gather(*[transfer(number) for number in range(30)], *singles)
        assert [row[0] for row in await pool.fetch("SELECT a FROM t ORDER BY a")] == list(range(130))


async def test_without_wal_readers_and_writers_take_turns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on file systems without shared memory: no connection is locked out, all wait."""
    outside(path, "PRAGMA journal_mode = DELETE")
    monkeypatch.setattr(Database, "_journal_mode", lambda self, stop: "delete")
    async with create_pool(f"sqlite:///{path}", max_size=8) as pool:

        async def work() -> None:
            for _ in range(10):
                await pool.execute("INSERT INTO t VALUES (1)")
                async with pool.transaction(readonly=True) as conn:
                    first = await conn.fetchval("SELECT count(*) FROM t")
                    assert await conn.fetchval("SELECT count(*) FROM t") == first
                async with pool.transaction() as conn:
                    await conn.execute("INSERT INTO t VALUES (2)")
                await pool.fetch("SELECT max(a) FROM t")

        await asyncio.gather(*[work() for _ in range(8)])
        assert await pool.fetchval("SELECT count(*) FROM t") == 160
