"""The pool as its users see it: statements, sessions, upkeep. How they are served is :mod:`.scheduler`'s business."""

from __future__ import annotations

import asyncio
import os
import weakref
from asyncio import get_running_loop
from collections.abc import Callable, Generator, Iterable
from typing import TYPE_CHECKING, Any, cast

from ..aio import remaining
from ..drivers.base import ROWS, STATUS, Database, Driver
from ..errors import ArgumentError, InterfaceError, PoolClosed
from ..record import Record, Status
from ..scheduler.cost import Query
from ..scheduler.model import AcquireRequest, StatementRequest
from ..sql import StatementClass
from ..types.catalog import TypesUnknown
from .acquire import Acquire, Acquired, PoolTransaction
from .executor import Executor
from .failures import connect_failed
from .guarding import Guarding
from .queries import QueryCache, empty_result, limits_for
from .session import Session

if TYPE_CHECKING:
    from ..config import PoolConfig
    from ..guard import Explanation
    from ..metrics import PoolStats
    from .connection import Connection

#: Pools of this process; a forked child must not touch the connections it inherited.
_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _forked() -> None:
    for pool in _pools:
        pool.mark_forked()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return get_running_loop()
    except RuntimeError:
        return None


def _is_duration(seconds: object) -> bool:
    return isinstance(seconds, (int, float)) and seconds >= 0


