"""Drives the scheduler: turns what happens into events, carries the actions out, and keeps its clock.

The scheduler decides, the runner does. It owns the event loop's handles (one call at the end of a turn in which
statements came, one timer) and the tasks for what takes several steps (opening, cancelling, resetting).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import ConnectFailed, ConnectionLost, Error
from ..metrics import PoolGauges, PoolMetrics, PoolStats
from . import actions as act
from .conn import Conn, State
from .driver import ROWS, Driver, Link, Statement
from .exclusive import Exclusive, command_text
from .failures import failure
from .scheduler import Scheduler
from .upkeep import NEVER, Limits

if TYPE_CHECKING:
    from ..config import PoolConfig

logger = logging.getLogger("db_pool_rs")

#: How long a CancelRequest may take, connecting included.
CANCEL_TIMEOUT = 3.0


class Runner:
    """Carries out one pool's scheduling on one event loop. It is the listener of all the pool's links."""

    def __init__(self, config: PoolConfig, driver: Driver, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.driver = driver
        self.loop = loop
        self.metrics = PoolMetrics()
        self.scheduler = Scheduler(limits)
        self.last_error: Exception | None = None
        #: Who holds connections, as lines for PoolTimeout; set by the pool.
        self.holders: Callable[[], tuple[str, ...]] = tuple
        self.on_lend: Callable[[Conn, act.Waiter], None]
        #: Called if the database does not allow groups; set by the pool.
        self.stop_grouping: Callable[[], None]
        self.on_init: Callable[[Conn, Exclusive], Coroutine[Any, Any, None]] | None = None
        self._conns: dict[int, Conn] = {}
        self._users: dict[int, Exclusive] = {}
        self._turn_planned = False
        self._now = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._carry_out: dict[type, Callable[[Any], None]] = {
            act.Send: self._send,
            act.Deliver: self._deliver,
            act.Fail: self._fail,
            act.Open: self._open,
            act.Lend: self._lend,
            act.Cancel: self._cancel,
            act.Reset: self._reset,
            act.Close: self._close,
        }

    # -- what the pool asks for ----------------------------------------------------------------------------------

    def submit(self, statement: Statement) -> None:
        """Take a statement in; it is sent when this turn of the event loop ends."""
        if not self._turn_planned:
            self._plan_turn()
        failed = self.scheduler.submit(statement, self._now)
        if failed:
            self.perform(failed)

    def acquire(self, waiter: act.Waiter) -> None:
        """Take in somebody who wants a connection; given at once where one is free."""
        if not self._turn_planned:
            self._plan_turn()
        self.perform(self.scheduler.acquire(waiter, self._now))

    def abandon(self, item: act.Item) -> None:
        """The caller no longer waits for `item`."""
        self.metrics.cancelled += 1
        self.perform(self.scheduler.cancel(item, self.loop.time()))

    def release(self, conn: Conn, healthy: bool) -> None:
        """A clean session comes back."""
        self._users.pop(conn.id, None)
        if conn.state is State.SESSION:
            self.perform(self.scheduler.released(conn, self.loop.time(), healthy))

    def perform(self, actions: Sequence[act.Action]) -> None:
        """Carry actions out, in order."""
        for action in actions:
            self._carry_out[type(action)](action)
        if self.scheduler.wake < self._timer_at:
            self._set_timer()
        if self.scheduler.shutting_down:
            self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; looked at whenever a connection changed its state for good."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def opening(self) -> bool:
        """Whether a connect is under way."""
        return any(conn.state is State.OPENING for conn in self.scheduler.conns.values())

    def use(self, conn: Conn) -> Exclusive:
        """Awaitable use of a connection that the scheduler gave away."""
        user = self._users[conn.id] = Exclusive(conn.link, self.loop, self.driver.dialect)
        return user

    async def clean(self, conn: Conn, user: Exclusive) -> None:
        """Bring a session back to its initial state."""
        statements = user.link.reset_statements()
        for sql in statements:
            await user.command(sql)
        user.link.after_reset()
        if self.on_init is not None:
            await self.on_init(conn, user)

    async def stop(self) -> None:
        """After the last connection is closed: end what still runs on the pool's account."""
        if self._timer is not None:
            self._timer.cancel()
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

    def abort(self, conn: Conn, reason: str, retire: bool) -> None:
        """Close a connection that is of no use any more; whoever uses it hears `reason`.

        `retire` if the others may be of no use either: the server is silent.
        """
        if conn.state in (State.CLOSING, State.CLOSED):
            return
        conn.link.close()
        self.on_lost(conn.link, ConnectionLost(reason, sent=True), sent=True, retire=retire)

    # -- time ----------------------------------------------------------------------------------------------------

    def _plan_turn(self) -> None:
        self._turn_planned = True
        self._now = self.loop.time()
        self.loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._turn_planned = False
        self.perform(self.scheduler.turn(self.loop.time()))

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = self.scheduler.wake
        self._timer = self.loop.call_at(self._timer_at, self._tick)

    def _tick(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self.perform(self.scheduler.tick(self.loop.time()))

    # -- actions -------------------------------------------------------------------------------------------------

    def _send(self, action: act.Send) -> None:
        conn = action.conn
        self._record_waits(action.group, conn.started)
        try:
            conn.link.start(action.group, conn.done)
        except Exception as error:  # a bug, or out of memory: what became of the group is unknown
            logger.exception("sending failed; the connection is closed")
            conn.link.close()
            self.on_lost(conn.link, error, sent=True, retire=False)

    def _record_waits(self, group: Sequence[Statement], now: float) -> None:
        """Statements of one turn share their arrival time: one entry for each run of equal ones."""
        arrived, count = group[0].enqueued, 0
        for statement in group:
            if statement.enqueued == arrived:
                count += 1
            else:
                self.metrics.wait.record(now - arrived, count)
                arrived, count = statement.enqueued, 1
        self.metrics.wait.record(now - arrived, count)

    def _deliver(self, action: act.Deliver) -> None:
        for statement in action.group:
            future = statement.future
            if not future.done():
                if statement.error is None:
                    future.set_result(statement.value)
                else:
                    self.metrics.errors += 1
                    future.set_exception(statement.error)

    def _fail(self, action: act.Fail) -> None:
        future = action.item.future
        if not future.done():
            if action.reason is act.Reason.TIMEOUT:
                self.metrics.timeouts += 1
            future.set_exception(failure(action, self))

    def _lend(self, action: act.Lend) -> None:
        self.on_lend(action.conn, action.waiter)

    def _open(self, action: act.Open) -> None:
        self.spawn(self._connect(action.conn))

    async def _connect(self, conn: Conn) -> None:
        self.metrics.connects += 1
        try:
            link = await self.driver.connect(self)
            conn.link = link
            self._conns[id(link)] = conn
            if self.driver.question is not None:
                await self._ask(conn, self.driver.question)
            if self.on_init is not None:
                await self._initialise(conn)
        except Exception as error:
            self._connect_failed(conn, error)
            return
        conn.done = partial(self._finished, conn)
        lifetime = self.config.max_lifetime * random.uniform(0.9, 1.1)
        self.last_error = None
        self.perform(self.scheduler.opened(conn, self.loop.time(), lifetime))
        self._changed.set()

    async def _ask(self, conn: Conn, question: str) -> None:
        """Learn from the first connection what the driver wants to know of the database."""
        user = self.use(conn)
        statement = Statement(command_text(question, self.driver.dialect), (), ROWS, None)
        try:
            await user.start((statement,))
            if statement.error is not None:
                raise statement.error
        except BaseException:
            self._drop(conn)
            raise
        finally:
            self._users.pop(conn.id, None)
        if not self.driver.answered(statement.value[0][0]):
            self.stop_grouping()

    async def _initialise(self, conn: Conn) -> None:
        assert self.on_init is not None
        user = self.use(conn)
        try:
            await self.on_init(conn, user)
        except BaseException:
            self._drop(conn)
            raise
        finally:
            self._users.pop(conn.id, None)

    def _connect_failed(self, conn: Conn, error: Exception) -> None:
        self.metrics.connect_failures += 1
        self.last_error = error
        permanent = error.permanent if isinstance(error, ConnectFailed) else True
        if not isinstance(error, Error):
            logger.error("opening a connection failed: %s", type(error).__name__, exc_info=error)
        self.perform(self.scheduler.open_failed(conn, self.loop.time(), permanent, random.random()))
        self._changed.set()

    def _cancel(self, action: act.Cancel) -> None:
        self.spawn(self._cancel_request(action.conn))

    async def _cancel_request(self, conn: Conn) -> None:
        await conn.link.cancel(CANCEL_TIMEOUT)
        self.perform(self.scheduler.cancel_closed(conn, self.loop.time()))

    def _reset(self, action: act.Reset) -> None:
        self.spawn(self._clean_up(action.conn))

    async def _clean_up(self, conn: Conn) -> None:
        try:
            await asyncio.wait_for(self.clean(conn, self.use(conn)), self.scheduler.limits.acquire_timeout)
        except Exception as error:
            if conn.state is not State.CLOSED:
                conn.link.close()
                self.on_lost(conn.link, error, sent=False, retire=False)
            return
        finally:
            self._users.pop(conn.id, None)
        self.perform(self.scheduler.reset_done(conn, self.loop.time()))

    def _close(self, action: act.Close) -> None:
        user = self._users.pop(action.conn.id, None)
        self._drop(action.conn)
        if user is not None:
            user.lost(ConnectionLost("the connection was closed by the pool", sent=user.busy), user.busy)
        self.perform(self.scheduler.closed(action.conn, self.loop.time()))
        self._changed.set()

    def _drop(self, conn: Conn) -> None:
        if conn.link is not None:
            self._conns.pop(id(conn.link), None)
            conn.link.close()

    # -- events of links -----------------------------------------------------------------------------------------

    def _finished(self, conn: Conn, ok: bool, seconds: float, size: float) -> None:
        group = conn.group
        if ok or len(group) == 1:
            self.metrics.groups += 1
            self.metrics.group_size.record(len(group))
            self.executed(group, seconds)
        self.perform(self.scheduler.finished(conn, ok, self.loop.time(), seconds, size))

    def executed(self, statements: Sequence[Statement], seconds: float) -> None:
        """Count statements that were answered together after `seconds`."""
        count, metrics = len(statements), self.metrics
        metrics.statements += count
        metrics.run.record(seconds, count)
        metrics.rate.add(count, self.loop.time())
        slow = self.config.slow_query_ms
        if slow is not None and count == 1 and seconds * 1000 >= slow:
            logger.warning("slow statement: %.0f ms: %s", seconds * 1000, statements[0].text.sql[:500])

    def on_round_trip(self, link: Link, seconds: float) -> None:
        """A round trip without work."""
        self.scheduler.measured(seconds)

    def on_lost(self, link: Link, error: Exception, sent: bool, retire: bool) -> None:
        """A connection is gone."""
        conn = self._conns.pop(id(link), None)
        if conn is None:
            return
        self.metrics.lost += 1
        self.last_error = error
        user = self._users.pop(conn.id, None)
        if user is not None:
            user.lost(error, sent)
        if conn.state is not State.OPENING:  # else the failed `init` reports it
            self.perform(self.scheduler.lost(conn, self.loop.time(), sent, retire))
        self._changed.set()

    def on_notice(self, link: Link, error: Exception) -> None:
        """A notice or warning of the server."""
        logger.info("%s", error)

    def on_notification(self, link: Link, pid: int, channel: str, payload: str) -> None:
        """A notification for whoever holds the session."""
        conn = self._conns.get(id(link))
        user = None if conn is None else self._users.get(conn.id)
        if user is not None and user.on_notification is not None:
            user.on_notification(pid, channel, payload)

    # -- reports -------------------------------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """A snapshot of what the pool is doing and has done."""
        scheduler, count = self.scheduler, self.scheduler.counts()
        lanes, alone, sessions = count[State.LANE], count[State.ALONE], count[State.SESSION]
        self.metrics.broken_up, self.metrics.resent = scheduler.broken_up, scheduler.resent
        gauges = PoolGauges(
            size=scheduler.size,
            idle=count[State.IDLE],
            busy=lanes + alone + sessions,
            opening=count[State.OPENING],
            lanes=lanes,
            alone=alone,
            sessions=sessions,
            waiting=scheduler.queues.waiting,
            in_flight=sum(len(conn.group) for conn in scheduler.conns.values()),
            min_size=scheduler.limits.min_size,
            max_size=scheduler.limits.max_size,
            healthy=scheduler.connect_failures == 0,
            last_error=None if self.last_error is None else str(self.last_error),
            generation=scheduler.generation,
        )
        return self.metrics.snapshot(gauges, self.loop.time())
