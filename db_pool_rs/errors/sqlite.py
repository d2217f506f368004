"""SQLite's errors, as members of the same tree as PostgreSQL's.

SQLite has a few dozen result codes where SQL has hundreds of SQLSTATEs: whatever is wrong with a text is plain
SQLITE_ERROR, and what it is exactly is only said in the message. So a precise code decides, else the message, where
it is known, else the code, else the exception's class. Python 3.10 does not tell the result code at all; for its sake
the table of messages has those of the precise codes too.
"""

from __future__ import annotations

import re
import sqlite3
from functools import lru_cache

from .base import ArgumentError, DecodeError, Error, InterfaceError
from .server import database_error

# The first match counts, and only at the start: further on, a message may quote the text of the statement. Groups named
# after attributes of DatabaseError fill these in.
_MESSAGES = [
    (r"UNIQUE constraint failed: index '(?P<constraint>.*)'", "23505"),
    (r"UNIQUE constraint failed: (?P<table>[^,]*)\.(?P<column>[^.,]*)\Z", "23505"),
    (r"UNIQUE constraint failed: (?P<table>[^,]*)\.[^.,]*,", "23505"),
    (r"PRIMARY KEY must be unique", "23505"),
    (r"NOT NULL constraint failed: (?P<table>.*)\.(?P<column>[^.]*)\Z", "23502"),
    (r"CHECK constraint failed: (?P<constraint>(?s:.*))", "23514"),
    (r"FOREIGN KEY constraint failed", "23503"),
    (r"cannot store \w+ value in \w+ column (?P<table>.*)\.(?P<column>[^.]*)\Z", "42804"),
    (r"datatype mismatch", "42804"),
    (r"database (?:table |schema )?is locked", "55P03"),
    (r"interrupted\Z", "57014"),
    (r"attempt to write a readonly database", "25006"),
    (r"database or disk is full", "53100"),
    (r"out of memory", "53200"),
    (r"(?:database disk image is malformed|file is not a database)", "XX001"),
    (r"(?:disk I/O error|unable to open database)", "58030"),
    (r"not authorized|access to .* is prohibited|authorization denied", "42501"),
    (r"no such (?:table|view): (?P<table>.*)", "42P01"),
    (r"no such column: (?P<column>.*)", "42703"),
    (r"table (?P<table>.*) has no column named (?P<column>.*)", "42703"),
    (r"no such function: |wrong number of arguments to function", "42883"),
    (r"no such savepoint: ", "3B001"),
    (r"(?:unknown|no such) database", "3D000"),
    (r"no such (?:index|trigger|module|collation sequence)|no query solution", "42704"),
    (r"(?:table|view|index) (?P<table>.*) already exists", "42P07"),
    (r"there is already an? (?:table|index|view) named (?P<table>.*)", "42P07"),
    (r"trigger .* already exists|already another table or index with this name", "42710"),
    (r"duplicate column name: (?P<column>.*)", "42701"),
    (r"ambiguous column name: (?P<column>.*)", "42702"),
    (r"misuse of aggregate|aggregate functions are not allowed", "42803"),
    (r"misuse of window function", "42P20"),
    (r"foreign key mismatch", "42830"),
    (r"cannot (?:modify|insert into|update|delete from|INSERT into|UPDATE) .*(?:view|generated column)", "42809"),
    (r"cannot (?:start a transaction|VACUUM|change .*) (?:from )?within a transaction", "25001"),
    (r"cannot (?:commit|rollback) - no transaction is active", "25P01"),
    (r"integer overflow", "22003"),
    (r"malformed JSON", "22032"),
    (r"ESCAPE expression must be a single character", "22025"),
    (r"string or blob too big", "54000"),
    (r"too many (?:SQL )?variables|variable number must be between", "54000"),
    (r"too many (?:columns|attached|terms|FROM|levels|arguments)|at most \d+ tables in a join", "54000"),
    (r"Expression tree is too large|parser stack overflow", "54001"),
    (r"near \".*\": syntax error|incomplete input|unrecognized token", "42601"),
    (r"table .* has \d+ columns but \d+ values were supplied|\d+ values for \d+ columns", "42601"),
    (r"sub-select returns \d+ columns|row value misused", "42601"),
    (r"all VALUES must have the same number of terms|SELECTs to the left and right of", "42601"),
    (r"You can only execute one statement at a time", "42601"),
]

