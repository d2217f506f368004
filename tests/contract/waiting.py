"""Waiting for what happens, instead of for time to pass."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

TIMEOUT = 30.0
#: Seconds that stand for "at once": a busy machine takes its time, what must not be waited for takes a minute at least.
PROMPT = 20.0
#: A loop that never pauses takes the interpreter from the threads that are to bring the event about.
PAUSE = 0.001


async def until(condition: Callable[[], Any], timeout: float = TIMEOUT) -> None:
    """Look again and again, in between ticks of the event loop, whether `condition` holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        await asyncio.sleep(PAUSE)


async def until_async(condition: Callable[[], Awaitable[Any]], timeout: float = TIMEOUT) -> None:
    """Ask `condition`, a query for instance, until its answer is true."""
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, "waited in vain"


async def in_thread(function: Any, *args: Any) -> Any:
    """Run what blocks without stopping the event loop."""
    return await asyncio.get_running_loop().run_in_executor(None, function, *args)
