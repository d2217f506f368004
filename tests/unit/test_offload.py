"""Threads that were given up are counted, and limited where that is asked for."""

from __future__ import annotations

import asyncio
import threading

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
