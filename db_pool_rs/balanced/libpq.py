"""The kernel's libpq with the methods of ``psycopg.pq`` that the link uses.

The protocol is :mod:`db_pool_rs.drivers.postgres.libpq`.

cffi releases the GIL around every call. A connection belongs to the event loop's thread, except during the steps of its
connection phase.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from db_pool_rs_balanced import ffi, lib


class LibpqError(Exception):
    """What libpq said about a connection."""


class PGresult:
    """A result; freed with its last reference if it is `owned`."""

    __slots__ = ("ptr",)

    def __init__(self, ptr: Any, owned: bool = True) -> None:
        self.ptr = ffi.gc(ptr, lib.PQclear) if owned else ptr

    @property
    def status(self) -> int:
        """ExecStatusType."""
        return int(lib.PQresultStatus(self.ptr))

    @property
    def ntuples(self) -> int:
        """Rows."""
        return int(lib.PQntuples(self.ptr))

    @property
    def nfields(self) -> int:
        """Columns."""
        return int(lib.PQnfields(self.ptr))

    @property
    def memory(self) -> int:
        """Bytes of memory."""
        return int(lib.PQresultMemorySize(self.ptr))

    @property
    def nparams(self) -> int:
        """Parameters, in the answer to Describe."""
        return int(lib.PQnparams(self.ptr))

    @property
    def command_status(self) -> bytes | None:
        """The command tag."""
        return _string(lib.PQcmdStatus(self.ptr))

    def param_type(self, number: int) -> int:
        """Type of a parameter."""
        return int(lib.PQparamtype(self.ptr, number))

    def fname(self, column: int) -> bytes | None:
        """Name of a column."""
        return _string(lib.PQfname(self.ptr, column))

    def ftype(self, column: int) -> int:
        """Type of a column."""
        return int(lib.PQftype(self.ptr, column))

    def fmod(self, column: int) -> int:
        """Modifier of a column's type, -1 without one."""
        return int(lib.PQfmod(self.ptr, column))

    def fformat(self, column: int) -> int:
        """1 if a column's values are binary."""
        return int(lib.PQfformat(self.ptr, column))

    def get_value(self, row: int, column: int) -> bytes | None:
        """One value as the server sent it."""
        if lib.PQgetisnull(self.ptr, row, column):
            return None
        size = lib.PQgetlength(self.ptr, row, column)
        return bytes(ffi.buffer(lib.PQgetvalue(self.ptr, row, column), size))

    def error_field(self, code: int) -> bytes | None:
        """A field of an error or notice."""
        return _string(lib.PQresultErrorField(self.ptr, code))

    def get_error_message(self) -> str:
        """The error as libpq words it."""
        return (_string(lib.PQresultErrorMessage(self.ptr)) or b"").decode("utf-8", "replace")


class Notification(NamedTuple):
    """What NOTIFY sent: the channel, the process id of the session, the payload."""

    relname: bytes
    be_pid: int
    extra: bytes


