"""The libpq connection below a link: its socket, what it says unasked, and its end."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from ... import forks
from ...errors import ConnectionLost, Error
from ...log import logger
from ...scheduler.model import StatementRequest
from ..base import CANCEL_UNDER_WAY, ConnectionListener, Done
from .libpq import FATAL_ERROR, INERROR, INTRANS, SQLSTATE, lost_error, server_error
from .session_settings import SessionSettings
from .watch import watcher

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

    from ..base import Sink, Source
    from .copy import Copy
    from .libpq import Libpq


#: How long a CancelRequest for a COPY whose data are not taken may take, in seconds.
COPY_CANCEL_TIMEOUT = 3.0
_OPEN_BLOCK = frozenset((INTRANS, INERROR))
#: The settings that servers report, of all versions: libpq tells one by its name only.
REPORTED = (
    "application_name", "client_encoding", "DateStyle", "default_transaction_read_only", "in_hot_standby",
    "integer_datetimes", "IntervalStyle", "is_superuser", "scram_iterations", "search_path", "server_encoding",
    "server_version", "session_authorization", "standard_conforming_strings", "TimeZone",
)  # fmt: skip


class Wire(ABC):
    """A connection in pipeline mode, watched by the event loop. What it carries is the business of the class above."""

    def __init__(self, pgconn: PGconn, listener: ConnectionListener, libpq: Libpq) -> None:
        self._libpq = libpq
        self._libpq_error = libpq.error
        self.listener: ConnectionListener = listener
        self.pid = pgconn.backend_pid
        self.loss: Exception | None = None
        self._pgconn = pgconn
        self._loop = asyncio.get_running_loop()
        self._sockets = watcher(self._loop)
        self._writing = False
        #: Why the server ended the session, if it said so.
        self._fatal: Error | None = None
        #: The COPY that has the connection to itself at the moment.
        self._copy: Copy | None = None
        self._copying = False
        #: The CancelRequest that is under way: while there is one, nothing new is sent.
        self._cancelling: asyncio.Future[bool] | None = None
        self.settings = SessionSettings(pgconn)
        self._fd = pgconn.socket
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()
        pgconn.notice_handler = self._notice
        self._sockets.add_reader(self._fd, self._readable)
        forks.hold(self)

    @abstractmethod
    def _readable(self) -> None:
        """Something has arrived."""

    @abstractmethod
    def _die(self, error: Exception, sent: bool) -> None:
        """The connection is lost."""

    def _fell(self, error: Exception) -> None:
        """What has arrived could not be dealt with: what waits for it has an answer all the same.

        So it is where no descriptor is left to import a module by.
        """
        if self.loss is None:
            logger.error("a connection failed at what it has received, and is closed", exc_info=error)
            lost = ConnectionLost(f"its answer could not be dealt with: {type(error).__name__}: {error}", sent=True)
            lost.__cause__ = error
            self._die(lost, sent=True)

    def _flush(self) -> None:
        if self._pgconn.flush() == 0:
            if self._writing:
                self._writing = False
                self._sockets.remove_writer(self._fd)
        else:
            self._write_later()

    def _write_later(self) -> None:
        if not self._writing:
            self._writing = True
            self._sockets.add_writer(self._fd, self._writable)

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
        if self._copy is not None:
            self._copy.noticed()
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

    def copy(self, statement: StatementRequest, stream: Source | Sink, done: Done) -> None:
        """Run one COPY; see :class:`~db_pool_rs.drivers.base.CopyConnection`."""
        from .copy import Copy

        self._watch(False)
        self._copying = True
        started = monotonic()

        def ended(error: Exception | None) -> None:
            self._copy = None
            if error is not None:
                self._broke(error)
            elif self._cancelling is not None:
                self._cancelling.add_done_callback(report)
            else:
                report(None)

        def report(cancelled: asyncio.Future[bool] | None) -> None:
            if self._fd < 0:
                return
            if cancelled is not None and (cancelled.cancelled() or not cancelled.result()):
                self._die(ConnectionLost(CANCEL_UNDER_WAY, sent=True), sent=True)
                return
            self._copying = False
            self._watch(True)
            self._take_notifications()
            done(statement.error is None, monotonic() - started, 0.0)

        self._copy = Copy(self._pgconn, self._libpq, statement, stream, ended, self._cancel_copy)

    def _cancel_copy(self) -> None:
        self._request(COPY_CANCEL_TIMEOUT)

    def _watch(self, on: bool) -> None:
        """Look at what arrives, or leave it where it is for a while."""
        if self._fd >= 0:
            if on:
                self._sockets.add_reader(self._fd, self._readable)
            else:
                self._sockets.remove_reader(self._fd)

    def reset_statements(self) -> Sequence[str]:
        """What brings the session back to its initial state."""
        return ("DISCARD ALL",)

    def parameters(self) -> Mapping[str, str]:
        """What the server reports of the session, see :class:`~db_pool_rs.drivers.base.ServerConnection`."""
        found = {name: self._pgconn.parameter_status(name.encode()) for name in REPORTED}
        return {name: value.decode("utf-8", "replace") for name, value in found.items() if value is not None}

    def note_float_digits(self, digits: int) -> None:
        """See :class:`~db_pool_rs.drivers.base.ServerConnection`."""
        self.settings.note_float_digits(digits)

    def in_transaction(self) -> bool:
        """Whether a transaction block is open."""
        status: int = self._pgconn.transaction_status
        return status in _OPEN_BLOCK

    async def cancel(self, timeout: float) -> bool:
        """Send a CancelRequest, or wait for the one under way; see :class:`.ServerConnection`."""
        if self._copy is not None:
            self._copy.stop()
        return await asyncio.shield(self._request(timeout))

    def _request(self, timeout: float) -> asyncio.Future[bool]:
        """The one door for CancelRequests: there is one at a time."""
        if self._cancelling is None:
            self._cancelling = self._loop.create_task(self._request_cancel(timeout))
            self._cancelling.add_done_callback(self._request_ended)
        return self._cancelling

    def _request_ended(self, request: asyncio.Future[bool]) -> None:
        self._cancelling = None

    async def _request_cancel(self, timeout: float) -> bool:
        from .psycopg_libpq import cancel

        return await cancel(self._pgconn, timeout=timeout)

    def held(self) -> int:
        """The socket, which a child process must not use."""
        return self._fd

    def leave(self) -> None:
        """This is a child process: the session is the parent's."""
        self.close()

    def close(self) -> None:
        """Close at once."""
        if self._copy is not None:
            self._copy.abandon()
        if self._fd >= 0:
            self._sockets.remove_reader(self._fd)
            if self._writing:
                self._sockets.remove_writer(self._fd)
            self._fd = -1
            self._pgconn.finish()
