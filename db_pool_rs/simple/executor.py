"""Drives the scheduler: turns what happens into events, carries the actions out, and keeps its clock.

The scheduler decides, the executor does. It owns the event loop's handles (one call at the end of a tick in which
statements came, one timer) and the tasks for what takes several steps (opening, cancelling, resetting).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from ..drivers.base import CANCEL_UNDER_WAY, CLOSED_BY_POOL, Driver, ServerConnection
from ..errors import ConnectionLost
from ..log import logger
from ..pool.executor import Executor, Experience, failure
from ..pool.lifecycle import clean, prepare
from ..pool.outages import reason_of
from ..pool.session import CANCEL_TIMEOUT, Session
from ..scheduler import model as act
from ..scheduler.model import NEVER, AcquireRequest, ConnectionState, Reason, Request, State, StatementRequest
from ..scheduler.scheduler import Scheduler

if TYPE_CHECKING:
    from ..metrics import PoolGauges, PoolStats
    from ..pool.context import Context
    from ..scheduler.cost import Query
    from ..sql import StatementClass


#: How many waiters hear in one tick of the event loop that they are not served: the others must not wait for all.
SLICE = 256
#: The program's own random numbers, which it may have seeded, are not used up.
_chance = SystemRandom()


class PythonExecutor(Executor):
    """Carries out one pool's scheduling on one event loop. It is the listener of all the pool's links."""

    driver: Driver

    def __init__(self, driver: Driver, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(context, driver, loop)
        self.scheduler = Scheduler(self.limits)
        self._conns: dict[int, ConnectionState] = {}
        #: What opens connections, until they are open or given up.
        self._connecting: dict[int, asyncio.Task[None]] = {}
        #: Statements of this tick of the event loop.
        self._arrived: list[StatementRequest] = []
        #: Those who are to hear that they are not served.
        self._refused: deque[act.Fail] = deque()
        self._telling = self._end_planned = False
        #: Sessions that callers are given when all else is done: they go on with their work at once.
        self._acquired: deque[tuple[Session, AcquireRequest]] = deque()
        #: How many Delivers there were when the end of the tick was planned: their callers have gone on when it comes.
        self._acknowledged = 0
        self._timer: asyncio.TimerHandle | None = None
        self._now, self._timer_at = 0.0, NEVER
        self._carry_out: dict[type, Callable[[Any], None]] = {
            act.Send: self._send,
            act.Deliver: self._deliver,
            act.Fail: self._refused.append,
            act.Open: self._open,
            act.Lend: self._lend,
            act.Cancel: self._cancel,
            act.Reset: self._reset,
            act.Close: self._close,
        }

    # -- what the pool asks for ----------------------------------------------------------------------------------

    def submit(self, statement: StatementRequest) -> None:
        """Take a statement in; it is sent when this tick of the event loop ends."""
        if not self._end_planned:
            self._plan_end_of_tick()
        self._arrived.append(statement)

    def _arrive(self) -> None:
        """Pass on what arrived, before anything that must not come first."""
        if self._arrived:
            statements, self._arrived = self._arrived, []
            refused = self.scheduler.submit(statements, self._now)
            if refused:
                self.perform(refused)

    def acquire(self, waiter: AcquireRequest) -> None:
        """Take in a request for a connection; served at once where one is free."""
        if not self._end_planned:
            self._plan_end_of_tick()
        self._arrive()
        if refused := self.scheduler.acquire(waiter, self._now):
            self.perform(refused)

    def abandon(self, request: Request) -> None:
        """The caller no longer waits for `request`."""
        self.metrics.cancelled += 1
        self._arrive()
        self.perform(self.scheduler.cancel(request, self.loop.time()))

    def release(self, conn: ConnectionState, healthy: bool = True) -> None:
        """A clean session comes back, or one whose connection is to be closed."""
        self.sessions.pop(conn.id, None)
        if conn.state is State.SESSION:
            self.perform(self.scheduler.released(conn, self.loop.time(), healthy))

    def perform(self, actions: Sequence[act.Action]) -> None:
        """Carry actions out, in order."""
        for action in actions:
            self._carry_out[type(action)](action)
        while self._acquired:
            self.hand_over(*self._acquired.popleft())
        if self._refused and not self._telling:
            self._tell_refused()
        if self.scheduler.timeouts.next_timeout() < self._timer_at:
            self._set_timer()
        if self.scheduler.shutting_down:
            self._changed.set()

    def start(self) -> None:
        """Open the first connections."""
        self.perform(self.scheduler.start(self.loop.time()))

    def shut_down(self) -> None:
        """Finish what is there and take no new work."""
        self._arrive()
        self.perform(self.scheduler.shut_down(self.loop.time()))

    def terminate(self) -> None:
        """Close every connection now."""
        self._arrive()
        self.perform(self.scheduler.terminate())

    def resize(self, min_size: int, max_size: int) -> None:
        """Change the bounds."""
        self.perform(self.scheduler.resize(self.loop.time(), min_size, max_size))

    def expire(self) -> None:
        """Replace every connection as soon as it is free."""
        self.perform(self.scheduler.expire(self.loop.time()))

    def leave(self) -> None:
        """This is a child process: what is decided here is not carried out."""
        super().leave()
        self._carry_out = dict.fromkeys(self._carry_out, _ignore)

    def drained(self) -> bool:
        """Whether everything is finished."""
        return self.scheduler.drained

    async def stop(self) -> None:
        """After the last connection is closed: end what still runs on the pool's account."""
        if self._timer is not None:
            self._timer.cancel()
        while self._refused:
            await asyncio.sleep(0)
        await super().stop()

    def abort(self, conn: ConnectionState, reason: str, evict_all: bool) -> None:
        """Close a connection that is of no use any more; its user is told `reason`.

        `evict_all` if the others may be of no use either: the server is silent.
        """
        if conn.state in (State.CLOSING, State.CLOSED):
            return
        conn.link.close()
        self.on_lost(conn.link, ConnectionLost(reason, sent=True), sent=True, evict_all=evict_all)

    # -- time ----------------------------------------------------------------------------------------------------

    def _plan_end_of_tick(self) -> None:
        self._end_planned = True
        self._acknowledged = self.scheduler.delivered
        self._now = self.loop.time()
        self.loop.call_soon(self._end_of_tick)

    def _end_of_tick(self) -> None:
        self._end_planned = False
        self._arrive()
        self.perform(self.scheduler.end_of_tick(self.loop.time(), self._acknowledged))
        if self.scheduler.write_lanes.awaiting_resubmit and not self._end_planned:
            self._plan_end_of_tick()  # a caller was answered after this end was planned

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self.scheduler.timeouts.next_timeout()
        self._timer = self.loop.call_at(self._timer_at, self._handle_timeout)

    def _handle_timeout(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self.perform(self.scheduler.handle_timeout(self.loop.time()))

    # -- actions -------------------------------------------------------------------------------------------------

    def _send(self, action: act.Send) -> None:
        conn = action.conn
        self.metrics.record_waits(action.group, conn.started)
        try:
            conn.link.start(action.group, conn.done)
        except Exception as error:  # a bug, or out of memory: what became of the group is unknown
            logger.exception("pool %r: sending failed; the connection is closed", self.config.name)
            conn.link.close()
            self.on_lost(conn.link, error, sent=True, evict_all=False)

    def _deliver(self, action: act.Deliver) -> None:
        self.metrics.errors += self.driver.answer.hand_out(action.group, self.loop)
        if not self._end_planned:
            self._plan_end_of_tick()  # after those who go on now

    def _tell_refused(self) -> None:
        """Tell some; the rest in the next ticks."""
        for _ in range(min(len(self._refused), SLICE)):
            self._fail(self._refused.popleft())
        self._telling = bool(self._refused)
        if self._telling:
            self.loop.call_soon(self._tell_refused)

    def _fail(self, action: act.Fail) -> None:
        future = action.request.future
        if not future.done():
            if action.reason is Reason.TIMEOUT:
                self.metrics.timeouts += 1
            waited = self.loop.time() - action.request.enqueued
            waits = isinstance(action.request, AcquireRequest)
            future.set_exception(failure(self, action.reason, action.sent, waited, waits))

    def _lend(self, action: act.Lend) -> None:
        self._acquired.append((self.use(action.conn), action.waiter))

    def _open(self, action: act.Open) -> None:
        self._connecting[action.conn.id] = self.spawn(self._connect(action.conn))

    async def _connect(self, conn: ConnectionState) -> None:
        self.metrics.connects += 1
        try:
            conn.link = link = await self.driver.connect(self)
            self._conns[id(link)] = conn
            round_trip = await prepare(self, conn)
        except BaseException as error:
            self._drop(conn)
            if not isinstance(error, Exception):
                raise
            if self._connecting.pop(conn.id, None) is not None:
                self._connect_failed(conn, error)
            return
        if self._connecting.pop(conn.id, None) is None:  # given up, and `init` has taken no notice
            self._drop(conn)
            return
        conn.done = partial(self._finished, conn)
        lifetime = self.config.max_lifetime * _chance.uniform(0.9, 1.1)
        self.connected()
        self.perform(self.scheduler.opened(conn, self.loop.time(), lifetime, round_trip))
        self._changed.set()

    def _connect_failed(self, conn: ConnectionState, error: Exception) -> None:
        self.metrics.connect_failures += 1
        permanent = self.not_connected(error)
        self.perform(self.scheduler.open_failed(conn, self.loop.time(), permanent, _chance.random()))
        self._changed.set()

    def _cancel(self, action: act.Cancel) -> None:
        self.spawn(self._cancel_request(action.conn))

    async def _cancel_request(self, conn: ConnectionState) -> None:
        if await conn.link.cancel(CANCEL_TIMEOUT):
            self.perform(self.scheduler.cancel_closed(conn, self.loop.time()))
        else:
            self.abort(conn, CANCEL_UNDER_WAY, evict_all=False)

    def _reset(self, action: act.Reset) -> None:
        self.spawn(self._reset_session(action.conn))

    async def _reset_session(self, conn: ConnectionState) -> None:
        try:
            await self.in_time(conn, clean(self, conn, self.use(conn)), self.clean_timeout)
        except Exception as error:
            if conn.state is not State.CLOSED:
                conn.link.close()
                self.on_lost(conn.link, error, sent=False, evict_all=False)
            return
        finally:
            self.sessions.pop(conn.id, None)
        self.perform(self.scheduler.reset_done(conn, self.loop.time()))

    def _close(self, action: act.Close) -> None:
        session = self.sessions.pop(action.conn.id, None)
        if (connecting := self._connecting.pop(action.conn.id, None)) is not None:
            connecting.cancel()
        self._drop(action.conn)
        if session is not None:
            session.lost(ConnectionLost(CLOSED_BY_POOL, sent=session.busy), session.busy)
        self.perform(self.scheduler.closed(action.conn, self.loop.time()))
        self._changed.set()

    def _drop(self, conn: ConnectionState) -> None:
        if conn.link is not None:
            self._conns.pop(id(conn.link), None)
            conn.link.close()

    # -- events of links -----------------------------------------------------------------------------------------

    def _finished(self, conn: ConnectionState, ok: bool, seconds: float, size: float) -> None:
        group = conn.group
        if not ok and len(group) == 1 and group[0].error is not None:
            self.note_failure(group[0].error)
        if ok or len(group) == 1:
            self.metrics.groups += 1
            self.metrics.group_size.record(len(group))
            self.executed(group, seconds)
        self.perform(self.scheduler.finished(conn, ok, self.loop.time(), seconds, size))

    def on_round_trip(self, link: ServerConnection, seconds: float) -> None:
        """A round trip without work."""
        conn = self._conns.get(id(link))
        if conn is not None:
            self.scheduler.measured(conn, seconds)

    def on_lost(self, link: ServerConnection, error: Exception, sent: bool, evict_all: bool) -> None:
        """A connection is gone."""
        if (conn := self._conns.pop(id(link), None)) is None:
            return
        self.metrics.lost += 1
        session = self.sessions.pop(conn.id, None)
        if session is not None:
            session.lost(error, sent)
        if conn.state is not State.OPENING:  # else its preparation reports it
            self.lost(error)
            self.perform(self.scheduler.lost(conn, self.loop.time(), sent, evict_all, _chance.random()))
        self._changed.set()

    def on_notification(self, link: ServerConnection, pid: int, channel: str, payload: str) -> None:
        """A notification for the session's holder."""
        session = self._session_of(link)
        if session is not None and session.on_notification is not None:
            session.on_notification(pid, channel, payload)

    def on_notice(self, link: ServerConnection, error: Exception) -> None:
        """A notice or warning of the server."""
        self.noticed(self._session_of(link), error)

    def _session_of(self, link: ServerConnection) -> Session | None:
        conn = self._conns.get(id(link))
        return None if conn is None else self.sessions.get(conn.id)

    # -- reports -------------------------------------------------------------------------------------------------

    def running(self) -> Iterator[tuple[float, str]]:
        """What runs on shared connections."""
        now = self.loop.time()
        for conn in self.scheduler.conns.values():
            if conn.state in (State.ALONE, State.LANE) and conn.group:
                yield now - conn.started, conn.group[0].query.sql

    def regroup(self, changes: Iterable[tuple[Query, StatementClass, bool]]) -> None:
        """Texts are of another class than they seemed, or may be grouped, or no longer."""
        for query, kind, groupable in changes:
            self.perform(self.scheduler.regroup(query, kind, groupable, self.loop.time()))

    def experience(self, query: Query) -> Experience:
        """What is known of a text from its executions."""
        now = self.loop.time()
        fast = query.fast and now >= query.held_until
        return Experience(query.seen, query.mean, fast, query.description is not None)

    def opening(self) -> bool:
        """Whether a connect is under way."""
        return self.scheduler.connections.counts()[State.OPENING] > 0

    def occupation(self) -> tuple[int, int, int]:
        """How many connections are idle, serve the pool's statements, and are held by callers."""
        count = self.scheduler.connections.counts()
        return count[State.IDLE], count[State.LANE] + count[State.ALONE], count[State.SESSION]

    def gauges(self) -> PoolGauges:
        """How things stand."""
        from ..metrics import PoolGauges

        scheduler, count = self.scheduler, self.scheduler.connections.counts()
        return PoolGauges(
            size=scheduler.connections.size,
            idle=count[State.IDLE],
            busy=count[State.LANE] + count[State.ALONE] + count[State.SESSION],
            opening=count[State.OPENING],
            lanes=count[State.LANE],
            alone=count[State.ALONE],
            sessions=count[State.SESSION],
            waiting=scheduler.queues.waiting + len(self._arrived),
            in_flight=sum(len(conn.group) for conn in scheduler.conns.values()),
            min_size=scheduler.limits.min_size,
            max_size=scheduler.limits.max_size,
            healthy=scheduler.connections.failures == 0,
            last_error=None if self.last_error is None else reason_of(self.last_error),
            generation=scheduler.connections.generation,
        )

    def stats(self) -> PoolStats:
        """A snapshot of what the pool is doing and has done."""
        self.metrics.broken_up, self.metrics.resent = self.scheduler.broken_up, self.scheduler.resent
        self.metrics.alone = self.scheduler.alone
        return self.metrics.snapshot(self.gauges(), self.loop.time())


def _ignore(action: act.Action) -> None:
    """In a child process."""
