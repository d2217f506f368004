"""Work that may take long beside the event loop, and waiting with a deadline.

The steps of libpq's connection phase can hold their thread: SCRAM costs what the server says (20 million iterations
are 10 seconds), certificates and keys are read and checked, and psycopg makes these calls with the GIL held. Here they
are made through ctypes, which releases it, on a thread of their own. psycopg offers `pgconn_ptr` for such calls, and
the functions come from the very libpq that psycopg is linked to. Where they cannot be found (a libpq linked statically
with hidden symbols), psycopg's own are used: a hostile server can then hold the loop for as long as its SCRAM takes,
and errors of the connection phase carry no SQLSTATE.

A thread is started for each step, and nobody ever waits for it to end: those of an executor, or of `threading`, would
make the process wait at its end for a name server that never answers, or cost more than the step. A connection takes
about 6 steps; all of it takes 0.5 to 1 ms longer than libpq's blocking call (3 to 4 ms here).
"""

from __future__ import annotations

import _thread
import asyncio
import contextlib
import ctypes
import errno
import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from psycopg import pq

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

T = TypeVar("T")
_CANCEL_MESSAGE = 256


class Expired(Exception):
    """The deadline of an `until` passed."""


async def until(future: asyncio.Future[T], deadline: float | None) -> T:
    """The result of `future`, a bare one (no task); Expired at `deadline` (time of the loop), None for no limit."""
    if deadline is None:
        return await future
    timer = asyncio.get_running_loop().call_at(deadline, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()


def _expire(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(Expired())


async def wait_ready(fd: int, writing: bool, deadline: float | None) -> None:
    """Until the descriptor can be read, or written; Expired at the deadline. Nothing stays registered."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, _ready, future)
    try:
        await until(future, deadline)
    finally:
        remove(fd)


def _ready(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def offload(function: Callable[[], T], abandoned: Callable[[], object] = bool) -> asyncio.Future[T]:
    """Call `function` on a thread of its own; OSError if there can be none.

    If nobody waits any more when it is done (the future expired or was cancelled), `abandoned` is called: who gives up
    cannot release what the thread still uses, so that the thread's end has to.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def deliver(result: Any, error: BaseException | None) -> None:
        if future.done():
            abandoned()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as caught:
            error = caught
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:  # the loop was closed meanwhile
            abandoned()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        future.set_exception(OSError(errno.EAGAIN, "no thread can be started"))
    return future


def was_abandoned(future: asyncio.Future[Any]) -> bool:
    """Whether the thread of an `offload` future is the one to clean up."""
    return not future.done() or future.cancelled() or isinstance(future.exception(), Expired)


# ---- libpq without the GIL ------------------------------------------------------------------------------------------


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
