"""What the scheduler works on: requests, connections, the actions that it returns, and the numbers in its rules.

Callers wait for a :class:`StatementRequest` (one execution of a text) or an :class:`AcquireRequest` (``acquire``). A
:class:`ConnectionState` is a connection as the rules know it. Every event of the scheduler returns a list of
:data:`Action`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..sql import StatementClass
from .cost import CostLimits, Query

#: A time that does not come.
NEVER = float("inf")
#: The states of a statement or waiter: in a queue; on a connection, unanswered; answered, or not awaited any more.
QUEUED, SENT, DONE = 0, 1, 2


class StatementRequest:
    """One execution of a text, from the call to its answer.

    The caller waits on ``future``; the scheduler owns ``ticket`` to ``queue``; the driver reads ``query``, ``args`` and
    ``params`` and sets ``value`` or ``error``. ``params`` are the arguments encoded under ``described``, the
    description that was current at that time; if that is no longer the text's, they are encoded anew. Rows of a text
    that was never described tell their types themselves; ``described`` then keeps them for a cursor's next rows.
    Where the caller wants them, the driver also sets ``details``: the columns, and the command tag.
    """

    __slots__ = (
        "alone",
        "args",
        "conn",
        "deadline",
        "described",
        "details",
        "enqueued",
        "error",
        "future",
        "params",
        "query",
        "queue",
        "state",
        "ticket",
        "value",
        "want",
    )  # fmt: skip

    details: Any  # set where it is wanted: nearly every statement does without
    ticket: int  # these two where it is queued: one of a session never is
    queue: Any

    def __init__(self, query: Query, args: tuple[Any, ...], want: int, future: Any) -> None:
        self.query = query
        self.args = args
        self.want = want
        self.future = future
        self.deadline: float | None = None
        self.params: Any = None
        self.described: Any = None
        self.value: Any = None
        self.error: Exception | None = None
        self.enqueued = 0.0
        self.state = 0
        self.alone = False
        self.conn: Any = None

    def reset(self) -> None:
        """Forget an answer that does not count, before the statement is sent again."""
        self.value = self.error = None


class AcquireRequest:
    """One ``acquire``: a request for a connection of its own."""

    __slots__ = ("deadline", "enqueued", "future", "queue", "state", "ticket")

    def __init__(self, future: Any, deadline: float | None) -> None:
        self.future = future
        self.deadline = deadline
        self.ticket = 0
        self.enqueued = 0.0
        self.state = 0
        self.queue: Any = None


#: A request that waits for a connection; requests are served in the order of their tickets (rule 3.9).
Request = StatementRequest | AcquireRequest


class Reason(enum.Enum):
    """Why a request is answered with an error that the server did not send."""

    TIMEOUT = "timeout"
    LOST = "lost"
    CONNECT_FAILED = "connect_failed"
    OVERLOADED = "overloaded"
    CLOSED = "closed"


class State(enum.Enum):
    """The states of a connection (rule 3.1)."""

    OPENING = "opening"
    IDLE = "idle"
    LANE = "lane"
    ALONE = "alone"
    SESSION = "session"
    CLOSING = "closing"
    CLOSED = "closed"


class ConnectionState:
    """One connection, from the decision to open it until it is closed.

    ``group`` is what the server has not answered yet; ``cancelling`` is true while a CancelRequest may still be on its
    way; ``resetting`` while the session is being cleaned. Only a connection with none of the three can be given away.
    ``cancel_at`` is when the server was first asked to stop the group, ``ask_at`` when it is to be asked again.
    ``round_trip`` is the shortest answer seen on it: what every statement costs on this link, whatever it does.
    ``began`` is when the attempt to open it began, ``failures`` how many had failed before. Until ``probation_until``
    it must have answered something, or it counts as an attempt that failed.
    ``link`` and ``done`` belong to the pool.
    """

    __slots__ = (
        "ask_at",
        "began",
        "cancel_at",
        "cancelling",
        "concurrency",
        "done",
        "expires",
        "failures",
        "generation",
        "group",
        "id",
        "kind",
        "link",
        "probation_until",
        "resetting",
        "round_trip",
        "since",
        "started",
        "state",
        "unclean",
    )  # fmt: skip

    def __init__(self, ident: int, generation: int, now: float) -> None:
        self.id = ident
        self.generation = generation
        self.state = State.OPENING
        self.since = self.began = now
        self.failures = 0
        self.probation_until = -NEVER
        self.expires = NEVER
        self.group: list[StatementRequest] = []
        self.kind = StatementClass.OTHER
        self.started = 0.0
        self.concurrency = 1
        self.round_trip = NEVER
        self.cancelling = False
        self.cancel_at = NEVER
        self.ask_at = 0.0
        self.resetting = False
        self.unclean = False
        self.link: Any = None
        self.done: Any = None

    def network_time(self, seconds: float) -> float:
        """How much of `seconds` until an answer went by on the way (rule 3.4).

        An answer may show that the way is shorter than was known, but never how long it is: it may just be slow.
        """
        if self.round_trip == NEVER:
            return 0.0
        self.round_trip = min(self.round_trip, seconds)
        return self.round_trip

    def __repr__(self) -> str:
        return f"<ConnectionState {self.id} {self.state.value}>"


class Open(NamedTuple):
    """Open a connection; answer with `opened` or `open_failed`."""

    conn: ConnectionState


class Send(NamedTuple):
    """Send `group` and one Sync; answer with `finished` (or `lost`)."""

    conn: ConnectionState
    group: list[StatementRequest]


class Lend(NamedTuple):
    """Give the connection to `waiter`; answer with `released` (or `lost`)."""

    conn: ConnectionState
    waiter: AcquireRequest


class Cancel(NamedTuple):
    """Send a CancelRequest; answer with `cancel_closed` once the server has closed the cancel's own connection."""

    conn: ConnectionState


