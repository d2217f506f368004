"""What kind of statement an SQL text is, seen from its words alone: which may share a connection, which must not.

    classify(sql)          its class, first keyword, number of statements; whether it may leave state behind (cached)
    split_statements(sql)  the statements of a script
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
from itertools import accumulate, pairwise

from .functions import LEAVES_STATE, READS_STATE, RUNS_ALONE, RUNS_TEXT, TRANSACTION_COLUMNS, is_among
from .lexer import (
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
)

__all__ = ["Lexical", "StatementClass", "classify", "split_statements", "sqlite_placeholders"]

CACHED_TEXTS = 4096
CACHED_LENGTH = 64 * 1024


class StatementClass(enum.Enum):
    """What the pool may do with a statement."""

    READ = "read"
    WRITE = "write"
    SESSION = "session"
    CONTROL = "control"
    OTHER = "other"
    EMPTY = "empty"


#: Classes of statements that read or change data, and nothing else: they can be grouped, and undone.
DATA = (StatementClass.READ, StatementClass.WRITE)


@dataclass(frozen=True, slots=True)
class Lexical:
    """What the words of a text tell.

    `command` is the first keyword in upper case ("" if there is none), `dirties` whether the text may leave state on
    its session, `count` the number of statements in it, empty ones left out. Several together are OTHER. `streams`
    says that one of the statements is a COPY whose data go over the connection itself.
    """

    kind: StatementClass
    command: str
    dirties: bool
    count: int
    streams: bool = False

    @property
    def can_have_cursor(self) -> bool:
        """Whether it is one query. PostgreSQL too refuses what changes rows: some could be left unread."""
        return self.count == 1 and self.command in _WITH_CURSOR and self.kind is not StatementClass.WRITE


_WITH_CURSOR = frozenset(("SELECT", "VALUES", "TABLE", "WITH"))
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
    lexical = found[0]
    if len(found) > 1:
        dirties, streams = any(one.dirties for one in found), any(one.streams for one in found)
        lexical = Lexical(StatementClass.OTHER, lexical.command, dirties, len(found), streams=streams)
    return lexical


_classify_cached = lru_cache(CACHED_TEXTS)(_classify)


def split_statements(sql: str, dialect: str = "postgresql") -> list[str]:
    """The statements of a text without their semicolons, each with the comments before it; empty ones are left out."""
    return [sql[statement.start : statement.end].strip(" \t\n\r\f\v") for statement in statements(sql, dialect)]


def sqlite_placeholders(sql: str) -> str:
    """The text with `$1` written as SQLite writes it, `?1`, except in quotes, comments and names."""
    if "$" not in sql:
        return sql
    return _placeholders_cached(sql) if len(sql) <= CACHED_LENGTH else _placeholders(sql)


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
_RESERVED = {"SELECT", "TABLE"}  # of `_READS`, those that cannot be the name of a column
_TEMPORARY = {"TEMP", "TEMPORARY", "LOCAL", "GLOBAL"}
_ANALYZE = {"ANALYZE", "ANALYSE"}
_FALSE = {"OFF", "FALSE"}

# `re` compiles them when they are first needed, which for most programs is never.
_LOCKS_ROWS = r" FOR (?:(?:NO KEY )?UPDATE|(?:KEY )?SHARE) "
_CREATE_TEMPORARY = r" CREATE (?:OR REPLACE )?(?:(?:LOCAL|GLOBAL) )?TEMP(?:ORARY)? "
_ENDS_WITH_TRANSACTION = (" SET LOCAL ", " SET TRANSACTION ", " SET CONSTRAINTS ", " COPY ")
_TWO_PHASE = (" COMMIT PREPARED ", " ROLLBACK PREPARED ")
_LOCAL_SETTING = r" SET_CONFIG \( [^() ]+(?: [^() ]+)* (?<=, )TRUE (?=\) )"

_OWN_SCHEMA = re.compile(r"pg_temp(?:_[0-9]+)?")

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
            parts.append("PG_TEMP" if _OWN_SCHEMA.fullmatch(text) else '"')
        elif kind == WORD and text.startswith("PG_TEMP_"):
            parts.append("PG_TEMP")
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
    return Lexical(kind, command, dirties, 1, streams=command == "COPY" and _streams(shape))


def _streams(shape: str) -> bool:
    """Whether a COPY's data go over the connection. STDIN and STDOUT mean the same; in parentheses they are names."""
    parts = shape.split(" ")
    depths = accumulate((part == "(") - (part == ")") for part in parts)
    pairs = zip(parts, parts[1:], depths, strict=False)
    return any(not depth and one in ("FROM", "TO") and two in ("STDIN", "STDOUT") for one, two, depth in pairs)


def _command(shape: str) -> str:
    first = shape.lstrip(" (").partition(" ")[0]
    return first if first[:1].isalpha() or first[:1] == "_" else ""


def _postgresql_class(command: str, shape: str, found: list[Token]) -> _Found:
    if command in _READS:
        return _read_class(shape, found)
    if command == "EXPLAIN":
        return _explained_class(found)
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


