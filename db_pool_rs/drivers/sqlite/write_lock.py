"""SQLite's lock of a database, waited for on the event loop instead of on threads.

SQLite lets one connection write at a time, and makes the others poll with a sleeping thread. Within one pool that is
not needed: who is going to write takes the lock first; those who wait do so in the order in which they came, without
a thread, and can stop waiting at any moment.

- In WAL mode only writers take it; readers do not wait and are not waited for.
- Without WAL (in-memory databases, file systems without shared memory) a reader and a writer exclude each other, so
  that readers take it too: any number of them together, or one writer.

No connection waits for ever: one that was kept waiting by one and the same holder for `patience` seconds is refused.
That is what happens to a program that waits, inside its own write transaction, for another connection to write. A long
queue that moves is no reason.
"""

from __future__ import annotations

from asyncio import TimerHandle, get_running_loop
from collections import deque
from collections.abc import Callable
from typing import Protocol


class Claimant(Protocol):
    """What asks for the lock; told of the answer once, unless it withdraws."""

    def granted(self) -> None:
        """The lock is taken: go on, and release it when the transaction has ended."""

    def refused(self) -> None:
        """It took too long."""


class _Request:
    __slots__ = ("claimant", "exclusive", "since")

    def __init__(self, claimant: Claimant, exclusive: bool, since: float) -> None:
        self.claimant = claimant
        self.exclusive = exclusive
        self.since = since


class WriteLock:
    """Fair shared and exclusive access; all calls on the event loop's thread. `patience` in seconds."""

    def __init__(self, patience: float) -> None:
        self.patience = patience
        self._holders: set[Claimant] = set()
        self._exclusive = False
        self._queue: deque[_Request] = deque()
        #: When the holders last changed.
        self._moved = 0.0
        self._timer: TimerHandle | None = None

    def take(self, claimant: Claimant, exclusive: bool) -> bool:
        """Take the lock if it is free; else queue for it and return False. Its holder may take it again."""
        if claimant in self._holders:
            assert self._exclusive or not exclusive, "bug: a shared lock cannot become an exclusive one"
            return True
        if not self._queue and self._free(exclusive):
            self._grant(claimant, exclusive)
            return True
        loop = get_running_loop()
        self._queue.append(_Request(claimant, exclusive, loop.time()))
        if self._timer is None:
            self._timer = loop.call_later(self.patience, self._look)
        return False

    def release(self, claimant: Claimant) -> None:
        """Give the lock back, if it is held."""
        if claimant not in self._holders:
            return
        self._holders.remove(claimant)
        if self._queue:
            self._moved = get_running_loop().time()
            self._serve()

    def withdraw(self, claimant: Claimant) -> None:
        """Stop waiting."""
        for request in self._queue:
            if request.claimant is claimant:
                self._queue.remove(request)
                self._serve()  # readers may have waited behind a writer
                return

    def _free(self, exclusive: bool) -> bool:
        return not self._holders or not (exclusive or self._exclusive)

    def _grant(self, claimant: Claimant, exclusive: bool) -> None:
        self._holders.add(claimant)
        self._exclusive = exclusive

    def _serve(self) -> None:
        ready: list[Callable[[], None]] = []
        while self._queue and self._free(self._queue[0].exclusive):
            request = self._queue.popleft()
            self._grant(request.claimant, request.exclusive)
            ready.append(request.claimant.granted)
        if not self._queue and self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for go_on in ready:
            go_on()

    def _look(self) -> None:
        """Refuse those who were kept waiting for too long."""
        loop = get_running_loop()
        self._timer = None
        late = [one for one in self._queue if loop.time() - max(one.since, self._moved) >= self.patience]
        for request in late:
            self._queue.remove(request)
        if self._queue:
            earliest = max(self._queue[0].since, self._moved) + self.patience
            self._timer = loop.call_at(earliest, self._look)
        for request in late:
            request.claimant.refused()
        self._serve()
