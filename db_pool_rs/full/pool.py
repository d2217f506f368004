"""The pool of mode full: the pool of mode simple, with statements going straight to the engine."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from functools import partial
from typing import TYPE_CHECKING, Any

from ..drivers.base import RESULT, ROWS, STATUS
from ..errors import DatabaseError, Error
from ..pool import pool as specification
from ..pool.queries import empty_result
from ..record import LoggedQuery, Record, Result, Status
from ..sql import StatementClass
from .executor import RustExecutor
from .link import result_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from db_pool_rs_full import Pool as Native
    from db_pool_rs_full import ResultFuture

    from ..config import PoolConfig
    from ..pool.context import Context
    from ..pool.executor import Executor
    from ..rows import Row
    from .driver import Driver


#: The calls that send a statement of the pool's themselves.
_CALLS = ("fetch", "fetchrow", "fetchval", "fetch_result", "execute")


def _not_open(*call: object) -> None:
    """There is no engine yet."""


class Pool(specification.Pool):
    """A :class:`~db_pool_rs.pool.pool.Pool` whose rules and connections are the engine's."""

    _native: Native

    def __init__(
        self,
        config: PoolConfig,
        driver: Driver,
        executor: Callable[[Context, asyncio.AbstractEventLoop], RustExecutor],
        mode: str,
        sibling: Callable[[PoolConfig], specification.Pool],
    ) -> None:
        super().__init__(config, driver, executor, mode, sibling)
        #: The short way into the engine; None where there is something to look at first (see `_call`).
        self._run_known: Callable[[str, tuple[Any, ...], int, float | None], ResultFuture | None] = _not_open
        self._time = config.command_timeout

    async def fetch(
        self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None
    ) -> list[Any]:
        """Run one statement and return its rows."""
        if row is not self._unmade:
            make = self._context.maker(row)
            return make(await Pool.fetch(self, sql, *args, timeout=timeout, row=self._unmade))
        try:
            answer = self._run_known(sql, args, ROWS, timeout) or self._call(sql, args, ROWS, timeout)
            rows: list[Record] = await answer
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(answer)  # pyright: ignore[reportUnboundVariable]
            raise
        return rows

    async def fetch_result(self, sql: str, /, *args: Any, timeout: float | None = None) -> Result:
        """Run one statement: its rows, its columns (also where there is no row) and its command tag, in one answer."""
        try:
            answer = self._run_known(sql, args, RESULT, timeout) or self._call(sql, args, RESULT, timeout)
            value = await answer
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(answer)  # pyright: ignore[reportUnboundVariable]
            raise
        return result_of(value)

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None, row: Row[Any] | None = None) -> Any:
        """Run one statement; its first row, or None."""
        if row is not self._unmade:
            make = self._context.maker(row)
            made = make((await Pool.fetch(self, sql, *args, timeout=timeout, row=self._unmade))[:1])
            return made[0] if made else None
        try:
            answer = self._run_known(sql, args, ROWS, timeout) or self._call(sql, args, ROWS, timeout)
            rows: list[Record] = await answer
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(answer)  # pyright: ignore[reportUnboundVariable]
            raise
        return rows[0] if rows else None

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Run one statement; one value of its first row, or None if there is no row."""
        try:
            answer = self._run_known(sql, args, ROWS, timeout) or self._call(sql, args, ROWS, timeout)
            rows: list[Record] = await answer
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(answer)  # pyright: ignore[reportUnboundVariable]
            raise
        return rows[0][column] if rows else None

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """Run one statement and return its command tag, e.g. ``'UPDATE 3'`` (``.rows`` is 3)."""
        try:
            answer = self._run_known(sql, args, STATUS, timeout) or self._call(sql, args, STATUS, timeout)
            status: Status = await answer
        except Error as error:
            error.__traceback__ = None
            raise error
        except asyncio.CancelledError:
            self._abandon(answer)  # pyright: ignore[reportUnboundVariable]
            raise
        return status

    # -- query loggers -------------------------------------------------------------------------------------------

    def add_query_logger(self, callback: Callable[[LoggedQuery], object]) -> None:
        """`callback(logged)` is called for each statement that the database has answered, on whatever connection."""
        super().add_query_logger(callback)
        # Statements of the pool are answered by the engine: it is these calls that know of them.
        for name in _CALLS:
            self.__dict__[name] = partial(self._logged, getattr(type(self), name))

    def remove_query_logger(self, callback: Callable[[LoggedQuery], object]) -> None:
        """End what `add_query_logger` began."""
        super().remove_query_logger(callback)
        if not self._context.observers.queries:
            for name in _CALLS:
                self.__dict__.pop(name, None)

    async def _logged(self, call: Callable[..., Awaitable[Any]], sql: str, /, *args: Any, **options: Any) -> Any:
        begun = get_running_loop().time()
        try:
            answer = await call(self, sql, *args, **options)
        except DatabaseError as error:
            error.__traceback__ = None
            self._tell(sql, args, begun, error)
            raise error
        self._tell(sql, args, begun, None)
        return answer

    def _tell(self, sql: str, args: tuple[Any, ...], begun: float, error: DatabaseError | None) -> None:
        loop, context = get_running_loop(), self._context
        sql, args = context.by_number(sql, args)
        if context.queries.peek(sql).kind is not StatementClass.EMPTY:
            context.observers.tell(LoggedQuery(sql, args, loop.time() - begun, error), loop)

    # -- inner workings ------------------------------------------------------------------------------------------

    def _attach(self, executor: Executor) -> None:
        assert isinstance(executor, RustExecutor)
        self._native, self._run_known = executor.native, executor.native.run_known
        super()._attach(executor)

    def _leave(self) -> None:
        super()._leave()
        self._run_known = _not_open  # it may be in the middle of a tick of the engine's

    def _call(
        self, sql: str, args: tuple[Any, ...], want: int, timeout: float | None
    ) -> ResultFuture | asyncio.Future[Any]:
        """Hand over a statement that is looked at first; what it returns is awaited by the caller alone."""
        context = self._context
        context.check_open()
        seconds = self._time if timeout is None else context.timeout(timeout)
        answer = self._native.submit(sql, args, want, seconds)
        return self._first_call(sql, args, want, seconds) if answer is None else answer

    def _first_call(
        self, sql: str, args: tuple[Any, ...], want: int, seconds: float | None
    ) -> ResultFuture | asyncio.Future[Any]:
        """A text that was not met before."""
        sql, args = self._context.by_number(sql, args)
        query = self._context.lookup(sql, shared=True)
        answer = self._native.submit(query.sql, args, want, seconds)
        if answer is not None:
            return answer
        assert query.kind is StatementClass.EMPTY, f"bug: {query.sql!r} is not known"
        future: asyncio.Future[Any] = get_running_loop().create_future()
        future.set_result(empty_result(args, want))
        return future

    def _abandon(self, answer: Any, /) -> None:
        if not isinstance(answer, asyncio.Future):
            super()._abandon(answer)
