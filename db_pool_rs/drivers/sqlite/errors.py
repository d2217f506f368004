"""What went wrong on a thread, as callers are to hear it; the table of SQLite's own errors is in `errors`."""

from __future__ import annotations

import sqlite3

from ...errors import ArgumentError, DatabaseError, Error, database_error, sqlite_error


def is_busy(error: BaseException) -> bool:
    """Whether another connection's lock was in the way, and waiting may help.

    Python 3.10 knows no result codes, and so takes a stale snapshot, for which waiting is in vain, for a lock.
    """
    code: str | None = getattr(error, "sqlite_errorname", None)
    if code is None:
        return isinstance(error, sqlite3.OperationalError) and str(error) == "database is locked"
    return code.startswith("SQLITE_BUSY") and code != "SQLITE_BUSY_SNAPSHOT"


def is_interrupted(error: BaseException) -> bool:
    """Whether the statement was interrupted."""
    return isinstance(error, sqlite3.OperationalError) and str(error) == "interrupted"


def statement_error(error: Exception, query: str | None) -> Exception:
    """The error of a statement for what :mod:`sqlite3` raised; what is no database's error stays what it is."""
    if isinstance(error, Error):
        return error
    result: Exception
    if isinstance(error, (sqlite3.Error, sqlite3.Warning)):
        result = sqlite_error(error, query)
    elif isinstance(error, (OverflowError, UnicodeError, ValueError)):
        result = ArgumentError(str(error))
    else:
        return error
    # It says nothing more, so it is not shown. The frames of the thread would keep the whole group alive.
    result.__context__, result.__suppress_context__ = error.with_traceback(None), True
    return result


def failed_transaction(query: str | None) -> DatabaseError:
    """A statement came after SQLite itself had rolled the transaction back."""
    message = "the transaction was rolled back by an earlier statement: nothing is executed until the end of the block"
    return database_error({"severity": "ERROR", "sqlstate": "25P02", "message": message}, query)


def no_transaction(command: str) -> DatabaseError:
    """The warning that PostgreSQL gives for COMMIT and ROLLBACK outside a transaction."""
    message = f"{command}: there is no transaction in progress"
    return database_error({"severity": "WARNING", "sqlstate": "25P01", "message": message})


def no_cursor(name: str, query: str | None) -> DatabaseError:
    """A cursor was closed, or its transaction has ended."""
    message = f'cursor "{name}" does not exist'
    return database_error({"severity": "ERROR", "sqlstate": "34000", "message": message}, query)


def lock_not_available(seconds: float, query: str | None) -> DatabaseError:
    """Another connection of this process kept the lock for too long."""
    message = f"database is locked: another transaction of this pool has held the lock for {seconds:g} s"
    return database_error({"severity": "ERROR", "sqlstate": "55P03", "message": message}, query)


def canceled(query: str | None) -> DatabaseError:
    """The statement was stopped."""
    return database_error(
        {"severity": "ERROR", "sqlstate": "57014", "message": "canceled at the caller's request"}, query
    )
