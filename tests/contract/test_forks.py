"""A process forks while its pool is open, and goes on: it notices nothing of the child, whichever way that ends.

A child inherits the descriptors of the parent's connections and of its event loop. What it reads from the former the
parent never sees, what it closes or forgets in the latter the parent waits for in vain.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.waiting import in_thread

PROGRAM = """
import asyncio, gc, os, signal, sys, threading, warnings
from db_pool_rs import create_pool
from db_pool_rs.errors import InterfaceError

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of any fork beside threads
dsn, mode, ending, loop_name = sys.argv[1:]
HELD = 15.0  # seconds; below the pool's own time-outs
SLOW = "SELECT 42 FROM pg_sleep(0.5)" if dsn.startswith("postgresql") else "SELECT 42"

async def turns(seconds):
    # As long as this lasts, the child runs the loop that it has inherited.
    loop = asyncio.get_event_loop_policy().get_event_loop()
    over = loop.create_future()
    loop.call_later(seconds, over.set_result, None)
    await over

async def refused(call):
    try:
        await call
    except (InterfaceError, RuntimeError):
        return
    os._exit(3)

def with_a_pool_of_its_own():
    async def work():
        async with create_pool(dsn, mode=mode, max_size=2) as pool:
            answers = await asyncio.gather(*[pool.fetchval("SELECT $1", str(n)) for n in range(20)])
            if answers != [str(n) for n in range(20)]:
                os._exit(4)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(work())
    loop.close()

async def child(state):
    pool, conn = state
    if ending == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if ending == "exec":
        os.execv("/bin/true", ["true"])
    if ending in ("loop", "use"):
        if ending == "use":
            for call in (pool.fetchval("SELECT 1"), conn.fetchval("SELECT 1"), pool.acquire().__aenter__()):
                await refused(call)
        await turns(1.0)
    if ending == "close":
        await pool.release(conn)
        await pool.close()
        pool.terminate()
    if ending == "collect":
        pool = conn = None
        state.clear()
        gc.collect()
    if ending == "open":
        thread = threading.Thread(target=with_a_pool_of_its_own)
        thread.start()
        thread.join()
    if ending in ("exit", "close", "collect"):
        sys.exit(0)
    os._exit(0)

async def main():
    pool = await create_pool(dsn, mode=mode, min_size=2, max_size=3)
    conn = await pool.acquire()
    assert await conn.fetchval("SELECT 41") == 41
    assert await pool.fetchval("SELECT 42") == 42
    while not pool.explain("SELECT 42").guarded:  # else the pool opens a connection to read the catalogue
        await asyncio.sleep(0.01)
    running = asyncio.ensure_future(pool.fetchval(SLOW))
    await asyncio.sleep(0.05)  # it is sent, most likely
    connects = pool.stats().connects
    if not (pid := os.fork()):
        await child([pool, conn])
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == (-9 if ending == "kill" else 0), status
    assert await asyncio.wait_for(running, HELD) == 42
    assert await asyncio.wait_for(conn.fetchval("SELECT 43"), HELD) == 43
    assert await asyncio.wait_for(pool.fetchval("SELECT 44"), HELD) == 44
    assert await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, lambda: 45), HELD) == 45
    assert (pool.stats().connects, pool.stats().lost) == (connects, 0)
    async with pool.acquire() as first, pool.acquire() as second:  # one of them is new
        assert await asyncio.wait_for(first.fetchval("SELECT 46"), HELD) == 46
        assert await asyncio.wait_for(second.fetchval("SELECT 47"), HELD) == 47
    await pool.release(conn)
    await asyncio.wait_for(pool.close(), HELD)
    print("parent fine")

if loop_name == "uvloop":
    import uvloop
    uvloop.install()
asyncio.run(main())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")
@pytest.mark.parametrize("ending", ["_exit", "exit", "kill", "exec", "loop", "use", "close", "collect", "open"])
async def test_the_parent_does_not_notice_a_child(engine: Any, backend: Any, pytestconfig: Any, ending: str) -> None:
    arguments = [backend.dsn, engine.name, ending, pytestconfig.getoption("--loop")]
    done = await in_thread(
        lambda: subprocess.run(
            [sys.executable, "-W", "error::ResourceWarning", "-c", PROGRAM, *arguments],
            cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=200, check=False,
        )
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "parent fine" in done.stdout
