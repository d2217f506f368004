"""The exceptions that SQLAlchemy expects of a driver (PEP 249), made of ours."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy import exc

from .. import errors


class Error(Exception):
    """PEP 249's. `sqlstate` (also as `pgcode`) is the server's, None where the error is none of the server's."""

    sqlstate: str | None = None
    pgcode: str | None = None


class InterfaceError(Error):
    """Wrong use of a connection."""


class DatabaseError(Error):
    """What the database reports."""


class DataError(DatabaseError):
    """A value does not fit."""


class OperationalError(DatabaseError):
    """The connection or the server is at fault, not the program."""


class IntegrityError(DatabaseError):
    """A constraint is violated."""


class InternalError(DatabaseError):
    """The database is in trouble, or a transaction in a state that forbids the statement."""


class ProgrammingError(DatabaseError):
    """The statement is wrong."""


class NotSupportedError(DatabaseError):
    """The database has no such feature."""


#: By the class of the SQLSTATE.
_BY_CLASS: dict[str, type[Error]] = {
    **dict.fromkeys(("0A",), NotSupportedError),
    **dict.fromkeys(("20", "21", "26", "34", "3D", "3F", "42", "44"), ProgrammingError),
    **dict.fromkeys(("22",), DataError),
    **dict.fromkeys(("23",), IntegrityError),
    **dict.fromkeys(("24", "25", "27", "2B", "2D", "2F", "38", "39", "3B", "XX"), InternalError),
    **dict.fromkeys(("08", "28", "40", "53", "54", "55", "57", "58", "F0", "HV"), OperationalError),
}
#: What sqlite3 has otherwise, by the SQLSTATE or its class: a wrong statement is an OperationalError there.
_OF_SQLITE: dict[str, type[Error]] = {
    **_BY_CLASS,
    **dict.fromkeys(("0A", "25", "42"), OperationalError),
    **dict.fromkeys(("42804", "P0001"), IntegrityError),
    **dict.fromkeys(("XX001", "XX002"), DatabaseError),
    "54000": DataError,
}
_BY_TYPE: tuple[tuple[type[Exception], type[Error]], ...] = (
    (errors.ArgumentError, DataError),
    (errors.DecodeError, DataError),
    (errors.InterfaceError, InterfaceError),
    (errors.DatabaseError, DatabaseError),
    (errors.StatementTimeout, OperationalError),
    (errors.DatabaseConnectionError, OperationalError),
    (errors.PoolError, OperationalError),
)


def translated(error: Exception, sqlite: bool = False) -> Exception:
    """PEP 249's error for one of ours, which becomes its cause; others as they are."""
    if isinstance(error, errors.PoolTimeout):
        return exc.TimeoutError(str(error))
    state = getattr(error, "sqlstate", None)
    kinds = _OF_SQLITE if sqlite else _BY_CLASS
    kind = kinds.get(state) or kinds.get(state[:2]) if isinstance(state, str) else None
    if kind is None:
        kind = next((kind for ours, kind in _BY_TYPE if isinstance(error, ours)), None)
    if kind is None:
        return error
    made = kind(f"{type(error).__name__}: {error}")
    made.sqlstate = made.pgcode = state
    return made


def raise_translated(error: Exception, sqlite: bool = False) -> NoReturn:
    """Raise what `translated` makes of an error."""
    made = translated(error, sqlite)
    if made is error:
        raise error
    raise made from error
