"""Every error of the package: one tree, the same classes from every engine.

    Error
      ConfigError                 an option, config key or connection string that cannot be (also a ValueError)
      ModeUnavailableError        a mode was asked for that is not installed
      InterfaceError              wrong use of the package
        ArgumentError             number, type or range of a statement's arguments; nothing was sent
      DecodeError                 a value that Python cannot represent
      StatementTimeout            the deadline passed while the statement ran (also a TimeoutError)
      PoolError
        PoolTimeout               no connection in time; tells who holds them (also a TimeoutError)
        PoolClosed                (also an InterfaceError)
        PoolOverloaded            more callers are waiting than `max_waiting` allows
      DatabaseConnectionError
        ConnectFailed             no session could be opened; tells what was tried
        ConnectionLost            a session ended while it was in use
      DatabaseError               the server refused or could not do it: one class per SQLSTATE class, and below it
        IntegrityConstraintViolation           one per code, named as in psycopg.errors
          UniqueViolation
        ...

Every error has `.sqlstate` (None where there is none), and `.safe_to_retry`. The latter is true only where both hold:

1. nothing of the call can have been committed, so that to repeat it cannot do it twice;
2. what was in its way passes by itself, so that to repeat it may help.

That is: `ConnectFailed` unless it is permanent (a wrong password stays wrong), `ConnectionLost` and `StatementTimeout`
if nothing had been sent, `PoolTimeout`, `PoolOverloaded`, and of `DatabaseError` 40001, 40P01 and 55P03, where the
server has rolled back, and 53300 and 57P03, where it has not let us in. Any other error of a statement is rolled back
as well, but to repeat it would only give the same error (23505, 42P01), or it was meant to be stopped (57014, 57P01).
Where the outcome is unknown (08007, 40003) it is never true, nor is it for CALL, DO and texts of several statements:
these may have committed a part of themselves before they failed. Inside a transaction, it is the whole transaction that
is safe to repeat.

All errors can be pickled and copied with all their fields. No message carries a password: see `redact`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .base import ArgumentError, DatabaseError, DecodeError, Error, InterfaceError
from .redact import HIDDEN, is_secret, redact
from .server import database_error

if TYPE_CHECKING:
    from . import _sqlstates
    from ._sqlstates import *  # noqa: F403
    from .sqlite import sqlite_error

__all__ = [
    "ArgumentError",
    "ConfigError",
    "ConnectFailed",
    "ConnectionLost",
    "DatabaseConnectionError",
    "DatabaseError",
    "DecodeError",
    "Error",
    "InterfaceError",
    "ModeUnavailableError",
    "PoolClosed",
    "PoolError",
    "PoolOverloaded",
    "PoolTimeout",
    "StatementTimeout",
    "database_error",
    "redact",
    "sqlite_error",
]
if TYPE_CHECKING:
    __all__ += _sqlstates.__all__

_SHOWN_HOLDERS = 20


def __getattr__(name: str) -> Any:
    """What is made when it is first used: the many classes of SQLSTATEs, `__all__` with their names, `sqlite_error`."""
    value: Any
    if name == "sqlite_error":
        from .sqlite import sqlite_error  # needs sqlite3

        value, sqlite_error.__module__ = sqlite_error, __name__
    else:
        from ._sqlstates import BY_SQLSTATE

        made = {kind.__name__: kind for kind in BY_SQLSTATE.values()}
        if name != "__all__" and name not in made:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = [*_HERE, *made] if name == "__all__" else made[name]
    return globals().setdefault(name, value)


class ConfigError(Error, ValueError):
    """An option has a value that cannot be.

    `key` is the option's name or path ("simple.thread_pool_size"); `value` what was given, `***` if the key is that of
    a secret, and without its passwords if it is a text; `allowed` says what would be right, in words or as choices.
    """

    def __init__(self, key: str, value: object, allowed: str | Iterable[str]) -> None:
        self.key = key
        self.value: object = HIDDEN if is_secret(key) else redact(value) if isinstance(value, str) else value
        self.allowed = allowed if isinstance(allowed, str) else ", ".join(allowed)
        shown = HIDDEN if self.value is HIDDEN else redact(repr(self.value))
        # `allowed` is not redacted: it may well show a connection string with a password as an example.
        Exception.__init__(self, f"{key}: {shown} is not allowed; allowed: {self.allowed}")


#: What serves PostgreSQL where nothing is built: the libraries of modes simple and balanced.
INSTALL_PSYCOPG = 'pip install "psycopg[binary]"'


class ModeUnavailableError(Error):
    """The deployment mode asked for cannot be used here: `mode`, `reason`, and `install`, what helps."""

    def __init__(self, mode: str, reason: str, install: str) -> None:
        self.mode = mode
        self.reason = reason
        self.install = install
        super().__init__(f"mode {mode!r} is not available: {reason}. What helps: {install}")


class StatementTimeout(Error, TimeoutError):
    """The deadline passed while the statement ran. If `sent`, the server may have done it nevertheless."""

    def __init__(self, message: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)

    @property
    def safe_to_retry(self) -> bool:
        return not self.sent


class PoolError(Error):
    """The pool could not serve a call."""


class PoolTimeout(PoolError, TimeoutError):
    """No connection became free in time.

    `holders` has one line for each connection in use (who, where acquired, since when, last statement), longest held
    first; `stats` is the `PoolStats` of that moment, None where there is no pool.
    """

    def __init__(self, message: str, holders: Iterable[str] = (), stats: Any = None) -> None:
        self.holders: tuple[str, ...] = tuple(redact(holder) for holder in holders)
        self.stats = stats
        lines = [message, *(f"  {holder}" for holder in self.holders[:_SHOWN_HOLDERS])]
        if len(self.holders) > _SHOWN_HOLDERS:
            lines.append(f"  and {len(self.holders) - _SHOWN_HOLDERS} more")
        super().__init__("\n".join(lines))

    @property
    def safe_to_retry(self) -> bool:
        return True


class PoolClosed(PoolError, InterfaceError):
    """The pool is closed or closing."""


class PoolOverloaded(PoolError):
    """More callers are waiting already than the pool allows."""

    @property
    def safe_to_retry(self) -> bool:
        return True


class DatabaseConnectionError(Error):
    """The connection to the database, not a statement, failed."""


class ConnectFailed(DatabaseConnectionError):
    """No session could be opened.

    `attempts` has one line for each host and address that was tried, with its own error; `sqlstate` is the server's
    (28P01, 3D000, 53300, ...) or None if it gave none; `permanent` says that to try again cannot help (wrong password).
    """

    def __init__(
        self, message: str, attempts: Iterable[str] = (), *, sqlstate: str | None = None, permanent: bool = False
    ) -> None:
        self.attempts: tuple[str, ...] = tuple(redact(attempt) for attempt in attempts)
        self.sqlstate = sqlstate
        self.permanent = permanent
        #: The first line of the text: what failed, without the attempts.
        self.reason = redact(message)
        super().__init__("\n".join([message, *(f"  {attempt}" for attempt in self.attempts)]))

    @property
    def safe_to_retry(self) -> bool:
        return not self.permanent


class ConnectionLost(DatabaseConnectionError):
    """The session ended while it was in use. If `sent`, it is unknown whether the server has done the statement.

    Else it has not: nothing was sent, or the server told that it ended the session before the statement's end.
    """

    def __init__(
        self, message: str = "the connection to the database was lost", *, sent: bool, sqlstate: str | None = None
    ) -> None:
        self.sent = sent
        self.sqlstate = sqlstate
        #: Why, without what became of the statement.
        self.reason = redact(message)
        outcome = "the outcome of the statement is unknown" if sent else "the statement was not carried out"
        super().__init__(f"{message}; {outcome}")

    @property
    def safe_to_retry(self) -> bool:
        return not self.sent


# People should see, import and pickle the public name.
_HERE = tuple(__all__)
for _name in _HERE:
    if _name in globals():
        globals()[_name].__module__ = __name__
del __all__