class PGconn:
    """A connection; closed by `finish`."""

    def __init__(self, ptr: Any) -> None:
        self.ptr = ptr
        self.notice_handler: Callable[[Any], None] | None = None
        #: Results that were taken already, for `get_result`.
        self.pending: deque[PGresult] = deque()
        self._pid = os.getpid()
        # Weak, so that a connection that was not finished is closed with its last reference.
        self._handle = ffi.new_handle(weakref.ref(self))
        lib.PQsetNoticeReceiver(ptr, lib.dbp_notice, self._handle)

    def finish(self) -> None:
        """Close at once; the object can still be asked for its status."""
        ptr, self.ptr = self.ptr, ffi.NULL
        lib.PQfinish(ptr)

    def __del__(self) -> None:
        # In a forked child the session is the parent's: closing would end it.
        if self.ptr and os.getpid() == self._pid:
            self.finish()

    @property
    def status(self) -> int:
        """ConnStatusType."""
        return int(lib.PQstatus(self.ptr))

    @property
    def transaction_status(self) -> int:
        """PGTransactionStatusType."""
        return int(lib.PQtransactionStatus(self.ptr))

    @property
    def socket(self) -> int:
        """The descriptor; may change during the connection phase."""
        fd = int(lib.PQsocket(self.ptr))
        if fd < 0:
            raise LibpqError("the connection is lost")
        return fd

    @property
    def backend_pid(self) -> int:
        """Process id of the session."""
        return int(lib.PQbackendPID(self.ptr))

    @property
    def needs_password(self) -> bool:
        """Whether the server wanted a password and there was none."""
        return bool(lib.PQconnectionNeedsPassword(self.ptr))

    @property
    def used_password(self) -> bool:
        """Whether the server asked for a password and got one."""
        return bool(lib.PQconnectionUsedPassword(self.ptr))

    @property
    def ssl_in_use(self) -> bool:
        """Whether the link is encrypted."""
        return bool(lib.PQsslInUse(self.ptr))

    @property
    def error_message(self) -> bytes:
        """What libpq said last."""
        return _string(lib.PQerrorMessage(self.ptr)) or b""

    def get_error_message(self) -> str:
        """`error_message` as text."""
        return self.error_message.decode("utf-8", "replace").strip() or "the connection is lost"

    @property
    def nonblocking(self) -> int:
        """Set only."""
        return 1

    @nonblocking.setter
    def nonblocking(self, value: int) -> None:
        if lib.PQsetnonblocking(self.ptr, value):
            raise LibpqError(self.get_error_message())

    def parameter_status(self, name: bytes) -> bytes | None:
        """A setting that the server reports."""
        return _string(lib.PQparameterStatus(self.ptr, name))

    def notifies(self) -> Notification | None:
        """The next notification that has arrived."""
        found = lib.PQnotifies(self.ptr)
        if not found:
            return None
        try:
            return Notification(bytes(ffi.string(found.relname)), found.be_pid, bytes(ffi.string(found.extra)))
        finally:
            lib.PQfreemem(found)

    def enter_pipeline_mode(self) -> None:
        """Several statements before the first answer, from now on."""
        self._check(lib.PQenterPipelineMode(self.ptr))

    def pipeline_sync(self) -> None:
        """Send a Sync."""
        self._check(lib.PQpipelineSync(self.ptr))

    def send_prepare(self, name: bytes, sql: bytes, oids: Sequence[int] | None = None) -> None:
        """Send Parse."""
        self._check(lib.PQsendPrepare(self.ptr, name, sql, len(oids or ()), oids or ffi.NULL))

    def send_describe_prepared(self, name: bytes) -> None:
        """Send Describe."""
        self._check(lib.PQsendDescribePrepared(self.ptr, name))

    def send_query_params(self, sql: bytes, _params: None, result_format: int = 0) -> None:
        """Send a statement without parameters."""
        null = ffi.NULL
        self._check(lib.PQsendQueryParams(self.ptr, sql, 0, null, null, null, null, result_format))

    def exit_pipeline_mode(self) -> None:
        """One statement at a time, for COPY."""
        self._check(lib.PQexitPipelineMode(self.ptr))

    def send_query(self, sql: bytes) -> None:
        """Send a statement outside pipeline mode."""
        self._check(lib.PQsendQuery(self.ptr, sql))

    def put_copy_data(self, data: bytes) -> int:
        """Queue data of a COPY FROM STDIN."""
        return self._not_negative(lib.PQputCopyData(self.ptr, data, len(data)))

    def put_copy_end(self, error: bytes | None = None) -> int:
        """End a COPY FROM STDIN; with `error` it is to fail."""
        return self._not_negative(lib.PQputCopyEnd(self.ptr, ffi.NULL if error is None else error))

    def flush(self) -> int:
        """Write; 1 if some is left to write."""
        left = int(lib.PQflush(self.ptr))
        if left < 0:
            raise LibpqError(self.get_error_message())
        return left

    def consume_input(self) -> None:
        """Read what has arrived."""
        self._check(lib.PQconsumeInput(self.ptr))

    def is_busy(self) -> int:
        """Whether `get_result` would wait."""
        return 0 if self.pending else int(lib.PQisBusy(self.ptr))

    def get_result(self) -> PGresult | None:
        """The next result, None at the end of a statement's."""
        if self.pending:
            return self.pending.popleft()
        ptr = lib.PQgetResult(self.ptr)
        return PGresult(ptr) if ptr else None

    def _not_negative(self, result: int) -> int:
        self._check(result >= 0)
        return result

    def _check(self, ok: int) -> None:
        if not ok:
            raise LibpqError(self.get_error_message())


@ffi.def_extern()  # type: ignore[untyped-decorator]
def dbp_notice(handle: Any, result: Any) -> None:
    """libpq received a notice."""
    pgconn = ffi.from_handle(handle)()
    if pgconn is not None and pgconn.notice_handler is not None:
        pgconn.notice_handler(PGresult(result, owned=False))


class KernelLibpq:
    """A :class:`~db_pool_rs.drivers.postgres.libpq.Libpq`."""

    error: type[Exception] = LibpqError

    def version(self) -> int:
        """Of the library that is loaded."""
        return int(lib.PQlibVersion())

    def connect_start(self, conninfo: bytes) -> PGconn:
        """Begin to connect."""
        ptr = lib.PQconnectStart(conninfo)
        if not ptr:
            raise MemoryError
        return PGconn(ptr)

    def poll(self, pgconn: PGconn) -> int:
        """Next step of the connection phase, without the GIL."""
        return int(lib.PQconnectPoll(pgconn.ptr))

    def set_verbose(self, pgconn: PGconn, verbose: bool) -> None:
        """Whether error messages contain the SQLSTATE."""
        lib.PQsetErrorVerbosity(pgconn.ptr, 2 if verbose else 1)

    def copy_rows(self, pgconn: PGconn) -> tuple[bytes, bool]:
        """All rows of a COPY TO STDOUT that have arrived, and whether more may come."""
        data, last = ffi.new("char **"), ffi.new("int32_t *")
        size = lib.dbp_copy_rows(pgconn.ptr, data, last)
        try:
            rows = bytes(ffi.buffer(data[0], size)) if size else b""
        finally:
            lib.PQfreemem(data[0])
        if last[0] == -2:
            raise LibpqError(pgconn.get_error_message())
        return rows, last[0] == 0


LIBPQ = KernelLibpq()


def blocking_cancel(pgconn: PGconn) -> Callable[[], bool]:
    """A function for a thread that sends a CancelRequest and waits until the server has taken it; call it once."""
    request = lib.PQgetCancel(pgconn.ptr)

    def send() -> bool:
        try:
            return bool(lib.PQcancel(request, ffi.new("char[]", 256), 256))
        finally:
            lib.PQfreeCancel(request)

    return send


def _string(pointer: Any) -> bytes | None:
    return bytes(ffi.string(pointer)) if pointer else None
