"""The standard library's connections and a pool, in one process on one file: each sees what the other has committed.

POSIX locks belong to the process. Two copies of SQLite in it would not see each other's, and a file that one of them
closes loses those of the other: so another process is asked whether a lock is there.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

TRY_TO_WRITE = """
import sqlite3, sys
other = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
try:
    other.execute("BEGIN IMMEDIATE")
except sqlite3.OperationalError as error:
    print(error)
else:
    print("free")
"""


def connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)


async def seen_elsewhere(path: Path) -> str:
    """What another process finds that wants to write now."""
    command = [sys.executable, "-c", TRY_TO_WRITE, str(path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def count(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("SELECT count(*) FROM t").fetchone()[0]
    return number


@pytest.fixture(params=["wal", "delete"])
def mode(request: pytest.FixtureRequest) -> str:
    """The journal of the file."""
    return str(request.param)


@pytest.fixture
def path(mode: str, tmp_path: Path) -> Path:
    """A file with a table of one row."""
    file = tmp_path / "shared.db"
    with closing(connect(file)) as first:
        first.execute(f"PRAGMA journal_mode = {mode}")
        first.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT)")
        first.execute("INSERT INTO t (who) VALUES ('first')")
    return file


async def open_on(open_pool: Any, path: Path, mode: str) -> Any:
    """A pool of one connection; a reader keeps it from setting a file with a rollback journal to WAL."""
    with closing(connect(path)) as reader:
        reader.execute("BEGIN")
        count(reader)
        pool = await open_pool(f"sqlite:///{path}?busy_timeout=100", max_size=1)
        assert await pool.fetchval("PRAGMA journal_mode") == mode
    return pool


async def test_it_is_the_library_of_the_standard_library(open_pool: Any, tmp_path: Path) -> None:
    pool = await open_pool(f"sqlite:///{tmp_path / 'a.db'}")
    with closing(connect(tmp_path / "b.db")) as other:
        for question in ("sqlite_version()", "sqlite_source_id()", "CAST(1e15 AS TEXT)"):
            assert await pool.fetchval(f"SELECT {question}") == other.execute(f"SELECT {question}").fetchone()[0]
        options = [tuple(row) for row in await pool.fetch("PRAGMA compile_options")]
        assert options == other.execute("PRAGMA compile_options").fetchall()


async def test_a_connection_that_is_closed_takes_no_lock_of_the_pool(open_pool: Any, path: Path, mode: str) -> None:
    pool = await open_on(open_pool, path, mode)
    async with pool.transaction() as conn:
        await conn.execute("INSERT INTO t (who) VALUES ('pool')")
        assert "locked" in await seen_elsewhere(path)
        with closing(connect(path)) as passing:
            assert count(passing) == 1
        assert "locked" in await seen_elsewhere(path)
        with pytest.raises(sqlite3.OperationalError), closing(sqlite3.connect(path, timeout=0)) as late:
            late.execute("INSERT INTO t (who) VALUES ('late')")


async def test_a_pool_that_is_closed_takes_no_lock_of_a_connection(open_pool: Any, path: Path, mode: str) -> None:
    with closing(connect(path)) as holder:
        pool = await open_on(open_pool, path, mode)
        holder.execute("BEGIN IMMEDIATE")
        holder.execute("INSERT INTO t (who) VALUES ('holder')")
        assert await pool.fetchval("SELECT count(*) FROM t") == 1
        await pool.close()
        assert "locked" in await seen_elsewhere(path)
        assert count(holder) == 2


async def test_every_committed_row_is_seen_at_once(open_pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "counted.db"
    pool = await open_pool(f"sqlite:///{path}", max_size=4)
    await pool.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT)")
    expected = 0
    with closing(connect(path)) as held:
        for number in range(20):
            await asyncio.gather(*[pool.execute("INSERT INTO t (who) VALUES ($1)", "pool") for _ in range(50)])
            expected += 50
            assert count(held) == expected
            with closing(connect(path)) as fresh:
                assert count(fresh) == expected
                if number % 5 == 0:
                    fresh.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            held.executemany("INSERT INTO t (who) VALUES (?)", [("held",)] * 10)
            expected += 10
            assert set(await asyncio.gather(*[count_of(pool) for _ in range(4)])) == {expected}


async def count_of(pool: Any) -> int:
    number: int = await pool.fetchval("SELECT count(*) FROM t")
    return number


async def test_both_write_and_nothing_is_lost(open_pool: Any, tmp_path: Path) -> None:
    path = tmp_path / "written.db"
    pool = await open_pool(f"sqlite:///{path}?busy_timeout=30000", max_size=4)
    await pool.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, who TEXT)")

    def write() -> None:
        for _ in range(60):
            with closing(connect(path)) as other:
                other.execute("INSERT INTO t (who) VALUES ('other')")

    writers = [asyncio.create_task(asyncio.to_thread(write)) for _ in range(2)]
    for _ in range(12):
        await asyncio.gather(*[pool.execute("INSERT INTO t (who) VALUES ('pool')") for _ in range(20)])
    await asyncio.gather(*writers)
    rows = await pool.fetch("SELECT who, count(*) FROM t GROUP BY who ORDER BY who")
    assert [tuple(row) for row in rows] == [("other", 120), ("pool", 240)]
    assert await pool.fetchval("PRAGMA integrity_check") == "ok"
