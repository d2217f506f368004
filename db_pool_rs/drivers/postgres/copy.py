"""COPY on one connection: its data flows outside libpq's pipeline mode, which knows no COPY.

The caller's part (giving or taking data) may take as long as it likes and may fail: what it raises is the call's
answer, and the server is told to give up. The connection is in pipeline mode again when the answer is reported.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from ...record import Status
from ...scheduler.model import Statement
from ..base import Sink, Source, as_piece
from .libpq import COMMAND_OK, COPY_IN, COPY_OUT, Libpq
from .servererrors import server_error

T = TypeVar("T")


class Copy:
    """One COPY: `statement` gets its command tag or its error; then `ended` is called with None, or libpq's own error.

    The caller leaves the connection and its descriptor alone meanwhile. `cancel` asks the server to stop.
    """

    def __init__(
        self,
        pgconn: Any,
        libpq: Libpq,
        statement: Statement,
        stream: Source | Sink,
        ended: Callable[[Exception | None], None],
        cancel: Callable[[], object],
    ) -> None:
        self._pgconn = pgconn
        self._libpq = libpq
        self._libpq_error = libpq.error
        self._statement = statement
        self._stream = stream
        self._ended = ended
        self._cancel = cancel
        self._stopped = self._abandoned = False
        self._user: asyncio.Future[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run())

    def stop(self) -> None:
        """Nobody waits for it any more: end it early."""
        self._stopped = True
        if self._user is not None:
            self._user.cancel()

    def abandon(self) -> None:
        """The connection is closed."""
        self._abandoned = True
        self.stop()
        self._task.cancel()

    async def _run(self) -> None:
        try:
            self._pgconn.exit_pipeline_mode()
            self._pgconn.send_query(self._statement.text.sql.encode())
            await self._flush()
            await self._converse()
            self._pgconn.enter_pipeline_mode()
        except self._libpq_error as error:
            self._ended(error)
        else:
            self._ended(None)

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
                self._statement.error = server_error(result, self._statement.text.sql)

    async def _send(self) -> None:
        try:
            async for chunk in self._chunks():
                self._pgconn.put_copy_data(chunk)
                await self._flush()
        except (Exception, asyncio.CancelledError) as error:
            self._pgconn.put_copy_end(self._failed(error))
        else:
            self._pgconn.put_copy_end(b"canceled" if self._stopped else None)
        await self._flush()

    async def _chunks(self) -> AsyncIterator[bytes]:
        assert not callable(self._stream)
        while not self._stopped:
            try:
                chunk = await self._of_user(self._stream.__anext__())
            except StopAsyncIteration:
                return
            yield as_piece(chunk)

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
        except (Exception, asyncio.CancelledError) as error:
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
        if self._abandoned or isinstance(error, self._libpq_error):
            raise error
        if isinstance(error, Exception):
            self._statement.error = error
        elif not self._stopped:
            raise error
        return b"the source of the data failed"

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
        loop, fd = self._loop, self._pgconn.socket
        ready: asyncio.Future[None] = loop.create_future()
        loop.add_reader(fd, _set, ready)
        if writing:
            loop.add_writer(fd, _set, ready)
        try:
            await ready
        finally:
            loop.remove_reader(fd)
            if writing:
                loop.remove_writer(fd)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