def _explained_class(found: list[Token]) -> _Found:
    """EXPLAIN runs alone, since it tells times; with ANALYZE it does what the statement does."""
    analyzes, start = False, 1
    if len(found) > 2 and found[1].kind == OPEN and found[2].text not in _READS:
        end = next((number for number, token in enumerate(found) if token.kind == CLOSE), len(found))
        options = [token.text.upper() for token in found[2:end] if token.kind != FILLER] + [""]
        analyzes = any(one in _ANALYZE and value not in _FALSE for one, value in pairwise(options))
        start = end + 1
    else:
        while start < len(found) and found[start].text in (*_ANALYZE, "VERBOSE"):
            analyzes = analyzes or found[start].text in _ANALYZE
            start += 1
    if not analyzes or start >= len(found):
        return StatementClass.OTHER, False
    inner = _postgresql_statement(found[start:], frozenset())
    kind = StatementClass.SESSION if inner.kind is StatementClass.SESSION else StatementClass.OTHER
    return kind, inner.dirties


def _read_class(shape: str, found: list[Token]) -> _Found:
    """SELECT and its like: they may create a table, change rows in a WITH list, or lock rows."""
    makes, modifies = _within(shape, _WRITES)
    if makes:
        return (StatementClass.OTHER, False) if makes.isdisjoint(_TEMPORARY) else (StatementClass.SESSION, True)
    locks = " FOR " in shape and re.search(_LOCKS_ROWS, shape) is not None
    if modifies:
        # With one of these clauses it may be a column's name that looks like a modifying command.
        doubtful = locks and (" SEARCH " in shape or " CYCLE " in shape)
        return (StatementClass.OTHER if doubtful else StatementClass.WRITE), False
    return (StatementClass.OTHER if locks else StatementClass.READ), False


def _within(shape: str, changing: set[str]) -> tuple[set[str], bool]:
    """The words behind INTO where a SELECT makes a table, and whether a WITH list, at any depth, contains or precedes a
    statement of these commands.

    All these words are also good names for columns and tables, so it is the place that decides: of the commands, first
    in the parentheses after AS [[NOT] MATERIALIZED], or behind a WITH list and not where the name of its next query
    stands; of INTO, not behind such a command, nor as a label behind AS or a dot.
    """
    if " WITH " not in shape and " INTO " not in shape:
        return set(), False
    listing = [False]  # for each open parenthesis: in a WITH list, whose main statement has not come yet
    in_query = False  # the last parenthesis opened is that of a query of a WITH list
    modifies = is_command = is_label = makes_one = False
    makes: set[str] = set()
    previous = "("
    for part in shape.split(" ")[1:-1]:
        was_command, is_command = is_command, False
        is_label = previous == "." or (previous == "AS" and not is_label)
        if makes_one:
            makes.add(part)
        makes_one = part == "INTO" and not was_command and not is_label
        if part == "(":
            in_query = listing[-1] and previous in ("AS", "MATERIALIZED")
            listing.append(False)
        elif part == ")":
            if len(listing) > 1:
                listing.pop()
        elif previous == "(":
            listing[-1] = listing[-1] or part == "WITH"
            is_command = in_query and part in changing
        elif listing[-1] and previous not in ("WITH", "RECURSIVE", ","):
            is_command = part in changing
            listing[-1] = part not in _RESERVED
        modifies = modifies or is_command
        previous = part
    return makes, modifies


@lru_cache(64)
def _plain_names(names: frozenset[str]) -> frozenset[str]:
    return frozenset(name.rpartition(".")[2].strip('"').lower() for name in names)


def _calls(shape: str, found: list[Token], alone_functions: frozenset[str]) -> _Found:
    """What the functions that are called ask for, quoted and schema-qualified ones too."""
    called = _called(found)
    asked: list[_Found] = [(StatementClass.READ, False)]
    leaving = [name for name in called if is_among(name, LEAVES_STATE)]
    if leaving:
        local = len(re.findall(_LOCAL_SETTING, shape))
        asked.append((StatementClass.SESSION, leaving != ["set_config"] * local))
    if " PG_TEMP . " in shape or any(is_among(name, RUNS_TEXT) for name in called):
        asked.append((StatementClass.SESSION, True))
    if any(is_among(name, READS_STATE) for name in called):
        asked.append((StatementClass.SESSION, False))
    if not _plain_names(alone_functions).isdisjoint(called):
        asked.append((StatementClass.OTHER, True))
    if any(is_among(name, RUNS_ALONE) for name in called) or any(_is_transaction_column(one) for one in found):
        asked.append((StatementClass.OTHER, False))
    return _strictest(*asked)


def _is_transaction_column(token: Token) -> bool:
    if token.kind == NAME:
        return token.text.islower() and token.text.upper() in TRANSACTION_COLUMNS
    return token.kind == WORD and token.text in TRANSACTION_COLUMNS


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
        return (StatementClass.WRITE if _within(shape, _SQLITE_WRITES)[1] else StatementClass.READ), False
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
