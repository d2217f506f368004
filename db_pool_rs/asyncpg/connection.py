"""asyncpg's Connection over a session of this package, with its transactions, prepared statements and cursors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NoReturn

from ..described import ServerVersion
from .calls import Calls, also_theirs
from .cursor import CursorFactory
from .prepared_stmt import PreparedStatement
from .transaction import Transaction

if TYPE_CHECKING:
    from ..abc import Connection as Session

_ISOLATION = ("read_uncommitted", "read_committed", "repeatable_read", "serializable")


class Connection(Calls):
    """A session, used as asyncpg's connections are. Calls of several tasks queue, where asyncpg raises an error."""

    __slots__ = ("__weakref__", "_callbacks", "_isolation", "_owns", "_pool", "_record_class", "_session_")

    def __init__(self, session: Session, record_class: type[Any] | None = None, pool: Any = None) -> None:
        self._session_ = session
        self._record_class = record_class
        self._pool = pool
        #: It was opened by `connect`: its pool is its own.
        self._owns = False
        #: Of the outermost transaction, as it was asked for.
        self._isolation: str | None = None
        #: What was handed to the session for a callback of the program's.
        self._callbacks: dict[Any, Callable[..., Any]] = {}

    @asynccontextmanager
    async def _target(self, timeout: float | None) -> AsyncIterator[Any]:
        async with also_theirs():
            yield self._session_

    _session = _target

    def transaction(
        self, *, isolation: str | None = None, readonly: bool = False, deferrable: bool = False
    ) -> Transaction:
        """A transaction: `async with`, or `start` and `commit` or `rollback`."""
        if isolation is not None and isolation not in _ISOLATION:
            raise ValueError(f"isolation: one of {', '.join(_ISOLATION)} is expected, got {isolation!r}")
        return Transaction(self, {"isolation": isolation, "readonly": readonly, "deferrable": deferrable})

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
        """Have the server check a statement."""
        if name:
            raise NotImplementedError("prepare(name=): names of prepared statements are the pool's own")
        async with also_theirs():
            made = await self._session_.prepare(query, timeout=timeout)
        return PreparedStatement(self._session_, made, query, record_class or self._record_class)

    def cursor(
        self,
        query: str,
        *args: Any,
        prefetch: int | None = None,
        timeout: float | None = None,
        record_class: type[Any] | None = None,
    ) -> CursorFactory:
        """`async for` its rows, or `await` it for a cursor."""
        return CursorFactory(self._session_, query, args, prefetch, timeout, record_class or self._record_class)

    # -- listeners -----------------------------------------------------------------------------------------------

    async def add_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """`callback(connection, pid, channel, payload)` is called for each notification."""
        key = ("channel", channel, callback)
        made = self._callbacks.setdefault(key, lambda _, *told: callback(self, *told))
        async with also_theirs():
            await self._session_.add_listener(channel, made)

    async def remove_listener(self, channel: str, callback: Callable[..., Any]) -> None:
        """End what `add_listener` began."""
        made = self._callbacks.pop(("channel", channel, callback), None)
        if made is not None and not self.is_closed():
            async with also_theirs():
                await self._session_.remove_listener(channel, made)

    def add_termination_listener(self, callback: Callable[..., Any]) -> None:
        """`callback(connection)` is called if the connection is lost."""
        made = self._callbacks.setdefault(("end", callback), lambda _: callback(self))
        self._session_.add_termination_listener(made)

    def remove_termination_listener(self, callback: Callable[..., Any]) -> None:
        """End what `add_termination_listener` began."""
        made = self._callbacks.pop(("end", callback), None)
        if made is not None:
            self._session_.remove_termination_listener(made)

    def add_log_listener(self, callback: Callable[..., Any]) -> NoReturn:
        """Not here: notices of the server go to the log of the pool."""
        raise NotImplementedError("add_log_listener: notices go to the logger db_pool_rs, with the pool's name")

    def add_query_logger(self, callback: Callable[..., Any]) -> NoReturn:
        """Not here: statements of a pool travel in groups, without one connection of their own."""
        raise NotImplementedError("add_query_logger: use the spans and figures of db_pool_rs.exporters")

    async def set_type_codec(
        self,
        typename: str,
        *,
        schema: str = "public",
        encoder: Callable[[Any], Any],
        decoder: Callable[[Any], Any],
        format: str = "text",
    ) -> None:
        """Read and write values of a type in another way: on all connections of the pool, from now on."""
        if format != "text":
            raise NotImplementedError(f"set_type_codec(format={format!r}): codecs are for the text of values")
        self._pool._pool().set_type_codec(typename, encoder=encoder, decoder=decoder, schema=schema)

    async def reset_type_codec(self, typename: str, *, schema: str = "public") -> NoReturn:
        """Not here."""
        raise NotImplementedError("reset_type_codec: a codec of the pool stays; open another pool without it")

    async def set_builtin_type_codec(self, typename: str, **options: Any) -> NoReturn:
        """Not here: hstore is a dict anyway."""
        raise NotImplementedError("set_builtin_type_codec: hstore is a dict without it")

    # -- the session ---------------------------------------------------------------------------------------------

    async def close(self, *, timeout: float | None = None) -> None:
        """Close the connection, and what runs on it, at once; a pool opens another one."""
        async with also_theirs():
            await self._session_.close(timeout=0 if timeout is None else timeout)
        if self._owns:
            await self._pool.close()

    def terminate(self) -> None:
        """Close the connection at once."""
        self._session_.terminate()
        if self._owns:
            self._pool.terminate()

    def is_closed(self) -> bool:
        """Whether it was closed, lost, or given back."""
        return self._session_.is_closed()

    async def reset(self, *, timeout: float | None = None) -> None:
        """Bring the session back to its initial state; listeners are removed."""
        async with also_theirs():
            if self._session_.is_in_transaction():
                await self._session_.execute("ROLLBACK", timeout=timeout)
            for kind, *rest in list(self._callbacks):
                if kind == "channel":
                    await self.remove_listener(*rest)
            await self._session_.execute("DISCARD ALL", timeout=timeout)

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
        async with also_theirs():
            await self._session_.reload_schema_state()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._session_!r}>"


async def connect(
    dsn: str | None = None,
    *,
    connection_class: type[Connection] | None = None,
    record_class: type[Any] | None = None,
    loop: Any = None,
    **options: Any,
) -> Connection:
    """One connection; options are those of asyncpg. `close` it."""
    from .pool import Pool  # which is made of connections

    pool = Pool(dsn, connection_class=connection_class, record_class=record_class, min_size=1, max_size=1, **options)
    await pool
    try:
        connection = await pool.acquire()
    except BaseException:
        pool.terminate()
        raise
    connection._owns = True
    return connection