def _is_count(number: object) -> bool:
    return isinstance(number, int) and number >= 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class Pool:
    """A pool of connections to one database. ``await pool`` or ``async with pool`` opens it.

    ``fetch*`` and ``execute`` outside a transaction are auto-commit statements: each is committed, alone, when its call
    returns. Many of them share a few connections and travel in groups; docs/pool.md tells what that changes.
    All calls belong to the event loop on which the pool was opened.
    """

    def __init__(self, config: PoolConfig, driver: Database) -> None:
        self.config = config
        self._driver = driver
        self._texts = QueryCache(config, driver)
        self._known = self._texts.known
        self._new_answer = driver.answer
        self._runner: Executor | None = None
        self._take_in: Callable[[StatementRequest], None]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._guarding = Guarding(config, self, self._texts, driver)
        self._borrowings = Acquired(self)
        self._state = "new"
        self._pid = os.getpid()
        #: Whether a group is rolled back as a whole if one of its statements fails.
        self.atomic_groups = driver.dialect == "postgresql"

    # -- statements ----------------------------------------------------------------------------------------------

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Record]:
        """Run one statement and return its rows.

        `args` stand for ``$1, $2, ...``; `timeout` (seconds) covers waiting, connecting and running.
        Raises DatabaseError with the server's SQLSTATE, ArgumentError before anything is sent, PoolTimeout while
        waiting for a connection, StatementTimeout while running, ConnectionLost if the outcome is unknown.
        """
        statement = self._submit(sql, args, ROWS, timeout)
        try:
            rows: list[Record] = await statement.future
        except asyncio.CancelledError:
            self._abandon(statement)
            raise
        return rows

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """Run one statement and return its command tag, e.g. ``'UPDATE 3'`` (``.rows`` is 3)."""
        statement = self._submit(sql, args, STATUS, timeout)
        try:
            status: Status = await statement.future
        except asyncio.CancelledError:
            self._abandon(statement)
            raise
        return status

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> Record | None:
        """Run one statement; its first row, or None."""
        rows = await self.fetch(sql, *args, timeout=timeout)
        return rows[0] if rows else None

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Run one statement; one value of its first row, or None if there is no row."""
        rows = await self.fetch(sql, *args, timeout=timeout)
        return rows[0][column] if rows else None

    async def executemany(self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Run one statement once for each element of `args`, as one transaction: pipelined, all or nothing."""
        self.lookup(sql, shared=True)
        deadline = self.deadline(timeout)
        async with self.acquire(timeout=self.timeout(timeout)) as connection:
            await connection.executemany(sql, args, timeout=remaining(deadline))

    # -- sessions ------------------------------------------------------------------------------------------------

    def acquire(self, *, timeout: float | None = None) -> Acquire:
        """A connection to oneself: ``async with pool.acquire() as conn``, or ``await`` it and `release` it.

        Waits `timeout` seconds at most (default: the pool's `acquire_timeout`), then raises PoolTimeout naming those
        who hold connections.
        """
        return Acquire(self, timeout, self._borrowings.site())

    async def release(self, connection: Connection) -> None:
        """Give a connection back: what is left open is rolled back, what is left dirty cleaned, in the background."""
        if getattr(connection, "pool", None) is not self:
            raise InterfaceError(f"a connection of this pool is expected, not of another pool: {connection!r}")
        session = connection.detach()
        if session is not None and self._state != "forked":
            self._borrowings.give_back(session)

    def transaction(
        self,
        *,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> PoolTransaction:
        """A connection with a transaction block on it; `timeout` is that of `acquire`."""
        return PoolTransaction(self.acquire(timeout=timeout), isolation, readonly, deferrable)

    # -- the pool itself -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the first `min_size` connections; raises ConnectFailed with the cause if none can be had."""
        if self._state != "new":
            raise InterfaceError(f"the pool is {self._state} already; make a new one")
        self._loop = get_running_loop()
        runner = self._service(self._loop)
        self._borrowings.attach(runner)
        self._guarding.attach(runner)
        self._runner = runner
        self._state = "open"
        _pools.add(self)
        runner.start()
        try:
            await runner.until(lambda: self._state != "open" or not runner.opening())
        except asyncio.CancelledError:
            self.terminate()
            raise
        if self.closed:
            raise PoolClosed("the pool was closed while it was being opened")
        if self.config.min_size and runner.last_error is not None and not runner.gauges().size:
            self._end(runner)
            await runner.until_stopped()
            raise connect_failed(runner.last_error)
        runner.outages.told = True

    async def close(self, timeout: float | None = None) -> None:
        """Finish what was called before, then close. After `timeout` seconds the rest is terminated."""
        runner = self._runner
        if self._state == "forked":
            return  # the connections are the parent's, to close them as well
        if runner is None or (self._state == "closed" and _running_loop() is not self._loop):
            self._state = "closed"
            return
        self._check_loop()
        if self._state != "closed":
            self._state = "closing"
            self._guarding.stop()
            runner.shut_down()
            try:
                await asyncio.wait_for(runner.until(runner.drained), timeout)
            except (asyncio.TimeoutError, TimeoutError):
                pass
            finally:
                self._end(runner)
        await runner.until_stopped()

    def terminate(self) -> None:
        """Close every connection now. Whoever waits gets PoolClosed, what runs gets ConnectionLost."""
        if self._state == "forked":
            return
        if self._loop is not None and self._loop.is_running():
            self._check_loop()
        runner, self._state = self._runner, "closed"
        if runner is not None and not runner.loop.is_closed():
            self._end(runner)

    def _end(self, runner: Executor) -> None:
        self._state = "closed"
        runner.terminate()
        runner.stop_soon()

    async def resize(self, *, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the bounds. A smaller pool closes idle connections now and busy ones when they are free."""
        runner = self._open_runner()
        now = runner.gauges()
        low = now.min_size if min_size is None else min_size
        high = now.max_size if max_size is None else max_size
        if not (_is_count(low) and _is_count(high) and low <= high and high >= 1):
            raise InterfaceError(f"0 <= min_size <= max_size and max_size >= 1 must hold, got {low!r} and {high!r}")
        runner.resize(low, high)

    def expire_connections(self) -> None:
        """Replace every connection as soon as it is free, e.g. after a change of roles or settings."""
        self._open_runner().expire()

    def stats(self) -> PoolStats:
        """A snapshot of what the pool is doing and has done; every number is measured."""
        if self._runner is None:
            raise InterfaceError("the pool was not opened: use `await pool` or `async with pool`")
        return self._runner.stats()

    def explain(self, sql: str) -> Explanation:
        """How the pool treats a statement text: its class, whether it shares a connection with others, and why not.

        Nothing is sent. The reason names the way through the database: docs/guard.md.
        """
        self._open_runner()
        return self._guarding.explain(self._texts.look_up(sql))

    @property
    def closed(self) -> bool:
        """Whether `close` or `terminate` was called."""
        return self._state in ("closing", "closed")

    def __await__(self) -> Generator[Any, None, Pool]:
        return self._opened().__await__()

    async def __aenter__(self) -> Pool:
        return await self._opened()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Pool {self._state}>"

    # -- inner workings ------------------------------------------------------------------------------------------

    async def _opened(self) -> Pool:
        if self._state == "new":
            await self.open()
        return self

    def _service(self, loop: asyncio.AbstractEventLoop) -> Executor:
        """Who serves this pool."""
        from ..simple.executor import PythonExecutor  # mode full has one of its own, and none of what this one needs

        driver = cast(Driver, self._driver)
        runner = PythonExecutor(self.config, driver, limits_for(self.config, driver), loop)
        self._take_in = runner.submit
        return runner

    def _submit(self, sql: str, args: tuple[Any, ...], want: bool, timeout: float | None) -> StatementRequest:
        loop = get_running_loop()
        if self._state != "open" or loop is not self._loop:
            loop = self._open_runner().loop
        query = self._known.get(sql) if sql.__class__ is str else None
        if query is None:
            query = self.lookup(sql, shared=True)
        future = self._new_answer(loop)
        statement = StatementRequest(query, args, want, future)
        if timeout is not None or self.config.command_timeout is not None:
            statement.deadline = self.deadline(timeout)
        if query.description is not None:
            self.encode(statement)
        elif query.kind is StatementClass.EMPTY:
            future.set_result(empty_result(args, want))
            return statement
        self._take_in(statement)
        return statement

    def encode(self, statement: StatementRequest) -> None:
        """Encode the arguments now where their types are known: an error is raised before anything is sent."""
        described = statement.query.description
        try:
            statement.params = described.encode(statement.args)
        except (ArgumentError, TypesUnknown):
            if not self._driver.may_be_stale(statement.query):
                raise
        else:
            statement.described = described

    def _abandon(self, statement: StatementRequest) -> None:
        if self._runner is not None:
            self._runner.abandon(statement)

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
        return None if seconds is None else get_running_loop().time() + seconds

    def lookup(self, sql: str, *, shared: bool = False) -> Query:
        """What is known of an SQL text; `shared` refuses what would end a stranger's transaction."""
        return self._texts.lookup(sql, shared)

    def begin(self, isolation: str | None, readonly: bool, deferrable: bool) -> str:
        """The statement that begins a transaction."""
        return self._driver.begin(isolation, readonly, deferrable)

    def note(self, error: Exception) -> None:
        """Remember an error that nobody is waiting for."""
        if self._runner is not None:
            self._runner.last_error = error

    async def borrow(self, timeout: float | None, site: str) -> Connection:
        """Wait for a session; see :class:`Acquire`."""
        runner = self._open_runner()
        seconds = self.config.acquire_timeout if timeout is None else timeout
        waiter = AcquireRequest(runner.loop.create_future(), None)
        waiter.deadline = self.deadline(seconds)
        runner.acquire(waiter)
        try:
            session: Session = await waiter.future
        except asyncio.CancelledError:
            if waiter.future.done() and not waiter.future.cancelled() and waiter.future.exception() is None:
                self._borrowings.give_back(waiter.future.result())
            else:
                runner.abandon(waiter)
            raise
        self._borrowings.hold(session, site, waiter)
        return self._borrowings.connection(session)

    def reclaim(self, session: Session) -> None:
        """A connection handle was garbage-collected without a release, on whatever thread."""
        if self._loop is not None and not self._loop.is_closed() and self._pid == os.getpid():
            self._loop.call_soon_threadsafe(self._borrowings.give_back, session)

    def mark_forked(self) -> None:
        """This is a child process: the connections belong to the parent."""
        self._state = "forked"

    def check(self) -> None:
        """Raise what keeps a call from being served now, if anything does."""
        if self._state == "open" and _running_loop() is self._loop:
            return
        if self._state == "new":
            raise InterfaceError("the pool was not opened: use `await pool` or `async with pool`")
        if self._state == "forked":
            raise InterfaceError("the pool was opened before this process was forked; open another one in the child")
        if self._state == "closed":
            raise PoolClosed("the pool is closed")
        self._check_loop()

    def _check_loop(self) -> None:
        if _running_loop() is not self._loop:
            raise InterfaceError("the pool belongs to another event loop; open one on each loop that needs it")

    def _open_runner(self) -> Executor:
        self.check()
        if self._state == "closing":
            raise PoolClosed("the pool is closing")
        assert self._runner is not None
        return self._runner
