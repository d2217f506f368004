"""Opening and closing connections: what is set, what is said when it fails, what is left."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, ConnectionLost, PoolClosed
from tests.sqlite.harness import ENDLESS, Harness, harness, running


async def test_a_connection_is_durable_enforces_keys_and_has_wal(tmp_path: Path) -> None:
    async with harness(f"sqlite:///{tmp_path}/a.db") as desk:
        link = await desk.connect()
        for name, value in (("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("query_only", 0)):
            assert await desk.fetch(link, f"PRAGMA {name}") == [(value,)]


async def test_options_of_the_connection_string(tmp_path: Path) -> None:
    async with harness(f"sqlite:///{tmp_path}/a.db?synchronous=normal&foreign_keys=off&busy_timeout=7") as desk:
        link = await desk.connect()
        for name, value in (("synchronous", 1), ("foreign_keys", 0), ("busy_timeout", 7)):
            assert await desk.fetch(link, f"PRAGMA {name}") == [(value,)]


@pytest.mark.parametrize("name", ["with blank.db", "per%cent.db", "quest?ion.db", "ha#sh.db", "ünïcode.db", "a&b=c.db"])
async def test_any_name_of_a_file(tmp_path: Path, name: str, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{tmp_path}/{name}".replace("%", "%25").replace("?", "%3F")) as pool:
        await pool.execute("CREATE TABLE t (a)")
    assert (tmp_path / name).is_file()


async def test_a_relative_path_is_that_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with harness("sqlite:///a.db") as desk:
        monkeypatch.chdir("/")
        await desk.connect()
    assert (tmp_path / "a.db").is_file()


@pytest.mark.parametrize(
    ("path", "options", "reason"),
    [
        ("missing/a.db", "", "unable to open database file: its directory does not exist"),
        ("folder", "", "unable to open database file: it is a directory"),
        ("missing.db", "?mode=rw", "unable to open database file: it does not exist"),
        ("missing.db", "?mode=ro", "unable to open database file: it does not exist"),
        ("text.db", "", "file is not a database"),
    ],
)
async def test_what_cannot_be_opened(tmp_path: Path, path: str, options: str, reason: str, create_pool: Any) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_text("this is no database at all, but longer than a header" * 100)
    async with harness(f"sqlite:///{tmp_path}/{path}{options}") as desk:
        with pytest.raises(ConnectFailed) as caught:
            await desk.connect()
    assert caught.value.attempts == (f"{tmp_path}/{path}: {reason}",)
    assert caught.value.permanent
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    pool = create_pool(f"sqlite:///{tmp_path}/{path}{options}")
    with pytest.raises(ConnectFailed, match=reason):
        await pool


async def test_a_file_that_is_only_read(tmp_path: Path, create_pool: Any) -> None:
    async with create_pool(f"sqlite:///{tmp_path}/a.db") as pool:
        await pool.execute("CREATE TABLE t (a)")
        await pool.execute("INSERT INTO t VALUES (1)")
    async with create_pool(f"sqlite:///{tmp_path}/a.db?mode=ro") as pool:
        assert await pool.fetchval("SELECT a FROM t") == 1
        with pytest.raises(Exception, match="readonly") as caught:
            await pool.execute("INSERT INTO t VALUES (2)")
        assert getattr(caught.value, "sqlstate", None) == "25006"


async def test_an_open_that_no_caller_waits_for_leaves_nothing(tmp_path: Path) -> None:
    for turns in range(6):
        async with harness(f"sqlite:///{tmp_path}/a.db") as desk:
            opening = asyncio.ensure_future(desk.connect())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await opening


# -- closing -----------------------------------------------------------------------------------------------------------


async def test_closing_interrupts_what_runs_and_ends_the_threads(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    desk = Harness(f"sqlite:///{tmp_path}/a.db", thread_pool_size=1)
    links = [await desk.connect() for _ in range(4)]
    await desk.do(links[3], "BEGIN IMMEDIATE")
    begun = running(links[0])
    runs = desk.pool(links[0], (f"{ENDLESS} WHERE running()",))
    await begun.wait()
    for_a_thread, for_the_turn = desk.pool(links[1], ("SELECT 1",)), desk.session(links[2], ("BEGIN IMMEDIATE",))
    await asyncio.wait_for(desk.driver.close(), 5)
    await asyncio.wait_for(desk.driver.close(), 5)
    for group in (runs, for_a_thread, for_the_turn):
        assert not group.ok.done(), "a closed connection calls no callback"
    assert set(threading.enumerate()) <= before


async def test_closing_a_link_gives_its_turn_to_the_next() -> None:
    async with harness("sqlite://") as desk:
        first, waiting, third = [await desk.connect() for _ in range(3)]
        await desk.do(first, "CREATE TABLE t (a)", "BEGIN IMMEDIATE", "INSERT INTO t VALUES (1)")
        forgotten = desk.pool(waiting, ("INSERT INTO t VALUES (2)",))
        group = desk.pool(third, ("INSERT INTO t VALUES (3)",))
        waiting.close()
        waiting.close()
        first.close()
        assert await group.ok
        assert not forgotten.ok.done()
        assert await desk.fetch(third, "SELECT a FROM t") == [(3,)]


async def test_closing_a_pool_under_load(tmp_path: Path, create_pool: Any) -> None:
    pool = await create_pool(f"sqlite:///{tmp_path}/a.db", max_size=4)
    await pool.execute("CREATE TABLE t (a)")
    told = 0

    async def work() -> None:
        nonlocal told
        while True:
            await pool.execute("INSERT INTO t VALUES (1)")
            told += 1
            await pool.fetch("SELECT count(*) FROM t")

    tasks = [asyncio.ensure_future(work()) for _ in range(20)]
    while told < 100:
        await asyncio.sleep(0)
    await pool.close()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {PoolClosed}
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (told,)
    connection.close()


async def test_terminating_a_pool_under_load(tmp_path: Path, create_pool: Any) -> None:
    pool = await create_pool(f"sqlite:///{tmp_path}/a.db", max_size=4)
    tasks = [asyncio.ensure_future(pool.fetch(ENDLESS)) for _ in range(8)]
    while pool.stats().in_flight < 4:
        await asyncio.sleep(0)
    pool.terminate()
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(end) for end in ends} == {PoolClosed, ConnectionLost}
    await pool.close()


async def test_a_connection_that_breaks_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    desk = Harness("sqlite://")
    link = await desk.connect()
    link._database.connection.close()
    group = desk.pool(link, ("SELECT 1",), ("SELECT 2",))
    while not desk.listener.lost:
        await asyncio.sleep(0)
    await desk.driver.close()
    assert not group.ok.done()
    assert len(desk.listener.lost) == 1
    assert "is closed" in caplog.text


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of sqlite3, for the open database
def test_a_loop_that_ends_first_leaves_threads_that_end() -> None:
    """A program that forgets to close its pool."""
    before = set(threading.enumerate())

    async def main() -> None:
        desk = Harness("sqlite://")
        link = await desk.connect()
        desk.pool(link, ("SELECT 1",))

    asyncio.run(main())
    for thread in set(threading.enumerate()) - before:
        while thread.is_alive():  # what it works at keeps the pool alive, which is garbage afterwards
            gc.collect()
            thread.join(0.01)
