"""What the driver knows of a statement text: its placeholders, its command tag, and what it does to locks."""

from __future__ import annotations

import enum
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ...record import Status
from ...sql import sqlite_placeholders
from ...sql.lexer import CLOSE, FILLER, OPEN, WORD, tokens
from .types import BY_NAME, HIGHEST, LOWEST, encode

#: What begins a read-only transaction. SQLite has no word for it: the driver makes a pragma and a BEGIN of it.
BEGIN_READ_ONLY = "BEGIN READ ONLY"
BEGIN_READ_WRITE = "BEGIN IMMEDIATE"
#: What brings a session back to its initial state. Unknown to SQLite: the driver opens the connection anew.
RESET = "DISCARD ALL"


class Lock(enum.IntEnum):
    """What a statement has to hold of the database (:mod:`.write_lock`)."""

    NONE = 0
    READ = 1
    #: The transaction may come to write later, and then could not wait where it keeps others waiting itself.
    BEGIN = 2
    WRITE = 3


class Role(enum.Enum):
    """What a statement does to the transaction it runs in."""

    PLAIN = "plain"
    #: Cannot, or does not what it says, inside a transaction: PRAGMA, ATTACH, VACUUM ...
    OUTSIDE = "outside"
    BEGIN = "begin"
    BEGIN_READ_ONLY = "begin read only"
    SAVEPOINT = "savepoint"
    INNER = "inner"
    COMMIT = "commit"
    ROLLBACK = "rollback"
    RESET = "reset"
    #: The cursors of :mod:`.cursor`, which SQLite does not have.
    DECLARE = "declare"
    FETCH = "fetch"
    CLOSE = "close"


#: Inside a transaction these are executed even if no caller waits any more.
ALWAYS = frozenset((Role.SAVEPOINT, Role.INNER, Role.COMMIT, Role.ROLLBACK))
_READS = frozenset(("SELECT", "VALUES", "EXPLAIN"))
_WRITES = frozenset(("INSERT", "REPLACE", "UPDATE", "DELETE"))
_OUTSIDE = frozenset(("PRAGMA", "ATTACH", "DETACH", "VACUUM"))
#: Pragmas that write to the file: always, and if they are given a value. The others concern the connection alone.
_WRITING_PRAGMAS = frozenset(("WAL_CHECKPOINT", "OPTIMIZE", "INCREMENTAL_VACUUM"))
_SETTING_PRAGMAS = frozenset(
    ("APPLICATION_ID", "AUTO_VACUUM", "ENCODING", "JOURNAL_MODE", "PAGE_SIZE", "SCHEMA_VERSION", "USER_VERSION")
)
_QUALIFIERS = frozenset(("TEMP", "TEMPORARY", "UNIQUE", "VIRTUAL"))
_PARAMETER = re.compile(r"\$([0-9]+)")
_DECLARE = re.compile(r'DECLARE "(\w+)" NO SCROLL CURSOR FOR (.*)', re.DOTALL)
_FETCH = re.compile(r'FETCH FORWARD (\d+) FROM "(\w+)"')
_CLOSE = re.compile(r'CLOSE "(\w+)"')
_ROLES = {
    "BEGIN": Role.BEGIN, "SAVEPOINT": Role.SAVEPOINT, "RELEASE": Role.INNER, "COMMIT": Role.COMMIT, "END": Role.COMMIT,
    "ROLLBACK": Role.ROLLBACK, "DISCARD": Role.RESET,
}  # fmt: skip


