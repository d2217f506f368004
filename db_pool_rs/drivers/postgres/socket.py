"""The libpq connection below a link: its socket, what it says unasked, and its end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from time import monotonic
from typing import TYPE_CHECKING

from ...errors import Error
from ...scheduler.model import Statement
from ..base import Done, LinkListener
from .libpq import FATAL_ERROR, INERROR, INTRANS
from .servererrors import SQLSTATE, lost_error, server_error

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

    from ..base import Sink, Source
    from .copy import Copy
    from .libpq import Libpq

#: How long the server is asked to stop a COPY whose data nobody takes, in seconds.
COPY_CANCEL_TIMEOUT = 3.0
_OPEN_BLOCK = frozenset((INTRANS, INERROR))


class Wire(ABC):
    """A connection in pipeline mode, watched by the event loop. What it carries is the business of the class above."""

    def __init__(self, pgconn: PGconn, listener: LinkListener, libpq: Libpq) -> None:
        self._libpq = libpq
        self._libpq_error = libpq.error
        self.listener: LinkListener = listener
        self.pid = pgconn.backend_pid
        self._pgconn = pgconn
        self._loop = asyncio.get_running_loop()
        self._writing = False
        #: Why the server ended the session, if it said so.
        self._fatal: Error | None = None
        #: The COPY that has the connection to itself at the moment.
        self._copy: Copy | None = None
        self._cancelling: asyncio.Task[bool] | None = None
        self._fd = pgconn.socket
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()
        pgconn.notice_handler = self._notice
        self._loop.add_reader(self._fd, self._readable)

    @abstractmethod
    def _readable(self) -> None:
        """Something has arrived."""

    @abstractmethod
    def _die(self, error: Exception, sent: bool) -> None:
        """The connection is lost."""

    def _flush(self) -> None:
        if self._pgconn.flush() == 0:
            if self._writing:
                self._writing = False
                self._loop.remove_writer(self._fd)
        else:
            self._write_later()

    def _write_later(self) -> None:
        if not self._writing:
            self._writing = True
            self._loop.add_writer(self._fd, self._writable)

    def _writable(self) -> None:
        try:
            self._flush()
        except self._libpq_error as error:
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        """The connection broke: what arrived before may say why."""
        try:
            while not self._pgconn.is_busy():
                result = self._pgconn.get_result()
                if result is None:
                    break
                if result.status == FATAL_ERROR and result.error_field(SQLSTATE):
                    self._fatal = server_error(result, None)
        except self._libpq_error:
            pass
        self._die(lost_error(error), sent=True)

    def _notice(self, result: PGresult) -> None:
        error = server_error(result, None)
        if error.severity in ("FATAL", "PANIC"):  # arrives as a notice where no statement runs
            self._fatal = error
        else:
            self.listener.on_notice(self, error)  # type: ignore[arg-type]

    def _take_notifications(self) -> None:
        """Hand on the notifications that have arrived: they come between transactions."""
        while (found := self._pgconn.notifies()) is not None:
            channel, payload = (part.decode("utf-8", "replace") for part in (found.relname, found.extra))
            self.listener.on_notification(self, found.be_pid, channel, payload)  # type: ignore[arg-type]

    def copy(self, statement: Statement, stream: Source | Sink, done: Done) -> None:
        """Run one COPY; see :class:`~db_pool_rs.drivers.base.CopyLink`."""
        from .copy import Copy

        self._watch(False)
        started = monotonic()

        def ended(error: Exception | None) -> None:
            self._copy = None
            if error is not None:
                self._broke(error)
            elif self._fd >= 0:
                self._watch(True)
                done(statement.error is None, monotonic() - started, 0.0)

        self._copy = Copy(self._pgconn, self._libpq, statement, stream, ended, self._cancel_copy)

    def _cancel_copy(self) -> None:
        self._cancelling = self._loop.create_task(self.cancel(COPY_CANCEL_TIMEOUT))

    def _watch(self, on: bool) -> None:
        """Look at what arrives, or leave it where it is for a while."""
        if self._fd >= 0:
            if on:
                self._loop.add_reader(self._fd, self._readable)
            else:
                self._loop.remove_reader(self._fd)

    def _plain_styles(self) -> bool:
        """Whether a date or an interval in text format can be read: in binary it always can."""
        status = self._pgconn.parameter_status
        return status(b"IntervalStyle") in (b"postgres", None) and (status(b"DateStyle") or b"ISO").startswith(b"ISO")

    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        status: int = self._pgconn.transaction_status
        return status in _OPEN_BLOCK

    async def cancel(self, timeout: float) -> bool:
        """Send a CancelRequest; returns when the server has closed the connection that carried it."""
        if self._copy is not None:
            self._copy.stop()
        return await self._request_cancel(timeout)

    async def _request_cancel(self, timeout: float) -> bool:
        from .cancel import cancel

        return await cancel(self._pgconn, timeout=timeout)

    def close(self) -> None:
        """Close at once."""
        if self._copy is not None:
            self._copy.abandon()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            if self._writing:
                self._loop.remove_writer(self._fd)
            self._fd = -1
            self._pgconn.finish()
