"""What a pool, its sessions and its borrowings need from whoever serves them.

:class:`~db_pool_rs.simple.executor.PythonExecutor` serves with the rules and the links of this package, mode full with an
engine that has its own. What both do alike is here: preparing connections, cleaning them, the tasks for that, counting.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

from .. import forks
from ..aio import Expired, no_callback
from ..conninfo import ConnectConfig
from ..drivers.base import ROWS, Database, ServerConnection
from ..errors import ConnectFailed, ConnectionLost, Error
from ..guard.keeper import UNDEFINED
from ..metrics.counters import PoolMetrics
from ..scheduler.model import AcquireRequest, StatementRequest
from .exclusive import Exclusive, session_text
from .failures import Report, is_permanent, situation
from .outages import Outages

if TYPE_CHECKING:
    from ..config import PoolConfig
    from ..metrics import PoolGauges, PoolStats
    from ..scheduler.cost import Query
    from ..scheduler.model import Limits
    from ..sql import StatementClass

logger = logging.getLogger("db_pool_rs")

T = TypeVar("T")

#: How long what still runs on the pool's account may take to end when it is cancelled, in seconds.
_ENDING = 5.0


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


class Executor(ABC):
    """Serves one pool on one event loop."""

    def __init__(self, config: PoolConfig, driver: Database, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.driver = driver
        #: The numbers of the rules, as the pool was made with them.
        self.limits = limits
        self.loop = loop
        #: How long a new connection may take to be prepared after its login, in seconds.
        self.prepare_timeout = config.target.connect_timeout if isinstance(config.target, ConnectConfig) else None
        #: How long a used one may take to be cleaned: not as long as those who wait for it.
        self.clean_timeout = _shorter(self.prepare_timeout, limits.acquire_timeout)
        self.metrics = PoolMetrics()
        self.last_error: Exception | None = None
        self.outages = Outages(config.name, loop)
        #: Who holds connections, as lines for PoolTimeout; set by the pool.
        self.holders: Callable[[], tuple[str, ...]] = tuple
        self.on_lend: Callable[[Any, AcquireRequest], None]
        #: Called if the database does not allow groups; set by the pool.
        self.stop_grouping: Callable[[], None]
        #: Called when a statement fails in a way that makes one ask whether the catalogue has changed.
        self.on_suspicion: Callable[[], None] = no_callback
        self.on_init: Callable[[Any, Exclusive], Coroutine[Any, Any, None]] | None = None
        self._users: dict[int, Exclusive] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._report: Report | None = None
        forks.hold(self)

    # -- what the pool asks for ----------------------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Open the first connections."""

    @abstractmethod
    def acquire(self, waiter: AcquireRequest) -> None:
        """Take in somebody who wants a connection; given at once where one is free."""

    @abstractmethod
    def abandon(self, request: Any) -> None:
        """The caller no longer waits for `request`."""

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
    def regroup(self, changes: Iterable[tuple[Query, StatementClass, bool]]) -> None:
        """Texts are of another class than they seemed, or may be grouped, or no longer."""

    @abstractmethod
    def experience(self, query: Query) -> Experience:
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
        self.outages.tell()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:  # `init` and `reset` are the user's: they may refuse to end
            await asyncio.wait(self._tasks, timeout=_ENDING)
        await self.driver.close()

    def stop_soon(self) -> None:
        """`stop`, once, however often the pool is closed or terminated."""
        if self._stopping is None:
            self._stopping = self.loop.create_task(self.stop())
            self._changed.set()

    async def until_stopped(self) -> None:
        """Wait until that is done."""
        if self._stopping is not None:
            await asyncio.shield(self._stopping)

    def held(self) -> int:
        """A descriptor of its own, which a child process must not use; -1 if it has none."""
        return -1

    def leave(self) -> None:
        """This is a child process: whatever happens in it, nothing is carried out on the parent's account."""
        forks.leave_loop(self.loop)

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

    async def in_time(self, conn: Lent, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        """The result of `work` on a connection that serves no caller meanwhile; Expired after `timeout` seconds.

        What is under way on the connection then is told that it is lost, and the caller is to close it.
        """
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait((task,), timeout=timeout)
        if done:
            return task.result()
        reason = f"no answer within {timeout:g} s"
        user = self._users.get(conn.id)
        if user is not None:
            user.lost(ConnectionLost(reason, sent=user.busy), user.busy)
        task.add_done_callback(_forget_error)
        task.cancel()
        raise Expired(reason)

    async def clean(self, conn: Lent, user: Exclusive) -> None:
        """Bring a session back to its initial state."""
        for sql in user.link.reset_statements():
            await user.command(sql)
        user.link.after_reset()
        if self.on_init is not None:
            await self.on_init(conn, user)

    async def prepare(self, conn: Lent) -> float | None:
        """Have `init` prepare a new connection, then look at it; the seconds of a round trip, if one was made.

        ConnectFailed if that takes longer than `prepare_timeout`.
        """
        if self.driver.question is None and self.on_init is None:
            return None
        try:
            return await self.in_time(conn, self._prepare(conn), self.prepare_timeout)
        except Expired as error:
            message = f"a new connection was not prepared in time (connect_timeout, after its login): {error}"
            raise ConnectFailed(message) from None

    async def _prepare(self, conn: Lent) -> float | None:
        if self.on_init is not None:
            user = self.use(conn)
            try:
                await self.on_init(conn, user)
            finally:
                self._users.pop(conn.id, None)
        return await self._ask(conn, self.driver.question) if self.driver.question else None

    async def _ask(self, conn: Lent, question: str) -> float:
        """Learn what the driver wants to know of this connection: servers, roles and `init` differ."""
        user = self.use(conn)
        statement = StatementRequest(session_text(question, self.driver.dialect), (), ROWS, None)
        try:
            await user.start((statement,))
            if statement.error is not None:
                raise statement.error
        finally:
            self._users.pop(conn.id, None)
        row = statement.value[0]
        conn.link.told(int(row[-1]))
        if not self.driver.answered(row):
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
        self.outages.failed(error)
        if not isinstance(error, Error):
            logger.error("opening a connection failed: %s", type(error).__name__, exc_info=error)
        return is_permanent(error)

    def connected(self) -> None:
        """A connection serves."""
        self.last_error = None
        self.outages.opened()

    def lost(self, error: Exception) -> None:
        """A connection that served is gone."""
        self.last_error = error
        self.outages.lost(error)

    # -- reports -------------------------------------------------------------------------------------------------

    def report(self) -> Report:
        """How things stand, for the errors of this turn of the event loop: made once, however many fail together."""
        if self._report is None:
            self._report = Report(situation(self.gauges()), self.holders(), self.stats())
            self.loop.call_soon(self._forget_report)
        return self._report

    def _forget_report(self) -> None:
        self._report = None

    def executed(self, statements: Sequence[StatementRequest], seconds: float) -> None:
        """Count statements that were answered together after `seconds`."""
        count, metrics = len(statements), self.metrics
        metrics.statements += count
        metrics.run.record(seconds, count)
        metrics.rate.add(count, self.loop.time())
        slow = self.config.slow_query_ms
        if slow is not None and count == 1 and seconds * 1000 >= slow:
            self.slow(statements[0].query.sql, seconds)

    def slow(self, sql: str, seconds: float) -> None:
        """A statement took so long that the user wants to hear of it."""
        logger.warning("slow statement: %.0f ms: %s", seconds * 1000, sql[:500])

    def on_notice(self, link: ServerConnection | None, error: Exception) -> None:
        """A notice or warning of the server."""
        logger.info("%s", error)


def _shorter(timeout: float | None, other: float) -> float | None:
    seconds = other if timeout is None else min(timeout, other)
    return None if seconds == float("inf") else seconds


def _forget_error(task: asyncio.Task[Any]) -> None:
    """No caller waits for the task any more."""
    if not task.cancelled():
        task.exception()
