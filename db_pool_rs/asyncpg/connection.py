"""asyncpg's Connection over a session of this package, with its transactions, prepared statements and cursors."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from ..described import ServerVersion
from .calls import Calls, R, also_theirs
from .cursor import CursorFactory
from .exceptions import InterfaceError, InterfaceWarning, PostgresLogMessage, of_closed
from .forms import FORMATS, check_built_in, check_codec, decoder_of, encoder_of, form_of, named
from .names import Names
from .prepared_stmt import PreparedStatement
from .transaction import Transaction
from .types import CODECS

if TYPE_CHECKING:
    from ..abc import Connection as Session

_ISOLATION = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")


class LoggedQuery(NamedTuple):
    """What a query logger is told."""

    query: str
    args: Any
    timeout: float | None
    elapsed: float
    exception: Exception | None
    conn_addr: Any = None
    conn_params: Any = None


class Connection(Calls[R]):
    """A session, used as asyncpg's connections are. Calls of several tasks queue, where asyncpg raises an error."""

    __slots__ = (
        "__weakref__",
        "_callbacks",
        "_is_released",
        "_names",
        "_owns",
        "_pool",
        "_query_loggers",
        "_record_class",
        "_session_",
        "_top_xact",
    )

    def __init__(self, session: Session, record_class: type[Any] | None = None, pool: Any = None) -> None:
        self._session_ = session
        self._record_class = record_class
        self._pool = pool
        #: It was opened by `connect`: its pool is its own.
        self._owns = False
        #: The outermost transaction that is open, unless a statement of the program began it.
        self._top_xact: Transaction | None = None
        #: Its pool has it back: an object is of one acquire.
        self._is_released = False
        #: What was handed to the session for a callback of the program's.
        self._callbacks: dict[Any, Callable[..., Any]] = {}
        self._query_loggers: list[Callable[[LoggedQuery], Any]] = []
        #: Of prepared statements, given by the program.
        self._names = Names()

    @asynccontextmanager
    async def _target(self, timeout: float | None, query: Any = None, args: Any = ()) -> AsyncIterator[Any]:
        if query is None or not self._query_loggers:
            async with self._errors():
                yield self._session_
            return
        loop = asyncio.get_running_loop()
        loggers, begun, failed = list(self._query_loggers), loop.time(), None
        try:
            async with self._errors():
                yield self._session_
        except Exception as error:
            failed = error
            raise
        finally:
            told = LoggedQuery(str(query), args, timeout, loop.time() - begun, failed)
            for logger in loggers:
                loop.call_soon(_call, logger, told)

    _session = _target

    @asynccontextmanager
    async def _errors(self) -> AsyncIterator[None]:
        """Errors on the way out are also asyncpg's; of a connection that was closed before, as it says that."""
        was_closed = self.is_closed()
        try:
            async with also_theirs():
                yield
        except Exception as error:
            if was_closed:
                raise of_closed(error, self._is_released) from error.__cause__
            raise

    def _check_open(self) -> None:
        if self.is_closed():
            raise of_closed(InterfaceError(""), self._is_released)

    @property
    def _con(self) -> Connection[R] | None:
        """What programs find that look into a proxy of asyncpg's pools, which it is where it comes from a pool."""
        return None if self._is_released else self

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """A transaction: `async with`, or `start` and `commit` or `rollback`."""
        self._check_open()
        if isolation is not None and isolation not in _ISOLATION:
            raise ValueError(f"isolation: one of {', '.join(_ISOLATION)} is expected, got {isolation!r}")
        return Transaction(self, isolation, readonly, deferrable)

    def is_in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self._session_.is_in_transaction()

    async def prepare(
        self,
        query: str,
        *,
        name: str | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> PreparedStatement:
        """Have the server check a statement; with a `name` it is also there by that (:mod:`.names`)."""
        async with self._errors():
            made = await self._session_.prepare(query, timeout=timeout)
            owner = await self._names.take(self._session_, name, query, timeout) if name else None
        statement = PreparedStatement(self, made, query, record_class or self._record_class, name or "")
        if name:
            self._names.free_with(statement, name, owner)
        return statement

    def cursor(
        self,
        query: str,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> CursorFactory:
        """`async for` its rows, or `await` it for a cursor."""
        self._check_open()
        return CursorFactory(self, query, args, prefetch, timeout, record_class or self._record_class)

    # -- listeners -----------------------------------------------------------------------------------------------

    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """`callback(connection, pid, channel, payload)` is called for each notification."""
        made = self._made(lambda _, *told: callback(self, *told), "channel", channel, callback)
        try:
            async with self._errors():
                await self._session_.add_listener(channel, made)
        except BaseException:
            self._callbacks.pop(("channel", channel, callback), None)
            raise

    async def remove_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """End what `add_listener` began."""
        made = self._callbacks.pop(("channel", channel, callback), None)
        if made is not None and not self.is_closed():
            async with self._errors():
                await self._session_.remove_listener(channel, made)

    def add_termination_listener(self, callback: Callable[..., Any]) -> None:
        """`callback(connection)` is called if the connection is lost."""
        made = self._made(lambda _: callback(self), "end", callback)
        self._session_.add_termination_listener(made)

    def remove_termination_listener(self, callback: Callable[..., Any]) -> None:
        """End what `add_termination_listener` began."""
        made = self._callbacks.pop(("end", callback), None)
        if made is not None and not self.is_closed():
            self._session_.remove_termination_listener(made)

    def add_log_listener(self, callback: Callable[..., Any]) -> None:
        """`callback(connection, message)` is called for each notice and warning of the server."""
        made = self._made(lambda _, notice: callback(self, PostgresLogMessage.of(notice)), "log", callback)
        self._session_.add_notice_listener(made)

    def remove_log_listener(self, callback: Callable[..., Any]) -> None:
        """End what `add_log_listener` began."""
        made = self._callbacks.pop(("log", callback), None)
        if made is not None and not self.is_closed():
            self._session_.remove_notice_listener(made)

    def add_query_logger(self, callback: Callable[[LoggedQuery], Any]) -> None:
        """`callback(record)` is called for each statement of this connection, in the next tick of the event loop."""
        _check(callback)
        if callback not in self._query_loggers:
            self._query_loggers.append(callback)

    def remove_query_logger(self, callback: Callable[[LoggedQuery], Any]) -> None:
        """End what `add_query_logger` began."""
        if callback in self._query_loggers:
            self._query_loggers.remove(callback)

    @contextmanager
    def query_logger(self, callback: Callable[[LoggedQuery], Any]) -> Iterator[None]:
        """`add_query_logger` for the length of a block."""
        self.add_query_logger(callback)
        try:
            yield
        finally:
            self.remove_query_logger(callback)

    def _made(self, made: Callable[..., Any], *key: Any) -> Callable[..., Any]:
        """What is handed to the session for a callback, which `key` ends with; always the same."""
        _check(key[-1])
        return self._callbacks.setdefault(key, made)

    def _warn_of_listeners(self) -> None:
        """It is given back: what still listens is told of, as asyncpg does."""
        for kind, name in (("channel", "notification"), ("log", "log")):
            if count := sum(key[0] == kind for key in self._callbacks):
                ending = "s" if count > 1 else ""
                text = f"{self!r} is being released to the pool but has {count} active {name} listener{ending}"
                warnings.warn(text, InterfaceWarning, stacklevel=2)

    # -- codecs --------------------------------------------------------------------------------------------------

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str = "public",
        encoder: Callable[[Any], Any],
        decoder: Callable[[Any], Any],
        format: str = "text",
    ) -> None:
        """Read and write values of a type in another way: on all connections of the pool, from now on.

        `format` is what the coders work on: "text", "binary" or "tuple" (:mod:`.forms`).
        """
        if format not in FORMATS:
            raise ValueError(f"format: one of {', '.join(FORMATS)} expected, got {format!r}")
        async with self._errors():
            name, kind = await named(self._session_, typename, schema)
        is_composite = check_codec(f"{schema}.{typename}", kind, format)
        form = None if is_composite else form_of(name, kind, format)
        if self._pool._has_codec(schema, name, encoder, decoder, format):
            return
        if form is not None:
            encoder, decoder = encoder_of(form, encoder), decoder_of(form, decoder)
        self._pool._of_codecs().set_type_codec(
            name, encoder=encoder, decoder=decoder, schema=schema, fields=is_composite
        )

    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> None:
        """Read and write values of a type as usual again, on all connections of the pool."""
        async with self._errors():
            name, _ = await named(self._session_, typename, schema)
        pool = self._pool._of_codecs()
        self._pool._codecs.pop((schema, name), None)
        pool.reset_type_codec(name, schema=schema)
        for codec in CODECS:
            if (codec.name, codec.schema) == (name, schema):
                pool.set_type_codec(name, encoder=codec.encoder, decoder=codec.decoder, schema=schema)

    async def set_builtin_type_codec(
        self, typename: str, *, schema: str = "public", codec_name: str, format: str | None = None
    ) -> None:
        """Without effect where the pool reads and writes the type so anyway, else NotImplementedError."""
        async with self._errors():
            await check_built_in(self._session_, typename, schema, codec_name)

    # -- the session ---------------------------------------------------------------------------------------------

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection, and what runs on it, at once; a pool opens another one."""
        self._tell_the_end()
        async with self._errors():
            await self._session_.close(timeout=0 if timeout is None else timeout)
        if self._owns:
            await self._pool.close()

    def terminate(self) -> None:
        """Close the connection at once."""
        self._tell_the_end()
        self._session_.terminate()
        if self._owns:
            self._pool.terminate()

    def _tell_the_end(self) -> None:
        """Termination listeners are called when the program closes the connection, too."""
        for kind, *callback in list(self._callbacks):
            if kind == "end" and not self.is_closed():
                self.remove_termination_listener(*callback)
                asyncio.get_running_loop().call_soon(partial(_call, *callback, self))

    def is_closed(self) -> bool:
        """Whether it was closed, lost, or given back."""
        return self._session_.is_closed()

    async def reset(self, *, timeout: float | None = None) -> None:
        """Bring the session back to its initial state; listeners are removed."""
        async with self._errors():
            if self._session_.is_in_transaction():
                self._tell_of_transaction()
                self._top_xact = None
                await self._session_.execute("ROLLBACK", timeout=timeout)
            for kind, *rest in list(self._callbacks):
                if kind == "channel":
                    await self.remove_listener(*rest)
                elif kind == "log":
                    self.remove_log_listener(*rest)
            await self._session_.execute("DISCARD ALL", timeout=timeout)
            self._names.clear()

    def _tell_of_transaction(self) -> None:
        """The event loop is told of one that is open and that no `async with` will end, as asyncpg does."""
        if self.is_closed() or not self._session_.is_in_transaction():
            return
        if self._top_xact is None or not self._top_xact._managed:
            message = f"Resetting connection with an active transaction {self!r}"
            asyncio.get_running_loop().call_exception_handler({"message": message})

    def get_reset_query(self) -> str:
        """What resets a session."""
        return "DISCARD ALL"

    def get_server_pid(self) -> int:
        """The process of the server."""
        return self._session_.get_server_pid()

    def get_server_version(self) -> ServerVersion:
        """The version of the server."""
        return self._session_.get_server_version()

    def get_settings(self) -> SimpleNamespace:
        """The settings that the server reports, as attributes."""
        return SimpleNamespace(**self._session_.get_settings())

    async def reload_schema_state(self) -> None:
        """Forget what is known of tables and types."""
        async with self._errors():
            await self._session_.reload_schema_state()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'[released]' if self._is_released else repr(self._session_)} {id(self):#x}>"


def _check(callback: object) -> None:
    if not callable(callback):
        raise InterfaceError(f"expected a callable or an `async def` function, got {callback!r}")


def _call(callback: Callable[..., Any], *told: Any) -> None:
    """Call a function, or begin a coroutine function; what it raises is reported by the event loop."""
    answer = callback(*told)
    if inspect.iscoroutine(answer):
        _running.add(task := asyncio.ensure_future(answer))
        task.add_done_callback(_running.discard)


#: Callbacks that are coroutine functions; the event loop itself does not keep its tasks.
_running: set[asyncio.Future[Any]] = set()
