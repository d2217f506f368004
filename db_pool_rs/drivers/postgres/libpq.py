"""What the driver needs of libpq, whichever binds it: psycopg (:mod:`.psycopg_libpq`) or the C kernel of mode balanced.

A connection is an object with the methods of ``psycopg.pq.abc.PGconn``, a result one with those of ``PGresult``. Their
constants are plain numbers here, libpq's own, which never change: so that modules which need them do not need psycopg.
"""

from __future__ import annotations

from typing import Any, Protocol

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
