"""What a pool, its sessions and its borrowings need from whoever serves them.

:class:`~db_pool_rs.simple.runner.Runner` serves with the rules and the links of this package, mode full with an engine
that has its own. What both do alike is here: preparing connections, cleaning them, the tasks for that, counting.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from .._counters import PoolMetrics
from ..errors import Error
from ..guard.keeper import UNDEFINED
from .driver import ROWS, Database, Link, Statement
from .exclusive import Exclusive, command_text
from .failures import is_permanent
from .waiter import Waiter

if TYPE_CHECKING:
    from ..config import PoolConfig
    from ..metrics import PoolGauges, PoolStats
    from ..statement import StatementClass
    from .cost import Text
    from .limits import Limits

logger = logging.getLogger("db_pool_rs")


def _nothing() -> None:
    """Nobody asks."""


class Lent(Protocol):
    """A connection that somebody has to himself."""

    id: int
    link: Any


class Experience(NamedTuple):
    """Of a text: how often it was answered, expected seconds, whether it is grouped now, and its types known."""

    seen: int
    mean: float
    fast: bool
    prepared: bool


class Service(ABC):
    """Serves one pool on one event loop."""

    def __init__(self, config: PoolConfig, driver: Database, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.driver = driver
        #: The numbers of the rules, as the pool was made with them.
        self.limits = limits
        self.loop = loop
        self.metrics = PoolMetrics()
        self.last_error: Exception | None = None
        #: Who holds connections, as lines for PoolTimeout; set by the pool.
        self.holders: Callable[[], tuple[str, ...]] = tuple
        self.on_lend: Callable[[Any, Waiter], None]
        #: Called if the database does not allow groups; set by the pool.
        self.stop_grouping: Callable[[], None]
        #: Called when a statement fails in a way that makes one ask whether the catalogue has changed.
        self.on_suspicion: Callable[[], None] = _nothing
        self.on_init: Callable[[Any, Exclusive], Coroutine[Any, Any, None]] | None = None
        self._users: dict[int, Exclusive] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    # -- what the pool asks for ----------------------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Open the first connections."""

    @abstractmethod
    def acquire(self, waiter: Waiter) -> None:
        """Take in somebody who wants a connection; given at once where one is free."""

    @abstractmethod
    def abandon(self, item: Any) -> None:
        """The caller no longer waits for `item`."""

    @abstractmethod
    def release(self, conn: Any, healthy: bool) -> None:
        """A clean session comes back."""

    @abstractmethod
    def abort(self, conn: Any, reason: str, retire: bool) -> None:
        """Close a connection that is of no use any more; whoever uses it hears `reason`.

        `retire` if the others may be of no use either: the server is silent.
        """

    @abstractmethod
    def shut_down(self) -> None:
        """Finish what is there and take no new work."""

    @abstractmethod
    def terminate(self) -> None:
        """Close every connection now."""

    @abstractmethod
    def resize(self, min_size: int, max_size: int) -> None:
        """Change the bounds."""

    @abstractmethod
    def expire(self) -> None:
        """Replace every connection as soon as it is free."""

    @abstractmethod
    def drained(self) -> bool:
        """Whether everything is finished after `shut_down` or `terminate`."""

    @abstractmethod
    def gauges(self) -> PoolGauges:
        """How things stand."""

    @abstractmethod
    def stats(self) -> PoolStats:
        """A snapshot of what the pool is doing and has done."""

    @abstractmethod
    def answered(self) -> int:
        """How many statements were answered until now."""

    @abstractmethod
    def regroup(self, changes: Iterable[tuple[Text, StatementClass, bool]]) -> None:
        """Texts are of another class than they seemed, or may be grouped, or no longer."""

    @abstractmethod
    def check_keys_at_once(self, at_once: bool) -> None:
        """Whether groups that may write begin with `SET CONSTRAINTS ALL IMMEDIATE` (rule 3 of the guard)."""

    @abstractmethod
    def experience(self, text: Text) -> Experience:
        """What is known of a text from its executions."""

    @abstractmethod
    def running(self) -> Iterable[tuple[float, str]]:
        """What runs on shared connections: for how many seconds, and a text."""

    # -- waiting and working -------------------------------------------------------------------------------------

    @abstractmethod
    def opening(self) -> bool:
        """Whether a connect is under way."""

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; looked at whenever a connection changed its state for good."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def stop(self) -> None:
        """After the last connection is closed: end what still runs on the pool's account."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.driver.close()

    def stop_later(self) -> None:
        """`stop` without waiting for it."""
        self._stopping = self.loop.create_task(self.stop())

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` on the pool's account; it ends with the pool."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # -- connections ---------------------------------------------------------------------------------------------

    def use(self, conn: Lent) -> Exclusive:
        """Awaitable use of a connection that was given away."""
        user = self._users[conn.id] = Exclusive(conn.link, self.loop, self.driver)
        return user

    async def clean(self, conn: Lent, user: Exclusive) -> None:
        """Bring a session back to its initial state."""
        for sql in user.link.reset_statements():
            await user.command(sql)
        user.link.after_reset()
        if self.on_init is not None:
            await self.on_init(conn, user)

    async def prepare(self, conn: Lent) -> float | None:
        """Look at a new connection, and have `init` prepare it; the seconds of a round trip, if one was made."""
        if self.on_init is not None:
            user = self.use(conn)
            try:
                await self.on_init(conn, user)
            finally:
                self._users.pop(conn.id, None)
        # After `init`, which may have changed what is asked for.
        return None if self.driver.question is None else await self._ask(conn, self.driver.question)

    async def _ask(self, conn: Lent, question: str) -> float:
        """Learn what the driver wants to know of the database, which another server may answer otherwise."""
        user = self.use(conn)
        statement = Statement(command_text(question, self.driver.dialect), (), ROWS, None)
        try:
            await user.start((statement,))
            if statement.error is not None:
                raise statement.error
        finally:
            self._users.pop(conn.id, None)
        if not self.driver.answered(statement.value[0][0]):
            self.ungroup()
        return user.seconds

    def ungroup(self) -> None:
        """The database does not allow groups."""
        self.stop_grouping()

    def note_failure(self, error: Exception) -> None:
        """A statement on a shared connection failed."""
        if getattr(error, "sqlstate", None) in UNDEFINED:
            self.on_suspicion()

    def not_connected(self, error: Exception) -> bool:
        """A connection could not be opened or prepared; whether to try again cannot help."""
        self.last_error = error
        if not isinstance(error, Error):
            logger.error("opening a connection failed: %s", type(error).__name__, exc_info=error)
        return is_permanent(error)

    # -- reports -------------------------------------------------------------------------------------------------

    def executed(self, statements: Sequence[Statement], seconds: float) -> None:
        """Count statements that were answered together after `seconds`."""
        count, metrics = len(statements), self.metrics
        metrics.statements += count
        metrics.run.record(seconds, count)
        metrics.rate.add(count, self.loop.time())
        slow = self.config.slow_query_ms
        if slow is not None and count == 1 and seconds * 1000 >= slow:
            self.slow(statements[0].text.sql, seconds)

    def slow(self, sql: str, seconds: float) -> None:
        """A statement took so long that the user wants to hear of it."""
        logger.warning("slow statement: %.0f ms: %s", seconds * 1000, sql[:500])

    def on_notice(self, link: Link | None, error: Exception) -> None:
        """A notice or warning of the server."""
        logger.info("%s", error)
