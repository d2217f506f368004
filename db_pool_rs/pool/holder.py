"""The caller that holds a session, and the line of its code that is told of it (`top`, the log, errors)."""

from __future__ import annotations

import asyncio
import sys
from inspect import CO_COROUTINE
from types import FrameType
from typing import Any

#: Modules whose frames are not the caller's.
_NOT_THE_CALLERS = ("db_pool_rs", "contextlib", "asyncio")


class Holder:
    """The caller that holds a session: where it acquired it, in which task, and when."""

    __slots__ = ("_frame", "_task", "since", "warning")

    def __init__(self, frame: tuple[str, int] | None, task: asyncio.Task[Any] | None, since: float) -> None:
        self._frame = frame
        self._task = task
        self.since = since
        self.warning: asyncio.TimerHandle | None = None

    def is_calling(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether it is the one that runs now."""
        return asyncio.current_task(loop) is self._task

    @property
    def task(self) -> str:
        """The name of the task that acquired it."""
        return "?" if self._task is None else self._task.get_name()

    @property
    def site(self) -> str:
        """file:line of the code that acquired it; where a task called the pool directly, of what it waits for now."""
        frame = self._frame if self._frame is not None or self._task is None else awaiting(self._task)
        if frame is not None:
            return "{}:{}".format(*frame)
        return "?" if self._task is None else getattr(self._task.get_coro(), "__qualname__", "?")


def calling() -> tuple[str, int] | None:
    """File and line of the code outside this package that is calling; None if a task called the package directly."""
    frame, inner = sys._getframe(2), None  # of Acquire, and of the pool's method that makes it
    while (module := frame.f_globals.get("__name__", "")).startswith(("db_pool_rs", "contextlib")):
        if frame.f_back is None:
            return None
        frame, inner = frame.f_back, frame
    # Below the first frame of a task are asyncio's, uvloop has none, and below those is what started the loop.
    if module.startswith("asyncio") or (
        inner is not None and inner.f_code.co_flags & CO_COROUTINE and _is_first(inner)
    ):
        return None
    return frame.f_code.co_filename, frame.f_lineno


def _is_first(frame: FrameType) -> bool:
    """Whether it is the outermost of the task that runs."""
    task = asyncio.current_task()
    return task is not None and getattr(task.get_coro(), "cr_frame", None) is frame


def awaiting(task: asyncio.Task[Any]) -> tuple[str, int] | None:
    """File and line of the innermost code outside this package that the task waits in."""
    found: tuple[str, int] | None = None
    coroutine: Any = task.get_coro()
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        if not frame.f_globals.get("__name__", "").startswith(_NOT_THE_CALLERS):
            found = frame.f_code.co_filename, frame.f_lineno
        coroutine = getattr(coroutine, "cr_await", None)
    return found
