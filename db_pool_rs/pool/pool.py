"""The pool as its users see it: statements, sessions, upkeep. How they are served is the executor's business."""

from __future__ import annotations

import asyncio
from _thread import get_ident
from asyncio import get_running_loop
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..aio import remaining
from ..drivers.base import RESULT, ROWS, STATUS, Database
from ..errors import DatabaseError, Error
from ..record import LoggedQuery, Record, Result, Status
from ..scheduler.model import StatementRequest
from ..sql import StatementClass
from .acquire import Acquire, Acquired, PoolTransaction, copy_in, copy_out, for_many
from .context import ARROW_BATCH, BATCH, MAX_QUEUE, Context
from .executor import Executor
from .guarding import Guarding
from .later import Later
from .lifetime import Lifetime
from .named import text_by_number
from .queries import empty_result

if TYPE_CHECKING:
    from .. import abc
    from ..config import PoolConfig
    from ..guard.explanation import Explanation
    from ..metrics import Health, PoolStats
    from ..rows import Row
    from .batch import Batch
    from .connection import Connection
    from .stream import Stream
    from .subscription import Subscription

T = TypeVar("T")


class Pool:
    """A pool of connections to one database. ``await pool`` or ``async with pool`` opens it.

    ``fetch*`` and ``execute`` outside a transaction are auto-commit statements: each is committed, alone, when its call
    returns. Many of them share a few connections and travel in groups; docs/pool.md tells what that changes.
    All calls belong to the event loop on which the pool was opened. Errors of theirs leave the package's own frames out
    of their tracebacks.
    """

    _executor: Executor

    def __init__(
        self,
        config: PoolConfig,
        database: Database,
        executor: Callable[[Context, asyncio.AbstractEventLoop], Executor],
        mode: str,
        sibling: Callable[[PoolConfig], Pool],
    ) -> None:
        self.config = config
        self._mode = mode
        self._context = Context(config, database)
        self._known = self._context.queries.known
        self._unmade = self._context.unmade
        self._new_answer = database.answer
        self._guarding = Guarding(self._context, partial(self.fetch, row=Record))
        self._acquired = Acquired(self._context)
        self._later = Later(self._context, sibling)
        ends = (self._later.close, self._later.terminate, self._leave)
        self._lifetime = Lifetime(self._context, executor, self._attach, *ends)

    # -- statements ----------------------------------------------------------------------------------------------

    async def fetch(
        self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """Run one statement and return its rows.

        `args` stand for ``$1, $2, ...``, or are one mapping with the values of ``:name``; `timeout` (seconds) covers
        waiting, connecting and running; `row` says what the rows are made into (:mod:`~db_pool_rs.rows`).
        Raises DatabaseError with the server's SQLSTATE, ArgumentError before anything is sent, PoolTimeout while
        waiting for a connection, StatementTimeout while running, ConnectionLost if the outcome is unknown.
        """
        if row is not self._unmade:
            make = self._context.maker(row)
            return make(await self.fetch(sql, *args, timeout=timeout, row=self._unmade))
        try:
            statement = self._submit(sql, args, ROWS, timeout)
            rows: list[Record] = await statement.future
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(statement)  # pyright: ignore[reportUnboundVariable]
            raise
        return rows

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """Run one statement and return its command tag, e.g. ``'UPDATE 3'`` (``.rows`` is 3)."""
        try:
            statement = self._submit(sql, args, STATUS, timeout)
            status: Status = await statement.future
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(statement)  # pyright: ignore[reportUnboundVariable]
            raise
        return status

    async def fetch_result(self, sql: str, /, *args: Any, timeout: float | None = None) -> Result:
        """Run one statement: its rows, its columns (also where there is no row) and its command tag, in one answer."""
        try:
            statement = self._submit(sql, args, RESULT, timeout)
            value = await statement.future
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(statement)  # pyright: ignore[reportUnboundVariable]
            raise
        return value if isinstance(value, Result) else Result(value, *statement.details)

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None) -> Any:
        """Run one statement; its first row, or None."""
        make = None if row is self._unmade else self._context.maker(row)
        rows = await self.fetch(sql, *args, timeout=timeout, row=self._unmade)
        if not rows:
            return None
        return rows[0] if make is None else make(rows[:1])[0]

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Run one statement; one value of its first row, or None if there is no row."""
        rows = await self.fetch(sql, *args, timeout=timeout, row=self._unmade)
        return rows[0][column] if rows else None

    async def executemany(self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Run one statement once for each element of `args`, as one transaction: pipelined, all or nothing."""
        try:
            async with for_many(self._context, self._acquire, sql, timeout) as (connection, deadline):
                await connection.executemany(sql, args, timeout=remaining(deadline))
        except Error as error:
            error.__traceback__ = None
            raise error

    async def fetchmany(
        self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """`executemany` with the rows of all executions, one after the other, in the order of `args`."""
        self._context.maker(row)
        try:
            async with for_many(self._context, self._acquire, sql, timeout) as (connection, deadline):
                return await connection.fetchmany(sql, args, timeout=remaining(deadline), row=row)
        except Error as error:
            error.__traceback__ = None
            raise error

    def _acquire(self, timeout: float | None) -> Acquire:
        return self.acquire(timeout=timeout)

    # -- sessions ------------------------------------------------------------------------------------------------

    def acquire(self, *, timeout: float | None = None) -> Acquire:
        """A connection to oneself: ``async with pool.acquire() as conn``, or ``await`` it and `release` it.

        Waits `timeout` seconds at most (default: the pool's `acquire_timeout`), then raises PoolTimeout naming those
        that hold connections.
        """
        return Acquire(self._acquired, timeout)

    async def release(self, connection: Connection) -> None:
        """Give a connection back: what is left open is rolled back, what is left dirty cleaned, in the background."""
        self._acquired.release(connection)

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

    async def ping(self, *, timeout: float | None = None) -> None:
        """Ask the server for a sign of life: one round trip on a connection of the pool."""
        await self.fetch("SELECT 1", timeout=timeout)

    def batch(self, *, atomic: bool = True, timeout: float | None = None) -> Batch:
        """Statements sent together: ``async with pool.batch() as batch: a = batch.fetch(sql, x)``, then ``a.result()``.

        They leave when the block ends, in order, on one connection. `atomic`: as one transaction, whose error is raised
        there; else each has an outcome of its own, which its result tells. `timeout` (seconds) is for all of them.
        """
        return self._later.batch(self._acquire, atomic, timeout)

    async def run(
        self,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        retries: int = 5,
        retry_for: float = 30.0,
        isolation: str | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> T:
        """The result of ``await function(connection, *args)`` in a transaction, repeated where the server asks for it.

        After a serialization failure (40001) or a deadlock (40P01), also of the COMMIT, all of it begins anew in a new
        transaction, after a growing, random pause: `retries` times at most, the last time `retry_for` seconds after the
        call. Then, and after any other error, the error is raised; a COMMIT whose outcome is unknown is never repeated.
        ``connection.attempt`` is 1, 2, ...; the function leaves COMMIT to the block. `timeout` is that of `acquire`.
        """
        from .retry import run_again  # not needed before

        block = partial(
            self.transaction, isolation=isolation, readonly=readonly, deferrable=deferrable, timeout=timeout
        )
        return await run_again(self._context, block, function, args, retries, retry_for)

    # -- streams -------------------------------------------------------------------------------------------------

    def stream(
        self, sql: str, /, *args: Any, batch: int = BATCH, timeout: float | None = None, row: Row[Any] | None = None
    ) -> Stream:
        """The rows of a query a few at a time, on a connection of their own, inside a transaction.

        ``async with pool.stream(sql) as batches: async for rows in batches`` gives lists of up to `batch` rows, ``async
        for row in pool.stream(sql)`` single ones. `timeout` (seconds) is that of `acquire` and of each list.
        """
        readonly = not self._context.database.has_catalog  # of PostgreSQL's, a function may write
        block = self.transaction(readonly=readonly, timeout=timeout)
        return self._later.stream(block, sql, args, batch, timeout, row)

    async def fetch_arrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> abc.ArrowTable:
        """The rows of a query as Arrow, on a connection of their own; see :meth:`Connection.fetch_arrow`."""
        self._context.check_open()
        deadline = self._context.deadline(timeout)
        async with self.acquire(timeout=self._context.timeout(timeout)) as connection:
            return await connection.fetch_arrow(sql, *args, timeout=remaining(deadline))

    def stream_arrow(self, sql: str, /, *args: Any, batch: int = ARROW_BATCH, timeout: float | None = None) -> Stream:
        """The same, at most `batch` rows at a time and no faster than they are taken: ``async for table in ...``."""
        wait = self._context.timeout(timeout)
        copies = self._context.database.copy
        block: Any = self.acquire(timeout=wait) if copies else self.transaction(readonly=True, timeout=wait)
        return self._later.tables(block, sql, args, batch, timeout)

    def copy_out(
        self, what: str, /, *args: Any, timeout: float | None = None, **options: Any
    ) -> AsyncGenerator[bytes, None]:
        """The rows of a query, or a table, as COPY sends them; see :meth:`Connection.copy_out`."""
        return copy_out(self._acquire, what, args, timeout, options)

    async def copy_in(self, table_name: str, *, source: Any, timeout: float | None = None, **options: Any) -> Status:
        """Insert rows with COPY, from records, a file or a stream, as a whole; see :meth:`Connection.copy_in`."""
        return await copy_in(self._context, self._acquire, table_name, timeout, {"source": source, **options})

    def listen(self, *channels: str, max_queue: int = MAX_QUEUE, timeout: float | None = None) -> Subscription:
        """Notifications of channels: ``async with pool.listen("jobs") as events: async for event in events``.

        They come on a connection besides `max_size`, one for all subscriptions of the pool, which is opened again when
        it is lost. An :class:`Event` has ``channel``, ``payload`` and the sender's ``pid``; one whose ``gap`` is true
        says that notifications may be missing there, or that ``dropped`` of them did not fit into `max_queue`.
        Raises ConnectFailed, PoolTimeout after `timeout` seconds (default: `acquire_timeout`), when it is entered.
        """
        return self._later.subscription(channels, max_queue, timeout)

    # -- the pool itself -----------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the first `min_size` connections; raises ConnectFailed with the cause if none can be had."""
        await self._lifetime.open(get_running_loop())

    async def close(self, timeout: float | None = None) -> None:
        """Finish what was called before, then close. After `timeout` seconds the rest is terminated."""
        await self._lifetime.close(timeout)

    def terminate(self) -> None:
        """Close every connection now. Calls that wait get PoolClosed, what runs gets ConnectionLost."""
        self._lifetime.terminate()

    async def resize(self, *, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the bounds. A smaller pool closes idle connections now and busy ones when they are free."""
        self._lifetime.resize(min_size, max_size)

    def expire_connections(self) -> None:
        """Replace every connection as soon as it is free, e.g. after a change of roles or settings."""
        self._later.expire()
        self._executor.expire()

    def set_target(self, dsn: str | None = None, **options: Any) -> None:
        """Lead connections that are opened from now on elsewhere: a promoted standby, new credentials."""
        self._lifetime.lead(dsn, options)
        self.config = self._context.config
        self._later.led()

    def stats(self) -> PoolStats:
        """A snapshot of what the pool is doing and has done; every number is measured."""
        return self._lifetime.stats()

    async def health(self, *, probe: bool = False, timeout: float = 2.0) -> Health:
        """Whether the pool can serve, and why not: for readiness probes. It raises nothing for a pool that cannot.

        Nothing is sent, unless `probe` asks for a round trip; the server then has `timeout` seconds.
        """
        return await self._lifetime.health(partial(self.fetchval, "SELECT 1", timeout=timeout) if probe else None)

    async def top(self) -> str:
        """Let `python -m db_pool_rs top` of the same user look at the pool until it is closed; the path of the socket.

        DB_POOL_TOP=1 does so for each pool that is opened. InterfaceError where there are no unix sockets.
        """
        return await self._lifetime.top()

    def explain(self, sql: str) -> Explanation:
        """How the pool treats a statement text: its class, whether it shares a connection with others, and why not.

        Nothing is sent. The reason names the way through the database: docs/guard.md.
        """
        self._context.check_open()
        text = text_by_number(sql, self._context.database.dialect)
        return self._guarding.explain(self._context.queries.peek(text))

    # -- what it tells its listeners -----------------------------------------------------------------------------

    def add_notice_listener(self, callback: Callable[[DatabaseError], object]) -> None:
        """``callback(notice)`` is called for each notice and warning of the server; it has what an error has."""
        self._context.observers.add("notice", callback)

    def remove_notice_listener(self, callback: Callable[[DatabaseError], object]) -> None:
        """End what `add_notice_listener` began."""
        self._context.observers.remove("notice", callback)

    def add_query_logger(self, callback: Callable[[LoggedQuery], object]) -> None:
        """``callback(logged)`` is called for each statement that the database has answered, on whatever connection."""
        self._context.observers.add("query", callback)

    def remove_query_logger(self, callback: Callable[[LoggedQuery], object]) -> None:
        """End what `add_query_logger` began."""
        self._context.observers.remove("query", callback)

    @property
    def mode(self) -> str:
        """The mode that serves: "simple", "balanced" or "full"."""
        return self._mode

    @property
    def features(self) -> frozenset[str]:
        """What it has of what not every mode and database has: `db_pool_rs.features.FEATURES` names it."""
        from ..features import features_of

        return features_of(self._mode, self._context.database.dialect)

    @property
    def name(self) -> str:
        """What messages, logs and metrics call the pool: its option `name`."""
        return self.config.name

    def set_type_codec(
        self,
        name: str,
        *,
        encoder: Callable[[Any], Any] | None = None,
        decoder: Callable[[Any], Any] | None = None,
        schema: str | None = None,
        fields: bool = False,
    ) -> None:
        """Read and write values of a type in another way from now on, on all connections of the pool.

        See :class:`~db_pool_rs.Codec`; texts that are known take it at once. Arrays, domains, ranges and composites of
        the type follow. InterfaceError for SQLite.
        """
        from ..codecs import Codec

        context = self._context
        context.database.set_codec(Codec(name, encoder, decoder, schema, fields), context.queries.everything())

    def reset_type_codec(self, name: str, *, schema: str | None = None) -> None:
        """Undo `set_type_codec`, or a codec of the option `codecs`, of that name and schema."""
        context = self._context
        context.database.reset_codec(name, schema, context.queries.everything())

    @property
    def closed(self) -> bool:
        """Whether `close` or `terminate` was called."""
        return self._context.state in ("closing", "closed")

    def __await__(self) -> Generator[Any, None, Pool]:
        return self._opened().__await__()

    async def __aenter__(self) -> Pool:
        return await self._opened()

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<Pool {self.name!r} of mode {self._mode}, {self._context.state}>"

    # -- inner workings ------------------------------------------------------------------------------------------

    async def _opened(self) -> Pool:
        await self._lifetime.begin(get_running_loop())
        return self

    def _submit(self, sql: str, args: tuple[Any, ...], want: int, timeout: float | None) -> StatementRequest:
        context = self._context
        loop = context.serving
        if loop is None or getattr(loop, "_thread_id", None) != get_ident():  # see `context.check`
            context.check_open()
            loop = get_running_loop()
        query = self._known.get(sql) if sql.__class__ is str else None
        if query is None:
            sql, args = context.by_number(sql, args)
            query = context.lookup(sql, shared=True)
        future = self._new_answer(loop)
        statement = StatementRequest(query, args, want, future)
        if timeout is not None or self.config.command_timeout is not None:
            statement.deadline = context.deadline(timeout)
        if query.description is not None:
            context.encode(statement)
        elif query.kind is StatementClass.EMPTY:
            future.set_result(empty_result(args, want))
            return statement
        self._executor.submit(statement)
        return statement

    # Only awaiting raises CancelledError: there is a statement then, which pyright does not see.
    def _abandon(self, statement: StatementRequest, /) -> None:
        self._executor.abandon(statement)

    # -- what its Lifetime tells ---------------------------------------------------------------------------------

    def _attach(self, executor: Executor) -> None:
        """The executor is there: calls reach it from now on."""
        self._executor = executor
        self._acquired.attach(executor)
        self._guarding.attach(executor)

    def _leave(self) -> None:
        """This is a child process: the connections belong to the parent."""
