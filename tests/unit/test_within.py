"""Waiting with a deadline: what has ended in the moment in which its caller is cancelled."""

from __future__ import annotations

import asyncio

import pytest

from db_pool_rs.aio import Expired, within


async def test_its_result_and_its_error() -> None:
    assert await within(asyncio.sleep(0, "done"), None) == "done"

    async def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError):
        await within(fail(), 60)


async def test_the_deadline_cancels_the_work() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(Expired):
        await within(work(), 0)
    assert ended.is_set()


async def test_a_cancelled_caller_is_cancelled_though_the_work_has_ended() -> None:
    answer = asyncio.get_running_loop().create_future()
    caller = asyncio.ensure_future(within(answer, 60))
    await asyncio.sleep(0)
    answer.set_result("done")
    caller.cancel()  # in the same tick: asyncio.wait_for of Python 3.11 gives the result
    with pytest.raises(asyncio.CancelledError):
        await caller
