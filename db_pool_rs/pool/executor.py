"""What a pool needs of an engine, and the errors of the calls that the engine's rules fail.

:class:`~db_pool_rs.simple.executor.PythonExecutor` serves with the rules and the connections of this package, mode full
with an engine that has its own. What both do alike is here: handing connections over, the tasks beside, counting. An
engine gives a pool its executor when the pool is opened; it knows the pool by its
:class:`~db_pool_rs.pool.context.Context`.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .. import forks
from ..aio import Expired
from ..conninfo import ConnectConfig
from ..drivers.base import Groupable
from ..errors import ConnectFailed, ConnectionLost, Error, PoolClosed, PoolOverloaded, PoolTimeout, StatementTimeout
from ..guard.keeper import UNDEFINED
from ..log import logger
from ..metrics.counters import PoolMetrics
from ..scheduler.model import AcquireRequest, Reason, StatementRequest
from .outages import READ_ONLY, Outages, is_permanent, reason_of
from .queries import limits_for
from .session import AcquiredConnection, Session

if TYPE_CHECKING:
    from ..drivers.base import Database
    from ..metrics import PoolGauges, PoolStats
    from ..scheduler.cost import Query
    from ..sql import StatementClass
    from .context import Context


T = TypeVar("T")

#: How long what still runs on the pool's account may take to end when it is cancelled, in seconds.
_ENDING = 5.0
#: Values of `target_session_attrs` with which a server is expected to write.
_WRITES = ("any", "read-write", "primary")
#: Connections to a server that turned read-only are not replaced more often, in seconds: there may be no other one.
_EXPIRE_AGAIN = 1.0


class Experience(NamedTuple):
    """Of a text: how often it was answered, expected seconds, whether it is grouped now, and its types known."""

    seen: int
    mean: float
    fast: bool
    prepared: bool


class Report(NamedTuple):
    """How a pool stands when it fails a caller, and which callers hold its connections."""

    situation: str
    holders: tuple[str, ...]
    stats: PoolStats


class Executor(ABC):
    """Serves one pool on one event loop."""

    #: Takes in one statement of the pool's callers. An engine whose pool has a shorter way of its own has none.
    submit: Callable[[StatementRequest], None]

    def __init__(self, context: Context, driver: Database, loop: asyncio.AbstractEventLoop) -> None:
        self.context = context
        self.config = config = context.config
        self.driver = driver
        #: The numbers of the rules, as the pool was made with them.
        self.limits = limits_for(config, driver)
        self.loop = loop
        #: How long a new connection may take to be prepared after its login, in seconds.
        self.prepare_timeout = config.target.connect_timeout if isinstance(config.target, ConnectConfig) else None
        #: How long a used one may take to be cleaned: not as long as those who wait for it.
        self.clean_timeout = _shorter(self.prepare_timeout, self.limits.acquire_timeout)
        self.metrics = PoolMetrics()
        self.last_error: Exception | None = None
        self.outages = Outages(config.name, loop)
        #: The connections that one user has, callers and the pool itself, by number.
        self.sessions: dict[int, Session] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._report: Report | None = None
        self._expire_again = 0.0
        forks.hold(self)

    # -- what the pool asks for ----------------------------------------------------------------------------------

    @abstractmethod
    def start(self) -> None:
        """Open the first connections."""

    @abstractmethod
    def acquire(self, waiter: AcquireRequest) -> None:
        """Take in a caller that wants a connection; `lend` gives it, at once where one is free."""

    @abstractmethod
    def abandon(self, request: Any) -> None:
        """The caller no longer waits for `request`."""

    @abstractmethod
    def release(self, conn: Any, healthy: bool = True) -> None:
        """A clean session comes back; if not `healthy`, its connection is closed."""

    @abstractmethod
    def abort(self, conn: Any, reason: str, evict_all: bool) -> None:
        """Close a connection that is of no use any more; its user is told `reason`.

        `evict_all` if the others may be of no use either: the server is silent.
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
    def occupation(self) -> tuple[int, int, int]:
        """How many connections are idle, serve the pool's statements, and are held by callers."""

    @abstractmethod
    def gauges(self) -> PoolGauges:
        """How things stand."""

    @abstractmethod
    def stats(self) -> PoolStats:
        """A snapshot of what the pool is doing and has done."""

    def answered(self) -> int:
        """How many statements were answered until now."""
        return self.metrics.statements

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
        self.outages.emit()
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

    def use(self, conn: AcquiredConnection) -> Session:
        """A session on a connection that one user has from now on."""
        session = self.sessions[conn.id] = Session(self, conn, self.driver)
        return session

    def hand_over(self, session: Session, waiter: AcquireRequest) -> None:
        """Give a session to the caller that waited for it, which goes on now; if it has gone, it is free again."""
        if waiter.future.done():
            self.release(session.conn)
        else:
            waiter.future.set_result(session)

    async def in_time(self, conn: AcquiredConnection, work: Coroutine[Any, Any, T], timeout: float | None) -> T:
        """The result of `work` on a connection that serves no caller meanwhile; Expired after `timeout` seconds.

        What is under way on the connection then is told that it is lost, and the caller is to close it.
        """
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_forget_error)  # where the pool ends first, no caller asks for it
        try:
            await asyncio.wait((task,), timeout=timeout)
            if task.done():
                return task.result()
            reason = f"no answer within {timeout:g} s"
            if (session := self.sessions.get(conn.id)) is not None:
                session.lost(ConnectionLost(reason, sent=session.busy), session.busy)
            raise Expired(reason)
        finally:
            task.cancel()  # without effect where it has ended

    def limit_grouping(self, most: Groupable) -> None:
        """A new connection has told what may be grouped at most."""
        verdicts = self.context.queries.verdicts
        isolated, waits = verdicts.isolated or most is Groupable.NOTHING, most is Groupable.READS
        if (isolated, waits) != (verdicts.isolated, verdicts.waits):
            verdicts.isolated, verdicts.waits = isolated, waits
            self.regroup(self.context.queries.judge_again())

    def note_failure(self, error: Exception) -> None:
        """A statement on a shared connection failed."""
        state = getattr(error, "sqlstate", None)
        if state in UNDEFINED:
            self.context.queries.keeper.suspect()
        elif state == READ_ONLY:
            self.turned_read_only()

    def turned_read_only(self) -> None:
        """The server refused a write that it should take: another one may be there for that by now (rule 5.6)."""
        target, now = self.config.target, self.loop.time()
        if isinstance(target, ConnectConfig) and target.target_session_attrs in _WRITES and now >= self._expire_again:
            self._expire_again = now + _EXPIRE_AGAIN
            self.loop.call_soon(self._expire_unless_stopped)

    def _expire_unless_stopped(self) -> None:
        if self._stopping is None:
            self.expire()

    def not_connected(self, error: Exception) -> bool:
        """A connection could not be opened or prepared; whether to try again cannot help."""
        self.last_error = error
        self.outages.failed(error)
        if not isinstance(error, Error):
            kind = type(error).__name__
            logger.error("pool %r: opening a connection failed: %s", self.config.name, kind, exc_info=error)
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

    def holders(self) -> tuple[str, ...]:
        """A line for each connection in use: who, where, how long, last statement."""
        now = self.loop.time()
        held = [(one.holder, one) for one in self.sessions.values()]
        lines = [f"{now - holder.since:.1f} s: {one.holding()}" for holder, one in held if holder is not None]
        lines += [f"{seconds:.1f} s: running {sql[:200]}" for seconds, sql in self.running()]
        return tuple(lines)

    def report(self) -> Report:
        """How things stand, for the errors of this tick of the event loop: made once, however many fail together."""
        if self._report is None:
            self._report = Report(situation(self.gauges()), self.holders(), self.stats())
            self.loop.call_soon(self._forget_report)
        return self._report

    def _forget_report(self) -> None:
        self._report = None

    def executed(self, statements: Sequence[StatementRequest], seconds: float, told: bool = True) -> None:
        """Count statements that were answered together after `seconds`; loggers are `told` but of the pool's own."""
        count, metrics = len(statements), self.metrics
        metrics.statements += count
        metrics.run.record(seconds, count)
        metrics.rate.add(count, self.loop.time())
        if (slow := self.config.slow_query_ms) is not None and count == 1 and seconds * 1000 >= slow:
            self.slow(statements[0].query.sql, seconds)
        if told and (observers := self.context.observers).queries:
            observers.answered(statements, seconds, self.loop)

    def slow(self, sql: str, seconds: float) -> None:
        """A statement took so long that it is logged."""
        logger.warning("pool %r: slow statement: %.0f ms: %s", self.config.name, seconds * 1000, sql[:500])

    def noticed(self, session: Session | None, notice: Exception) -> None:
        """A notice or warning of the server, to a session that is held or to none."""
        self.context.observers.notice(notice, self.loop, None if session is None else session.on_notice)