class Reset(NamedTuple):
    """Bring the session back to its initial state; answer with `reset_done` (or `lost`)."""

    conn: ConnectionState


class Close(NamedTuple):
    """Close the connection; answer with `closed`."""

    conn: ConnectionState


class Deliver(NamedTuple):
    """The group is final: give each caller its statement's outcome; `end_of_tick` follows once the callers have run."""

    group: list[StatementRequest]


class Fail(NamedTuple):
    """Answer a request with an error; `sent`: whether the server may have seen the request."""

    request: Request
    reason: Reason
    sent: bool = False


Action = Open | Send | Lend | Cancel | Reset | Close | Deliver | Fail


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers in the rules; times in seconds."""

    min_size: int = 1
    max_size: int = 10
    max_waiting: int = 100_000
    acquire_timeout: float = 30.0
    idle_timeout: float = 600.0
    group_max: int = 64
    group_time: float = 0.002
    piece_min: int = 8
    stall: float = 0.050
    lane_wait: float = 0.001
    write_lane_wait: float = 0.005
    read_lanes: int = 2
    #: A server with a longer round trip is far away: all connections are lanes from the start.
    far: float = 0.00025
    max_write_lanes: int = 10
    breaks_stalls: bool = True
    retry_reads: bool = False
    #: How long the server may take to react to a CancelRequest before idle connections are replaced too.
    suspect: float = 0.25
    #: How long the server may take to react to a CancelRequest before the connection counts as dead. Where nothing can
    #: be cancelled from outside there is no server that can fall silent: then it is asked, but never given up.
    cancel_grace: float = 1.5
    #: Pause before a CancelRequest is repeated, doubled each time: the server ignores one that comes too early.
    cancel_pause: float = 0.05
    #: Pause after the first failed connect; doubled up to the second value.
    backoff: float = 0.05
    backoff_max: float = 0.35
    cost: CostLimits = field(default_factory=CostLimits)
