"""Between a pool and its engine: carries calls there and hears, on the event loop's thread, what has become of them.

Statements of the pool's callers pass this module by (see :mod:`.pool`). What is told here is the rest: connections that
are lent, made, lost; a holder's statements; and errors, which are made of what the engine says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

from db_pool_rs_full import Pool as Native

from ..aio import Expired, within
from ..conninfo import ConnectConfig
from ..drivers.base import CLOSED_BY_POOL
from ..drivers.postgres.watch import descriptors
from ..errors import ConnectionLost, DecodeError, Error
from ..guard.verdicts import REASONS
from ..log import logger
from ..metrics.counters import PoolMetrics
from ..metrics.histogram import Histogram
from ..pool.executor import Executor, Experience, failure
from ..pool.lifecycle import clean, prepare
from ..pool.outages import reason_of
from ..scheduler.model import AcquireRequest, Reason
from . import options
from .link import FullLink, Loss, lost_error

if TYPE_CHECKING:
    from ..metrics import PoolGauges, PoolStats
    from ..pool.context import Context
    from ..scheduler.cost import Query
    from ..sql import StatementClass
    from .driver import Driver


#: How long the engine may take to end. It waits for nothing but its own connections.
_ENDING = 5.0


class RustExecutor(Executor):
    """Serves one pool through the engine."""

    driver: Driver

    def __init__(
        self, driver: Driver, threads: int, blocking: int, context: Context, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__(context, driver, loop)
        looks = driver.startup_query is not None or self.config.init is not None
        wanted = options.limits(self.limits), options.options(self.config, looks, self.clean_timeout)
        self.native = driver.native = Native(driver.target(), *wanted, threads, blocking, loop)
        self._waiters: dict[int, AcquireRequest] = {}
        self._links: dict[int, FullLink] = {}
        self._token, self._ended = 0, False
        #: Who waits for what the engine was asked for under a number: to run statements, or to stop them.
        self._expected: dict[int, FullLink] = {}
        self._stops: dict[int, asyncio.Future[bool]] = {}
        #: What prepares new connections, until it has ended or they are given up.
        self._preparing: dict[int, asyncio.Task[None]] = {}
        self._running: list[tuple[float, str]] = []
        self._descriptor = -1  # where the engine tells that something has happened
        #: What became of a first connection was told. The engine's figures run ahead of what it tells.
        self._tried = False

    # -- what the pool asks for ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Hear what the engine tells; it has begun."""
        timeout = self.config.command_timeout
        self.native.attach(self, self.loop.call_soon, self.native.flush, self.context.queries.known, timeout)
        self._watcher, self._descriptor = descriptors(self.loop), self.native.fileno()
        self._watcher.add_reader(self._descriptor, self.native.deliver_completions)

    def acquire(self, waiter: AcquireRequest) -> None:
        """Take in a request for a connection."""
        waiter.enqueued = self.loop.time()
        seconds = None if waiter.deadline is None else max(0.0, waiter.deadline - waiter.enqueued)
        waiter.ticket = self.native.acquire(seconds)
        self._waiters[waiter.ticket] = waiter

    def abandon(self, request: Any) -> None:
        """The caller no longer waits for `request`, an answer or a connection."""
        self.metrics.cancelled += 1
        if isinstance(request, AcquireRequest):
            if self._waiters.pop(request.ticket, None) is not None:
                self.native.cancel(request.ticket)
        else:
            self.native.abandon(request)

    def release(self, conn: FullLink, healthy: bool = True) -> None:
        """A clean session comes back, or one whose connection is to be closed."""
        self.sessions.pop(conn.id, None)
        if self._links.pop(conn.id, None) is not None:
            self.native.release(conn.id, healthy)

    def abort(self, conn: FullLink, reason: str, evict_all: bool) -> None:
        """Close a connection that is of no use any more. Its user hears it now, not when the engine tells."""
        self.native.abort(conn.id, reason, evict_all)
        if (session := self.sessions.pop(conn.id, None)) is not None:
            session.lost(ConnectionLost(reason, sent=session.busy), session.busy)

    def shut_down(self) -> None:
        """Finish what is there and take no new work."""
        self.native.shut_down()

    def terminate(self) -> None:
        """Close every connection now."""
        self.native.terminate()

    def resize(self, min_size: int, max_size: int) -> None:
        """Change the bounds."""
        self.native.resize(min_size, max_size)

    def expire(self) -> None:
        """Replace every connection as soon as it is free."""
        self.native.expire()

    def leave(self) -> None:
        """This is a child process, in which the engine's threads do not exist."""
        super().leave()
        if self._descriptor >= 0 and not self.loop.is_closed():
            self._watcher.remove_reader(self._descriptor)

    def held(self) -> int:
        """The descriptor on which the engine tells that something has happened."""
        return self._descriptor

    def drained(self) -> bool:
        """Whether the engine has ended."""
        return self._ended

    async def stop(self) -> None:
        """After the engine has ended: hear nothing more."""
        while not self._ended:
            try:
                await within(self.until(self.drained), _ENDING)
            except Expired:
                if not self.native.reading():  # its end is told after the last result
                    logger.error("the engine does not end")
                    break
        await super().stop()
        self._watcher.remove_reader(self._descriptor)
        self._descriptor = -1
        self.native.close()

    # -- sessions ------------------------------------------------------------------------------------------------

    def expect(self, link: FullLink) -> int:
        """A number under which the engine's answer will reach `link`."""
        self._token = token = self._token + 1
        self._expected[token] = link
        return token

    def stop_on(self, link: FullLink) -> asyncio.Future[bool]:
        """Have the server asked to stop what runs on `link`; True when the request can hit nothing else any more."""
        self._token += 1
        stopped = self._stops[self._token] = self.loop.create_future()
        self.native.stop(link.id, self._token)
        return stopped

    def acquired(self, request: int, conn: int, info: Any) -> None:
        """A request for a connection is served."""
        waiter = self._waiters.pop(request, None)
        if waiter is None:
            self.native.release(conn, True)  # the caller has gone meanwhile
            return
        link = self._links[conn] = FullLink(conn, self, info)
        self.hand_over(self.use(link), waiter)

    def not_lent(self, request: int, error: Exception) -> None:
        """A waiter is refused."""
        waiter = self._waiters.pop(request, None)
        if waiter is not None and not waiter.future.done():
            waiter.future.set_exception(error)

    def ran(self, token: int, ok: bool, seconds: float, in_transaction: bool, results: list[Any]) -> None:
        """A holder's statements are answered."""
        self._expected.pop(token).ran(ok, seconds, in_transaction, results)

    def ran_lost(self, token: int) -> None:
        """They will not be answered: the loss of the connection is told, too."""
        self._expected.pop(token)

    def on_data_request(self, token: int, piece: bytes | None) -> None:
        """A holder's COPY asks for a piece of its data, or gives one."""
        link = self._expected.get(token)
        if link is not None:
            link.on_data_request(piece)

    def notified(self, conn: int, pid: int, channel: str, payload: str) -> None:
        """A notification for the holder of the connection."""
        session = self.sessions.get(conn)
        if session is not None and session.on_notification is not None:
            session.on_notification(pid, channel, payload)

    def stopped(self, token: int, closed: bool) -> None:
        """A request to stop has ended: the server has closed its connection, or it may still hit what runs next."""
        future = self._stops.pop(token)
        if not future.done():
            future.set_result(closed)

    def lent_lost(self, conn: int, loss: Loss) -> None:
        """A connection that is lent is gone."""
        link, session = self._links.pop(conn, None), self.sessions.pop(conn, None)
        if loss[0] == CLOSED_BY_POOL and (preparing := self._preparing.pop(conn, None)) is not None:
            preparing.cancel()
        error = lost_error(loss)
        if link is not None:
            link.lost(error, loss[2])
        if session is not None:
            session.lost(error, loss[2] and session.busy)

    # -- connections ---------------------------------------------------------------------------------------------

    def initialize(self, conn: int) -> None:
        """A new connection is to be looked at and prepared."""
        link = self._links[conn] = FullLink(conn, self)
        self._preparing[conn] = self.spawn(self._initialize(link))

    async def _initialize(self, link: FullLink) -> None:
        refused = round_trip = None
        try:
            round_trip = await prepare(self, link)
        except Exception as error:
            refused = link.id in self._preparing and self.not_connected(error)
        if self._preparing.pop(link.id, None) is None:  # given up meanwhile
            return
        self._links.pop(link.id, None)
        self.native.initialized(link.id, refused, round_trip)
        self._changed.set()

    def altered(self, certain: bool) -> None:
        """DDL was executed on a shared connection, or may have been."""
        self.driver.altered(certain)

    def regroup(self, changes: Iterable[tuple[Query, StatementClass, bool]]) -> None:
        """Texts are of another class than they seemed, or may be grouped, or no longer."""
        for query, kind, groupable in changes:
            query.kind, query.groupable = kind, groupable
            self.driver.regroup(query)

    def experience(self, query: Query) -> Experience:
        """What is known of a text from its executions."""
        if query.description is None:
            return Experience(0, 0.0, False, False)
        return Experience(*self.native.experience(query.description))

    def reset(self, conn: int) -> None:
        """A shared connection is to be brought back to its initial state."""
        link = self._links[conn] = FullLink(conn, self)
        self.spawn(self._reset(link))

    async def _reset(self, link: FullLink) -> None:
        ok = True
        try:
            await self.in_time(link, clean(self, link, self.use(link)), self.clean_timeout)
        except Exception as error:
            self.last_error, ok = error, False
        self.sessions.pop(link.id, None)
        self._links.pop(link.id, None)
        self.native.reset_done(link.id, ok)

    def needs_password(self, conn: int) -> None:
        """A connection cannot be opened without the password of this moment."""
        self.spawn(self._ask_password(conn))

    async def _ask_password(self, conn: int) -> None:
        from ..conninfo.password import ask_password

        target = self.config.target
        assert isinstance(target, ConnectConfig) and target.password_provider is not None  # noqa: PT018
        try:
            password = await ask_password(target.password_provider, target.connect_timeout)
        except Exception as error:
            self.native.password(conn, None, self.not_connected(error))
            self._changed.set()
            return
        self.native.password(conn, password, False)

    def opening(self) -> bool:
        """Whether a connect is under way."""
        return (self.limits.min_size > 0 and not self._tried) or self.native.gauges()["opening"] > 0

    def not_connected(self, error: Exception) -> bool:
        """A connection could not be opened or prepared."""
        self._tried = True
        return super().not_connected(error)

    def opened(self) -> None:
        """A connection serves."""
        self._tried = True
        self.connected()
        self._changed.set()

    def not_opened(
        self, attempts: list[str], sqlstate: str | None, permanent: bool, cause: Mapping[str, str] | None
    ) -> None:
        """A connection could not be opened."""
        self.not_connected(self.driver.not_opened(attempts, sqlstate, permanent, cause))

    def gone(self, loss: Loss) -> None:
        """A connection is lost."""
        self.lost(lost_error(loss))

    def changed(self) -> None:
        """The connections have changed: the callers that wait for a change look again."""
        self._changed.set()

    def notice(self, conn: int, fields: Mapping[str, str]) -> None:
        """A notice or warning of the server."""
        self.noticed(self.sessions.get(conn), self.driver.error(fields, None))

    def import_loaders(self, module: str) -> None:
        """A value has come that only psycopg can read."""
        self.spawn(self._import_loaders(module))

    async def _import_loaders(self, module: str) -> None:
        try:
            await self.loop.run_in_executor(None, import_module, module)
        except Exception:
            logger.debug("%s cannot be imported", module, exc_info=True)  # the call that needs it says why
        finally:
            self.native.loaders_imported()

    def ended(self) -> None:
        """The last connection is closed."""
        self._ended = True
        self._changed.set()

    def broken(self) -> None:
        """The engine panicked: no call will be answered any more, so that the pool is closed."""
        logger.error("pool %r: the engine has failed, which is a bug in db_pool_rs", self.config.name)
        for request in list(self._waiters):
            self.not_lent(request, self.lost_to_a_bug())
        for conn in list(self._links):
            self.lent_lost(conn, ("the engine has failed", None, True))
        self.context.fail("its engine has failed, which is a bug in db_pool_rs")

    # -- errors --------------------------------------------------------------------------------------------------

    def failed(self, fields: Mapping[str, str], sql: str | None, shared: bool) -> Exception:
        """The error of a statement that the server refused, on a shared connection or a session."""
        error = self.driver.error(fields, sql)
        if shared:
            self.note_failure(error)
        return error

    def unreadable(self) -> Error:
        """The error of a statement whose result is not what the server had announced."""
        return DecodeError("the columns are of other types than when the statement was described")

    def lost_to_a_bug(self) -> Error:
        """The error of a call whose outcome is unknown."""
        return ConnectionLost("the engine has failed, which is a bug in db_pool_rs", sent=True)

    def refused(
        self, reason: str, sent: bool, waited: float, running: list[tuple[float, str]] | None, for_connection: bool
    ) -> Error:
        """The error of a call that the pool could not serve; `running` is None where it is what was told last."""
        why, self._running = Reason(reason), self._running if running is None else running
        if why is Reason.TIMEOUT:
            self.metrics.timeouts += 1
        return failure(self, why, sent, waited, for_connection)

    # -- reports -------------------------------------------------------------------------------------------------

    def running(self) -> Iterable[tuple[float, str]]:
        """What ran on shared connections when a caller waited for them in vain."""
        return self._running

    def occupation(self) -> tuple[int, int, int]:
        now = self.native.gauges()
        return now["idle"], now["lanes"] + now["alone"], now["sessions"]

    def gauges(self) -> PoolGauges:
        from ..metrics import PoolGauges

        now = self.native.gauges()
        busy = now["lanes"] + now["alone"] + now["sessions"]
        return PoolGauges(**now, busy=busy, last_error=None if self.last_error is None else reason_of(self.last_error))

    def answered(self) -> int:
        return int(self.native.counters()["statements"]) + self.metrics.statements

    def stats(self) -> PoolStats:
        """What the engine has counted, and what was counted here: sessions."""
        counted, mine = self.native.counters(), self.metrics
        counted["alone"] = dict(zip(REASONS, counted["alone"], strict=True))
        rate, *measured = self.native.measures()
        wait, run, group_size = (Histogram.of(*figures) for figures in measured)
        total = PoolMetrics(
            cancelled=mine.cancelled, timeouts=mine.timeouts, acquired=mine.acquired, hold=mine.hold, rate=mine.rate,
            wait=wait, run=run, group_size=group_size, **counted,
        )  # fmt: skip
        total.statements += mine.statements
        total.errors += mine.errors
        wait.merge(mine.wait)
        run.merge(mine.run)
        stats = total.snapshot(self.gauges(), self.loop.time())
        return replace(stats, queries_per_second=stats.queries_per_second + rate)
