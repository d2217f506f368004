"""`Runner`: the event loop of one async test, with a limit of time and an account of what went wrong on it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

GRACE = 3.0  # seconds for a task or thread that is ending already
AFTERWARDS = 10.0  # seconds for each step of tidying up after the time is up

OutcomeException = pytest.fail.Exception.__base__ or BaseException


class TookTooLongError(BaseException):
    """The test's time is up. No `Exception`: neither the test nor Hypothesis is to catch it and try again."""


class Runner:
    """One event loop and what went wrong on it. `limit`: seconds from now for all that the test runs on it."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop], limit: float = math.inf) -> None:
        self.problems: list[str] = []
        self._ended: BaseException | None = None
        self._threads = set(threading.enumerate())
        self._files = open_files()
        self.loop = new_loop()
        self.loop.set_exception_handler(self._unhandled)
        self._limit = limit
        self._end = self.loop.time() + limit

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Run to the end on the loop, or until the time is up."""
        __tracebackhide__ = True

        async def main() -> Any:
            return await awaitable

        end = self._end if self._ended is None else self.loop.time() + min(AFTERWARDS, self._limit)
        timer = self.loop.call_at(end, self._time_is_up) if end < math.inf else None
        earlier, self._ended = self._ended, None
        try:
            return self.loop.run_until_complete(main())
        except RuntimeError:
            if self._ended is not None:
                raise self._ended from None
            raise
        finally:
            self._ended = self._ended or earlier
            if timer is not None:
                timer.cancel()

    def close(self) -> None:
        """Close the loop; `problems` then lists what was left behind."""
        try:
            self._end_tasks()
            gc.collect()  # a forgotten task or future reports its exception when it is collected
            gc.freeze()  # the next test's end need not look through what is left
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
        for thread in set(threading.enumerate()) - self._threads:
            thread.join(GRACE)
            if thread.is_alive():
                self.problems.append(f"leaked thread: {thread!r}")
        self.problems += [f"leaked file descriptor: {name}" for name in sorted(self._files_left())]

    def _files_left(self) -> set[str]:
        """Descriptors that stay open. A connecting thread that was given up closes its socket when its step ends."""
        until = time.monotonic() + 3 * GRACE
        while (left := open_files() - self._files) and time.monotonic() < until:
            time.sleep(0.01)
        return left

    def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        if tasks:
            _, pending = self.loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE))
            for task in pending:
                self.problems.append(f"leaked task: {task!r}")
                task.cancel()
            if pending:
                self.loop.run_until_complete(asyncio.wait(pending, timeout=GRACE))

    def _time_is_up(self) -> None:
        stacks = "\n".join(map(stack_of, asyncio.all_tasks(self.loop)))
        self._ended = TookTooLongError(f"the test's {self._limit:.1f} s are over. Its tasks:\n{stacks}")
        self.loop.stop()

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), OutcomeException):
            # The signal of pytest-timeout arrived within a callback of the loop, which would swallow it.
            self._ended = context["exception"]
            self.loop.stop()
            return
        details = ", ".join(f"{key}={value!r}" for key, value in context.items() if key != "message")
        self.problems.append(f"unhandled on the loop: {context['message']} ({details})")


def stack_of(task: asyncio.Task[Any]) -> str:
    """Where a task waits, outermost call first; asyncio itself shows that one only."""
    lines = [f"{task.get_name()}:"]
    waiting: Any = task.get_coro()
    while waiting is not None:
        frame = getattr(waiting, "cr_frame", None) or getattr(waiting, "gi_frame", None)
        if frame is not None:
            lines.append(f"  {frame.f_code.co_filename}:{frame.f_lineno} in {frame.f_code.co_name}")
        waiting = getattr(waiting, "cr_await", None) or getattr(waiting, "gi_yieldfrom", None)
    return "\n".join(lines)


def open_files() -> set[str]:
    """Open descriptors of this process as `number name`; nothing where the system does not tell."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    # Pipes belong to child processes, of which servers outlive a test; a forgotten one is a ResourceWarning anyway.
    return {name for name in found if "/proc/" not in name and "pipe:" not in name}
