"""What the log is told of a database that cannot be reached, and of connections that are lost.

An outage is one warning when it begins, further ones at growing intervals while it lasts, and a line when it is over.
Connections that are lost together are one warning. Each line names the pool.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque

from ..errors import ConnectFailed, ConnectionLost, DatabaseError
from ..log import logger

#: Seconds from the first warning of an outage to the second; each pause is twice the one before, up to the longest.
PAUSE, LONGEST_PAUSE = 10.0, 600.0
#: For so many seconds losses are gathered into one line.
GATHER = 0.25
#: The SQLSTATE of a write where only reads are allowed.
READ_ONLY = "25006"
#: How many events are kept.
KEPT = 20


def reason_of(error: BaseException | None) -> str:
    """What an error says, but for the statement, which may be another one's; its class if it says nothing."""
    said = error.reason if isinstance(error, (ConnectionLost, DatabaseError)) else str(error)
    return said or type(error).__name__


def is_permanent(error: Exception | None) -> bool:
    """Whether to open another connection cannot help: what `init` does wrong it does again, but a loss passes."""
    if isinstance(error, ConnectFailed):
        return error.permanent
    return not isinstance(error, ConnectionLost) and getattr(error, "severity", None) not in ("FATAL", "PANIC")


class Outages:
    """Listens for one pool. `events` keeps the latest of what was told, with the time of day."""

    def __init__(self, name: str, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._loop = loop
        #: The caller that opens the pool is told why that fails; what fails later is told by the log alone.
        self.reported = False
        self._attempts = 0
        self._began = self._again = 0.0
        self._pause = PAUSE
        self._lost = 0
        self._loss = ""
        self._gather_timer: asyncio.TimerHandle | None = None
        self.events: deque[tuple[float, str]] = deque(maxlen=KEPT)

    def failed(self, error: Exception) -> None:
        """A connection could not be opened."""
        if not self.reported:
            return
        now = self._loop.time()
        self._attempts += 1
        if self._attempts == 1:
            self._began, self._pause = now, PAUSE
            self._log(logging.WARNING, f"connecting fails: {reason_of(error)}")
        elif now >= self._again:
            self._pause = min(2 * self._pause, LONGEST_PAUSE)
            self._log(logging.WARNING, f"connecting still fails, {self._so_far(now)}: {reason_of(error)}")
        else:
            return
        self._again = now + self._pause

    def opened(self) -> None:
        """A connection serves."""
        if self._attempts:
            self._log(logging.INFO, f"connecting works again, {self._so_far(self._loop.time())} failed")
            self._attempts = 0

    def lost(self, error: Exception) -> None:
        """A connection that served is gone."""
        self._lost += 1
        self._loss = reason_of(error)
        if self._gather_timer is None:
            self._gather_timer = self._loop.call_later(GATHER, self.emit)

    def emit(self) -> None:
        """Tell now what was gathered."""
        if self._gather_timer is not None:
            self._gather_timer.cancel()
            self._gather_timer = None
            count, self._lost = self._lost, 0
            what = "a connection was lost" if count == 1 else f"{count} connections were lost"
            self._log(logging.WARNING, f"{what}: {self._loss}")

    def _log(self, level: int, text: str) -> None:
        self.events.append((time.time(), text))
        logger.log(level, "pool %r: %s", self._name, text)

    def _so_far(self, now: float) -> str:
        attempts = "1 attempt" if self._attempts == 1 else f"{self._attempts} attempts"
        return f"{attempts} in {now - self._began:.0f} s"
