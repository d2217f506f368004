"""psycopg's libpq without the GIL: the calls of the connection phase, and cancelling, must not hold up the event loop.

The steps of libpq's connection phase can hold their thread: SCRAM costs what the server says (20 million iterations
are 10 seconds), certificates and keys are read and checked, and psycopg makes these calls with the GIL held. Here they
are made through ctypes, which releases it, on a thread of their own. psycopg offers `pgconn_ptr` for such calls, and
the functions come from the very libpq that psycopg is linked to. Where they cannot be found (a libpq linked statically
with hidden symbols), psycopg's own are used: a hostile server can then hold the loop for as long as its SCRAM takes,
and errors of the connection phase carry no SQLSTATE.

A connection takes about 6 steps; all of it takes 0.5 to 1 ms longer than libpq's blocking call (3 to 4 ms here).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from psycopg import Error, pq

from ...aio import Expired, offload, until
from .watch import wait_ready

if TYPE_CHECKING:
    from psycopg.pq.abc import PGcancelConn, PGconn

_CANCEL_MESSAGE = 256
#: The first libpq whose CancelRequest does not block and uses the session's own TLS settings.
_CANCEL_CONN = 170000


def _load() -> ctypes.CDLL | None:
    """The libpq of psycopg. To look a symbol up in a shared library finds those of the libraries it is linked to."""
    try:
        if pq.__impl__ == "python":
            library = ctypes.CDLL(importlib.import_module("psycopg.pq._pq_ctypes").pq._name)
        else:
            library = ctypes.CDLL(sys.modules[pq.PGconn.__module__].__file__)
        library.PQconnectPoll.argtypes = [ctypes.c_void_p]
        library.PQsetErrorVerbosity.argtypes = [ctypes.c_void_p, ctypes.c_int]
        library.PQgetCancel.argtypes = [ctypes.c_void_p]
        library.PQgetCancel.restype = ctypes.c_void_p
        library.PQcancel.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
        library.PQfreeCancel.argtypes = [ctypes.c_void_p]
        library.PQfreeCancel.restype = None
        return library if library.PQlibVersion() == pq.version() else None
    except (AttributeError, ImportError, KeyError, OSError):
        return None


_libpq = _load()

#: Whether the connection phase leaves the event loop alone, and its errors carry their SQLSTATE.
RELEASES_GIL = _libpq is not None


def poll(pgconn: PGconn) -> int:
    """PQconnectPoll, for a thread."""
    if _libpq is None:
        return pgconn.connect_poll()
    return int(_libpq.PQconnectPoll(_pointer(pgconn)))


def set_verbose(pgconn: PGconn, verbose: bool) -> None:
    """Whether error messages contain the SQLSTATE: `FATAL:  28P01: password authentication failed`."""
    if _libpq is not None:
        _libpq.PQsetErrorVerbosity(_pointer(pgconn), 2 if verbose else 1)


def copy_rows(pgconn: PGconn) -> tuple[bytes, bool]:
    """All rows of a COPY TO STDOUT that have arrived, and whether more may come."""
    rows = []
    size, row = pgconn.get_copy_data(1)
    while size > 0:
        rows.append(row)
        size, row = pgconn.get_copy_data(1)
    return b"".join(rows), size == 0


async def cancel(pgconn: PGconn, *, timeout: float | None = 5.0) -> bool:
    """Send a CancelRequest; True once it can hit nothing more: its connection is closed, or there never was one.

    The server's answer is the statement's own: it may still end well if the request came too late. Never raises for a
    server that is gone (True) or silent: False, after `timeout` seconds: the request may still hit what runs then.
    `pgconn` must stay open meanwhile. A libpq before 17 sends it unencrypted, on a thread that may outlive a time-out.
    """
    deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
    try:
        if pq.version() < _CANCEL_CONN:
            await until(offload(blocking_cancel(pgconn)), deadline)
        else:
            await _drive(pgconn.cancel_conn(), deadline)
    except Expired:
        return False
    except (Error, OSError, ValueError):
        return True
    return True


async def _drive(request: PGcancelConn, deadline: float | None) -> None:
    try:
        request.start()
        status = int(pq.PollingStatus.WRITING)
        while status not in (pq.PollingStatus.OK, pq.PollingStatus.FAILED):
            await wait_ready(request.socket, status == pq.PollingStatus.WRITING, deadline)
            status = request.poll()
    finally:
        request.finish()


def blocking_cancel(pgconn: PGconn) -> Callable[[], bool]:
    """A function for a thread that sends a CancelRequest, as libpq before 17 can. Call it exactly once."""
    if _libpq is None:
        handle = pgconn.get_cancel()
        return lambda: _cancel_by(handle)
    library, request = _libpq, _libpq.PQgetCancel(_pointer(pgconn))

    def send() -> bool:
        try:
            return bool(library.PQcancel(request, ctypes.create_string_buffer(_CANCEL_MESSAGE), _CANCEL_MESSAGE))
        finally:
            library.PQfreeCancel(request)

    return send


def _cancel_by(handle: Any) -> bool:
    from psycopg import OperationalError

    with contextlib.suppress(OperationalError):
        handle.cancel()
        return True
    return False


def _pointer(pgconn: PGconn) -> int:
    pointer = getattr(pgconn, "pgconn_ptr", None)
    if not pointer:
        raise ValueError("the connection is closed")
    return int(pointer)


class PsycopgLibpq:
    """psycopg's libpq, for those who do not care whose it is; see :class:`~db_pool_rs.drivers.postgres.libpq.Libpq`."""

    error: type[Exception] = Error
    version = staticmethod(pq.version)
    poll = staticmethod(poll)
    set_verbose = staticmethod(set_verbose)
    copy_rows = staticmethod(copy_rows)

    @staticmethod
    def connect_start(conninfo: bytes) -> PGconn:
        """PQconnectStart."""
        return pq.PGconn.connect_start(conninfo)


#: A module would do, if Protocols took properties of modules for attributes.
LIBPQ = PsycopgLibpq()