class Description:
    """One text as the driver executes it.

    `sql` has SQLite's placeholders, `count` of them; `verb` is the main command, behind WITH too; `writes` says that
    its tag tells how many rows it changed, `returns` that it may have rows as well. `cursor` is the name of the one it
    is about, `rows` how many it fetches.
    """

    __slots__ = (
        "_by_name", "_common", "count", "cursor", "lock", "returns", "role", "rows", "sql", "tag", "verb", "writes",
    )  # fmt: skip

    def __init__(self, sql: str) -> None:
        self.cursor, self.rows = "", 0
        declare = _DECLARE.fullmatch(sql)
        if declare is not None:
            self.cursor, sql = declare.groups()
        words, self.verb = _words(sql)
        self.sql = sqlite_placeholders(sql)
        numbers = _parameters(sql, self.sql)
        self.count = max(numbers, default=0)
        self._by_name = BY_NAME and len(numbers) == self.count
        self.role = Role.DECLARE if declare is not None else self._of_cursor(sql) or _role(words)
        self.lock = _lock(self.role, self.verb, words, "=" in sql or "(" in sql)
        self.tag = "DECLARE CURSOR" if declare is not None else _tag(self.verb, words)
        self.writes = self.verb in _WRITES
        self.returns = self.writes and "RETURNING" in sql.upper()
        self._common = {number: self._status(number) for number in (0, 1)}

    def _of_cursor(self, sql: str) -> Role | None:
        if (fetch := _FETCH.fullmatch(sql)) is not None:
            self.rows, self.cursor = int(fetch[1]), fetch[2]
            return Role.FETCH
        if (close := _CLOSE.fullmatch(sql)) is not None:
            self.cursor = close[1]
            return Role.CLOSE
        return None

    def encode(self, args: Sequence[Any]) -> Any:
        """The arguments as ``sqlite3`` takes them; ArgumentError if they do not fit."""
        if len(args) == self.count and not self._by_name:
            for value in args:  # what sqlite3 takes as it is, seen at the least cost
                kind = type(value)
                if (
                    not (kind is int and LOWEST <= value <= HIGHEST)
                    and not (kind is str and value.isascii())
                    and value is not None
                    and kind is not bytes
                ):
                    break
            else:
                return args
        return encode(args, self.count, self._by_name, self.sql)

    def status(self, rows: int) -> Status:
        """The command tag, as PostgreSQL has it: `INSERT 0 3`, `UPDATE 3`, `CREATE TABLE`."""
        return self._common.get(rows) or self._status(rows)

    def _status(self, rows: int) -> Status:
        return Status(f"{self.tag} {rows}" if self.writes or self.tag == "SELECT" else self.tag)


@lru_cache(maxsize=512)
def describe_command(sql: str) -> Description:
    """The description of a text that the pool does not keep (BEGIN, COMMIT ...)."""
    return Description(sql)


def _words(sql: str) -> tuple[list[str], str]:
    """The first words outside quotes, and the main verb: what stands behind the list of a WITH."""
    found = tokens(sql, "sqlite")
    words: list[str] = []
    verb = ""
    depth, previous = 0, ""
    for kind, text, _, _ in found:
        if kind == WORD and not depth:
            if len(words) < 8:
                words.append(text)
            if words[0] != "WITH":
                verb = words[0]
                if len(words) == 8:
                    break
            elif (text in _WRITES or text in _READS) and previous not in ("WITH", "RECURSIVE", ","):
                return words, text
        elif kind == OPEN:
            depth += 1
        elif kind == CLOSE:
            depth -= 1
        previous = text if kind == WORD else text.rstrip()[-1:] if kind == FILLER else ""
    return words, verb


def _parameters(written: str, replaced: str) -> set[int]:
    """The numbers of the parameters: replacing `$` by `?` moved nothing, so what was replaced shows."""
    return {int(match[1]) for match in _PARAMETER.finditer(written) if replaced[match.start()] == "?"}


def _role(words: list[str]) -> Role:
    first = words[0] if words else ""
    if words[:3] == ["BEGIN", "READ", "ONLY"]:
        return Role.BEGIN_READ_ONLY
    if first == "ROLLBACK" and "TO" in words[1:3]:
        return Role.INNER
    return _ROLES.get(first, Role.OUTSIDE if first in _OUTSIDE else Role.PLAIN)


def _lock(role: Role, verb: str, words: list[str], has_value: bool) -> Lock:
    if role is Role.BEGIN:
        return Lock.WRITE if words[1:2] in (["IMMEDIATE"], ["EXCLUSIVE"]) else Lock.BEGIN
    if role is Role.SAVEPOINT:
        return Lock.BEGIN
    if role not in (Role.PLAIN, Role.OUTSIDE):
        return Lock.READ if role in (Role.BEGIN_READ_ONLY, Role.DECLARE) else Lock.NONE
    if verb == "PRAGMA":
        names = set(words[1:3])
        writes = names & _WRITING_PRAGMAS or (names & _SETTING_PRAGMAS and has_value)
        return Lock.WRITE if writes else Lock.READ
    temporary = words[:2] in (["CREATE", "TEMP"], ["CREATE", "TEMPORARY"])
    return Lock.READ if verb in _READS or verb in ("ATTACH", "DETACH") or temporary else Lock.WRITE


def _tag(verb: str, words: list[str]) -> str:
    if verb in ("INSERT", "REPLACE"):
        return "INSERT 0"
    if verb in ("CREATE", "DROP", "ALTER"):
        return " ".join([verb, *[word for word in words[1:] if word not in _QUALIFIERS][:1]])
    return {"VALUES": "SELECT", "END": "COMMIT"}.get(verb, verb)
