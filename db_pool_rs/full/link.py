"""A connection of the engine's that somebody has to himself: the link under a session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..drivers.base import CANCEL_UNDER_WAY
from ..drivers.postgres.dialect import alters_schema
from ..errors import ArgumentError
from .copyturns import CopyTurns

if TYPE_CHECKING:
    from ..drivers.base import Done, Sink, Source
    from ..scheduler.model import StatementRequest
    from .executor import RustExecutor


class FullLink:
    """A :class:`~db_pool_rs.drivers.base.ServerConnection`, and the connection that it is the link of."""

    def __init__(self, conn: int, runner: RustExecutor) -> None:
        self.id = conn
        self.link = self
        self._runner = runner
        self._group: Sequence[StatementRequest] = ()
        self._done: Done | None = None
        self._in_transaction = False
        #: An ALTER or DROP is not committed yet.
        self._altered = False
        self._copy: CopyTurns | None = None
        #: The CancelRequest that is under way: nothing is answered, so nothing new is sent, while there is one.
        self._stopping: asyncio.Future[bool] | None = None

    def start(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Send `group` and one Sync."""
        assert self._done is None, "bug: two groups on one connection"
        self._group, self._done = group, done
        known = self._runner.driver.known
        calls = [(known(one.query), one.args, one.params, one.want) for one in group]
        token = self._runner.expect(self)
        try:
            self._runner.native.run(self.id, token, calls)
        except ArgumentError as error:  # of a text that need not be asked about
            group[0].error = error
            self._answer_soon(token, False)

    def _answer_soon(self, token: int, ok: bool) -> None:
        """Nothing was asked."""
        results = [(None, one.error) for one in self._group]
        self._runner.loop.call_soon(self._runner.ran, token, ok, 0.0, self._in_transaction, results)

    def describe(self, statement: StatementRequest, done: Done) -> None:
        """Have the database check a statement without running it."""
        assert self._done is None, "bug: two groups on one connection"
        self._group, self._done = (statement,), done
        token = self._runner.expect(self)
        if not self._runner.driver.check(self.id, token, statement.query):
            self._answer_soon(token, True)

    def copy(self, statement: StatementRequest, stream: Source | Sink, done: Done) -> None:
        """Run a COPY, whose data the stream gives or takes."""
        assert self._done is None, "bug: two groups on one connection"
        self._group, self._done = (statement,), done
        self._copy = CopyTurns(statement, stream, partial(self._runner.native.feed, self.id), self._stop)
        self._runner.native.copy(self.id, self._runner.expect(self), statement.query.sql)

    def _stop(self) -> asyncio.Future[bool]:
        """The one door for requests to stop what runs: there is one at a time."""
        if self._stopping is None or self._stopping.done():
            self._stopping = self._runner.stop_on(self)
        return self._stopping

    def copy_turn(self, piece: bytes | None) -> None:
        """The engine asks for a piece of the data, or gives one."""
        if self._copy is not None:
            self._copy.turn(piece)

    def ran(self, ok: bool, seconds: float, in_transaction: bool, results: list[tuple[Any, Any]]) -> None:
        """The group is answered."""
        streaming = None if self._copy is None else self._copy.end()
        for waited in (streaming, self._stopping):
            if waited is not None and not waited.done():
                waited.add_done_callback(lambda _: self.ran(ok, seconds, in_transaction, results))
                return
        stopping, self._stopping = self._stopping, None
        if self._done is None:
            return  # the connection was lost meanwhile
        if stopping is not None and not stopping.result():
            self._runner.abort(self, CANCEL_UNDER_WAY, retire=False)
            return
        group, done, self._group, self._done = self._group, self._done, (), None
        self._in_transaction = in_transaction
        self._copy = None
        altered = self._altered
        for statement, (value, error) in zip(group, results, strict=True):
            statement.value = value
            if error is not None:
                statement.error = statement.error or error
            else:
                altered = altered or alters_schema(statement.query)
        if ok and altered:
            self._runner.native.alter()
            self._runner.altered()
            self._altered = in_transaction  # others see it when it is committed
        done(ok, seconds, 0)

    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self._in_transaction

    async def cancel(self, timeout: float) -> bool:
        """Have the server asked to stop what runs; returns when a late request can hit nothing else."""
        if self._copy is not None:
            self._copy.stop()
        return await asyncio.shield(self._stop())

    def told(self, digits: int) -> None:
        """The session's `extra_float_digits`."""
        self._runner.native.told(self.id, digits > 0)

    def reset_statements(self) -> Sequence[str]:
        """What brings the session back to its initial state."""
        return ("DISCARD ALL",)

    def after_reset(self) -> None:
        """The engine has seen it."""

    def close(self) -> None:
        """Nobody hears of it any more."""
        if self._copy is not None:
            self._copy.end()
        self._group, self._done, self._copy = (), None, None
