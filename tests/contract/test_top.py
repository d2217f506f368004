"""`pool.top()` and `python -m db_pool_rs top`: how the pools of running programs stand, for their user alone."""

from __future__ import annotations

import asyncio
import io
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.cli.terminal import Terminal, display_width
from db_pool_rs.cli.top import look, screen
from db_pool_rs.errors import InterfaceError
from db_pool_rs.pool.top import folder
from tests.contract.guarding import guarded, script
from tests.contract.waiting import in_thread

SECRET = "s3cr3t-Pa55w0rd"


@pytest.fixture(autouse=True)
def runtime_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own; paths of unix sockets are short."""
    import tempfile

    with tempfile.TemporaryDirectory(dir="/tmp") as path:
        monkeypatch.setenv("XDG_RUNTIME_DIR", path)
        monkeypatch.setattr("db_pool_rs.cli.top.PATIENCE", 30.0)  # only one test is about a busy loop
        yield Path(path)


def top(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "db_pool_rs", "top", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


async def test_a_pool_shows_how_it_stands(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, name="shop", max_size=3)
    await pool.execute("CREATE TABLE item (id int, name text)")
    for i in range(5):
        await pool.execute("INSERT INTO item VALUES ($1, $2)", i, SECRET)
    await pool.fetch(f"SELECT id FROM item WHERE name = '{SECRET}' AND id > 17")
    path = Path(await pool.top())
    assert await pool.top() == str(path), "once is enough"
    async with pool.acquire() as connection:
        await connection.fetch("SELECT 42 AS held")
        (view,) = await look(os.getpid())
    assert (view["pid"], view["pool"], view["state"]) == (os.getpid(), "shop", "open")
    assert view["stats"]["statements"] >= 7
    assert view["stats"]["sessions"] == 1
    assert "buckets" not in view["stats"]["run_ms"]
    (holder,) = view["holders"]
    assert "test_top.py:" in holder["place"]
    assert holder["sql"] == "SELECT ? AS held"
    counted = {one["sql"]: one["count"] for one in view["statements"]}
    assert counted["INSERT INTO item VALUES ($1, $2)"] == 5
    assert "SELECT id FROM item WHERE name = ? AND id > ?" in counted
    assert SECRET not in json.dumps(view)
    await pool.close()
    assert path not in set(await in_thread(folder().iterdir))
    assert await look(os.getpid()) == []


async def test_the_place_of_a_holder_is_the_programs_line(open_pool: Any, backend: Any) -> None:
    """Also where a task calls the pool directly, so that no line of the program was on the stack of the acquire."""
    pool = await open_pool(backend.dsn)
    entered, leave = asyncio.Event(), asyncio.Event()

    async def work(connection: Any) -> None:
        await connection.fetch("SELECT 1 AS one")
        entered.set()
        await leave.wait()

    task = asyncio.create_task(pool.run(work))
    await entered.wait()
    await pool.top()
    (view,) = await look(os.getpid())
    leave.set()
    await task
    waiting = work.__code__.co_firstlineno + 3
    assert [holder["place"] for holder in view["holders"]] == [f"{__file__}:{waiting}"]


async def test_only_its_user_may_look(open_pool: Any, backend: Any, runtime_folder: Path) -> None:
    pool = await open_pool(backend.dsn)
    path = Path(await pool.top())
    assert path.parent == folder()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    await pool.close()
    path.parent.chmod(0o755)
    with pytest.raises(InterfaceError, match="belongs to this user alone"):
        await (await open_pool(backend.dsn)).top()
    path.parent.rmdir()
    path.parent.symlink_to(runtime_folder)
    with pytest.raises(InterfaceError, match="belongs to this user alone"):
        folder()


async def test_the_variable_shows_every_pool(open_pool: Any, backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_POOL_TOP", "0")
    await open_pool(backend.dsn, name="hidden")
    monkeypatch.setenv("DB_POOL_TOP", "1")
    for name in ("one", "two"):
        await open_pool(backend.dsn, name=name)
    assert [view["pool"] for view in await look(None)] == ["one", "two"]


async def test_the_command_fits_into_80_columns(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, name="shop" * 10, max_size=3)
    await pool.top()
    await pool.fetch(f"SELECT 1 AS {'long_' * 40}name")
    async with pool.acquire() as connection:
        await connection.fetch("SELECT 1 AS one")
        shown, lines = await asyncio.gather(
            in_thread(top), in_thread(top, "--json", "--times", "2", "--interval", "0.01")
        )
    assert shown.returncode == lines.returncode == 0, shown.stderr + lines.stderr
    text = shown.stdout.splitlines()
    assert text[0].startswith("db_pool_rs top")
    assert max(map(display_width, text)) <= 80
    assert any(line.startswith("  held ") for line in text)
    assert any("connections" in line and "1 sessions" in line for line in text)
    for words in ("waiting 0", "in flight 0", "groups of ", ", at most ", "hold p50 "):
        assert any(words in line for line in text), f"{words!r} is cut off"
    assert any(line.startswith("  held ") and line.endswith(": SELECT ? AS one") for line in text)
    first, second = map(json.loads, lines.stdout.splitlines())
    assert first[0]["pool"] == second[0]["pool"] == "shop" * 10


async def test_large_figures_are_not_cut_off(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=3)
    await pool.top()
    await pool.fetch("SELECT 1 AS one")
    (view,) = await look(os.getpid())
    now = view["stats"]
    now.update(size=1000, max_size=1000, lanes=200, alone=200, sessions=200, idle=200, opening=200, waiting=123456)
    now.update(in_flight=12345, statements=9876543210, queries_per_second=123456.0, errors=7654321, lost=54321)
    for key in ("wait_ms", "run_ms", "hold_ms", "group_size"):
        now[key].update(p50=12345.6, p99=654321.7, max=1000.0)
    lines = list(screen(Terminal(io.StringIO()), [view]))
    assert max(map(display_width, lines)) <= 80
    shown = " ".join(lines)
    for words in ("200 opening", "waiting 123456", "in flight 12345", "errors 7,654,321", "lost 54321"):
        assert words in shown
    assert "at most 1000" in shown
    assert "hold p50 12345.6 p99 654321.7 ms" in shown


async def test_what_the_guard_keeps_alone(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    await script(
        pool,
        """CREATE TABLE item (id int);
        CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_notify(''news'', ''x''); RETURN NEW; END';
        CREATE TRIGGER telling BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION tell()""",
    )
    sql = "INSERT INTO item VALUES ($1)"
    await pool.execute(sql, 1)
    await guarded(pool, sql)
    await pool.top()
    (view,) = await look(os.getpid())
    assert view["alone"] == [{"sql": sql, "reason": pool.explain(sql).reason}]
    assert "pg_notify" in view["alone"][0]["reason"]


async def test_an_outage_is_among_the_events(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    pool = await open_pool(server.dsn("postgres"), min_size=1, max_size=1)
    await pool.top()
    await in_thread(server.stop, "immediate")
    told: list[str] = []
    while not all(any(words in text for text in told) for words in ("connecting fails", "lost")):
        (view,) = await look(os.getpid())
        told = [event["text"] for event in view["events"]]


# -- without a pool ----------------------------------------------------------------------------------------------------


def test_nothing_to_see() -> None:
    done = top()
    assert done.returncode == 1
    assert done.stderr.startswith("error: no pool of this user shows itself: start the program with DB_POOL_TOP=1")
    assert top("--json").stdout == "[]\n"


async def test_what_a_dead_process_left_is_cleared_away() -> None:
    path = folder(create=True) / "1-1.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert await look(None) == []
    assert path not in set(await in_thread(folder().iterdir))


async def test_a_loop_that_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db_pool_rs.cli.top.PATIENCE", 0.05)
    path = folder(create=True) / "77-1.sock"
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(path))
        silent.listen()
        (view,) = await look(None)
    assert (view["pid"], view["error"]) == (77, "its event loop is busy")
