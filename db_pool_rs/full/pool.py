"""The pool of mode full: the pool of mode simple, with statements going straight to the engine."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any

from ..drivers.base import ROWS, STATUS
from ..pool import pool as specification
from ..pool.queries import empty_result, limits_for
from ..record import Record, Status
from ..sql import StatementClass
from .executor import RustExecutor

if TYPE_CHECKING:
    from collections.abc import Callable

    from db_pool_rs_full import Answer as ResultFuture
    from db_pool_rs_full import Pool as Native

    from ..config import PoolConfig
    from ..pool.executor import Executor
    from ..scheduler.cost import Query
    from .driver import Driver


def _not_open(*call: object) -> None:
    """There is no engine yet."""


class Pool(specification.Pool):
    """A :class:`~db_pool_rs.pool.pool.Pool` whose rules and connections are the engine's."""

    _driver: Driver
    _native: Native

    def __init__(self, config: PoolConfig, driver: Driver, threads: int, blocking: int) -> None:
        super().__init__(config, driver)
        self._threads = (threads, blocking)
        #: The short way into the engine; None where there is something to look at first (see `_call`).
        self._run_known: Callable[[str, tuple[Any, ...], bool, float | None], ResultFuture | None] = _not_open
        self._time = config.command_timeout

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Record]:
        """Run one statement and return its rows."""
        answer = self._run_known(sql, args, ROWS, timeout) or self._call(sql, args, ROWS, timeout)
        try:
            rows: list[Record] = await answer
        except asyncio.CancelledError:
            self._abandon(answer)
            raise
        return rows

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> Record | None:
        """Run one statement; its first row, or None."""
        answer = self._run_known(sql, args, ROWS, timeout) or self._call(sql, args, ROWS, timeout)
        try:
            rows: list[Record] = await answer
        except asyncio.CancelledError:
            self._abandon(answer)
            raise
        return rows[0] if rows else None

    async def fetchval(self, sql: str, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """Run one statement; one value of its first row, or None if there is no row."""
        answer = self._run_known(sql, args, ROWS, timeout) or self._call(sql, args, ROWS, timeout)
        try:
            rows: list[Record] = await answer
        except asyncio.CancelledError:
            self._abandon(answer)
            raise
        return rows[0][column] if rows else None

    async def execute(self, sql: str, /, *args: Any, timeout: float | None = None) -> Status:
        """Run one statement and return its command tag, e.g. ``'UPDATE 3'`` (``.rows`` is 3)."""
        answer = self._run_known(sql, args, STATUS, timeout) or self._call(sql, args, STATUS, timeout)
        try:
            status: Status = await answer
        except asyncio.CancelledError:
            self._abandon(answer)
            raise
        return status

    def lookup(self, sql: str, *, shared: bool = False) -> Query:
        """What is known of an SQL text. A new one is told to the engine, which is there once the pool is open."""
        if self._runner is None:
            self.check()
        return super().lookup(sql, shared=shared)

    def mark_forked(self) -> None:
        """This is a child process: the connections belong to the parent."""
        super().mark_forked()
        self._run_known = _not_open  # it may be in the middle of a turn of the engine's

    # -- inner workings ------------------------------------------------------------------------------------------

    def _service(self, loop: asyncio.AbstractEventLoop) -> Executor:
        limits = limits_for(self.config, self._driver)
        runner = RustExecutor(self.config, self._driver, limits, loop, self._known, *self._threads)
        self._native = self._driver.native = runner.native
        self._run_known = runner.native.run_known
        return runner

    def _call(
        self, sql: str, args: tuple[Any, ...], want: bool, timeout: float | None
    ) -> ResultFuture | asyncio.Future[Any]:
        """Hand over a statement that is looked at first; what it returns is awaited by the caller alone."""
        if self._state != "open" or get_running_loop() is not self._loop:
            self._open_runner()
        seconds = self._time if timeout is None else self.timeout(timeout)
        answer = self._native.submit(sql, args, want, seconds)
        return self._first_call(sql, args, want, seconds) if answer is None else answer

    def _first_call(
        self, sql: str, args: tuple[Any, ...], want: bool, seconds: float | None
    ) -> ResultFuture | asyncio.Future[Any]:
        """A text that was not met before."""
        query = self.lookup(sql, shared=True)
        answer = self._native.submit(query.sql, args, want, seconds)
        if answer is not None:
            return answer
        assert query.kind is StatementClass.EMPTY, f"bug: {query.sql!r} is not known"
        future: asyncio.Future[Any] = get_running_loop().create_future()
        future.set_result(empty_result(args, want))
        return future

    def _abandon(self, answer: Any) -> None:
        if not isinstance(answer, asyncio.Future):
            super()._abandon(answer)
