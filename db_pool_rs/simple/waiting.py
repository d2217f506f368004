"""Waiting with a deadline, and calls that may take long on threads beside the event loop.

A thread is started for each such call, and nobody ever waits for it to end: those of an executor, or of `threading`,
would make the process wait at its end for a name server that never answers, or cost more than the call.
"""

from __future__ import annotations

import _thread
import asyncio
import errno
from collections.abc import Callable
from typing import Any, TypeVar

from .answer import Answer

T = TypeVar("T")


class Expired(Exception):
    """The deadline of an `until` passed."""


async def until(future: asyncio.Future[T] | Answer[T], deadline: float | None) -> T:
    """The result of `future`, a bare one (no task); Expired at `deadline` (time of the loop), None for no limit."""
    if deadline is None:
        return await future
    timer = asyncio.get_running_loop().call_at(deadline, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()


def left(deadline: float | None) -> float | None:
    """Seconds until `deadline`, 0 if it is over; None for no limit."""
    return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())


def _expire(future: asyncio.Future[Any] | Answer[Any]) -> None:
    if not future.done():
        future.set_exception(Expired())


def offload(function: Callable[[], T], abandoned: Callable[[], object] = bool) -> asyncio.Future[T]:
    """Call `function` on a thread of its own; OSError if there can be none.

    If nobody waits any more when it is done (the future expired or was cancelled), `abandoned` is called: who gives up
    cannot release what the thread still uses, so that the thread's end has to.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: Any, error: BaseException | None) -> None:
        if future.done():
            abandoned()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:  # the loop was closed meanwhile
            abandoned()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        future.set_exception(OSError(errno.EAGAIN, "no thread can be started"))
    return future


def was_abandoned(future: asyncio.Future[Any]) -> bool:
    """Whether the thread of an `offload` future is the one to clean up."""
    return not future.done() or future.cancelled() or isinstance(future.exception(), Expired)
