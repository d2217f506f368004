"""What kind of statement an SQL text is, seen from its words alone: which may share a connection, which must not.

    classify(sql)          its class, first keyword, number of statements; whether it may leave state behind (cached)
    split_statements(sql)  the statements of a script
    names_in(sql)          the names in a text, and those that it calls, as PostgreSQL looks them up
    sqlite_placeholders    `$1` as SQLite wants it, `?1`

Nothing is asked of a server, so a function that hides a `SET` in its body is not seen (`alone_functions` names such
functions). In doubt a text gets the more careful class: it then only runs alone where it could have been grouped. A
text with a quote or comment that never ends is OTHER; the server will report it. Time is linear in the text's length.

`dirties` is about the session after the statement: SET LOCAL, SET TRANSACTION and SET CONSTRAINTS end with their
transaction, `set_config(..., true)` likewise, COPY leaves nothing, and `lastval()` only reads.
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from ._lexer import (
    BROKEN,
    CLOSE,
    FILLER,
    LETTER_DIGIT,
    LETTER_DIGIT_DOLLAR,
    NAME,
    OPEN,
    UNICODE_NAME,
    WORD,
    Token,
    statements,
    tokens,
)

__all__ = ["Lexical", "Names", "StatementClass", "classify", "names_in", "split_statements", "sqlite_placeholders"]

CACHED_TEXTS = 4096
CACHED_LENGTH = 64 * 1024

# The functions that leave state on their session, in lower case; "*" at the end stands for any rest.
LEAVES_STATE = (
    "set_config", "setseed", "set_limit",
    "pg_advisory_lock*", "pg_try_advisory_lock*", "pg_advisory_unlock*",
    "dblink*", "lo_*", "loread", "lowrite",
    "pg_create_logical_replication_slot", "pg_create_physical_replication_slot", "pg_replication_origin_*",
    "pg_start_backup", "pg_stop_backup", "pg_backup_start", "pg_backup_stop",
)  # fmt: skip
# Those that tell what earlier statements of the session did: the answer is another one on another connection.
READS_STATE = ("currval", "lastval")
# Those for which it matters what else is in the transaction or on the connection.
RUNS_ALONE = (
    "pg_advisory_xact_lock*", "pg_try_advisory_xact_lock*",
    "pg_export_snapshot", "txid_current", "txid_current_if_assigned",
    "pg_current_xact_id", "pg_current_xact_id_if_assigned",
    "pg_cancel_backend", "pg_terminate_backend", "pg_backend_pid", "pg_reload_conf",
)  # fmt: skip


class StatementClass(enum.Enum):
    """What the pool may do with a statement."""

    READ = "read"
    WRITE = "write"
    SESSION = "session"
    CONTROL = "control"
    OTHER = "other"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class Lexical:
    """What the words of a text tell.

    `command` is the first keyword in upper case ("" if there is none), `dirties` whether the text may leave state on
    its session, `count` the number of statements in it, empty ones left out. Several together are OTHER.
    """

    kind: StatementClass
    command: str
    dirties: bool
    count: int


_EMPTY = Lexical(StatementClass.EMPTY, "", False, 0)


def classify(sql: str, dialect: str = "postgresql", alone_functions: frozenset[str] = frozenset()) -> Lexical:
    """The class of an SQL text. `alone_functions` are further functions whose callers run alone (schema ignored)."""
    if len(sql) > CACHED_LENGTH:
        return _classify(sql, dialect, alone_functions)
    return _classify_cached(sql, dialect, alone_functions)


def _classify(sql: str, dialect: str, alone_functions: frozenset[str]) -> Lexical:
    single = _sqlite_statement if dialect == "sqlite" else _postgresql_statement
    found = [single(statement.tokens, alone_functions) for statement in statements(sql, dialect)]
    if not found:
        return _EMPTY
    if len(found) == 1:
        return found[0]
    return Lexical(StatementClass.OTHER, found[0].command, any(one.dirties for one in found), len(found))


_classify_cached = lru_cache(CACHED_TEXTS)(_classify)


def split_statements(sql: str, dialect: str = "postgresql") -> list[str]:
    """The statements of a text without their semicolons, each with the comments before it; empty ones are left out."""
    return [sql[statement.start : statement.end].strip(" \t\n\r\f\v") for statement in statements(sql, dialect)]


def sqlite_placeholders(sql: str) -> str:
    """The text with `$1` written as SQLite writes it, `?1`, except in quotes, comments and names."""
    if "$" not in sql:
        return sql
    return _placeholders_cached(sql) if len(sql) <= CACHED_LENGTH else _placeholders(sql)


#: The name of a text in :class:`Names` whose names cannot all be read: `U&"..."`.
UNREADABLE = "U&"
#: Bytes of a name that PostgreSQL keeps.
NAME_LENGTH = 63


class Names(NamedTuple):
    """The names in a text outside strings and comments, keywords included, and those before a parenthesis.

    Quotes and schemas are taken off, letters outside quotes folded and long names cut as PostgreSQL does it.
    """

    found: frozenset[str]
    called: frozenset[str]


def names_in(sql: str) -> Names:
    """The names in a PostgreSQL text."""
    found, called, previous = set[str](), set[str](), ""
    for kind, text, _, _ in tokens(sql, "postgresql"):
        if kind == OPEN and previous:
            called.add(previous)
        previous = ""
        if kind == WORD:
            previous = text.lower() if text.isascii() else re.sub("[A-Z]+", lambda match: match[0].lower(), text)
        elif kind == NAME:
            previous = text
        elif kind in (UNICODE_NAME, BROKEN):
            previous = UNREADABLE
        if len(previous) * 4 > NAME_LENGTH:  # no character has more than four bytes
            previous = previous.encode()[:NAME_LENGTH].decode(errors="ignore")
        if previous:
            found.add(previous)
    return Names(frozenset(found), frozenset(called))


_PLACEHOLDER = (
    r"'[^']*(?:'|\Z)|\"[^\"]*(?:\"|\Z)|`[^`]*(?:`|\Z)|\[[^\]]*(?:\]|\Z)|--[^\n]*|/\*(?s:.*?)(?:\*/|\Z)"
    rf"|{LETTER_DIGIT}{LETTER_DIGIT_DOLLAR}*|(?P<dollar>\$)(?=[0-9]+(?!{LETTER_DIGIT_DOLLAR}))"
)


def _placeholders(sql: str) -> str:
    return re.sub(_PLACEHOLDER, lambda match: "?" if match["dollar"] else match[0], sql)


_placeholders_cached = lru_cache(CACHED_TEXTS)(_placeholders)


# From here on: one statement. The rules are written for its "shape": the words outside quotes in upper case, and marks
# for the rest, all between blanks, as in ` SELECT ~ FROM T , " WHERE SET_CONFIG ( , TRUE ) `.

_READS = {"SELECT", "VALUES", "TABLE", "WITH"}
_WRITES = {"INSERT", "UPDATE", "DELETE", "MERGE"}
_SESSION = {
    "SET", "RESET", "LISTEN", "UNLISTEN", "PREPARE", "EXECUTE", "DEALLOCATE", "DECLARE", "DISCARD", "LOAD", "COPY",
}  # fmt: skip
_CONTROL = {"BEGIN", "START", "COMMIT", "END", "ABORT", "ROLLBACK", "SAVEPOINT", "RELEASE"}
_RUNS_CODE = {"DO", "CALL"}

# `re` compiles them when they are first needed, which for most programs is never.
_LOCKS_ROWS = r" FOR (?:(?:NO KEY )?UPDATE|(?:KEY )?SHARE) "
_INTO = r"(?<! INSERT)(?<! MERGE)(?<! AS)(?<! \.) INTO (?P<temporary>(?:(?:LOCAL|GLOBAL) )?TEMP(?:ORARY)? )?"
_CREATE_TEMPORARY = r" CREATE (?:OR REPLACE )?(?:(?:LOCAL|GLOBAL) )?TEMP(?:ORARY)? "
_ENDS_WITH_TRANSACTION = (" SET LOCAL ", " SET TRANSACTION ", " SET CONSTRAINTS ", " COPY ")
_TWO_PHASE = (" COMMIT PREPARED ", " ROLLBACK PREPARED ")
_LOCAL_SETTING = r" SET_CONFIG \( [^() ]+(?: [^() ]+)* (?<=, )TRUE (?=\) )"

_Found = tuple[StatementClass, bool]  # class and `dirties`
_STRICTER = [
    StatementClass.READ, StatementClass.WRITE, StatementClass.OTHER, StatementClass.SESSION, StatementClass.CONTROL,
]  # fmt: skip


def _shape(found: list[Token]) -> str:
    marks = {OPEN: "(", CLOSE: ")", FILLER: "~"}
    parts = [""]
    for kind, text, _, _ in found:
        if kind == FILLER:
            last = text.rstrip()[-1:]
            parts.append(last if last in (",", ".") else "~")
        elif kind == NAME:
            parts.append("PG_TEMP" if text == "pg_temp" else '"')
        else:
            parts.append(text if kind == WORD else marks.get(kind, '"'))
    parts.append("")
    return " ".join(parts)


def _strictest(*found: _Found) -> _Found:
    return max((kind for kind, _ in found), key=_STRICTER.index), any(dirties for _, dirties in found)


def _postgresql_statement(found: list[Token], alone_functions: frozenset[str]) -> Lexical:
    shape = _shape(found)
    command = _command(shape)
    if found[-1].kind == BROKEN:
        return Lexical(StatementClass.OTHER, command, False, 1)
    kind, dirties = _strictest(_postgresql_class(command, shape, found), _calls(shape, found, alone_functions))
    return Lexical(kind, command, dirties, 1)


def _command(shape: str) -> str:
    first = shape.lstrip(" (").partition(" ")[0]
    return first if first[:1].isalpha() or first[:1] == "_" else ""


def _postgresql_class(command: str, shape: str, found: list[Token]) -> _Found:
    if command in _READS:
        return _read_class(shape, found)
    if found[0].kind == OPEN:
        return StatementClass.OTHER, False
    if shape.startswith(_TWO_PHASE):
        return StatementClass.OTHER, False
    if command in _CONTROL or shape.startswith(" PREPARE TRANSACTION "):
        return StatementClass.CONTROL, False
    if command in _SESSION:
        return StatementClass.SESSION, not shape.startswith(_ENDS_WITH_TRANSACTION)
    if re.match(_CREATE_TEMPORARY, shape):
        return StatementClass.SESSION, True
    if command in _WRITES:
        return StatementClass.WRITE, False
    return StatementClass.OTHER, command in _RUNS_CODE


def _read_class(shape: str, found: list[Token]) -> _Found:
    """SELECT and its like: they may create a table, change rows in a WITH list, or lock rows."""
    if " INTO " in shape and (into := re.search(_INTO, shape)):
        return (StatementClass.SESSION, True) if into["temporary"] else (StatementClass.OTHER, False)
    if _modifies(shape, _WRITES):
        return StatementClass.WRITE, False
    if " FOR " in shape and re.search(_LOCKS_ROWS, shape):
        return StatementClass.OTHER, False
    return StatementClass.READ, False


def _modifies(shape: str, changing: set[str]) -> bool:
    """Whether a WITH list, at any depth, contains or precedes a statement of these commands.

    Their keywords are also good names for columns and tables, so it is the place that decides: first in the parentheses
    after AS [[NOT] MATERIALIZED], or behind a WITH list and not where the name of its next query stands.
    """
    if " WITH " not in shape:
        return False
    listing = [False]  # for each open parenthesis: in a WITH list, whose main statement has not come yet
    in_query = False  # the last parenthesis opened is that of a query of a WITH list
    previous = "("
    for part in shape.split(" ")[1:-1]:
        if part == "(":
            in_query = listing[-1] and previous in ("AS", "MATERIALIZED")
            listing.append(False)
        elif part == ")":
            if len(listing) > 1:
                listing.pop()
        elif previous == "(":
            if part == "WITH":
                listing[-1] = True
            elif in_query and part in changing:
                return True
        elif listing[-1] and previous not in ("WITH", "RECURSIVE", ","):
            if part in changing:
                return True
            if part in _READS:
                listing[-1] = False
        previous = part
    return False


def _is_among(name: str, functions: tuple[str, ...]) -> bool:
    return any(name.startswith(one[:-1]) if one[-1] == "*" else name == one for one in functions)


@lru_cache(64)
def _plain_names(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2].strip('"').lower() for name in names)


def _calls(shape: str, found: list[Token], alone_functions: frozenset[str]) -> _Found:
    """What the functions that are called ask for, quoted and schema-qualified ones too."""
    called = _called(found)
    leaving = [name for name in called if _is_among(name, LEAVES_STATE)]
    if leaving:
        local = len(re.findall(_LOCAL_SETTING, shape))
        return StatementClass.SESSION, leaving != ["set_config"] * local
    if " PG_TEMP . " in shape:
        return StatementClass.SESSION, True
    if any(_is_among(name, READS_STATE) for name in called):
        return StatementClass.SESSION, False
    if not _plain_names(alone_functions).isdisjoint(called):
        return StatementClass.OTHER, True
    if any(_is_among(name, RUNS_ALONE) for name in called):
        return StatementClass.OTHER, False
    return StatementClass.READ, False


def _called(found: list[Token]) -> list[str]:
    """The names before an opening parenthesis, in the form in which the server looks them up."""
    called = [one for one, following in pairwise(found) if following.kind == OPEN]
    names = [token.text.lower() if token.kind == WORD else token.text for token in called if token.kind in (WORD, NAME)]
    if any(token.kind == UNICODE_NAME for token in found):
        names.append("set_config")  # it may well be: U&"set\005fconfig"
    return names


# SQLite

_SQLITE_WRITES = {"INSERT", "REPLACE", "UPDATE", "DELETE"}
_SQLITE_CONTROL = {"BEGIN", "COMMIT", "END", "ROLLBACK", "SAVEPOINT", "RELEASE"}
# They take an argument, or act at once, but set nothing that lasts.
_PASSING_PRAGMAS = {
    "COLLATION_LIST", "COMPILE_OPTIONS", "DATABASE_LIST", "DATA_VERSION", "FOREIGN_KEY_CHECK", "FOREIGN_KEY_LIST",
    "FREELIST_COUNT", "FUNCTION_LIST", "INCREMENTAL_VACUUM", "INDEX_INFO", "INDEX_LIST", "INDEX_XINFO",
    "INTEGRITY_CHECK", "MODULE_LIST", "OPTIMIZE", "PAGE_COUNT", "PRAGMA_LIST", "QUICK_CHECK", "TABLE_INFO",
    "TABLE_LIST", "TABLE_XINFO", "WAL_CHECKPOINT",
}  # fmt: skip

_SQLITE_TEMPORARY = (
    r" CREATE (?:TEMP(?:ORARY)? |(?:(?:UNIQUE|VIRTUAL) )?(?:TABLE|VIEW|TRIGGER|INDEX) (?:IF NOT EXISTS )?TEMP \. )"
)
_SQLITE_READS_STATE = (" CHANGES ( ) ", " TOTAL_CHANGES ( ) ", " LAST_INSERT_ROWID ( ) ")


def _sqlite_statement(found: list[Token], alone_functions: frozenset[str]) -> Lexical:
    shape = _shape(found)
    command = shape[1 : shape.index(" ", 1)] if found[0].kind == WORD else ""
    if found[-1].kind == BROKEN:
        return Lexical(StatementClass.OTHER, command, False, 1)
    called = _called(found)
    found_by_calls: _Found = (StatementClass.READ, False)
    if "load_extension" in called:
        found_by_calls = (StatementClass.SESSION, True)
    elif any(call in shape for call in _SQLITE_READS_STATE):
        found_by_calls = (StatementClass.SESSION, False)
    elif not _plain_names(alone_functions).isdisjoint(name.lower() for name in called):
        found_by_calls = (StatementClass.OTHER, True)
    kind, dirties = _strictest(_sqlite_class(command, shape, found), found_by_calls)
    return Lexical(kind, command, dirties, 1)


def _sqlite_class(command: str, shape: str, found: list[Token]) -> _Found:
    if command in ("SELECT", "VALUES", "WITH"):
        return (StatementClass.WRITE if _modifies(shape, _SQLITE_WRITES) else StatementClass.READ), False
    if command in _SQLITE_WRITES:
        return StatementClass.WRITE, False
    if command in _SQLITE_CONTROL:
        return StatementClass.CONTROL, False
    if command in ("ATTACH", "DETACH") or re.match(_SQLITE_TEMPORARY, shape) or _assigns(found):
        return StatementClass.SESSION, True
    return StatementClass.OTHER, False


def _assigns(found: list[Token]) -> bool:
    """Whether this is a PRAGMA that sets something: `PRAGMA [schema.]name = value` or `PRAGMA [schema.]name(value)`."""
    if found[0].text != "PRAGMA":
        return False
    rest = found[3:] if len(found) > 3 and found[2].text.strip() == "." else found[1:]
    if len(rest) < 2 or rest[0].text.upper() in _PASSING_PRAGMAS:
        return False
    return rest[1].kind == OPEN or rest[1].text.startswith("=")
