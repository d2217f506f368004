"""What it costs that thousands of calls which wait for the only connection give up together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from ._clients import Client

#: Seconds after which calls give up that time out; all of them must be waiting by then.
TIMEOUT = 2.0
#: A time-out that does not pass.
FOR_LONG = 600.0
#: Pause between two looks at whether the event loop is held.
TICK = 0.001


async def time_out(client: Client, tasks: int) -> dict[str, float]:
    """All ask for the connection with a time-out: how long after the last deadline all have heard."""
    assert client.borrow is not None, "bug: a contender without time-outs"
    borrow, latest = client.borrow, 0.0

    async def call() -> None:
        nonlocal latest
        latest = time.perf_counter()
        async with borrow(TIMEOUT):
            raise AssertionError("the connection is taken")

    async with _taken(client):
        calls = [asyncio.create_task(call()) for _ in range(tasks)]
        async with _watch(TIMEOUT) as watch:
            results = await asyncio.gather(*calls, return_exceptions=True)
        all_s = time.perf_counter() - latest - TIMEOUT
    _check(results)
    return {"all_s": max(all_s, 0.0), "held_ms": watch.most * 1e3}


async def acquire(client: Client) -> None:
    """Ask for the connection, which is taken, for longer than any measurement takes."""
    assert client.borrow is not None, "bug: a contender without time-outs"
    async with client.borrow(FOR_LONG):
        raise AssertionError("the connection is taken")


async def cancel(client: Client, work: Callable[[], Awaitable[Any]], tasks: int) -> dict[str, float]:
    """All do `work`, and are cancelled while they wait, the last one first: how long until all have ended."""
    begun = 0

    async def call() -> None:
        nonlocal begun
        begun += 1
        await work()

    async with _taken(client):
        calls = [asyncio.create_task(call()) for _ in range(tasks)]
        while begun < tasks:
            await asyncio.sleep(TICK)
        await asyncio.sleep(TICK)
        async with _watch(0.0) as watch:
            started = time.perf_counter()
            for one in reversed(calls):
                one.cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
            all_s = time.perf_counter() - started
    _check(results)
    return {"all_s": all_s, "held_ms": watch.most * 1e3}


def _check(results: list[Any]) -> None:
    served = sum(1 for result in results if not isinstance(result, BaseException) or isinstance(result, AssertionError))
    if served:
        raise RuntimeError(f"{served} of {len(results)} calls were served though the connection was taken")


@asynccontextmanager
async def _taken(client: Client) -> AsyncGenerator[None, None]:
    """The only connection is in use."""
    taken, over = asyncio.Event(), asyncio.Event()

    async def body(fetch: Any, execute: Any) -> None:
        taken.set()
        await over.wait()

    holder = asyncio.ensure_future(client.transaction(body))
    await taken.wait()
    try:
        yield
    finally:
        over.set()
        await holder


class _Watch:
    """The longest time for which the event loop did not come round, in seconds."""

    def __init__(self) -> None:
        self.most = 0.0

    async def run(self, pause: float) -> None:
        """Watch, after a pause."""
        await asyncio.sleep(max(0.0, pause - 100 * TICK))
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            self.most = max(self.most, time.perf_counter() - before - TICK)


@asynccontextmanager
async def _watch(pause: float) -> AsyncGenerator[_Watch, None]:
    watch = _Watch()
    task = asyncio.create_task(watch.run(pause))
    await asyncio.sleep(0)
    try:
        yield watch
        await asyncio.sleep(2 * TICK)  # a hold until now is noticed
    finally:
        task.cancel()
