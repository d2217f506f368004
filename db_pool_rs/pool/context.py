"""What the parts of one pool have in common: options, database, statement texts, time-outs, and "may it be used now?".

Connections, cursors, COPY and `acquire` know this and not the pool, which is above them.
"""

from __future__ import annotations

import asyncio
from _thread import get_ident
from asyncio import _get_running_loop as running_loop  # None where there is none
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import ArgumentError, InterfaceError, PoolClosed
from ..record import Record
from ..rows import maker
from .named import by_number
from .observers import Observers
from .queries import QueryCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import PoolConfig
    from ..drivers.base import Database
    from ..rows import Make, Row
    from ..scheduler.cost import Query
    from ..scheduler.model import StatementRequest

T = TypeVar("T")

#: Rows that are taken at a time where nothing else is said.
BATCH = 1000
#: The same for tables of Arrow.
ARROW_BATCH = 65_536
#: Notifications that a subscription keeps for a consumer that is slower than they come.
MAX_QUEUE = 10_000


class Context:
    """One pool's. Its state is "new", "open", "closing", "closed", or "forked" in a child process."""

    def __init__(self, config: PoolConfig, database: Database) -> None:
        self.config = config
        self.database = database
        self.queries = QueryCache(config, database)
        self.observers = Observers(config.name)
        #: What a call's `row` is if its rows stay the Records that they are.
        self.unmade = None if config.row is None else Record
        self.state = "new"
        #: Ends the pool at once, and why it was ended, if that was not its user's wish.
        self.end: Callable[[], object] = lambda: None
        self.failure = ""
        #: The event loop on which the pool was opened.
        self.loop: asyncio.AbstractEventLoop | None = None
        #: The same while the pool is open, else None.
        self.serving: asyncio.AbstractEventLoop | None = None

    def become(self, state: str) -> None:
        """The pool is in another state."""
        self.state = state
        self.serving = self.loop if state == "open" else None

    def fail(self, why: str) -> None:
        """The pool is of no use any more."""
        self.failure = f": {why}"
        self.end()

    # -- may it be used? -----------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise what keeps a call from being served now, if anything does."""
        serving = self.serving
        # asyncio's loops tell the thread on which they run just now; to compare that is cheaper than to ask further.
        if serving is not None and (getattr(serving, "_thread_id", None) == get_ident() or running_loop() is serving):
            return
        if self.state == "new":
            raise InterfaceError("the pool was not opened: use `await pool` or `async with pool`")
        if self.state == "forked":
            raise InterfaceError("the pool was opened before this process was forked; open another one in the child")
        if self.state == "closed":
            raise PoolClosed(f"the pool is closed{self.failure}")
        self.check_loop()

    def check_open(self) -> None:
        """The same for a new call: none is taken in while the pool closes."""
        self.check()
        if self.serving is None:
            raise PoolClosed("the pool is closing")

    def check_loop(self) -> None:
        """Raise InterfaceError on another event loop than the pool's."""
        if not self.is_on_loop():
            raise InterfaceError("the pool belongs to another event loop; open one on each loop that needs it")

    def is_on_loop(self) -> bool:
        """Whether the caller runs on the pool's event loop."""
        return running_loop() is self.loop

    # -- time-outs -----------------------------------------------------------------------------------------------

    def timeout(self, timeout: float | None) -> float | None:
        """The time-out of a call: its own, else `command_timeout`."""
        if timeout is None:
            return self.config.command_timeout
        if not _is_duration(timeout):
            raise InterfaceError(f"timeout: seconds as a number >= 0 expected, got {timeout!r}")
        return timeout

    def deadline(self, timeout: float | None) -> float | None:
        """When the time-out of a call that begins now will be over, by the loop's clock."""
        seconds = self.timeout(timeout)
        return None if seconds is None else asyncio.get_running_loop().time() + seconds

    # -- rows ----------------------------------------------------------------------------------------------------

    def maker(self, row: Row[T] | None) -> Make[T]:
        """What makes the rows that a call wants, or the pool where the call says nothing."""
        try:
            return maker(self.config.row if row is None else row, self.database.fill_objects)
        except InterfaceError as error:
            error.__traceback__ = None
            raise error

    # -- statements ----------------------------------------------------------------------------------------------

    def lookup(self, sql: str, *, shared: bool = False) -> Query:
        """What is known of an SQL text; `shared` refuses what would end a transaction of another caller's."""
        return self.queries.lookup(sql, shared)

    def by_number(self, sql: str, args: tuple[Any, ...]) -> tuple[str, tuple[Any, ...]]:
        """A text and its arguments as the database takes them, where they came by name."""
        return by_number(sql, args, self.database.dialect)

    def encode(self, statement: StatementRequest) -> None:
        """Encode the arguments now where their types are known: an error is raised before anything is sent."""
        described = statement.query.description
        try:
            statement.params = described.encode(statement.args)
        except ArgumentError:
            if not self.database.may_be_stale(statement.query):
                raise
        else:
            statement.described = described


def _is_duration(seconds: object) -> bool:
    return isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and seconds >= 0
