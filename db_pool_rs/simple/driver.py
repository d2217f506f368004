"""What the pool needs from a database: the seam between the rules and the wire.

Above the seam, :mod:`.scheduler` decides and :mod:`.pool` carries out; they know no database. Below it, a
:class:`Driver` opens connections and a :class:`Link` is one of them. A link runs **one group at a time**: 1..n
statements followed by one Sync, answered as a whole. The C engine replaces what is below, and nothing else.

All methods are called on the event loop's thread, and all callbacks are made there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Protocol

from ..errors import InterfaceError
from .answer import Answer
from .cost import Text

#: What the caller of a statement wants back: its rows, or its command tag (`Status`).
ROWS = True
STATUS = False


class Statement:
    """One execution of a text, from the call to its answer.

    The caller waits on ``future``; the scheduler owns ``ticket`` to ``alone``; the driver reads ``text``, ``args`` and
    ``params`` and sets ``value`` or ``error``. ``params`` are the arguments encoded under ``described``, the
    description that was current at that time; if that is no longer the text's, they are encoded anew. Rows of a text
    that nobody has described tell their types themselves; ``described`` then keeps them for a cursor's next rows.
    """

    __slots__ = (
        "alone", "args", "conn", "deadline", "described", "enqueued", "error", "future", "params", "state", "text",
        "ticket", "value", "want",
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

    def reset(self) -> None:
        """Forget an answer that does not count, before the statement is sent again."""
        self.value = self.error = None


class LinkListener(Protocol):
    """Who is told what happens to a link. Each link calls back only while it is open."""

    def on_lost(self, link: Link, error: Exception, sent: bool, retire: bool) -> None:
        """The connection is gone, for the reason `error`.

        `sent` is False if nothing of the running group can have been executed; `retire` is True if the other
        connections made at the same time are suspect too (the server is shutting down).
        """

    def on_round_trip(self, link: Link, seconds: float) -> None:
        """A round trip in which the server had next to nothing to do took `seconds`."""

    def on_notice(self, link: Link, error: Exception) -> None:
        """The server sent a notice or warning."""

    def on_notification(self, link: Link, pid: int, channel: str, payload: str) -> None:
        """A session sent a notification on a channel that this one listens to."""


#: Called once when a group is answered: whether all of it succeeded, the seconds until the answer, the largest result
#: in bytes. Not called if the link is lost meanwhile: then the listener hears of it.
Done = Callable[[bool, float, float], None]


#: The data of a COPY: pieces that the caller gives, or a function that takes them.
Source = AsyncIterator[bytes]
Sink = Callable[[bytes], Awaitable[Any]]


def as_piece(given: object) -> bytes:
    """What a source gave, as bytes; InterfaceError for anything else."""
    if isinstance(given, (bytes, bytearray, memoryview)):
        return bytes(given)
    raise InterfaceError(f"source: bytes expected, got {type(given).__name__}")


class Link(Protocol):
    """One open connection."""

    listener: LinkListener
    #: Server process id where there is one, for messages.
    pid: int

    def start(self, group: Sequence[Statement], done: Done) -> None:
        """Send `group` and one Sync; `done` is called when ReadyForQuery came.

        Before it is called each statement has its ``value`` or its ``error``. If one failed, it has its ``error``, and
        the others, which the server rolled back, may have neither.
        """

    def describe(self, statement: Statement, done: Done) -> None:
        """Have the database check a session's statement without running it; `done` as for `start`."""

    def in_transaction(self) -> bool:
        """Whether the session is inside a transaction block, failed or not."""

    async def cancel(self, timeout: float) -> bool:
        """Ask the server to stop what runs here. Returns when a late cancel can no longer hit the next statement."""

    def reset_statements(self) -> Sequence[str]:
        """The statements that bring a session back to its initial state."""

    def after_reset(self) -> None:
        """The reset was executed: forget what it destroyed."""

    def close(self) -> None:
        """Close at once. No callback follows."""


class CopyLink(Link, Protocol):
    """A link of PostgreSQL, which alone has COPY."""

    def copy(self, statement: Statement, stream: Source | Sink, done: Done) -> None:
        """Run a session's COPY FROM STDIN (`stream` gives the data) or TO STDOUT (it takes them); `done` as in `start`.

        An exception of the stream's is the statement's ``error``. `cancel` ends it early.
        """


class Database(Protocol):
    """What the pool must know of a database, whoever opens the connections."""

    #: How many lanes may carry READs before somebody had to wait, and the most that may carry WRITEs.
    read_lanes: int
    max_write_lanes: int
    #: Whether a group that stalls is broken up (needs a way to cancel from outside).
    breaks_stalls: bool
    #: "postgresql" or "sqlite": how statements are read.
    dialect: str
    #: Groups that may write begin with `SET CONSTRAINTS ALL IMMEDIATE`.
    checks_keys_at_once: bool
    #: Called when DDL was executed.
    on_altered: Callable[[], None]
    #: What callers await.
    answer: type[Answer[Any]]

    #: Asked on each new connection, if there is something to ask; `answered` takes the value. It costs the server next
    #: to nothing, so the time until the answer is the connection's round trip.
    question: str | None

    def answered(self, value: Any) -> bool:
        """The answer to `question`; False if statements must not be grouped in this database."""

    def describe(self, text: Text) -> None:
        """Set ``text.description`` if that needs no server."""

    def doubts(self, text: Text) -> bool:
        """An argument does not fit `text.description`: True if that may be out of date, and was forgotten."""

    def begin(self, isolation: str | None, readonly: bool, deferrable: bool) -> str:
        """The statement that begins a transaction; bad options raise InterfaceError naming what is allowed."""

    async def close(self) -> None:
        """Release what the driver holds besides its links."""


class Driver(Database, Protocol):
    """Opens links to one database."""

    async def connect(self, listener: LinkListener) -> Link:
        """Open a connection or raise :class:`~db_pool_rs.errors.ConnectFailed`."""
