"""A connection as the scheduler sees it: a state, and what runs on it."""

from __future__ import annotations

import enum
from typing import Any

from ..statement import StatementClass
from .driver import Statement


class State(enum.Enum):
    """scheduling.md, "Lanes": the states of a connection."""

    OPENING = "opening"
    IDLE = "idle"
    LANE = "lane"
    ALONE = "alone"
    SESSION = "session"
    CLOSING = "closing"
    CLOSED = "closed"


class Conn:
    """One connection, from the decision to open it until it is closed.

    ``group`` is what the server has not answered yet; ``cancelling`` is true while a CancelRequest may still be on its
    way; ``resetting`` while the session is being cleaned. Only a connection with none of the three can be given away.
    ``cancel_at`` is when the server was first asked to stop the group, ``ask_at`` when it is to be asked again.
    ``round_trip`` is the shortest answer seen on it: what every statement costs on this link, whatever it does.
    ``began`` is when the attempt to open it began, ``failures`` how many had failed before. Until ``unproven`` it must
    have answered something, or it counts as an attempt that failed.
    ``link`` and ``done`` belong to the pool.
    """

    __slots__ = (
        "ask_at", "began", "beside", "cancel_at", "cancelling", "done", "expires", "failures", "generation", "group",
        "id", "kind", "link", "resetting", "round_trip", "since", "started", "state", "unclean", "unproven",
    )  # fmt: skip

    def __init__(self, ident: int, generation: int, now: float) -> None:
        self.id = ident
        self.generation = generation
        self.state = State.OPENING
        self.since = self.began = now
        self.failures = 0
        self.unproven = float("-inf")
        self.expires = float("inf")
        self.group: list[Statement] = []
        self.kind = StatementClass.OTHER
        self.started = 0.0
        self.beside = 1
        self.round_trip = float("inf")
        self.cancelling = False
        self.cancel_at = float("inf")
        self.ask_at = 0.0
        self.resetting = False
        self.unclean = False
        self.link: Any = None
        self.done: Any = None

    def __repr__(self) -> str:
        return f"<Conn {self.id} {self.state.value}>"
