"""What the pool needs from a database: the seam between the rules and the wire.

Above the seam, :mod:`.scheduler` decides and :mod:`.pool` carries out; they know no database. Below it, a
:class:`Driver` opens connections and a :class:`ServerConnection` is one of them. It runs **one group at a time**: 1..n
statements followed by one Sync, answered as a whole. The C engine replaces what is below, and nothing else.

All methods are called on the event loop's thread, and all callbacks are made there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from ..aio import ResultFuture
from ..conninfo import ConnectConfig
from ..errors import InterfaceError
from ..record import Status
from ..rows import Fill
from ..scheduler.cost import Query
from ..scheduler.model import StatementRequest

if TYPE_CHECKING:
    from ..codecs import Codec

#: What the caller of a statement wants back: its rows, its command tag (`Status`), or its rows with
#: :attr:`~db_pool_rs.scheduler.model.StatementRequest.details`.
ROWS = True
STATUS = False
RESULT = 2


class Groupable(Enum):
    """Which statements may be grouped at most."""

    ALL = "all"
    READS = "reads"
    NOTHING = "nothing"


class ConnectionListener(Protocol):
    """Who is told what happens to a link. Each link calls back only while it is open."""

    def on_lost(self, link: ServerConnection, error: Exception, sent: bool, evict_all: bool) -> None:
        """The connection is gone, for the reason `error`.

        `sent` is False if nothing of the running group can have been executed; `evict_all` is True if the other
        connections made at the same time are suspect too (the server is shutting down).
        """

    def on_round_trip(self, link: ServerConnection, seconds: float) -> None:
        """A round trip in which the server had next to nothing to do took `seconds`."""

    def on_notice(self, link: ServerConnection, error: Exception) -> None:
        """The server sent a notice or warning."""

    def on_notification(self, link: ServerConnection, pid: int, channel: str, payload: str) -> None:
        """A session sent a notification on a channel that this one listens to."""


#: Called once when a group is answered: whether all of it succeeded, the seconds until the answer, the largest result
#: in bytes. Not called if the link is lost meanwhile: then the listener hears of it.
Done = Callable[[bool, float, float], None]


#: Why a connection is given up.
CLOSED_BY_POOL = "the connection was closed by the pool"
CANCEL_UNDER_WAY = "a cancel request was not taken in in time: it might hit the next statement"

#: Bytes of a COPY's data in one message: a server that is announced 1 GiB or more gives the connection up.
LONGEST_PART = 1 << 20
#: The data of a COPY: pieces that the caller gives, or a function that takes them.
Source = AsyncIterator[bytes]
Sink = Callable[[bytes], Awaitable[Any]]
#: Writes records in binary: takes types and encode functions of columns, records, how many bytes are enough. Gives the
#: bytes, how many records are in them, and a record that it leaves to Python: () for none, None at their end.
WriteRecords = Callable[
    [Sequence[tuple[int, Callable[[Any], bytes]]], Iterator[Any], int], tuple[bytes, int, tuple[Any, ...] | None]
]


def parts_of(given: object) -> Iterable[bytes]:
    """What a source gave, as bytes that fit into messages; InterfaceError for anything else."""
    if not isinstance(given, (bytes, bytearray, memoryview)):
        raise InterfaceError(f"source: bytes expected, got {type(given).__name__}")
    data = bytes(given)
    if len(data) <= LONGEST_PART:
        return (data,)
    return (data[at : at + LONGEST_PART] for at in range(0, len(data), LONGEST_PART))


def error_of_stream(error: BaseException) -> Exception:
    """What a source or sink has raised, as the error of its COPY.

    A CancelledError of its own is none of the caller's: that one is not cancelled.
    """
    if isinstance(error, Exception):
        return error
    failed = InterfaceError(f"the source or sink of the COPY ended with {type(error).__name__}")
    failed.__cause__ = error
    return failed


def answer_by_tag(statement: StatementRequest, tag: str) -> None:
    """What answers a statement that has nothing but a tag to return, whatever is wanted of it."""
    status = Status(tag)
    statement.value = [] if statement.want else status
    statement.details = (), status


class ServerConnection(Protocol):
    """One open connection."""

    listener: ConnectionListener
    #: Server process id where there is one, for messages.
    pid: int
    #: What has become of it, once it is lost: known even where no session was there to be told.
    loss: Exception | None

    def start(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Send `group` and one Sync; `done` is called when ReadyForQuery came.

        Before it is called each statement has its ``value`` or its ``error``. If one failed, it has its ``error``, and
        the others, which the server rolled back, may have neither.
        """

    def describe(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Have the database check a session's statements without running them; `done` as for `start`.

        PostgreSQL tells their types, and in ``details`` of one that is alone those of its parameters, and its columns.
        One that fails has its ``error``, if it is alone, and those behind it are not checked.
        """

    def in_transaction(self) -> bool:
        """Whether the session is inside a transaction block, failed or not."""

    async def cancel(self, timeout: float) -> bool:
        """Ask the server to stop what runs here.

        Returns True when the request can no longer hit the next statement: the server has closed the connection that
        carried it, or it never got out. False after `timeout` seconds: then the connection must not be used again.
        """

    def parameters(self) -> Mapping[str, str]:
        """The settings that the server reports without being asked, as it reported them last."""

    def note_float_digits(self, digits: int) -> None:
        """The answer to :attr:`Database.startup_query`: `extra_float_digits` of the session as it began."""

    def reset_statements(self) -> Sequence[str]:
        """The statements that bring a session back to its initial state."""

    def after_reset(self) -> None:
        """The reset was executed: forget what it destroyed."""

    def close(self) -> None:
        """Close at once. No callback follows."""


class CopyConnection(ServerConnection, Protocol):
    """A link of a database that has COPY."""

    def copy(self, statement: StatementRequest, stream: Source | Sink, done: Done) -> None:
        """Run a session's COPY FROM STDIN (`stream` gives the data) or TO STDOUT (it takes them); `done` as in `start`.

        An exception of the stream's is the statement's ``error``. `cancel` ends it early.
        """


class Database(Protocol):
    """What the pool must know of a database, in whatever way its connections are opened."""

    #: How many lanes may carry READs before a statement had to wait, and the most that may carry WRITEs.
    read_lanes: int
    max_write_lanes: int
    #: Whether a group that stalls is broken up (needs a way to cancel from outside).
    breaks_stalls: bool
    #: "postgresql" or "sqlite": how statements are read.
    dialect: str
    #: Whether it has COPY: then its links are :class:`CopyConnection`.
    copy: bool
    #: Whether sessions are told things unasked: notifications of channels, and the loss of the connection.
    notifications: bool
    #: Whether a group is rolled back as a whole if one of its statements fails.
    atomic_groups: bool
    #: Whether sessions have the settings `client_encoding` and `standard_conforming_strings`, which a pool relies on.
    has_settings: bool
    #: Whether functions, triggers and the like can hide what a text does: then the guard reads the catalogue.
    has_catalog: bool
    #: Called when DDL was executed, or (False) may have been.
    on_altered: Callable[[bool], None]
    #: What callers await.
    answer: type[ResultFuture[Any]]

    #: Asked on each new connection after `init`, if there is something to ask; `on_startup_result` takes the row. It
    #: costs the server next to nothing, so the time until the answer is the connection's round trip.
    startup_query: str | None

    @property
    def arrow_decoder(self) -> Callable[..., Any] | None:
        """What takes the data of a COPY apart for Arrow; None: pyarrow does."""

    @property
    def write_records(self) -> WriteRecords | None:
        """What writes records of a COPY in binary; None: :mod:`db_pool_rs.pool.copy_data` does."""

    @property
    def fill_objects(self) -> Fill | None:
        """What makes objects of rows where they have nothing but their fields; None: :mod:`db_pool_rs.rows` does."""

    def on_startup_result(self, values: Sequence[Any]) -> Groupable:
        """The answer to `startup_query`: which statements may be grouped at most."""

    def may_have_records(self, query: Query) -> bool:
        """Whether its rows may hold records without a type of their own, which are asked for first (`sql.records`)."""

    def describe(self, query: Query) -> None:
        """Set ``query.description`` if that needs no server."""

    def may_be_stale(self, query: Query) -> bool:
        """An argument does not fit `query.description`: True if that may be out of date, and was forgotten."""

    def schema_changed(self, certain: bool) -> None:
        """Tables and types were changed, or (False) may have been: what is known of them may be out of date."""

    def retyped(self, queries: Iterable[Query]) -> None:
        """Tables are others: parameters of `queries`, which are known, may be of other types by now."""

    def set_codec(self, codec: Codec, queries: Iterable[Query]) -> None:
        """Values of a type are read and written in another way from now on, also in `queries`, which are known."""

    def reset_codec(self, name: str, schema: str | None, queries: Iterable[Query]) -> None:
        """Undo `set_codec`, also in `queries`."""

    def set_target(self, target: ConnectConfig, queries: Iterable[Query]) -> None:
        """Links that are opened from now on lead there; what is known of `queries` was another server's."""

    def begin(self, isolation: str | None, readonly: bool, deferrable: bool) -> str:
        """The statement that begins a transaction; bad options raise InterfaceError naming what is allowed."""

    async def close(self) -> None:
        """Release what the driver holds besides its links."""


class Driver(Database, Protocol):
    """Opens links to one database."""

    async def connect(self, listener: ConnectionListener) -> ServerConnection:
        """Open a connection or raise :class:`~db_pool_rs.errors.ConnectFailed`."""
