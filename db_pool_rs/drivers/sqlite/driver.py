"""The driver for SQLite, over the standard library's ``sqlite3``: connections on worker threads.

One group of statements makes one trip to a thread and back; the event loop's thread never touches a database file.
What happens on the thread is in :mod:`.worker`, who may write when in :mod:`.write_lock`, what arguments may
be in :mod:`.types`. What differs from PostgreSQL, whose other behaviour is imitated:

- There is one writer. Transactions that are not ``readonly`` begin with BEGIN IMMEDIATE: they wait for their turn to
  write at the beginning, and cannot fail later because another connection wrote. Reading never waits for a writer, nor
  a writer for readers, unless the database has no WAL: an in-memory database, or a file on a network.
- Every transaction is serializable, so the weaker isolation levels are accepted and mean the same.
- A statement that fails inside a transaction leaves the transaction usable, unless SQLite rolled it back
  (ON CONFLICT ROLLBACK, RAISE(ROLLBACK), disk full, interrupt): then, as in PostgreSQL, the block has failed and every
  statement until its end is refused with 25P02.
- A file connection is set to WAL, ``synchronous=FULL`` (a commit survives a power cut) and ``foreign_keys=ON``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import ArgumentError
from ...log import logger
from ...scheduler.cost import Query
from ...scheduler.model import StatementRequest
from ...sql import StatementClass
from ..base import ConnectionListener, Done
from .database import Database, Stop
from .dialect import SqliteDialect
from .errors import lock_not_available
from .plan import RESET, Description, Lock, Role, describe_command
from .threads import Threads
from .worker import Job, carry_out, check, run_reads, run_session, run_writes, stopped
from .write_lock import WriteLock

if TYPE_CHECKING:
    from ...config import PoolConfig


#: Interrupts are repeated at this pace, doubled up to the second value: one that comes between two statements is lost.
INTERRUPT_PACE, INTERRUPT_PACE_MAX = 0.002, 0.1
CLOSE_TIMEOUT = 5.0

_POOL_WORK = {StatementClass.READ: run_reads, StatementClass.WRITE: run_writes}
_POOL_LOCKS = {run_reads: Lock.READ, run_writes: Lock.WRITE}
_OPENING = frozenset((Role.BEGIN, Role.BEGIN_READ_ONLY, Role.SAVEPOINT))


class SqliteDriver(SqliteDialect):
    """A :class:`~db_pool_rs.drivers.base.Driver`."""

    def __init__(self, config: PoolConfig) -> None:
        super().__init__(config)
        self.write_lock = WriteLock(self.patience)
        #: Whether readers take the lock too; known when the first connection is open.
        self.one_lock = self.settings.memory
        #: A deferred foreign key was seen: WRITEs do not share transactions.
        self.no_grouping = False
        self._most_threads = config.thread_pool_size
        self._thread_name = f"db_pool_rs-{config.name}"
        self._threads: Threads | None = None
        self._links: set[SqliteLink] = set()
        self._opening = asyncio.Lock()
        #: Keeps an in-memory database alive while no link is open.
        self._anchor: Database | None = None

    async def connect(self, listener: ConnectionListener) -> SqliteLink:
        """Open a connection; ConnectFailed says what is wrong with the file."""
        async with self._opening:  # the first one may have to convert the file to WAL, which wants it alone
            if self.settings.memory and self._anchor is None:
                self._anchor = await self._open()
            database = await self._open()
        self.one_lock = database.one_lock
        link = SqliteLink(self, listener, database)
        self._links.add(link)
        return link

    async def _open(self) -> Database:
        database, stop = Database(self.settings), Stop()
        opened: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

        def back(error: Exception | None) -> None:
            if not opened.done():
                opened.set_result(error)
            elif error is None:  # the caller waits no longer
                self.run(database.close)

        self.run(lambda: _attempt(database.open, stop), back)
        try:
            error = await opened
        except asyncio.CancelledError:
            stop.cancelled = True
            if not opened.cancelled() and opened.result() is None:
                self.run(database.close)
            raise
        if error is not None:
            raise error
        return database

    def run(self, work: Callable[[], Any], back: Callable[[Any], object] = bool) -> None:
        """Do `work`, which must not raise, on a thread; `back` is then called with its result."""
        if self._threads is None:
            self._threads = Threads(self._most_threads, self._thread_name)
        self._threads.run(work, back)

    def describe(self, query: Query) -> None:
        """What the text says itself: SQLite has no types to ask for."""
        query.description = Description(query.sql)
        if self.no_grouping and query.kind is StatementClass.WRITE:
            query.groupable = False

    def keep_apart(self, group: Sequence[StatementRequest]) -> None:
        """Deferred foreign keys are declared: WRITEs are not grouped from now on."""
        self.no_grouping = True
        for statement in group:
            statement.query.groupable = False

    def forget(self, link: SqliteLink) -> None:
        """A link is closed."""
        self._links.discard(link)
        self.write_lock.release(link)

    async def close(self) -> None:
        """Close what is open, and end the threads; what still runs is interrupted."""
        for link in list(self._links):
            link.close()
        if self._anchor is not None:
            self.run(self._anchor.close)
            self._anchor = None
        if self._threads is not None:
            await self._threads.end(CLOSE_TIMEOUT)


def _attempt(work: Callable[[Stop], None], stop: Stop) -> Exception | None:
    try:
        work(stop)
    except Exception as error:
        return error
    return None


class SqliteLink:
    """A connection, as the pool sees it.

    Outcomes within a group are exact: if one statement of a group fails, it has its ``error``, the others have their
    values, and `done` is called with True. It is called with False only if nothing of the group was done, or if it was
    a group of one, or a session's, that failed. Nothing is done of a group that was interrupted because it ran for
    longer than ``stall_ms``: each of its statements is then sent again alone.
    """

    pid = 0
    loss: Exception | None = None

    def __init__(self, driver: SqliteDriver, listener: ConnectionListener, database: Database) -> None:
        self.listener = listener
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._database = database
        self._job: Job | None = None
        self._in_block = False
        self._closed = False
        self._ended: list[asyncio.Future[None]] = []
        self._stall: asyncio.TimerHandle | None = None

    # -- a group there and back ----------------------------------------------------------------------------------

    def start(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Carry the group to a thread once it has the lock. Statements without a future are a session's."""
        first = group[0]
        work = run_session if first.future is None else _POOL_WORK.get(first.query.kind, run_session)
        job = self._job = Job(work, group, done, self._in_block)
        lock = _POOL_LOCKS.get(work)
        if lock is None:
            try:
                lock = self._prepare(job)
            except ArgumentError as error:
                first.error, job.ok = error, False
                self._loop.call_soon(self._finished, job)
                return
        if self._claim(lock):
            self._go(job)

    def describe(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Compile it, there being no types to ask for of several, on a thread; see `ServerConnection`."""
        (statement,) = group
        statement.described = statement.query.description
        job = self._job = Job(check, group, done, self._in_block)
        if self._claim(Lock.READ):
            self._go(job)

    def _prepare(self, job: Job) -> Lock:
        """Describe and encode what the pool did not; the lock that a session's statements need."""
        lock, read_only = Lock.NONE, self._database.read_only
        for statement in job.group:
            description: Description = statement.query.description or describe_command(statement.query.sql)
            if statement.described is not description:
                statement.params = description.encode(statement.args)
                statement.described = description
            lock = max(lock, description.lock)
            read_only = read_only or description.role is Role.BEGIN_READ_ONLY
            job.in_block = job.in_block or description.role in _OPENING
        return min(lock, Lock.READ) if read_only else lock  # its writes will be refused

    def _claim(self, lock: Lock) -> bool:
        """Take `lock`; False if it has to be waited for."""
        exclusive = lock is Lock.WRITE
        if self._driver.one_lock:
            exclusive = exclusive or lock is Lock.BEGIN
        elif not exclusive:
            return True
        return lock is Lock.NONE or self._driver.write_lock.take(self, exclusive)

    def granted(self) -> None:
        """The link has the lock. Statements whose callers gave up meanwhile are left out."""
        job = self._job
        assert job is not None, "bug: a lock for nothing"
        job.group = [one for one in job.group if one.future is None or not one.future.done()]
        if job.group:
            self._go(job)
        else:
            self._loop.call_soon(self._give_up, job)

    def refused(self) -> None:
        """Another connection has held the lock for too long."""
        job = self._job
        assert job is not None, "bug: a lock for nothing"
        for statement in job.group:
            statement.error = lock_not_available(self._driver.write_lock.patience, statement.query.sql)
        job.ok = len(job.group) > 1
        job.in_block = self._in_block
        self._finished(job)

    def _go(self, job: Job) -> None:
        job.running = True
        database = self._database
        self._driver.run(lambda: carry_out(database, job), lambda _: self._finished(job))
        if len(job.group) > 1 and job.work is not run_session:
            self._stall = self._loop.call_later(self._driver.stall, self._break_up, job)

    def _break_up(self, job: Job) -> None:
        """It runs for too long: no statement waits behind a stranger's."""
        if job.waiting:
            self._stall = self._loop.call_later(self._driver.stall, self._break_up, job)
        else:
            self._stop(job)

    def _give_up(self, job: Job) -> None:
        """No caller waits for what has not begun."""
        if self._job is job:
            self._driver.write_lock.withdraw(self)
            stopped(job)
            job.in_block = self._in_block
            self._finished(job)

    def _finished(self, job: Job) -> None:
        if self._job is not job:
            return
        self._job, self._in_block = None, job.in_block
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        for ended in self._ended:
            if not ended.done():
                ended.set_result(None)
        self._ended.clear()
        if self._closed:
            self._close()
            return
        if not job.in_block:
            self._driver.write_lock.release(self)
        if job.failure is not None:
            logger.error("a connection to SQLite failed and is closed", exc_info=job.failure)
            self.close()
            self.loss = job.failure
            self.listener.on_lost(self, job.failure, sent=True, evict_all=False)
            return
        if job.no_grouping:
            self._driver.keep_apart(job.group)
        for notice in job.notices:
            self.listener.on_notice(self, notice)
        job.done(job.ok, job.seconds, job.size)

    # -- the rest ------------------------------------------------------------------------------------------------

    def in_transaction(self) -> bool:
        """Whether a transaction block is open, failed or not; while a statement that opens one runs, it counts."""
        return self._in_block if self._job is None else self._job.in_block

    async def cancel(self, timeout: float) -> bool:
        """Interrupt what runs; what still waits for the lock is given up, unless others of the group want it.

        Returns when it has ended, or after `timeout`. The next statement cannot be hit: it is only taken when this one
        has ended.
        """
        job = self._job
        if job is None:
            return True
        if not job.running:
            if len(job.group) == 1 or all(one.future is None or one.future.done() for one in job.group):
                self._give_up(job)
            return True
        ended: asyncio.Future[None] = self._loop.create_future()
        self._ended.append(ended)
        self._stop(job)
        await asyncio.wait((ended,), timeout=timeout)
        return True

    def _stop(self, job: Job) -> None:
        if not job.stop.cancelled:
            job.stop.cancelled = True
            self._interrupt(job, INTERRUPT_PACE)

    def _interrupt(self, job: Job, pace: float) -> None:
        if self._job is job:
            self._database.interrupt()
            self._loop.call_later(pace, self._interrupt, job, min(2 * pace, INTERRUPT_PACE_MAX))

    def parameters(self) -> Mapping[str, str]:
        """There is no server."""
        return {}

    def note_float_digits(self, digits: int) -> None:
        """Nothing is asked."""

    def reset_statements(self) -> Sequence[str]:
        """The connection is opened anew, under the name of PostgreSQL's statement for it."""
        return (RESET,)

    def after_reset(self) -> None:
        """Nothing is kept here that a new connection would not have."""

    def close(self) -> None:
        """Close at once; what runs is interrupted, and the connection closed when it has ended."""
        if self._closed:
            return
        self._closed = True
        job = self._job
        if job is not None and job.running:
            self._stop(job)
        else:
            self._job = None
            self._driver.write_lock.withdraw(self)
            self._close()

    def _close(self) -> None:
        self._driver.run(self._database.close, lambda _: self._driver.forget(self))
