"""Threads that were given up are counted, and limited where that is asked for."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import pytest

from db_pool_rs.aio import Expired, offload, until

MOST = 3


async def test_threads_that_were_given_up_are_limited() -> None:
    go_on, ended = threading.Event(), asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    try:
        for at in range(MOST):
            future = offload(go_on.wait, ended.release, most=MOST)
            if at % 2:
                future.cancel()
                await asyncio.sleep(0)
            else:
                with pytest.raises(Expired):
                    await until(future, loop.time())
        with pytest.raises(OSError, match=f"{MOST} earlier attempts were given up and still run"):
            await offload(go_on.wait, most=MOST)
        assert await offload(lambda: 7) == 7  # without a limit, as for a cancel
    finally:
        go_on.set()
    for _ in range(MOST):
        await ended.acquire()
    assert await offload(lambda: 8, most=1) == 8


def test_a_thread_that_ends_when_its_loop_no_longer_runs_is_not_counted() -> None:
    go_on, over = threading.Event(), threading.Event()
    loop = asyncio.new_event_loop()

    async def give_up() -> None:
        offload(go_on.wait, most=1).cancel()
        await asyncio.sleep(0)

    told = loop.call_soon_threadsafe

    def tell(*call: Any, **options: Any) -> Any:
        try:
            return told(*call, **options)
        finally:
            over.set()

    loop.call_soon_threadsafe = tell  # type: ignore[method-assign]
    loop.run_until_complete(give_up())
    go_on.set()
    assert over.wait(60)  # the loop was told, and is closed before it hears
    loop.close()

    assert asyncio.run(_another()) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
async def test_a_child_process_has_none_of_its_parents_threads() -> None:
    go_on, ended = threading.Event(), asyncio.Event()
    offload(go_on.wait, ended.set, most=1).cancel()
    await asyncio.sleep(0)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if asyncio.run(_another()) == 9 else 2
        finally:
            os._exit(code)
    go_on.set()
    _, status = await asyncio.to_thread(os.waitpid, child, 0)
    await ended.wait()
    assert os.waitstatus_to_exitcode(status) == 0


async def _another() -> int:
    return await offload(lambda: 9, most=1)
