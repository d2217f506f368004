"""Errors of the server and of libpq, as errors of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._conditions import LEAVING
from ..errors import ConnectionLost, DatabaseError, database_error

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

#: Field codes of the protocol; psycopg has names for them, but is not needed for that.
_FIELDS = {
    "sqlstate": ord("C"),
    "message": ord("M"),
    "detail": ord("D"),
    "hint": ord("H"),
    "position": ord("P"),
    "internal_position": ord("p"),
    "internal_query": ord("q"),
    "where": ord("W"),
    "schema": ord("s"),
    "table": ord("t"),
    "column": ord("c"),
    "datatype": ord("d"),
    "constraint": ord("n"),
}
SQLSTATE = _FIELDS["sqlstate"]
_SEVERITY, _SEVERITY_NONLOCALIZED, _SOURCE_FUNCTION = ord("S"), ord("V"), ord("R")


def server_error(result: PGresult, sql: str | None) -> DatabaseError:
    """The error in a result, with every field that the server sent."""
    fields = {name: _text(result.error_field(field)) for name, field in _FIELDS.items()}
    # The untranslated severity exists since PostgreSQL 9.6; proxies may send only the other.
    fields["severity"] = _text(result.error_field(_SEVERITY_NONLOCALIZED) or result.error_field(_SEVERITY))
    if not fields["message"]:
        fields["message"] = result.get_error_message().strip() or "the server reported an error without a message"
    error = database_error(fields, sql)
    error.__dict__["routine"] = _text(result.error_field(_SOURCE_FUNCTION))
    return error


def server_is_leaving(error: DatabaseError) -> bool:
    """Whether the server said that it is shutting down or starting up."""
    return error.sqlstate in LEAVING


def lost_error(error: Exception) -> ConnectionLost:
    """libpq noticed that the connection is gone."""
    return ConnectionLost(str(error).strip() or "the connection was closed", sent=True)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "replace")
