"""Asking a pool from another thread: pools belong to their event loop, exporters have threads of their own."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: Seconds. A loop that does nothing else for this long has other troubles than missing figures.
PATIENCE = 5.0


def on_loop(loop: asyncio.AbstractEventLoop, ask: Callable[[], T]) -> T:
    """What `ask()` gives on the thread of `loop`; TimeoutError if the loop does not come to it."""
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        here = None
    if here is loop or not loop.is_running():
        return ask()

    async def asked() -> T:
        return ask()

    try:
        return asyncio.run_coroutine_threadsafe(asked(), loop).result(PATIENCE)
    except concurrent.futures.TimeoutError:  # another class before Python 3.11
        raise TimeoutError(f"the event loop was busy for {PATIENCE:g} s") from None
