"""Who waits in the queue of a pool, and why somebody is sent away."""

from __future__ import annotations

import enum
from typing import Any

from .model import Statement


class Reason(enum.Enum):
    """Why a waiter is answered with an error that the server did not send."""

    TIMEOUT = "timeout"
    LOST = "lost"
    CONNECT_FAILED = "connect_failed"
    OVERLOADED = "overloaded"
    CLOSED = "closed"


class Waiter:
    """Somebody who wants a connection to himself (``acquire``)."""

    __slots__ = ("deadline", "enqueued", "future", "queue", "state", "ticket")

    def __init__(self, future: Any, deadline: float | None) -> None:
        self.future = future
        self.deadline = deadline
        self.ticket = 0
        self.enqueued = 0.0
        self.state = 0
        self.queue: Any = None


#: Whoever waits for a connection, first come, first served.
Item = Statement | Waiter