def _shorter(timeout: float | None, other: float) -> float | None:
    seconds = other if timeout is None else min(timeout, other)
    return None if seconds == float("inf") else seconds


def _forget_error(task: asyncio.Task[Any]) -> None:
    """No caller waits for the task any more."""
    if not task.cancelled():
        task.exception()


def failure(service: Executor, reason: Reason, sent: bool, waited: float, for_connection: bool) -> Error:
    """The error of a call that waited for a connection of its own, or for the answer to its statement."""
    error = _error(service, reason, sent, waited, for_connection)
    if service.last_error is not None and reason in (Reason.LOST, Reason.TIMEOUT):
        error.__cause__ = service.last_error
    return error


def _error(service: Executor, reason: Reason, sent: bool, waited: float, for_connection: bool) -> Error:
    pool = f"pool {service.config.name!r}"
    if reason is Reason.CLOSED:
        return ConnectionLost("the pool was terminated", sent=True) if sent else PoolClosed("the pool is closed")
    if reason is Reason.OVERLOADED:
        return PoolOverloaded(f"{pool}: max_waiting={service.config.max_waiting} calls wait already")
    if reason is Reason.LOST:
        cause = f": {reason_of(service.last_error)}" if service.last_error else ""
        return ConnectionLost(f"the connection was lost before the answer came{cause}", sent=True)
    if reason is Reason.CONNECT_FAILED:
        return connect_failed(service.last_error)
    if sent:
        return StatementTimeout(
            "the deadline passed while the statement ran; the server was asked to stop it", sent=True
        )
    what = "connection" if for_connection else "turn"
    report = service.report()
    message = f"{pool}: no {what} within {waited:.1f} s: {report.situation}"
    if service.last_error is not None:
        message += f"; last error: {reason_of(service.last_error)}"
    return PoolTimeout(message, holders=report.holders, stats=report.stats)


def situation(gauges: PoolGauges) -> str:
    """How many connections there are, and what they do."""
    counts = {
        "opening": gauges.opening,
        "idle": gauges.idle,
        "lane": gauges.lanes,
        "alone": gauges.alone,
        "session": gauges.sessions,
        "closing": gauges.size - gauges.opening - gauges.idle - gauges.busy,
    }
    states = ", ".join(f"{state} {count}" for state, count in counts.items() if count)
    return f"{gauges.size} of {gauges.max_size} connections ({states})"


def connect_failed(cause: Exception | None) -> Error:
    """A fresh error for each caller (an exception object raised twice would share its traceback)."""
    if isinstance(cause, ConnectFailed):
        error = ConnectFailed(cause.reason, cause.attempts, sqlstate=cause.sqlstate, permanent=cause.permanent)
        error.__cause__ = cause.__cause__  # it says what its copy says
        return error
    permanent = is_permanent(cause)
    what = "could not be prepared" if permanent else "was lost before it could be used"
    error = ConnectFailed(f"a new connection {what}: {cause and reason_of(cause)}", permanent=permanent)
    error.__cause__ = cause
    return error
