"""Thousands of calls wait and give up together: what that costs, counted, and what is left of them."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db_pool_rs.errors import PoolClosed, PoolTimeout
from tests.contract.guarding import at_rest
from tests.contract.waiting import until

MANY = 3000
#: The most callers that may be answered in one tick of the event loop.
SLICE = MANY // 4

Call = Callable[..., Awaitable[Any]]


class Argument(str):
    """An argument that tells when it is gone."""

    __slots__ = ("__weakref__",)


async def _fetch(pool: Any, timeout: float | None = None) -> None:
    await pool.fetch("SELECT 1", timeout=timeout)


async def _acquire(pool: Any, timeout: float | None = None) -> None:
    async with pool.acquire(timeout=timeout):
        raise AssertionError("there is no connection")


@pytest.fixture
async def busy(open_pool: Any, backend: Any) -> Any:
    """A pool whose only connection is held for as long as the test takes."""
    pool = await open_pool(backend.dsn, max_size=1, max_waiting=2 * MANY)
    for _ in range(5):
        await pool.fetch("SELECT 1")
    await at_rest(pool)  # to read the catalogue takes a call of its own
    async with pool.acquire():
        yield pool


def _begin(pool: Any, call: Call, **options: Any) -> list[asyncio.Task[Any]]:
    """Many calls that wait for a connection."""
    return [asyncio.ensure_future(call(pool, **options)) for _ in range(MANY)]


async def _wait(pool: Any, call: Call, **options: Any) -> list[asyncio.Task[Any]]:
    """The same, once all of them do."""
    tasks = _begin(pool, call, **options)
    await until(lambda: pool.stats().waiting == MANY)
    return tasks


async def _most_in_a_turn(tasks: list[asyncio.Task[Any]]) -> int:
    """The most of `tasks` that ended between two ticks of the event loop, until all have."""
    ended = most = 0

    def count(_: Any) -> None:
        nonlocal ended
        ended += 1

    for task in tasks:
        task.add_done_callback(count)
    while ended < len(tasks):
        before = ended
        await asyncio.sleep(0)
        most = max(most, ended - before)
    return most


@pytest.mark.parametrize("call", [_fetch, _acquire])
async def test_calls_that_time_out_together_share_one_report(busy: Any, call: Call) -> None:
    tasks = _begin(busy, call, timeout=1.0)
    errors = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(error) for error in errors} == {PoolTimeout}
    assert len({id(error.stats) for error in errors}) <= MANY // 50, "a report for each"
    assert len({id(error) for error in errors}) == MANY, "an error for each"
    for error in (errors[0], errors[-1]):
        assert "test_overload.py" in error.holders[0]
        assert error.stats.sessions == 1
    stats = busy.stats()
    assert (stats.timeouts, stats.waiting) == (MANY, 0)


@pytest.mark.parametrize("call", [_fetch, _acquire])
async def test_the_loop_serves_others_while_many_time_out(busy: Any, call: Call) -> None:
    tasks = _begin(busy, call, timeout=1.0)
    assert await _most_in_a_turn(tasks) <= SLICE
    assert {type(task.exception()) for task in tasks} == {PoolTimeout}


@pytest.mark.parametrize("call", [_fetch, _acquire])
async def test_the_loop_serves_others_while_many_hear_that_the_pool_is_closed(busy: Any, call: Call) -> None:
    tasks = await _wait(busy, call)
    busy.terminate()
    assert await _most_in_a_turn(tasks) <= SLICE
    assert {type(task.exception()) for task in tasks} == {PoolClosed}


async def test_all_that_waits_when_the_pool_is_closed_is_answered_when_that_returns(busy: Any) -> None:
    tasks = await _wait(busy, _fetch)
    await busy.close(timeout=0)
    assert {type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)} == {PoolClosed}
    assert not [task for task in tasks if task.cancelled()]


@pytest.mark.parametrize("call", [_fetch, _acquire])
async def test_cancelled_from_the_tail(busy: Any, call: Call) -> None:
    tasks = await _wait(busy, call, timeout=600.0)
    for task in reversed(tasks[1:]):
        task.cancel()
    await asyncio.wait(tasks[1:])
    await until(lambda: busy.stats().waiting == 1)
    assert busy.stats().cancelled == MANY - 1
    tasks[0].cancel()
    await until(lambda: busy.stats().waiting == 0)


async def test_what_was_cancelled_is_not_kept(busy: Any) -> None:
    """Neither in the queue, behind one who still waits, nor until its deadline."""
    first = asyncio.ensure_future(busy.fetchval("SELECT $1", "first", timeout=600.0))
    await until(lambda: busy.stats().waiting == 1)
    arguments = [Argument(f"{i}") for i in range(MANY)]
    kept = [weakref.ref(argument) for argument in arguments]
    tasks = [asyncio.ensure_future(busy.fetchval("SELECT $1", one, timeout=600.0)) for one in arguments]
    del arguments
    await until(lambda: busy.stats().waiting == MANY + 1)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    del tasks, task
    await until(lambda: busy.stats().waiting == 1)
    gc.collect()
    assert sum(1 for one in kept if one() is not None) <= MANY // 10
    first.cancel()
    await asyncio.wait((first,))
