"""asyncpg's names of errors for the classes of this package: `except asyncpg.UniqueViolationError` catches its error.

A name of asyncpg's *is* a class of :mod:`db_pool_rs.errors`, by the SQLSTATE. Where asyncpg tells with one class what
is told with another here (an argument that does not fit is a DataError there and an ArgumentError here), the error that
is raised is of both classes.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .. import errors
from ..errors import _sqlstates

#: asyncpg's own names, by the names here; all others differ by their ending.
_NAMES = {
    "AssertError": "AssertFailure",
    "ClientCannotConnectError": "SqlclientUnableToEstablishSqlconnection",
    "ClientConfigurationError": "ConfigError",
    "ConnectionRejectionError": "SqlserverRejectedEstablishmentOfSqlconnection",
    "ContainingSQLNotPermittedError": "ContainingSqlNotPermitted",
    "DataError": "DataException",
    "DiagnosticsError": "DiagnosticsException",
    "ExternalRoutineError": "ExternalRoutineException",
    "ExternalRoutineInvocationError": "ExternalRoutineInvocationException",
    "IntegrityConstraintViolationError": "IntegrityConstraintViolation",
    "InternalClientError": "DecodeError",
    "InternalServerError": "InternalError_",
    "InvalidCachedStatementError": "FeatureNotSupported",
    "LocatorError": "LocatorException",
    "ModifyingExternalRoutineSQLDataNotPermittedError": "ModifyingSqlDataNotPermittedExt",
    "NullValueInExternalRoutineNotAllowedError": "NullValueNotAllowedExt",
    "OutdatedSchemaCacheError": "DecodeError",
    "PLPGSQLError": "PlpgsqlError",
    "PostgresConnectionError": "ConnectionException",
    "PostgresFloatingPointError": "FloatingPointException",
    "PostgresIOError": "IoError",
    "PostgresSyntaxError": "SyntaxError",
    "PostgresSystemError": "SystemError",
    "ProhibitedExternalRoutineSQLStatementAttemptedError": "ProhibitedSqlStatementAttemptedExt",
    "ProtocolError": "DecodeError",
    "RaiseError": "RaiseException",
    "ReadingExternalRoutineSQLDataNotPermittedError": "ReadingSqlDataNotPermittedExt",
    "SavepointError": "SavepointException",
    "SerializationError": "SerializationFailure",
    "SQLRoutineError": "SqlRoutineException",
    "SyntaxOrAccessError": "SyntaxErrorOrAccessRuleViolation",
    "TargetServerAttributeNotMatched": "ConnectFailed",
    "TriggeredActionError": "TriggeredActionException",
    "UnsupportedClientFeatureError": "InterfaceError",
    "UnsupportedServerFeatureError": "InterfaceError",
}
_SQL = re.compile(r"SQL|FDW")

DataError = errors.DataException
InterfaceError = errors.InterfaceError
PostgresError = errors.DatabaseError
FatalPostgresError = UnknownPostgresError = PostgresError


class InterfaceWarning(UserWarning):
    """The module was used in a way that may be wrong."""


class PostgresLogMessage:
    """A notice of the server, as `Connection.add_log_listener` tells it: with the fields of a PostgresError."""

    sqlstate: str | None = None
    message: str

    @classmethod
    def of(cls, notice: PostgresError) -> PostgresLogMessage:
        """What the pool was told, by the class that asyncpg has for it."""
        usual = PostgresWarning if notice.severity == "WARNING" else cls
        kind: Any = _WARNINGS.get(notice.sqlstate or "", usual)
        made: PostgresLogMessage = kind.__new__(kind)
        made.__dict__.update(notice.__dict__, _notice=notice)
        return made

    def as_dict(self) -> dict[str, Any]:
        """The fields that the server sent."""
        return dict(self._notice.as_dict())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._notice, name)

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.message}"


class PostgresWarning(PostgresLogMessage, Warning):
    """A warning of the server."""

    sqlstate = "01000"
    __str__ = PostgresLogMessage.__str__


#: By SQLSTATE.
_WARNINGS = {
    state: type(name, (PostgresWarning,), {"sqlstate": state, "__module__": __name__, "__doc__": "A warning."})
    for state, name in (
        ("0100C", "DynamicResultSetsReturned"),
        ("01008", "ImplicitZeroBitPadding"),
        ("01004", "StringDataRightTruncation"),
        ("01003", "NullValueEliminatedInSetFunction"),
        ("01007", "PrivilegeNotGranted"),
        ("01006", "PrivilegeNotRevoked"),
        ("01P01", "DeprecatedFeature"),
    )
}
globals().update({kind.__name__: kind for kind in _WARNINGS.values()})


class InvalidInput(errors.DataException, errors.ArgumentError, ValueError):
    """An argument does not fit its parameter; nothing was sent."""

    __str__ = Exception.__str__


#: asyncpg's names of the classes that it calls otherwise.
_THEIRS = {ours: theirs for theirs, ours in _NAMES.items()}


def _theirs(name: str) -> str:
    """asyncpg's name of a class of :mod:`db_pool_rs.errors`."""
    made = name.replace("Sql", "SQL").replace("Fdw", "FDW")
    return _THEIRS.get(name, made if name.endswith("Error") or name in _WITHOUT_ENDING else f"{made}Error")


