"""One attempt to open a session at one address, without blocking the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import re
import sys
import termios
from typing import TYPE_CHECKING

from ... import forks
from ...aio import Expired, offload, until, was_abandoned
from ...errors.conditions import LOGIN_REFUSED, NO_HBA_ENTRY, PERMANENT
from .libpq import (
    CONNECTION_AWAITING_RESPONSE,
    CONNECTION_BAD,
    CONNECTION_OK,
    POLLING_FAILED,
    POLLING_OK,
    POLLING_WRITING,
    Libpq,
)
from .watch import wait_ready

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

#: Threads of attempts that were given up but are not over, such as those that compute a hostile server's SCRAM: while
#: so many run, no other attempt begins.
MOST_GIVEN_UP = 16
#: Bytes that a server may send before the session begins; libpq keeps all notifications and settings among them.
MOST_SAID = 2**21

#: `FATAL:  28P01: ...`: the severity may be translated, the code is not.
_SQLSTATE = re.compile(r"[^:\n]+:  ([0-9A-Z]{5}): ")
_LOCATION = re.compile(r"\n[^:\n]+:  \w+, \S+\.c:\d+(?=\n|\Z)")
_WHERE = re.compile(r"connection to server [^\n]{0,400}? failed: ")
#: What libpq says where there is no SQLSTATE.
_PERMANENT_TEXTS = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "server does not support SSL",
    "could not load private key file",
    "could not read certificate file",
    "could not read root certificate file",
    "channel binding required",
    "authentication method requirement",
)

_NOT_CONFORMING = (
    "standard_conforming_strings is off, under which a backslash in a literal means something else: "
    "set it on for the role, or in server_settings"
)


class ConnectAttemptError(Exception):
    """Why an attempt failed.

    `asked`: the server asked for a secret; `encrypted`: over TLS; `reached`: it got as far as the startup message.
    """

    def __init__(
        self, message: str, pgconn: PGconn | None = None, *, reached: bool = False, permanent: bool = False
    ) -> None:
        codes = _SQLSTATE.findall(message)
        self.sqlstate: str | None = codes[-1] if codes else None
        self.asked = pgconn is not None and pgconn.used_password
        self.encrypted = pgconn is not None and pgconn.ssl_in_use
        self.reached = reached
        text = _WHERE.sub("", _LOCATION.sub("", message))
        self.message = "; ".join(" ".join(line.split()) for line in text.splitlines() if line.strip())
        self.permanent = permanent or self._is_permanent(pgconn is not None and pgconn.needs_password)
        super().__init__(self.message)

    @property
    def is_login_refused(self) -> bool:
        """Whether the server knows who we are and does not let us in."""
        return self.sqlstate is not None and self.sqlstate.startswith(LOGIN_REFUSED)

    def _is_permanent(self, lacks_password: bool) -> bool:
        if self.sqlstate is not None:
            return self.sqlstate.startswith(PERMANENT)
        return lacks_password or any(text in self.message for text in _PERMANENT_TEXTS)


async def open_session(libpq: Libpq, conninfo: str, deadline: float | None) -> PGconn:
    """A connected, non-blocking PGconn; ConnectAttemptError says why not, Expired that the deadline came first.

    An attempt that is given up, by deadline or cancellation, leaves nothing behind: the connection is closed, at the
    latest when the step that runs on a thread is done.
    """
    pgconn: PGconn = libpq.connect_start(conninfo.encode("utf-8", "surrogateescape"))
    attempt = _Attempt(libpq, pgconn, deadline)
    try:
        await attempt.run()
        _configure(libpq, pgconn)
    except BaseException:
        attempt.close()
        raise
    return pgconn


class _Attempt:
    """A PGconn during its connection phase."""

    def __init__(self, libpq: Libpq, pgconn: PGconn, deadline: float | None) -> None:
        self._libpq = libpq
        self._pgconn = pgconn
        self._deadline = deadline
        self._step: asyncio.Future[int] | None = None
        self._reached = False
        self._said = 0
        forks.hold(self)

    async def run(self) -> None:
        """Drive it to its end."""
        libpq, pgconn = self._libpq, self._pgconn
        if pgconn.status == CONNECTION_BAD:
            raise self._failure()
        libpq.set_verbose(pgconn, True)
        clock = asyncio.get_running_loop().time
        status = POLLING_WRITING
        while status != POLLING_OK:
            # The descriptor may be another one after each step.
            await wait_ready(pgconn.socket, status == POLLING_WRITING, self._deadline)
            self._said += _waiting(pgconn.socket)
            if self._said > MOST_SAID:
                raise ConnectAttemptError(f"the server sent more than {MOST_SAID:,} bytes before the session began")
            self._step = offload(lambda: libpq.poll(pgconn), pgconn.finish, most=MOST_GIVEN_UP)
            status = await until(self._step, self._deadline)
            if status == POLLING_FAILED or self._is_refused():
                raise self._failure()
            self._reached = self._reached or pgconn.status == CONNECTION_AWAITING_RESPONSE
            # A server that keeps sending keeps the descriptor ready, and timers from ever being first.
            if self._deadline is not None and clock() >= self._deadline:
                raise Expired

    def _is_refused(self) -> bool:
        """Whether libpq goes on without TLS (sslmode prefer) where that would only be a second wrong password."""
        codes = _SQLSTATE.findall(_text(self._pgconn))
        return bool(codes) and codes[-1] != NO_HBA_ENTRY

    def _failure(self) -> ConnectAttemptError:
        return ConnectAttemptError(_text(self._pgconn) or "connection failed", self._pgconn, reached=self._reached)

    def held(self) -> int:
        """The socket, which a child process must not use."""
        try:
            return self._pgconn.socket
        except self._libpq.error:
            return -1

    def leave(self) -> None:
        """A thread may have it in hand that does not exist in the child process: it is left as it is."""

    def close(self) -> None:
        """Close the connection, unless a thread has it in hand and will."""
        if self._step is None or not was_abandoned(self._step):
            self._pgconn.finish()


def _waiting(socket: int) -> int:
    """Bytes that have arrived and are not read yet."""
    return int.from_bytes(fcntl.ioctl(socket, termios.FIONREAD, bytes(4)), sys.byteorder)


def _configure(libpq: Libpq, pgconn: PGconn) -> None:
    """From the connection phase to the state that callers expect."""
    if pgconn.status != CONNECTION_OK:
        raise ConnectAttemptError(_text(pgconn) or "connection failed", pgconn)
    encoding = pgconn.parameter_status(b"client_encoding")
    if encoding not in (b"UTF8", b"UNICODE", None):
        raise ConnectAttemptError(
            f"the server insists on client_encoding {encoding.decode(errors='replace')}, UTF8 was asked for"
        )
    if pgconn.parameter_status(b"standard_conforming_strings") == b"off":
        raise ConnectAttemptError(_NOT_CONFORMING, permanent=True)
    libpq.set_verbose(pgconn, False)
    try:
        pgconn.nonblocking = 1
    except libpq.error as error:
        raise ConnectAttemptError(str(error)) from None


def _text(pgconn: PGconn) -> str:
    return pgconn.error_message.decode("utf-8", "replace")
