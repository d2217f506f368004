"""Errors of what the engine tells."""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ConnectionLost, Error, server_error

#: A loss as the engine tells it: a message, the server's last words by field, whether something may be executed.
Loss = tuple[str, Mapping[str, str] | None, bool]


def lost_error(loss: Loss) -> Error:
    """The error of a lost connection."""
    message, fields, sent = loss
    return ConnectionLost(message, sent=sent) if fields is None else server_error(fields.get, None)
