"""What the scheduler works on: a statement and a connection, as far as the rules know them."""

from __future__ import annotations

import enum
from typing import Any

from ..sql import StatementClass
from .cost import Text


class Statement:
    """One execution of a text, from the call to its answer.

    The caller waits on ``future``; the scheduler owns ``ticket`` to ``queue``; the driver reads ``text``, ``args`` and
    ``params`` and sets ``value`` or ``error``. ``params`` are the arguments encoded under ``described``, the
    description that was current at that time; if that is no longer the text's, they are encoded anew. Rows of a text
    that nobody has described tell their types themselves; ``described`` then keeps them for a cursor's next rows.
    """

    __slots__ = (
        "alone", "args", "conn", "deadline", "described", "enqueued", "error", "future", "params", "queue", "state",
        "text", "ticket", "value", "want",
    )  # fmt: skip

    def __init__(self, text: Text, args: tuple[Any, ...], want: bool, future: Any) -> None:
        self.text = text
        self.args = args
        self.want = want
        self.future = future
        self.deadline: float | None = None
        self.params: Any = None
        self.described: Any = None
        self.value: Any = None
        self.error: Exception | None = None
        self.ticket = 0
        self.enqueued = 0.0
        self.state = 0
        self.alone = False
        self.conn: Any = None
        self.queue: Any = None

    def reset(self) -> None:
        """Forget an answer that does not count, before the statement is sent again."""
        self.value = self.error = None


class State(enum.Enum):
    """The states of a connection (rule 3.1)."""

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
