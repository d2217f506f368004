"""Worker threads, and the way to them and back to the event loop.

`concurrent.futures` would do, but its futures make a trip cost half as much again, and its threads are waited for when
the interpreter ends, however long their statement takes. These are daemons: a transaction that the end of the program
cuts off is rolled back by SQLite, and no caller was told that it had succeeded.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

#: Something to do, and what is to be called with its result on the loop's thread; None ends a thread.
_Task = tuple[Callable[[], Any], Callable[[Any], None]] | None


class Threads:
    """Up to `most` threads, started when they are needed. All methods are called on one event loop's thread."""

    def __init__(self, most: int, name: str) -> None:
        self._most = most
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._todo: SimpleQueue[_Task] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._under_way = 0
        self._idle: asyncio.Future[None] | None = None
        weakref.finalize(self, _end, self._todo, self._threads)

    def run(self, work: Callable[[], Any], back: Callable[[Any], object]) -> None:
        """Do `work`, which must not raise, on a thread; `back` is then called with its result."""

        def arrived(result: Any) -> None:
            self._under_way -= 1
            back(result)
            if not self._under_way and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

        self._under_way += 1
        self._todo.put((work, arrived))
        if self._under_way > len(self._threads) < self._most:
            name = f"{self._name}-{len(self._threads) + 1}"
            thread = threading.Thread(target=_serve, args=(self._todo, self._loop), name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    async def end(self, timeout: float) -> None:
        """Wait until nothing is under way, for `timeout` seconds at most, then end the threads."""
        if self._under_way:
            self._idle = self._idle or self._loop.create_future()
            await asyncio.wait((self._idle,), timeout=timeout)
        _end(self._todo, self._threads)
        if not self._under_way:
            for thread in self._threads:
                thread.join()
        self._threads.clear()


def _serve(todo: SimpleQueue[_Task], loop: asyncio.AbstractEventLoop) -> None:
    while (task := todo.get()) is not None:
        work, arrived = task
        result = work()
        with contextlib.suppress(RuntimeError):  # the loop was closed before the pool
            loop.call_soon_threadsafe(arrived, result)
        del task, work, arrived, result  # nothing is kept alive by a thread that waits


def _end(todo: SimpleQueue[_Task], threads: list[threading.Thread]) -> None:
    for _ in threads:
        todo.put(None)
