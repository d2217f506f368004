"""The errors of the pool's own: what a waiter hears when the scheduler fails it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..errors import ConnectFailed, ConnectionLost, Error, PoolClosed, PoolOverloaded, PoolTimeout, StatementTimeout
from ..scheduler.model import Reason
from .outages import reason_of

if TYPE_CHECKING:
    from ..metrics import PoolGauges, PoolStats
    from .executor import Executor


class Report(NamedTuple):
    """How a pool stands when it fails a caller, and which callers hold its connections."""

    situation: str
    holders: tuple[str, ...]
    stats: PoolStats


def failure(service: Executor, reason: Reason, sent: bool, waited: float, for_connection: bool) -> Error:
    """The error for one who waited for a connection to himself, or for the answer to his statement."""
    error = _error(service, reason, sent, waited, for_connection)
    if service.last_error is not None and reason in (Reason.LOST, Reason.TIMEOUT):
        error.__cause__ = service.last_error
    return error


def _error(service: Executor, reason: Reason, sent: bool, waited: float, for_connection: bool) -> Error:
    if reason is Reason.CLOSED:
        return ConnectionLost("the pool was terminated", sent=True) if sent else PoolClosed("the pool is closed")
    if reason is Reason.OVERLOADED:
        return PoolOverloaded(f"max_waiting={service.config.max_waiting} calls wait already")
    if reason is Reason.LOST:
        cause = f": {reason_of(service.last_error)}" if service.last_error else ""
        return ConnectionLost(f"the connection was lost before the answer came{cause}", sent=True)
    if reason is Reason.CONNECT_FAILED:
        return connect_failed(service.last_error)
    if sent:
        return StatementTimeout(
            "the deadline passed while the statement ran; the server was asked to stop it", sent=True
        )
    what = "connection" if for_connection else "turn"
    report = service.report()
    message = f"no {what} within {waited:.1f} s: {report.situation}"
    if service.last_error is not None:
        message += f"; last error: {reason_of(service.last_error)}"
    return PoolTimeout(message, holders=report.holders, stats=report.stats)


def situation(gauges: PoolGauges) -> str:
    """How many connections there are, and what they do."""
    counts = {
        "opening": gauges.opening,
        "idle": gauges.idle,
        "lane": gauges.lanes,
        "alone": gauges.alone,
        "session": gauges.sessions,
        "closing": gauges.size - gauges.opening - gauges.idle - gauges.busy,
    }
    states = ", ".join(f"{state} {count}" for state, count in counts.items() if count)
    return f"{gauges.size} of {gauges.max_size} connections ({states})"


def is_permanent(error: Exception | None) -> bool:
    """Whether to open another connection cannot help: what `init` does wrong it does again, but a loss passes."""
    if isinstance(error, ConnectFailed):
        return error.permanent
    return not isinstance(error, ConnectionLost) and getattr(error, "severity", None) not in ("FATAL", "PANIC")


def connect_failed(cause: Exception | None) -> Error:
    """A fresh error for each caller (an exception object raised twice would share its traceback)."""
    if isinstance(cause, ConnectFailed):
        error = ConnectFailed(cause.reason, cause.attempts, sqlstate=cause.sqlstate, permanent=cause.permanent)
        error.__cause__ = cause.__cause__  # it says what its copy says
        return error
    permanent = is_permanent(cause)
    what = "could not be prepared" if permanent else "was lost before it could be used"
    error = ConnectFailed(f"a new connection {what}: {cause and reason_of(cause)}", permanent=permanent)
    error.__cause__ = cause
    return error
