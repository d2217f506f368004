"""Errors of the server and of libpq, as errors of ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ... import errors
from ...errors import ConnectionLost, DatabaseError
from ...errors.conditions import LEAVING, WAS_IDLE
from ...scheduler.model import StatementRequest
from ...sql import DATA

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

#: The field of the code, as libpq wants it to be named.
SQLSTATE = ord("C")


def server_error(result: PGresult, sql: str | None) -> DatabaseError:
    """The error in a result, with every field that the server sent."""

    def field(letter: str) -> str | None:
        return _text(result.error_field(ord(letter)))

    return errors.server_error(field, sql, lambda: result.get_error_message().strip())


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
