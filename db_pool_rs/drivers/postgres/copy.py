"""COPY on one connection: its data flows outside libpq's pipeline mode, which knows no COPY.

The caller's part (giving or taking data) may take as long as it likes and may fail: what it raises is the call's
answer, and the server is told to give up. The connection is in pipeline mode again when the answer is reported.

While a source is waited for, the connection is watched: its loss, or the server's refusal of the rows that it has, ends
the waiting. libpq keeps an error to itself until the data have ended, but hands on notices, and during a COPY FROM
STDIN a server sends nothing else: so what has come and is no notice is taken for a refusal after `REFUSED_AFTER`. (A
notice and an error that are read together are told when the source goes on.)
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from ...record import Status
from ...scheduler.model import StatementRequest
from ..base import Sink, Source, error_of_stream, parts_of
from .libpq import COMMAND_OK, COPY_IN, COPY_OUT, Libpq, server_error
from .watch import set_ready, watcher

T = TypeVar("T")

#: How long a notice may take to arrive once it has begun to, in seconds.
REFUSED_AFTER = 0.2


class Copy:
    """One COPY: `statement` gets its command tag or its error; then `ended` is called with None, or libpq's own error.

    The caller leaves the connection and its descriptor alone meanwhile. `cancel` asks the server to stop.
    """

    def __init__(
        self,
        pgconn: Any,
        libpq: Libpq,
        statement: StatementRequest,
        stream: Source | Sink,
        ended: Callable[[Exception | None], None],
        cancel: Callable[[], object],
    ) -> None:
        self._pgconn = pgconn
        self._fd = pgconn.socket
        self._libpq = libpq
        self._libpq_error = libpq.error
        self._statement = statement
        self._stream = stream
        self._ended = ended
        self._cancel = cancel
        self._stopped = self._abandoned = self._refused = False
        #: The connection broke while the caller's part was waited for.
        self._broken: Exception | None = None
        self._suspicion: asyncio.TimerHandle | None = None
        self._user: asyncio.Future[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    def stop(self) -> None:
        """The caller waits no longer: end it early."""
        self._stopped = True
        self._end_user()

    def abandon(self) -> None:
        """The connection is closed."""
        self._abandoned = True
        self.stop()
        self._task.cancel()

    def noticed(self) -> None:
        """What has come was a notice."""
        if self._suspicion is not None:
            self._suspicion.cancel()
            self._suspicion = None

    async def _run(self) -> None:
        try:
            self._pgconn.exit_pipeline_mode()
            self._pgconn.send_query(self._statement.query.sql.encode())
            await self._flush()
            await self._converse()
            self._pgconn.enter_pipeline_mode()
        except self._libpq_error as error:
            self._ended(error)
        else:
            self._ended(None)
        finally:
            self.noticed()

    async def _converse(self) -> None:
        """From the first answer to the last."""
        while (result := await self._result()) is not None:
            if result.status == COPY_IN:
                await self._send()
            elif result.status == COPY_OUT:
                await self._receive()
            elif result.status == COMMAND_OK:
                self._statement.value = Status((result.command_status or b"").decode())
            elif self._statement.error is None:
                self._statement.error = server_error(result, self._statement.query.sql)

    async def _send(self) -> None:
        try:
            async for chunk in self._chunks():
                self._pgconn.put_copy_data(chunk)
                await self._flush()
        except BaseException as error:
            self._pgconn.put_copy_end(self._failed(error))
        else:
            self._pgconn.put_copy_end(b"canceled" if self._is_over() else None)
        await self._flush()

    async def _chunks(self) -> AsyncIterator[bytes]:
        assert not callable(self._stream)
        sockets = watcher(self._loop)
        while not self._is_over():
            sockets.add_reader(self._fd, self._hear)
            try:
                chunk = await self._of_user(self._stream.__anext__())
            except StopAsyncIteration:
                return
            finally:
                sockets.remove_reader(self._fd)
            for part in parts_of(chunk):
                if self._is_over():
                    return
                yield part

    def _is_over(self) -> bool:
        """Whether nothing more is wanted of the source."""
        return self._stopped or self._refused

    def _hear(self) -> None:
        """The server has said something while the source is waited for."""
        if self._suspicion is None:
            self._suspicion = self._loop.call_later(REFUSED_AFTER, self._was_refused)
        try:
            self._pgconn.consume_input()
            self._pgconn.is_busy()  # hands notices on
        except self._libpq_error as error:
            watcher(self._loop).remove_reader(self._fd)
            self._broken = error
            self._end_data()
            self._end_user()

    def _end_data(self) -> None:
        """libpq takes in what the server said last only when the data have ended."""
        with suppress(self._libpq_error):
            self._pgconn.put_copy_end(b"the connection is lost")

    def _was_refused(self) -> None:
        self._refused = True
        self._end_user()

    def _end_user(self) -> None:
        if self._user is not None:
            self._user.cancel()

    async def _receive(self) -> None:
        while True:
            rows, more = self._libpq.copy_rows(self._pgconn)
            if rows:
                await self._hand_over(rows)
            if not more:
                return
            await self._ready(False)
            self._pgconn.consume_input()

    async def _hand_over(self, rows: bytes) -> None:
        """Give the caller data, unless he has had enough: then the rest passes by."""
        assert callable(self._stream)
        if self._stopped or self._statement.error is not None:
            return
        try:
            await self._of_user(self._stream(rows))
        except BaseException as error:
            self._failed(error)
            self._cancel()

    async def _of_user(self, part: Awaitable[T]) -> T:
        self._user = asyncio.ensure_future(part)
        try:
            return await self._user  # type: ignore[no-any-return]
        finally:
            self._user = None

    def _failed(self, error: BaseException) -> bytes:
        """The caller's part failed; what the server is told."""
        if self._broken is not None:
            raise self._broken
        if self._abandoned or isinstance(error, self._libpq_error) or self._is_cancelled():
            raise error
        if isinstance(error, Exception) or not (self._stopped or self._refused):
            self._statement.error = error_of_stream(error)
        return b"the source of the data failed"

    def _is_cancelled(self) -> bool:
        """Whether the loop ends. Python 3.10 does not tell: then the server is told of a source that has failed."""
        cancelling: Callable[[], int] | None = getattr(self._task, "cancelling", None)
        return cancelling is not None and cancelling() > 0

    async def _result(self) -> Any:
        while self._pgconn.is_busy():
            await self._ready(False)
            self._pgconn.consume_input()
        return self._pgconn.get_result()

    async def _flush(self) -> None:
        """Write what is to be written. A server that does not read may be waiting for us to."""
        while self._pgconn.flush():
            await self._ready(True)
            self._pgconn.consume_input()

    async def _ready(self, writing: bool) -> None:
        sockets, fd = watcher(self._loop), self._fd
        ready: asyncio.Future[None] = self._loop.create_future()
        sockets.add_reader(fd, set_ready, ready)
        if writing:
            sockets.add_writer(fd, set_ready, ready)
        try:
            await ready
        finally:
            sockets.remove_reader(fd)
            if writing:
                sockets.remove_writer(fd)