# By result code; where an extended code is missing, that of the code it extends holds.
_CODES = {
    "SQLITE_CONSTRAINT": "23000",
    "SQLITE_CONSTRAINT_CHECK": "23514",
    "SQLITE_CONSTRAINT_DATATYPE": "42804",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "23503",
    "SQLITE_CONSTRAINT_NOTNULL": "23502",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "23505",
    "SQLITE_CONSTRAINT_ROWID": "23505",
    "SQLITE_CONSTRAINT_TRIGGER": "P0001",  # RAISE(ABORT, ...), whose message is the user's
    "SQLITE_CONSTRAINT_UNIQUE": "23505",
    "SQLITE_BUSY": "55P03",
    "SQLITE_BUSY_SNAPSHOT": "40001",  # the transaction has read what others have changed since: only a new one helps
    "SQLITE_LOCKED": "55P03",
    "SQLITE_PROTOCOL": "55P03",
    "SQLITE_INTERRUPT": "57014",
    "SQLITE_ABORT": "40000",
    "SQLITE_READONLY": "25006",
    "SQLITE_FULL": "53100",
    "SQLITE_NOMEM": "53200",
    "SQLITE_TOOBIG": "54000",
    "SQLITE_CORRUPT": "XX001",
    "SQLITE_CORRUPT_INDEX": "XX002",
    "SQLITE_NOTADB": "XX001",
    "SQLITE_IOERR": "58030",
    "SQLITE_CANTOPEN": "58030",
    "SQLITE_PERM": "42501",
    "SQLITE_AUTH": "42501",
    "SQLITE_MISMATCH": "42804",
    "SQLITE_RANGE": "42P02",
    "SQLITE_NOLFS": "0A000",
    "SQLITE_SCHEMA": "55000",
    "SQLITE_ERROR": "42000",
}

# Where there is neither a code nor a known message.
_CLASSES: list[tuple[type[Exception], str]] = [(sqlite3.IntegrityError, "23000"), (sqlite3.OperationalError, "42000")]

_MODULE_ERRORS = (sqlite3.ProgrammingError, sqlite3.InterfaceError)
_ARGUMENTS = re.compile(r"\bbind|parameter", re.IGNORECASE)


def sqlite_error(exc: sqlite3.Error | sqlite3.Warning, query: str | None = None) -> Error:
    """The error of ours for one of `sqlite3`: a DatabaseError by SQLSTATE, or, if the module itself refused to do what
    was asked, an ArgumentError (the arguments do not fit), DecodeError (text that is not UTF-8) or InterfaceError.
    """
    message = str(exc)
    code = _code(exc)
    sqlstate, fields = _by_message(message)
    if code is None and sqlstate is None:
        if isinstance(exc, _MODULE_ERRORS):
            if not _ARGUMENTS.search(message):
                return InterfaceError(message)
            from .excerpt import with_advice  # other errors are told without it

            return ArgumentError(with_advice(message, query))
        if "decode to UTF-8" in message:
            return DecodeError(message)
    if code == "SQLITE_CONSTRAINT_TRIGGER":
        fields = {}  # the message is the user's, whatever it looks like
    sqlstate = _by_code(code, precise=True) or sqlstate or _by_code(code) or _by_class(exc)
    return database_error({**fields, "message": message, "severity": "ERROR", "sqlstate": sqlstate}, query)


@lru_cache(maxsize=1)
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """Compiled for the first error: that takes longer than all the rest of opening a pool."""
    return [
        (re.compile(rf"(?:error in \w+ .*: )?(?:{pattern})", re.IGNORECASE), sqlstate)
        for pattern, sqlstate in _MESSAGES
    ]


def _by_message(message: str) -> tuple[str | None, dict[str, str | None]]:
    for pattern, sqlstate in _patterns():
        if match := pattern.match(message):
            return sqlstate, match.groupdict()
    return None, {}


def _code(exc: Exception) -> str | None:
    """The name of the result code; if Python has none for an extended code, that of the code it extends."""
    name: str | None = getattr(exc, "sqlite_errorname", None)
    if name is None or name.startswith("SQLITE_"):
        return name
    primary = getattr(exc, "sqlite_errorcode", 0) & 0xFF
    return next((known for known in _CODES if getattr(sqlite3, known, None) == primary), name)


def _by_code(code: str | None, precise: bool = False) -> str | None:
    if code is None or (precise and code in ("SQLITE_ERROR", "SQLITE_CONSTRAINT")):
        return None
    while code not in _CODES and code.count("_") > 1:
        code = code.rpartition("_")[0]
    return _CODES.get(code)


def _by_class(exc: Exception) -> str:
    return next((sqlstate for kind, sqlstate in _CLASSES if isinstance(exc, kind)), "XX000")
