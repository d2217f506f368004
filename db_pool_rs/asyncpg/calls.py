"""What pools and connections of asyncpg have in common, over those of this package: statements and COPY."""

from __future__ import annotations

import functools
import io
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Generic

from ..record import Record
from .exceptions import InterfaceError, of_execute, translated
from .fitting import fitting, fitting_many

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P")
    R = TypeVar("R", bound=Record, default=Record)
else:
    from typing import TypeVar

    R = TypeVar("R")

T = TypeVar("T")


class Calls(Generic[R]):
    """Statements, by asyncpg's signatures; `_target` says where they run."""

    __slots__ = ()

    #: Of the rows of all calls that name no other class.
    _record_class: type[Any] | None

    @asynccontextmanager
    async def _target(self, timeout: float | None, query: Any = None, args: Any = ()) -> AsyncIterator[Any]:
        """The pool or the connection of this package; errors on the way out are also asyncpg's."""
        raise NotImplementedError
        yield

    async def execute(self, query: str, *args: Any, timeout: float | None = None) -> str:
        """Execute an SQL command, or several without arguments; the command tag of the last."""
        with of_execute(args):
            async with self._target(timeout, query, args) as target:
                return str(
                    await fitting(target, query, functools.partial(target.execute, query), args, timeout=timeout)
                )

    async def executemany(self, command: str, args: Iterable[Any], *, timeout: float | None = None) -> None:
        """Run a statement once for each element of `args`, in one transaction."""
        async with self._target(timeout, command, args) as target:
            await fitting_many(target, command, functools.partial(target.executemany, command), args, timeout=timeout)

    async def fetch(
        self, query: str, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> list[Any]:
        """All rows."""
        async with self._target(timeout, query, args) as target:
            rows = await fitting(target, query, functools.partial(target.fetch, query), args, timeout=timeout)
        return records(rows, record_class or self._record_class)

    async def fetchrow(
        self, query: str, *args: Any, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> Any:
        """The first row, or None."""
        rows = await self.fetch(query, *args, timeout=timeout, record_class=record_class)
        return rows[0] if rows else None

    async def fetchval(self, query: str, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or None."""
        row = await self.fetchrow(query, *args, timeout=timeout)
        return None if row is None else row[column]

    async def fetchmany(
        self, query: str, args: Iterable[Any], *, timeout: float | None = None, record_class: type[Any] | None = None
    ) -> list[Any]:
        """The rows of a statement that is run once for each element of `args`, in one transaction."""
        async with self._target(timeout, query, args) as target:
            rows = await fitting_many(target, query, functools.partial(target.fetchmany, query), args, timeout=timeout)
        return records(rows, record_class or self._record_class)

    async def copy_records_to_table(self, table_name: str, *, records: Any, **options: Any) -> str:
        """Insert records with COPY."""
        async with self._session(options.get("timeout")) as session:
            return str(await session.copy_records_to_table(table_name, records=records, **options))

    async def copy_to_table(self, table_name: str, *, source: Any, **options: Any) -> str:
        """Insert rows from a path, a file or an asynchronous iterable of bytes."""
        if isinstance(source, (bytes, bytearray, memoryview)):
            source = io.BytesIO(source)
        async with self._session(options.get("timeout")) as session:
            return str(await session.copy_to_table(table_name, source=source, **_given(options)))

    async def copy_from_table(self, table_name: str, *, output: Any, **options: Any) -> str:
        """Write a table to a path, a file or a coroutine function."""
        async with self._session(options.get("timeout")) as session:
            return str(await session.copy_from_table(table_name, output=output, **_given(options)))

    async def copy_from_query(self, query: str, *args: Any, output: Any, **options: Any) -> str:
        """Write the rows of a query to a path, a file or a coroutine function."""
        async with self._session(options.get("timeout")) as session:
            return str(await session.copy_from_query(query, *args, output=output, **_given(options)))

    @asynccontextmanager
    async def _session(self, timeout: float | None) -> AsyncIterator[Any]:
        """A connection of this package, for what needs one."""
        raise NotImplementedError
        yield


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """asyncpg's None is "not given"."""
    return {name: value for name, value in options.items() if value is not None}


def records(rows: list[Any], record_class: type[Any] | None) -> list[Any]:
    """Rows as instances of a class, where one is asked for."""
    if record_class is None or record_class is Record:
        return rows
    return [as_class(row, record_class) for row in rows]


def check_record_class(record_class: Any) -> None:
    """InterfaceError, as asyncpg has it, for a class that rows cannot be of."""
    if record_class is None or record_class is Record:
        return
    if not (isinstance(record_class, type) and issubclass(record_class, Record)):
        raise InterfaceError(f"record_class is expected to be a subclass of asyncpg.Record, got {record_class!r}")
    if record_class.__new__ is not Record.__new__ or record_class.__init__ is not Record.__init__:
        raise InterfaceError("record_class must not redefine __new__ or __init__")


def as_class(row: Any, record_class: type[Any]) -> Any:
    """A row as an instance of a class that a program has derived from `Record`."""
    return record_of(record_class, row.keys())(row)


_made: dict[tuple[type[Any], tuple[str, ...]], Any] = {}


def record_of(record_class: type[Any], names: tuple[str, ...]) -> Any:
    """The class of rows with these columns."""
    known = _made.get((record_class, names))
    if known is None:
        check_record_class(record_class)
        members = {"_names": names, "_index": {name: at for at, name in enumerate(names)}, "__slots__": ()}
        known = _made[record_class, names] = type(record_class.__name__, (record_class,), members)
    return known


@asynccontextmanager
async def also_theirs() -> AsyncIterator[None]:
    """Errors on the way out are also asyncpg's."""
    try:
        yield
    except Exception as error:
        made = translated(error)
        if made is error:
            raise
        raise made from made.__cause__


def guarded(method: Callable[P, T]) -> Callable[P, T]:
    """An InterfaceError where the connection was released: at the call, before anything is awaited."""

    @functools.wraps(method)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        owner: Any = args[0]
        if owner._connection._is_released:
            what = f"{type(owner).__name__}.{method.__name__}()"
            raise InterfaceError(f"cannot call {what}: the underlying connection has been released back to the pool")
        return method(*args, **kwargs)

    return checked