_WITHOUT_ENDING = ("NoAdditionalDynamicResultSetsReturned", "NoData")
__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll]
    {_theirs(name) for name in (*_sqlstates.__all__, *_NAMES.values())}
    | {*_NAMES, *(kind.__name__ for kind in _WARNINGS.values())}
    | {"DataError", "FatalPostgresError", "InterfaceError", "InterfaceWarning", "PostgresError", "PostgresLogMessage"}
    | {"FeatureNotSupportedError", "InvalidSqlstateReturnedError", "PostgresWarning", "UnknownPostgresError"}
)


class MissingArguments(InvalidInput, errors.UndefinedParameter):
    """`execute` was given no arguments for parameters; the server is what tells it with asyncpg."""

    sqlstate = errors.UndefinedParameter.sqlstate


def __getattr__(name: str) -> Any:
    """An error by asyncpg's name."""
    found = _NAMES.get(name)
    if found is None:
        plain = _SQL.sub(lambda match: match[0].capitalize(), name)
        found = next((one for one in (plain.removesuffix("Error"), plain) if one in errors.__all__), None)
    if found is None or name.startswith("_"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(errors, found)


def translated(error: Exception) -> Exception:
    """The error by which a program made for asyncpg knows it: of both classes where one is not enough.

    What `init` raises is raised by the call that needs the connection, as asyncpg does.
    """
    if isinstance(error, errors.ArgumentError):
        return _as(error, InvalidInput, _argument(str(error)))
    if isinstance(error, errors.ConfigError):
        return _as(error, _both(type(error), errors.InterfaceError))
    if isinstance(error, errors.ConnectFailed):
        if error.permanent and isinstance(error.__cause__, Exception):
            return error.__cause__
        return _not_connected(error)
    if isinstance(error, errors.ConnectionLost):
        kind = _both(type(error), errors.ConnectionDoesNotExist)
        return _as(error, kind, f"connection was closed in the middle of operation: {error}")
    if isinstance(error, errors.PoolClosed):
        return _as(error, _both(type(error), errors.InterfaceError))
    if isinstance(error, errors.InterfaceError):
        for begin, kind, words in _ALSO:
            if str(error).startswith(begin):
                return _as(error, _both(errors.InterfaceError, kind), f"{words}: {error}")
    return error


#: Mistakes that asyncpg tells by other classes: how they are told here, that class, and its words.
_ALSO: tuple[tuple[str, type[Exception], str], ...] = (
    ("one statement at a time", errors.SyntaxError, "cannot insert multiple commands into a prepared statement"),
    ("timeout: seconds", ValueError, "invalid timeout value"),
    ("output: a path", TypeError, "output is expected to be a file-like object, a path or a coroutine function"),
    ("source: a path", TypeError, "source is expected to be a file-like object, a path or an asynchronous iterable"),
)


def _not_connected(error: errors.ConnectFailed) -> Exception:
    """By the server's SQLSTATE, or what has refused: the server, its TLS or ours."""
    text = str(error)
    if error.sqlstate:
        return _as(error, _both(type(error), type(errors.database_error({"sqlstate": error.sqlstate, "message": ""}))))
    if _NO_TLS.search(text):
        return _as(error, _both(type(error), ConnectionError), f"PostgreSQL server rejected SSL upgrade: {text}")
    if _CERTIFICATE.search(text):
        return _as(error, _both(type(error), ssl.SSLCertVerificationError), f"certificate verify failed: {text}")
    if _TLS.search(text):
        return _as(error, _both(type(error), ssl.SSLError))
    kind = (
        ConnectionRefusedError if "refused" in text else socket.gaierror if _NO_HOST.search(text) else ConnectionError
    )
    return _as(error, _both(type(error), kind))


_NO_TLS = re.compile(r"server does not (?:support|offer) (?:SSL|TLS)")
#: Of this machine's resolver, in its words.
_NO_HOST = re.compile(r"Name or service not known|name resolution|nodename nor servname|getaddrinfo failed")
#: Of libpq and rustls.
_CERTIFICATE = re.compile(r"certificate verify failed|invalid peer certificate|does not match host name")
_TLS = re.compile(r"SSL|TLS|certificate")
_PLACE = re.compile(r"(?:element (\d+): )?argument \$(\d+)")
_ROW = re.compile(r"element (\d+): values in the order")
_COUNT = re.compile(r"takes (\d+) arguments?, (\d+) (?:was|were) given")


def _argument(message: str) -> str:
    """What asyncpg says first of an argument that does not fit, or of a wrong number, and then what is said here."""
    if found := _PLACE.match(message):
        element = f" in element #{found[1]} of executemany() sequence" if found[1] else ""
        return f"invalid input for query argument ${found[2]}{element}: {message}"
    if found := _ROW.match(message):
        return f"invalid input in executemany() argument sequence element #{found[1]}: expected a sequence: {message}"
    if found := _COUNT.search(message):
        takes, given = int(found[1]), int(found[2])
        expected = f"the server expects {takes} argument{'' if takes == 1 else 's'} for this query"
        return f"{expected}, {given} {'was' if given == 1 else 'were'} passed: {message}"
    return message


@contextmanager
def of_execute(args: Any) -> Iterator[None]:
    """`execute` without arguments is a simple query to asyncpg, whose parameters the server does not know."""
    try:
        yield
    except InvalidInput as error:
        if args:
            raise
        made = _as(error, MissingArguments)
        made.__dict__["sqlstate"] = MissingArguments.sqlstate
        raise made from error.__cause__


def of_closed(error: Exception, is_released: bool) -> Exception:
    """That of a call on a connection which was closed before: an InterfaceError, whatever it is beside that."""
    if is_released:
        return errors.InterfaceError(
            "cannot call a method of this connection: connection has been released back to the pool"
        )
    if isinstance(error, errors.ConnectionLost):
        return _as(error, _both(type(error), errors.InterfaceError), f"connection is closed: {error}")
    return errors.InterfaceError("connection is closed")


def _as(error: Exception, kind: type[Exception], message: str | None = None) -> Exception:
    made = kind.__new__(kind)
    made.args = (str(error) if message is None else message,)
    if issubclass(kind, PostgresError):  # with all the fields of one, none of them from the server
        made.__dict__.update(errors.database_error({"sqlstate": kind.sqlstate, "message": made.args[0]}).__dict__)
    made.__dict__.update(error.__dict__)
    made.__cause__ = error.__cause__
    return made


#: By the two classes of which it is.
_made: dict[tuple[Any, Any], type[Exception]] = {}


def _both(ours: Any, theirs: Any) -> type[Exception]:
    known = _made.get((ours, theirs))
    if known is None:
        members = {"__module__": ours.__module__, "__doc__": ours.__doc__, "__str__": Exception.__str__}
        known = _made[ours, theirs] = type(ours.__name__, (ours, theirs), members)
    return known
