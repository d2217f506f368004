"""What the driver needs of libpq, whichever binds it: psycopg (:mod:`.psycopg_libpq`) or the C kernel of mode balanced.
Its errors, and the server's in its results, as errors of ours.

A connection is an object with the methods of ``psycopg.pq.abc.PGconn``, a result one with those of ``PGresult``. Their
constants are plain numbers here, libpq's own, which never change: so that modules which need them do not need psycopg.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import ConnectionLost, DatabaseError, server
from ...errors.conditions import LEAVING, WAS_IDLE
from ...scheduler.model import StatementRequest
from ...sql import DATA

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

# ConnStatusType
CONNECTION_OK, CONNECTION_BAD, CONNECTION_AWAITING_RESPONSE = 0, 1, 4
# PostgresPollingStatusType
POLLING_FAILED, POLLING_READING, POLLING_WRITING, POLLING_OK = 0, 1, 2, 3
# ExecStatusType
EMPTY_QUERY, COMMAND_OK, TUPLES_OK, COPY_OUT, COPY_IN, FATAL_ERROR, COPY_BOTH = 0, 1, 2, 3, 4, 7, 8
PIPELINE_SYNC, PIPELINE_ABORTED = 10, 11
ANSWERS = frozenset((EMPTY_QUERY, COMMAND_OK, TUPLES_OK))
COPIES = frozenset((COPY_OUT, COPY_IN, COPY_BOTH))
# PGTransactionStatusType
INTRANS, INERROR = 2, 3
#: The field of the code, as libpq wants it to be named.
SQLSTATE = ord("C")


class Libpq(Protocol):
    """A binding of libpq."""

    #: What its connections raise.
    error: type[Exception]

    def version(self) -> int:
        """Of the library that is loaded, such as 150004."""

    def connect_start(self, conninfo: bytes) -> Any:
        """PQconnectStart: a connection in its connection phase, or one that is BAD."""

    def poll(self, pgconn: Any) -> int:
        """PQconnectPoll, for a thread: without the GIL."""

    def set_verbose(self, pgconn: Any, verbose: bool) -> None:
        """Whether error messages contain the SQLSTATE."""

    def copy_rows(self, pgconn: Any) -> tuple[bytes, bool]:
        """All rows of a COPY TO STDOUT that have arrived, and whether more may come."""


def psycopg_libpq() -> Libpq:
    """psycopg's binding; the first call imports it."""
    from .psycopg_libpq import LIBPQ

    return LIBPQ


def server_error(result: PGresult, sql: str | None) -> DatabaseError:
    """The error in a result, with every field that the server sent."""

    def field(letter: str) -> str | None:
        return _text(result.error_field(ord(letter)))

    return server.server_error(field, sql, lambda: result.get_error_message().strip())


def server_is_leaving(error: Exception) -> bool:
    """Whether the server said that it is shutting down or starting up."""
    return isinstance(error, DatabaseError) and error.sqlstate in LEAVING


def was_not_executed(error: Exception, group: Sequence[StatementRequest]) -> bool:
    """Whether a session that ended with `error` cannot have executed what of `group` is unanswered.

    A session that idled for too long took in nothing more. A server that was told to stop gives up what runs: what
    cannot commit before the Sync is rolled back.
    """
    if not isinstance(error, DatabaseError):
        return False
    stopped = error.sqlstate in LEAVING and all(one.query.kind in DATA for one in group)
    return stopped or error.sqlstate in WAS_IDLE


def lost_error(error: Exception) -> ConnectionLost:
    """libpq noticed that the connection is gone."""
    return ConnectionLost(str(error).strip() or "the connection was closed", sent=True)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
