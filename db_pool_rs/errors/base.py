"""The classes that the rest of the tree stands on, and the drivers' errors; the manual is in `errors`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..sql import classify
from .redact import redact

_TRANSIENT = frozenset({"40001", "40P01", "55P03", "53300", "57P03"})
"""Serialization failure, deadlock, lock not available, too many connections, server starting or stopping."""

#: Of an answer of the server, by asyncpg's names.
_FIELDS = (
    *(
        "severity",
        "sqlstate",
        "message",
        "detail",
        "hint",
        "position",
        "internal_position",
        "internal_query",
        "context",
    ),
    *("schema_name", "table_name", "column_name", "data_type_name", "constraint_name"),
    *("severity_en", "server_source_filename", "server_source_line"),  # of a server, not of SQLite
)


class Error(Exception):
    """Whatever this package raises on purpose. The message carries no password (see `redact`)."""

    sqlstate: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(redact(message))

    @property
    def safe_to_retry(self) -> bool:
        """True only where nothing can have been committed and the same call may well succeed if it is repeated."""
        return False

    def __reduce__(self) -> tuple[Callable[..., Error], tuple[Any, ...]]:
        return _rebuild, (type(self), self.args, self.__dict__)


def _rebuild(kind: type[Error], args: tuple[Any, ...], fields: dict[str, Any]) -> Error:
    """Make the error again from what it became, not from what its constructor was given (pickle, copy)."""
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(fields)
    return error


class InterfaceError(Error):
    """The package was used in a way that cannot work: closed pool, foreign event loop, forked process, ..."""


class ArgumentError(InterfaceError):
    """The arguments of a statement do not fit it: their number, a type, a range. Nothing was sent."""


class DecodeError(Error):
    """The database returned a value that the Python type for it cannot represent."""


class DatabaseError(Error):
    """The database refused or could not do what a statement asked.

    `fields` are those of the server's ErrorResponse, by the names of the attributes below; unknown names are ignored.
    The positions are 1-based and count characters of `query` and `internal_query`.
    """

    severity: str | None
    message: str
    detail: str | None
    hint: str | None
    position: int | None
    internal_position: int | None
    internal_query: str | None
    where: str | None
    schema: str | None
    table: str | None
    column: str | None
    datatype: str | None
    constraint: str | None
    query: str | None

    def __init__(self, message: str, fields: Mapping[str, str | None] | None = None, query: str | None = None) -> None:
        # The server's own words, unchanged: they hold no connection string of ours, and `redact` could garble them.
        Exception.__init__(self, message)
        given = {} if fields is None else fields
        self.message = message
        self.query = query
        self.sqlstate = given.get("sqlstate") or type(self).sqlstate
        self.severity = given.get("severity")
        self.detail = given.get("detail")
        self.hint = given.get("hint")
        self.position = _number(given.get("position"))
        self.internal_position = _number(given.get("internal_position"))
        self.internal_query = given.get("internal_query")
        self.where = given.get("where")
        self.schema = given.get("schema")
        self.table = given.get("table")
        self.column = given.get("column")
        self.datatype = given.get("datatype")
        self.constraint = given.get("constraint")

    @property
    def safe_to_retry(self) -> bool:
        """True for what passes by itself after the server has rolled everything back; see `errors` for the rule."""
        return self.sqlstate in _TRANSIENT and not (self.query and _commits_in_parts(self.query))

    @property
    def schema_name(self) -> str | None:
        """`schema`, by asyncpg's name."""
        return self.schema

    @property
    def table_name(self) -> str | None:
        """`table`, by asyncpg's name."""
        return self.table

    @property
    def column_name(self) -> str | None:
        """`column`, by asyncpg's name."""
        return self.column

    @property
    def data_type_name(self) -> str | None:
        """`datatype`, by asyncpg's name."""
        return self.datatype

    @property
    def constraint_name(self) -> str | None:
        """`constraint`, by asyncpg's name."""
        return self.constraint

    @property
    def context(self) -> str | None:
        """`where`, by asyncpg's name."""
        return self.where

    def as_dict(self) -> dict[str, Any]:
        """The fields that the server sent, by asyncpg's names of them."""
        found = {name: getattr(self, name, None) for name in _FIELDS}
        found["server_source_function"] = getattr(self, "routine", None)
        return {name: value for name, value in found.items() if value is not None}

    @property
    def reason(self) -> str:
        """What the server said, without the statement: for the log, and for errors of other calls."""
        return "\n".join(self._said())

    def __str__(self) -> str:
        return "\n".join(self._said(*self._shown()))

    def _said(self, *shown: str) -> list[str]:
        # Two blanks, as libpq has them: programs look for "DETAIL:  Key (".
        lines = [f"{self.message} (SQLSTATE {self.sqlstate})" if self.sqlstate else self.message, *shown]
        if self.detail:
            lines.append(f"DETAIL:  {self.detail}")
        if self.hint:
            lines.append(f"HINT:  {self.hint}")
        return lines

    def _shown(self) -> list[str]:
        """The place in the statement, like psql, and what helps against a common mistake."""
        if not self.query:
            return []
        from .excerpt import advice, excerpt, sqlite_advice  # errors that are handled are not shown

        if self.position is None:
            lines: list[str] = []
            helps = sqlite_advice(self.message, self.query)
        else:
            lines = excerpt(self.query, self.position)
            helps = advice(self.sqlstate, self.query, self.position)
        return [*lines, f"HINT:  {helps}"] if helps else lines

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, sqlstate={self.sqlstate!r})"


def _commits_in_parts(query: str) -> bool:
    """CALL and DO may run COMMIT, and so may a script: an error then rolls back only what came after it."""
    lexical = classify(query)
    return lexical.count > 1 or lexical.command in ("CALL", "DO")


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
