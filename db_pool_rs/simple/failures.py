"""The errors of the pool's own: what a waiter hears when the scheduler fails it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import ConnectFailed, ConnectionLost, Error, PoolClosed, PoolOverloaded, PoolTimeout, StatementTimeout
from .actions import Fail, Reason, Waiter

if TYPE_CHECKING:
    from .runner import Runner


def failure(action: Fail, runner: Runner) -> Error:
    """The error for one failed waiter."""
    error = _error(action, runner)
    if runner.last_error is not None and action.reason in (Reason.LOST, Reason.TIMEOUT):
        error.__cause__ = runner.last_error
    return error


def _error(action: Fail, runner: Runner) -> Error:
    scheduler = runner.scheduler
    if action.reason is Reason.CLOSED:
        return ConnectionLost("the pool was terminated", sent=True) if action.sent else PoolClosed("the pool is closed")
    if action.reason is Reason.OVERLOADED:
        return PoolOverloaded(
            f"{scheduler.queues.waiting} calls wait already (max_waiting={scheduler.limits.max_waiting})"
        )
    if action.reason is Reason.LOST:
        cause = f": {runner.last_error}" if runner.last_error else ""
        return ConnectionLost(f"the connection was lost before the answer came{cause}", sent=True)
    if action.reason is Reason.CONNECT_FAILED:
        return connect_failed(runner.last_error)
    if action.sent:
        return StatementTimeout(
            "the deadline passed while the statement ran; the server was asked to stop it", sent=True
        )
    waited = runner.loop.time() - action.item.enqueued
    what = "connection" if isinstance(action.item, Waiter) else "turn"
    counts = ", ".join(f"{state.value} {n}" for state, n in scheduler.counts().items() if n)
    message = f"no {what} within {waited:.1f} s: {scheduler.size} of {scheduler.limits.max_size} connections ({counts})"
    if runner.last_error is not None:
        message += f"; last error: {runner.last_error}"
    return PoolTimeout(message, holders=runner.holders(), stats=runner.stats())


def connect_failed(cause: Exception | None) -> Error:
    """A fresh error for each caller (an exception object raised twice would share its traceback)."""
    if isinstance(cause, ConnectFailed):
        error = ConnectFailed(
            str(cause.args[0] if cause.args else cause),
            attempts=cause.attempts, sqlstate=cause.sqlstate, permanent=cause.permanent,
        )  # fmt: skip
    else:
        error = ConnectFailed(f"a new connection could not be prepared: {cause}", permanent=True)
    error.__cause__ = cause
    return error
