"""A connection of the engine's that one user has: the link under a session, and the caller's part of its COPY."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from db_pool_rs_full import CursorRows

from ..drivers.base import CANCEL_UNDER_WAY, RESULT, error_of_stream, parts_of
from ..drivers.postgres.dialect import alters, before_error, names_digits
from ..errors import ArgumentError, ConnectionLost, DatabaseError, Error
from ..errors.server import server_error
from ..record import Column, Record, Result, Status

if TYPE_CHECKING:
    from db_pool_rs_full import Pool as Native
    from db_pool_rs_full import SessionInfo

    from ..drivers.base import Done, Sink, Source
    from ..scheduler.model import StatementRequest
    from .driver import Driver

#: A loss as the engine tells it: a message, the server's last words by field, whether something may be executed.
Loss = tuple[str, Mapping[str, str] | None, bool]
#: A column as the engine tells it: name, OID of the type, type modifier.
NativeColumn = tuple[str, int, int]
#: Bytes that are gathered at a time, unless the source makes the engine wait: it then gets what there is.
PIECE = 1 << 16


def result_of(value: Result | tuple[list[Record], list[NativeColumn], Status]) -> Result:
    """What was asked for as a result; one of an empty text was not the engine's."""
    if isinstance(value, Result):
        return value
    rows, columns, status = value
    return Result(rows, tuple(Column(*column) for column in columns), status)


def lost_error(loss: Loss) -> Error:
    """The error of a lost connection."""
    message, fields, sent = loss
    return ConnectionLost(message, sent=sent) if fields is None else server_error(fields.get, None)


class Owner(Protocol):
    """What a link needs of the executor that has it (:class:`~db_pool_rs.full.executor.RustExecutor`)."""

    driver: Driver
    loop: asyncio.AbstractEventLoop
    native: Native

    def expect(self, link: FullLink) -> int:
        """A number under which the engine's answer will reach `link`."""

    def stop_on(self, link: FullLink) -> asyncio.Future[bool]:
        """Have the server asked to stop what runs on `link`."""

    def ran(self, token: int, ok: bool, seconds: float, in_transaction: bool, results: list[Any]) -> None:
        """The statements that were sent under a number are answered."""

    def abort(self, conn: FullLink, reason: str, evict_all: bool) -> None:
        """Close a connection that is of no use any more."""

    def altered(self, certain: bool) -> None:
        """DDL was executed, or may have been."""


