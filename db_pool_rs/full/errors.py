"""Errors of what the engine tells."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConnectionLost, DatabaseError, Error, database_error

#: A loss as the engine tells it: a message, the server's last words by field, whether something may be executed.
Loss = tuple[str, Mapping[str, str] | None, bool]

_LETTERS = {
    "sqlstate": "C", "message": "M", "detail": "D", "hint": "H", "position": "P", "internal_position": "p",
    "internal_query": "q", "where": "W", "schema": "s", "table": "t", "column": "c", "datatype": "d", "constraint": "n",
}  # fmt: skip


def server_error(fields: Mapping[str, str], sql: str | None) -> DatabaseError:
    """The error that a server reported."""
    named = {name: fields.get(letter) for name, letter in _LETTERS.items()}
    # The untranslated severity exists since PostgreSQL 9.6; proxies may send only the other.
    named["severity"] = fields.get("V") or fields.get("S")
    named["message"] = named["message"] or "the server reported an error without a message"
    error = database_error(named, sql)
    error.__dict__["routine"] = fields.get("R")
    return error


def lost_error(loss: Loss) -> Error:
    """The error of a lost connection."""
    message, fields, sent = loss
    return ConnectionLost(message, sent=sent) if fields is None else server_error(fields, None)
