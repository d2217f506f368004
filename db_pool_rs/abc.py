"""The interface of an engine: what every mode offers, as Protocols without code.

An :class:`Engine` makes pools; a :class:`Pool` serves statements and lends sessions; a :class:`Connection` is a session
that one caller holds; a :class:`Transaction` is a block on it. Engines import nothing from here at run time: they are
checked against it by the type checker and by the contract tests.

Statements use the placeholders `$1, $2, ...` on every database. All errors are those of :mod:`~db_pool_rs.errors`.
A `timeout` is in seconds and covers the whole call: waiting for a connection, connecting, running. None means
the pool's `command_timeout` (for `acquire` and `transaction`: its `acquire_timeout`).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, overload

if TYPE_CHECKING:
    from .config import PoolConfig
    from .described import Attribute, ServerVersion, Type
    from .errors import DatabaseError
    from .guard.explanation import Explanation
    from .metrics import Health, PoolStats
    from .record import Event, LoggedQuery, Record, Result, Status
    from .rows import Row

T = TypeVar("T")
R = TypeVar("R", covariant=True)

__all__ = [
    "Acquisition",
    "Batch",
    "BatchResult",
    "Connection",
    "Cursor",
    "Engine",
    "Isolation",
    "NotificationListener",
    "Pool",
    "PreparedStatement",
    "Queries",
    "SessionHook",
    "SessionNoticeListener",
    "Stream",
    "TerminationListener",
    "Transaction",
]

#: The isolation levels of a transaction.
Isolation = Literal["read_uncommitted", "read_committed", "repeatable_read", "serializable"]


class Queries(Protocol):
    """What a pool and a connection have in common: running statements.

    Wrong use (a wrong number of arguments, two statements in one text, a NUL in the text) is an InterfaceError, what
    the database refuses a DatabaseError, a passed deadline a StatementTimeout or PoolTimeout.
    Arguments are those of `$1, $2, ...`, or one mapping with the values of `:name`.
    """

    @overload
    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None, row: None = None) -> list[Record]: ...

    @overload
    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[T]) -> list[T]: ...

    async def fetch(
        self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """Every row. A statement without rows gives an empty list.

        `row` makes something else of them than Records: a class whose parameters are the columns, `dict`, `tuple`, or a
        callable that takes a Record (:mod:`~db_pool_rs.rows`).
        """

    @overload
    async def fetchrow(
        self, sql: str, /, *args: Any, timeout: float | None = None, row: None = None
    ) -> Record | None: ...

    @overload
    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[T]) -> T | None: ...

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None) -> Any:
        """The first row, None if there is none."""

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, by 0-based `column`; None if there is no row, IndexError if no such column."""

    async def fetch_result(self, sql: str, /, *args: Any, timeout: float | None = None) -> Result:
        """Every row, the columns (also where there is no row) and the command tag, in one answer."""

    async def fetch_arrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> ArrowTable:
        """Every row as Arrow, without a Python object for each value; docs/arrow.md says what each type becomes.

        InterfaceError where pyarrow is needed and missing: `simple`, `balanced`, and SQLite in every mode.
        """

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """The command tag, a str like 'UPDATE 3' whose `.rows` is 3."""

    async def executemany(self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Run the statement once for each element of `args`, in one transaction: all of it or nothing."""

    def copy_out(
        self, what: str, /, *args: Any, timeout: float | None = None, **options: Any
    ) -> AsyncGenerator[bytes, None]:
        """PostgreSQL: the rows of a query, or a table, as COPY sends them, as they arrive and no faster than taken.

        `options`: `columns` and `schema_name` of a table, and those of `Connection.copy_from_table`.
        """

    async def copy_in(self, table_name: str, *, source: Any, timeout: float | None = None, **options: Any) -> Status:
        """PostgreSQL: insert records as `copy_records_to_table`, or data as `copy_to_table`; the source decides."""

    @overload
    async def fetchmany(
        self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None, row: None = None
    ) -> list[Record]: ...

    @overload
    async def fetchmany(
        self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None, row: Row[T]
    ) -> list[T]: ...

    async def fetchmany(
        self, sql: str, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """`executemany` with its rows: those of all executions, one after the other, in the order of `args`."""


class Transaction(Protocol):
    """A transaction block, or a savepoint if it is inside another: committed on leaving, rolled back by an exception.

    Made by :meth:`Connection.transaction`. Entering it a second time is an InterfaceError.
    """

    async def __aenter__(self) -> Connection:
        """Begin, and give the connection. It costs no round trip: BEGIN travels with the first statement."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Commit, or roll back if there is an exception, which goes on."""

    async def start(self) -> None:
        """Begin it without `async with`; `commit` or `rollback` ends it."""

    async def commit(self) -> None:
        """End what `start` began, and keep what was done. InterfaceError if it has ended."""

    async def rollback(self) -> None:
        """End what `start` began, and undo what was done. InterfaceError if it has ended."""


class Cursor(Protocol[T]):
    """The rows of a query a few at a time, from `Connection.cursor`: `async for`, or `fetch` and `fetchrow`.

    All go on from the same position. It ends with its last row, with `close`, or with the transaction; a DatabaseError
    (34000) says that the transaction had ended.
    """

    def __aiter__(self) -> Cursor[T]: ...

    async def __anext__(self) -> T: ...

    async def fetch(self, count: int, *, timeout: float | None = None) -> list[T]:
        """The next `count` rows; fewer, or none, at the end. `timeout` (seconds) instead of the cursor's."""

    async def fetchrow(self, *, timeout: float | None = None) -> T | None:
        """The next row, None at the end."""

    async def close(self) -> None:
        """Give up the rest. It may be called again."""


class PreparedStatement(Protocol[T]):
    """A statement that the database has checked, from `Connection.prepare`; its calls are the connection's.

    It belongs to the session: after its release every call is an InterfaceError.
    """

    @property
    def query(self) -> str:
        """The text."""

    def get_parameters(self) -> tuple[Type, ...]:
        """PostgreSQL: the types of its parameters."""

    def get_attributes(self) -> tuple[Attribute, ...]:
        """PostgreSQL: its columns, none for a statement without rows."""

    async def fetch_result(self, /, *args: Any, timeout: float | None = None) -> Result:
        """Every row, the columns and the command tag."""

    async def fetch(self, /, *args: Any, timeout: float | None = None) -> list[T]:
        """Every row."""

    async def fetchrow(self, /, *args: Any, timeout: float | None = None) -> T | None:
        """The first row, None if there is none."""

    async def fetchval(self, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row."""

    async def execute(self, /, *args: Any, timeout: float | None = None) -> Status:
        """The command tag."""

    async def executemany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Once for each element of `args`, in one transaction."""

    async def fetchmany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> list[T]:
        """The same with the rows of all executions."""

    def cursor(self, /, *args: Any, prefetch: int = 500, timeout: float | None = None) -> Cursor[T]:
        """Its rows a few at a time."""


class Connection(Queries, Protocol):
    """A session that its holder has to itself, from `Pool.acquire` or `Pool.transaction`.

    Calls from several tasks queue in the order they were made. Without arguments `execute` accepts several statements
    in one text. After its release every call is an InterfaceError.
    """

    @property
    def attempt(self) -> int:
        """Which attempt of `Pool.run` this is, from 1 on."""

    def transaction(
        self, *, isolation: Isolation | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """A block to use with `async with`; nested blocks are savepoints.

        `isolation`: "read_uncommitted", "read_committed", "repeatable_read" or "serializable", None for the database's
        default. A savepoint takes no options. InterfaceError for anything else.
        """

    @overload
    def cursor(
        self, sql: str, /, *args: Any, prefetch: int = 500, timeout: float | None = None, row: None = None
    ) -> Cursor[Record]: ...

    @overload
    def cursor(
        self, sql: str, /, *args: Any, prefetch: int = 500, timeout: float | None = None, row: Row[T]
    ) -> Cursor[T]: ...

    def cursor(
        self, sql: str, /, *args: Any, prefetch: int = 500, timeout: float | None = None, row: Any = None
    ) -> Cursor[Any]:
        """The rows of one SELECT, VALUES, TABLE or WITH a few at a time: `async for row in connection.cursor(sql)`.

        Inside a transaction only (InterfaceError). `prefetch` rows come in one round trip, each of which may take
        `timeout` seconds. The query begins with the first row that is asked for.
        """

    @overload
    async def prepare(
        self, sql: str, /, *, timeout: float | None = None, row: None = None
    ) -> PreparedStatement[Record]: ...

    @overload
    async def prepare(self, sql: str, /, *, timeout: float | None = None, row: Row[T]) -> PreparedStatement[T]: ...

    async def prepare(
        self, sql: str, /, *, timeout: float | None = None, row: Row[Any] | None = None
    ) -> PreparedStatement[Any]:
        """Have the database check one statement, to be run many times. Raises what is wrong with it."""

    async def copy_records_to_table(
        self,
        table_name: str,
        *,
        records: Iterable[Iterable[Any]] | AsyncIterable[Iterable[Any]],
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        where: str | None = None,
        timeout: float | None = None,
    ) -> Status:
        """PostgreSQL: insert many records with one COPY, all of them or none. `columns`: those that a record holds.

        ArgumentError names the record and the column that do not fit.
        """

    async def copy_to_table(
        self,
        table_name: str,
        *,
        source: Any,
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        where: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Status:
        """PostgreSQL: insert rows from a path, a binary file or an asynchronous iterable of bytes.

        `options` are COPY's: format ("text", "csv", "binary"), delimiter, null, header, quote, escape, force_not_null,
        force_null, encoding, freeze. An exception of the source's is raised, and nothing inserted.
        """

    async def copy_from_table(
        self,
        table_name: str,
        *,
        output: Any,
        columns: Iterable[str] | None = None,
        schema_name: str | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> Status:
        """PostgreSQL: write a table to a path, a binary file or a coroutine function that takes bytes."""

    async def copy_from_query(
        self, query: str, /, *args: Any, output: Any, timeout: float | None = None, **options: Any
    ) -> Status:
        """PostgreSQL: write the rows of a query in the same way. Its arguments become constants of its text."""

    def stream_arrow(
        self, sql: str, /, *args: Any, batch: int = 65_536, timeout: float | None = None
    ) -> AsyncGenerator[ArrowTable, None]:
        """`fetch_arrow`, `batch` rows at a time at most and no faster than they are taken; SQLite: in a transaction."""

    async def add_listener(self, channel: str, callback: NotificationListener) -> None:
        """PostgreSQL: `callback(connection, pid, channel, payload)` is called for each notification on `channel`.

        It may be a coroutine function; what it raises goes to the event loop's exception handler. Inside a transaction
        listening begins with the commit. The release of the session ends it.
        """

    async def remove_listener(self, channel: str, callback: NotificationListener) -> None:
        """End what `add_listener` began."""

    def add_termination_listener(self, callback: TerminationListener) -> None:
        """PostgreSQL: `callback(connection)` is called if the connection is lost while it is held."""

    def remove_termination_listener(self, callback: TerminationListener) -> None:
        """End what `add_termination_listener` began."""

    def add_notice_listener(self, callback: SessionNoticeListener) -> None:
        """PostgreSQL: `callback(connection, notice)` is called for each notice and warning that this session causes.

        It may be a coroutine function. The release of the session ends it. The log has them in any case.
        """

    def remove_notice_listener(self, callback: SessionNoticeListener) -> None:
        """End what `add_notice_listener` began."""

    def is_in_transaction(self) -> bool:
        """Whether the session is inside a transaction block, be it a failed one."""

    async def ping(self, *, timeout: float | None = None) -> None:
        """A sign of life from the server: one round trip, always."""

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection instead of giving it back, after what was called; after `timeout` seconds at once."""

    def terminate(self) -> None:
        """Close the connection at once; what runs on it gets ConnectionLost."""

    def is_closed(self) -> bool:
        """Whether it was closed, lost, or given back."""

    def get_server_pid(self) -> int:
        """PostgreSQL: the process of the server that serves this session."""

    def get_settings(self) -> dict[str, str]:
        """PostgreSQL: the settings that the server reports without being asked, as it reported them last."""

    def get_server_version(self) -> ServerVersion:
        """PostgreSQL: the version of the server."""

    async def reload_schema_state(self) -> None:
        """Forget what the pool knows of tables and types: it is asked for again where it is needed."""


class SessionHook(Protocol):
    """What the options `init` and `reset` of a pool may be: called with a connection, and awaited."""

    def __call__(self, connection: Connection, /) -> Awaitable[object]: ...


class NotificationListener(Protocol):
    """What :meth:`Connection.add_listener` calls: a function or a coroutine function."""

    def __call__(self, connection: Connection, pid: int, channel: str, payload: str, /) -> object: ...


class SessionNoticeListener(Protocol):
    """What :meth:`Connection.add_notice_listener` calls: a function or a coroutine function."""

    def __call__(self, connection: Connection, notice: DatabaseError, /) -> object: ...


class TerminationListener(Protocol):
    """What :meth:`Connection.add_termination_listener` calls: a function."""

    def __call__(self, connection: Connection, /) -> object: ...


class Acquisition(Protocol):
    """A session being waited for: `async with` releases it at the end; after `await`, `Pool.release` does."""

    def __await__(self) -> Generator[Any, None, Connection]: ...

    async def __aenter__(self) -> Connection: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


class Stream(Protocol[T]):
    """Rows of a query, from `Pool.stream`: lists of them by `async with`, single ones by `async for`."""

    async def __aenter__(self) -> AsyncIterator[list[T]]: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[T]: ...


class ArrowTable(Protocol):
    """Rows in Arrow's memory: polars, pandas, DuckDB and pyarrow take it as it is, by the Arrow C stream interface."""

    @property
    def num_rows(self) -> int:
        """How many rows there are."""

    @property
    def num_columns(self) -> int:
        """How many columns there are."""

    @property
    def column_names(self) -> list[str]:
        """The names of the columns, in their order."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """A capsule with an ArrowArrayStream; each call makes a new one, over the same memory."""

    def __arrow_c_schema__(self) -> object:
        """A capsule with an ArrowSchema."""

    def __len__(self) -> int: ...


class ArrowStream(Protocol):
    """Tables of at most so many rows, from `Pool.stream_arrow`, by `async with` or `async for`."""

    async def __aenter__(self) -> AsyncIterator[ArrowTable]: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[ArrowTable]: ...


class BatchResult(Protocol[R]):
    """What one statement of a batch comes to; it is there when the block of the batch has ended."""

    def done(self) -> bool:
        """Whether it is there."""

    def result(self) -> R:
        """The rows or the tag; raises the statement's error. InterfaceError before the block has ended."""

    def exception(self) -> Exception | None:
        """The statement's error, None if it has none. InterfaceError before the block has ended."""


class Batch(Protocol):
    """Statements that are sent together at the end of its block, from `Pool.batch`. Its calls are not awaited."""

    @overload
    def fetch(self, sql: str, /, *args: Any, row: None = None) -> BatchResult[list[Record]]: ...

    @overload
    def fetch(self, sql: str, /, *args: Any, row: Row[T]) -> BatchResult[list[T]]: ...

    def fetch(self, sql: str, /, *args: Any, row: Any = None) -> BatchResult[list[Any]]:
        """Add a statement whose result is every row."""

    @overload
    def fetchrow(self, sql: str, /, *args: Any, row: None = None) -> BatchResult[Record | None]: ...

    @overload
    def fetchrow(self, sql: str, /, *args: Any, row: Row[T]) -> BatchResult[T | None]: ...

    def fetchrow(self, sql: str, /, *args: Any, row: Any = None) -> BatchResult[Any]:
        """Add a statement whose result is the first row, None if there is none."""

    def fetchval(self, sql: str, /, *args: Any, column: int = 0) -> BatchResult[Any]:
        """Add a statement whose result is one value of the first row, None if there is none."""

    def execute(self, sql: str, /, *args: Any) -> BatchResult[Status]:
        """Add a statement whose result is the command tag."""


class Pool(Queries, Protocol):
    """A pool of one database. A statement on the pool is a transaction of its own, and may share a connection.

    It is made unopened: `await pool` or `async with pool` opens it, the latter closes it too. It belongs to the event
    loop that opened it. Transaction control (BEGIN, COMMIT, ...) on the pool is an InterfaceError: `transaction()` and
    `acquire()` are for that.
    """

    @property
    def config(self) -> PoolConfig:
        """Its options."""

    @property
    def name(self) -> str:
        """What messages, logs and metrics call it: its option `name`."""

    @property
    def mode(self) -> str:
        """The mode that serves: "simple", "balanced" or "full"."""

    @property
    def features(self) -> frozenset[str]:
        """What it has of what not every mode and database has: `db_pool_rs.features.FEATURES` names it."""

    @property
    def closed(self) -> bool:
        """Whether `close` or `terminate` was called."""

    async def open(self) -> None:
        """Connect `min_size` times; ConnectFailed if the first connection cannot be made."""

    def __await__(self) -> Generator[Any, None, Pool]: ...

    async def __aenter__(self) -> Pool: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...

    def acquire(self, *, timeout: float | None = None) -> Acquisition:
        """A session of your own: `async with pool.acquire() as connection`. PoolTimeout if none is free in time."""

    # Any, because an engine takes back its own connections only.
    async def release(self, connection: Any) -> None:
        """Give back a session that was awaited from `acquire`. An open transaction is rolled back, with a warning."""

    def transaction(
        self,
        *,
        isolation: Isolation | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> AbstractAsyncContextManager[Connection]:
        """A session inside a transaction: `async with pool.transaction() as connection`. Options: see Connection."""

    async def ping(self, *, timeout: float | None = None) -> None:
        """A sign of life from the server: one round trip on a connection of the pool."""

    def batch(self, *, atomic: bool = True, timeout: float | None = None) -> AbstractAsyncContextManager[Batch]:
        """Statements sent together: `async with pool.batch() as batch: a = batch.fetch(sql, x)`, then `a.result()`.

        In order, on one connection. `atomic`: one transaction, whose error the block raises, and each result. Else each
        has an outcome of its own, and the block raises only what ends them all: a lost connection, a passed deadline.
        """

    async def run(
        self,
        function: Callable[..., Awaitable[T]],
        /,
        *args: Any,
        retries: int = 5,
        retry_for: float = 30.0,
        isolation: Isolation | None = None,
        readonly: bool = False,
        deferrable: bool = False,
        timeout: float | None = None,
    ) -> T:
        """The result of `await function(connection, *args)` in a transaction, repeated after 40001 and 40P01 only.

        `retries` repetitions at most, none later than `retry_for` seconds after the call, each after a growing, random
        pause. A COMMIT whose outcome is unknown is never repeated. Inside of itself it is an InterfaceError.
        """

    @overload
    def stream(
        self, sql: str, /, *args: Any, batch: int = 1000, timeout: float | None = None, row: None = None
    ) -> Stream[Record]: ...

    @overload
    def stream(
        self, sql: str, /, *args: Any, batch: int = 1000, timeout: float | None = None, row: Row[T]
    ) -> Stream[T]: ...

    def stream(
        self, sql: str, /, *args: Any, batch: int = 1000, timeout: float | None = None, row: Any = None
    ) -> Stream[Any]:
        """The rows of a query a few at a time, in constant memory, on a connection of their own.

        `async with pool.stream(sql) as batches: async for rows in batches`, or `async for row in pool.stream(sql)`.
        """

    def stream_arrow(self, sql: str, /, *args: Any, batch: int = 65_536, timeout: float | None = None) -> ArrowStream:
        """`fetch_arrow`, at most `batch` rows at a time and no faster than they are taken.

        `async with pool.stream_arrow(sql) as tables: async for table in tables`, or `async for table in ...` at once.
        """

    def listen(
        self, *channels: str, max_queue: int = 10_000, timeout: float | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[Event]]:
        """PostgreSQL: notifications, on a connection that is opened again when it is lost; `event.gap` tells that."""

    def stats(self) -> PoolStats:
        """A snapshot of sizes, queues, counters and latencies."""

    async def health(self, *, probe: bool = False, timeout: float = 2.0) -> Health:
        """Whether the pool can serve, and why not: for readiness probes. It raises nothing for a pool that cannot.

        Nothing is sent, unless `probe` asks for a round trip; the server then has `timeout` seconds.
        """

    async def top(self) -> str:
        """Let `python -m db_pool_rs top` of the same user look at the pool until it is closed; the path of the socket.

        DB_POOL_TOP=1 does so for each pool that is opened. InterfaceError where there are no unix sockets.
        """

    def explain(self, sql: str) -> Explanation:
        """How the pool treats a statement text: its class, whether it shares a connection with others, and why not."""

    def set_type_codec(
        self,
        name: str,
        *,
        encoder: Callable[[Any], Any] | None = None,
        decoder: Callable[[Any], Any] | None = None,
        schema: str | None = None,
        fields: bool = False,
    ) -> None:
        """Read and write values of a type in another way from now on; see :class:`~db_pool_rs.Codec`."""

    def reset_type_codec(self, name: str, *, schema: str | None = None) -> None:
        """Undo `set_type_codec`, or a codec of the option `codecs`, of that name and schema; else without effect."""

    async def resize(self, *, min_size: int | None = None, max_size: int | None = None) -> None:
        """Change the limits of a running pool; sessions in use are never cut off."""

    def set_target(self, dsn: str | None = None, **options: Any) -> None:
        """Lead connections that are opened from now on elsewhere: a promoted standby, new credentials, another role.

        `dsn` and `options` say where, as in `create_pool`. `expire_connections` replaces the connections there are.
        """

    def expire_connections(self) -> None:
        """Replace every connection, each as soon as it is free."""

    def add_notice_listener(self, callback: Callable[[DatabaseError], object]) -> None:
        """`callback(notice)` is called for each notice and warning of the server.

        The log has them in any case: a WARNING as a warning, DEBUG as such, the rest as info.
        """

    def remove_notice_listener(self, callback: Callable[[DatabaseError], object]) -> None:
        """End what `add_notice_listener` began."""

    def add_query_logger(self, callback: Callable[[LoggedQuery], object]) -> None:
        """`callback(logged)` is called for each statement that the database has answered, on whatever connection.

        `logged` has `query`, `args`, `seconds` and `error`. What a callback raises is reported by the event loop.
        """

    def remove_query_logger(self, callback: Callable[[LoggedQuery], object]) -> None:
        """End what `add_query_logger` began."""

    async def close(self, timeout: float | None = None) -> None:
        """Refuse new calls, finish the running ones, close. After `timeout` seconds what still runs is cut off."""

    def terminate(self) -> None:
        """Close at once; running calls fail with PoolClosed."""


class Engine(Protocol):
    """One implementation. A value: engines hold no pools, and several live in one process."""

    @property
    def name(self) -> str:
        """The name of its mode."""

    def pool(self, config: PoolConfig) -> Pool:
        """A pool, not yet opened. ModeUnavailableError if what this database needs is not installed."""