class FullLink:
    """A :class:`~db_pool_rs.drivers.base.ServerConnection`, and the connection that it is the link of.

    There is a new one for each `acquire`, so what it begins with, and what most never change, is the class's.
    """

    _group: Sequence[StatementRequest] = ()
    _done: Done | None = None
    _in_transaction = False
    #: Whether DDL is not committed yet, as `alters_schema` has it.
    _altered: bool | None = None
    _copy: CopyData | None = None
    #: The CancelRequest that is under way: nothing is answered, so nothing new is sent, while there is one.
    _stopping: asyncio.Future[bool] | None = None
    loss: Exception | None = None

    def __init__(self, conn: int, executor: Owner, info: SessionInfo | None = None) -> None:
        self.id = conn
        self._info = info
        self.pid = 0 if info is None else info.pid
        self.link = self
        self._executor = executor

    def start(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Send `group` and one Sync."""
        assert self._done is None, "bug: two groups on one connection"
        self._group, self._done = group, done
        executor, calls = self._executor, []
        for one in group:
            query = one.query
            known = query.description or executor.driver.known(query)
            calls.append((known, one.args, one.params, one.want, _cursor_rows(one)))
            if one.args and names_digits(one):
                self.note_float_digits(0)
        token = executor.expect(self)
        try:
            executor.native.run(self.id, token, calls)
        except ArgumentError as error:  # of a text that need not be asked about
            group[0].error = error
            self._answer_soon(token, False)

    def _answer_soon(self, token: int, ok: bool) -> None:
        """Nothing was asked."""
        results = [(None, one.error) for one in self._group]
        self._executor.loop.call_soon(self._executor.ran, token, ok, 0.0, self._in_transaction, results)

    def describe(self, group: Sequence[StatementRequest], done: Done) -> None:
        """Have the database check statements without running them."""
        assert self._done is None, "bug: two groups on one connection"
        self._group, self._done = group, partial(_described, group, done)
        token = self._executor.expect(self)
        if not self._executor.driver.check(self.id, token, [one.query for one in group]):
            self._answer_soon(token, True)

    def copy(self, statement: StatementRequest, stream: Source | Sink, done: Done) -> None:
        """Run a COPY, whose data the stream gives or takes."""
        assert self._done is None, "bug: two groups on one connection"
        self._group, self._done = (statement,), done
        self._copy = CopyData(statement, stream, partial(self._executor.native.feed, self.id), self._stop)
        self._executor.native.copy(self.id, self._executor.expect(self), statement.query.sql)

    def _stop(self) -> asyncio.Future[bool]:
        """The one door for requests to stop what runs: there is one at a time."""
        if self._stopping is None or self._stopping.done():
            self._stopping = self._executor.stop_on(self)
        return self._stopping

    def on_data_request(self, piece: bytes | None) -> None:
        """The engine asks for a piece of the data, or gives one."""
        if self._copy is not None:
            self._copy.on_data_request(piece)

    def ran(self, ok: bool, seconds: float, in_transaction: bool, results: list[tuple[Any, Any]]) -> None:
        """The group is answered."""
        if self._copy is not None or self._stopping is not None:
            streaming = None if self._copy is None else self._copy.end()
            for waited in (streaming, self._stopping):
                if waited is not None and not waited.done():
                    waited.add_done_callback(lambda _: self.ran(ok, seconds, in_transaction, results))
                    return
            if not self._has_stopped():
                return
        group, done = self._group, self._done
        if done is None:
            return  # the connection was lost meanwhile
        self._group, self._done, self._in_transaction = (), None, in_transaction
        for statement, (value, error) in zip(group, results, strict=True):
            statement.value = value
            if error is not None:
                _keep_error(statement, error)
            elif statement.want is RESULT and value is not None:
                rows, columns, status = result_of(value)
                statement.value, statement.details = rows, (columns, status)
        if self._altered is not None or not group[0].query.groupable:
            self._note_altering(group if ok else before_error(group))
        done(ok, seconds, 0)

    def _has_stopped(self) -> bool:
        """The COPY, or the request to stop what ran, is over; if the server may still act on that, it is cut off."""
        stopping, self._stopping, self._copy = self._stopping, None, None
        if stopping is None or stopping.result() or self._done is None:
            return True
        self._executor.abort(self, CANCEL_UNDER_WAY, evict_all=False)
        return False

    def _note_altering(self, group: Sequence[StatementRequest]) -> None:
        """These were executed: tables may have changed by them. Others see that when it is committed."""
        altered = alters(group, self._altered)
        if altered is not None:
            self._executor.native.schema_changed()
            self._executor.altered(altered)
            self._altered = altered if self._in_transaction else None

    def lost(self, error: Exception, sent: bool) -> None:
        """The connection is lost; what was `sent` may be committed."""
        if sent:
            self._note_altering(self._group)
        self.loss = error
        self.close()

    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        return self._in_transaction

    async def cancel(self, timeout: float) -> bool:
        """Have the server asked to stop what runs; returns when a late request can hit nothing else."""
        if self._copy is not None:
            self._copy.stop()
        return await asyncio.shield(self._stop())

    def parameters(self) -> Mapping[str, str]:
        """What the server reports of the session."""
        return {} if self._info is None else self._info.parameters()

    def note_float_digits(self, digits: int) -> None:
        """The session's `extra_float_digits`."""
        self._executor.native.note_float_digits(self.id, digits > 0)

    def reset_statements(self) -> Sequence[str]:
        """What brings the session back to its initial state."""
        return ("DISCARD ALL",)

    def after_reset(self) -> None:
        """The engine has seen it."""

    def close(self) -> None:
        """Nothing is told of it any more."""
        if self._copy is not None:
            self._copy.end()
        self._group, self._done, self._copy = (), None, None


def _cursor_rows(statement: StatementRequest) -> CursorRows | None:
    """What is known of the rows of a cursor, which keeps it from one FETCH to the next."""
    if not statement.want or statement.query.lexical.command != "FETCH":
        return None
    if not isinstance(statement.described, CursorRows):
        statement.described = CursorRows()
    return statement.described


def _keep_error(statement: StatementRequest, error: Exception) -> None:
    """Why it failed: what its COPY's stream has raised comes first."""
    if isinstance(error, DatabaseError) and error.query is None:  # the engine does not keep such a text
        error.query = statement.query.sql
    statement.error = statement.error or error


def _described(group: Sequence[StatementRequest], done: Done, ok: bool, seconds: float, size: float) -> None:
    """Put what the engine has told instead of rows where the other engines have it."""
    for statement in group:
        if isinstance(statement.value, tuple):  # SQLite has nothing to tell
            oids, columns = statement.value
            statement.details = tuple(oids), tuple(Column(*column) for column in columns)
    done(ok, seconds, size)


class CopyData:
    """Answers the engine's questions with `feed`, each once: data, None at their end, False to give up."""

    def __init__(
        self,
        statement: StatementRequest,
        stream: Source | Sink,
        feed: Callable[[bytes | bool | None], None],
        cancel: Callable[[], object],
    ) -> None:
        self._statement = statement
        self._stream = stream
        self._feed = feed
        self._cancel = cancel
        self._loop = asyncio.get_running_loop()
        #: The engine asks later: the stream's code sees the context variables of the caller all the same.
        self._within = copy_context().run
        self._asked = self._stopped = False
        #: What the caller's source gives, or its sink takes, at the moment.
        self._task: asyncio.Task[None] | None = None
        #: What the source has given and the engine has not; whether the source has ended, and with which last answer.
        self._data: list[bytes] = []
        self._size = 0
        self._room = asyncio.Event()
        self._drawn = False
        self._last: bool | None = None
        self._giving: asyncio.Handle | None = None

    def on_data_request(self, piece: bytes | None) -> None:
        """The engine asks for a piece of the data, or gives one."""
        if self._stopped:
            self._feed(False)
            return
        self._asked = True
        if callable(self._stream):
            self._task = self._within(self._loop.create_task, self._take(self._stream, piece or b""))
        elif self._task is None:
            self._task = self._within(self._loop.create_task, self._draw(self._stream))
        else:
            self._give()

    def stop(self) -> None:
        """No caller waits for the COPY any more: what was asked, and what will be, is answered by giving up."""
        asked = self._asked
        self.end()
        if asked:
            self._feed(False)

    def end(self) -> asyncio.Task[None] | None:
        """The COPY is over: nothing is answered any more. The caller's part, if it has not ended yet."""
        self._asked, self._stopped = False, True
        if self._task is None or self._task.done():
            return None
        self._task.cancel()
        return self._task

    async def _take(self, sink: Sink, piece: bytes) -> None:
        answer: bytes | bool = False
        try:
            await sink(piece)
            answer = b""
        except BaseException as error:
            if not self._stopped:
                self._statement.error = error_of_stream(error)
                self._cancel()  # else all the rest would be read for nothing
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        finally:
            self._answer(answer)

    async def _draw(self, source: Source) -> None:
        """Take pieces together: the engine lives on another thread, so that each answer has its price."""
        try:
            while True:
                for part in parts_of(await source.__anext__()):
                    self._data.append(part)
                    self._size += len(part)
                    if self._asked and self._giving is None:
                        self._giving = self._loop.call_soon(self._give)  # with what else the source has by then
                    while self._size >= PIECE:
                        self._room.clear()
                        await self._room.wait()
        except StopAsyncIteration:
            pass
        except BaseException as error:
            self._last = False
            if not self._stopped:
                self._statement.error = error_of_stream(error)
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
        finally:
            self._drawn = True
            self._give()

    def _give(self) -> None:
        """Answer with what there is, if there is something."""
        self._giving = None
        if self._drawn and (self._last is False or not self._size):
            self._answer(self._last)
        elif self._size and self._asked:
            data = b"".join(self._data)  # no copy of one that is alone
            self._data, self._size = [], 0
            self._room.set()
            self._answer(data)

    def _answer(self, answer: bytes | bool | None) -> None:
        if self._asked:
            self._asked = False
            self._feed(answer)
