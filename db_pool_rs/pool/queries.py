"""The statement texts that a pool knows, and what there is to know of one.

What the server tells of a text is kept for the pool, by the text. A session that has changed its search path by a
statement of its own, or has made temporary tables, neither uses nor feeds that, since there the same text means other
tables: the server is asked on each call (one round trip more where there are arguments), and nothing is prepared under
a name. What every connection has from its start, by `server_settings`, `options`, `init`, the role or the database, is
the pool's own. A change that a function hides is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..config.options import limits_of
from ..drivers.base import RESULT, ROWS, Database
from ..errors import ArgumentError, InterfaceError
from ..guard.keeper import Keeper
from ..guard.verdicts import Verdict, Verdicts
from ..record import Result, Status
from ..scheduler.cost import CostLimits, Query
from ..scheduler.model import Limits
from ..sql import StatementClass, classify, split_statements
from ..sql.named import named
from ..sql.names import Names, names_in
from .named import without_mapping

if TYPE_CHECKING:
    from ..config import PoolConfig

#: What sets `client_encoding` or `standard_conforming_strings`, and the value. A function may do so unseen.
_FIXED = re.compile(
    r"\s*SET\s+(?:SESSION\s+|LOCAL\s+)?(?:(?:client_encoding\s*(?:=|\bTO\b)|NAMES\b)\s*'?([\w-]+)"
    r"|standard_conforming_strings\s*(?:=|\bTO\b)\s*'?(\w+))"
    r"|.*\bset_config\s*\(\s*'(?:client_encoding'\s*,\s*'([\w-]+)'|standard_conforming_strings'\s*,\s*'(\w+)')",
    re.IGNORECASE | re.DOTALL,
)
#: What may be set: the value that they have.
_TAKEN = frozenset(("utf8", "unicode", "default", "on", "true", "yes", "1"))
#: Texts remembered; when there are more, the older half is forgotten. Texts that carry values instead of arguments
#: would otherwise fill the memory.
MOST_TEXTS = 4096
#: Whatever the guard knows, nothing changes for texts of these classes.
_CERTAIN = (StatementClass.SESSION, StatementClass.CONTROL, StatementClass.EMPTY)
#: What the search path is made of: the setting, SET SCHEMA, and the role, which is its "$user".
_CHANGES_PATH = re.compile(
    r"search_path|set_config\s*\(\s*\$|\bRESET\s+ALL\b|\bDISCARD\s+ALL\b"
    r"|\b(?:SET|RESET)\s+(?:(?:SESSION|LOCAL)\s+)?(?:SCHEMA|ROLE|SESSION\s+AUTHORIZATION|AUTHORIZATION)\b",
    re.IGNORECASE,
)
_LOCAL = re.compile(r"\s*SET\s+LOCAL\s[^;]*;?\s*", re.IGNORECASE)
#: What makes temporary tables, which hide others of their names, and those that end with the transaction.
_TEMPORARY = re.compile(
    r"\b(?:CREATE|INTO)\s+(?:OR\s+REPLACE\s+)?(?:(?:LOCAL|GLOBAL)\s+)?TEMP(?:ORARY)?\s|\bpg_temp\b", re.IGNORECASE
)
_DROPPED = re.compile(r"\s*CREATE\s[^;]*\bON\s+COMMIT\s+DROP\b[^;]*;?\s*", re.IGNORECASE)


class QueryCache:
    """Looks a statement text up, or reads it for the first time."""

    def __init__(self, config: PoolConfig, driver: Database) -> None:
        #: Texts that may be sent on a shared connection as they are.
        self.known: dict[str, Query] = {}
        self._others: dict[str, Query] = {}
        #: Those of the guard's, which wait behind no others.
        self.urgent: set[str] = set()
        self._driver = driver
        self._alone = config.alone_functions
        self.verdicts = Verdicts(config, driver.has_catalog)
        self.keeper = Keeper(config, self.verdicts)

    def everything(self) -> list[Query]:
        """All texts that are known."""
        return [*self.known.values(), *self._others.values()]

    def judge(self, query: Query) -> Verdict:
        """What may be done with a text, as far as the guard knows."""
        names: Names | None = query.names
        verdict = self.verdicts.judge(
            query.lexical, None if names is None else self.verdicts.names_for(names, query.sql)
        )
        query.why, query.reason, query.keys = verdict.why, verdict.reason, verdict.keys
        query.dirties = verdict.dirties
        return verdict

    def judge_again(self) -> Iterator[tuple[Query, StatementClass, bool]]:
        """The guard knows more, or less: the texts that are of another class now, or may be grouped, or no longer."""
        for query in self._others.values():
            self.judge(query)
        for query in list(self.known.values()):
            before = (query.kind, query.groupable, query.why, query.dirties, query.keys)
            verdict = self.judge(query)
            if before != (verdict.kind, verdict.groupable, verdict.why, verdict.dirties, verdict.keys):
                yield query, verdict.kind, verdict.groupable

    def copying(self, sql: str) -> Query:
        """The text of a COPY, which no other call knows: its data may set triggers off."""
        query = Query(sql, classify(sql, self._driver.dialect, self._alone), groupable=False)
        self._guard(query)
        return query

    def _guard(self, query: Query) -> Verdict:
        """What may be done with a new text."""
        if self.verdicts.needed:
            query.names = names_in(query.sql)
            if query.lexical.kind not in _CERTAIN or query.lexical.streams:
                self.keeper.want()
        return self.judge(query)

    def peek(self, sql: str) -> Query:
        """The entry that a text has, or would have, for calls on the pool; nothing is refused."""
        if not isinstance(sql, str):
            raise InterfaceError(f"SQL must be a str, got {type(sql).__name__}")
        return self.known.get(sql) or self._others.get(sql) or self._read(sql)

    def lookup(self, sql: str, shared: bool) -> Query:
        """The text's entry; raises InterfaceError for what is no statement, or none for a shared connection."""
        if not isinstance(sql, str):
            raise InterfaceError(f"SQL must be a str, got {type(sql).__name__}")
        query = self.known.get(sql) or self._others.get(sql) or self._read(sql)
        if shared and query.sql in self._others:
            _refuse(query)
        return query

    def _read(self, sql: str) -> Query:
        _check(sql)
        if (with_names := named(sql, self._driver.dialect)) is not None:
            raise without_mapping(with_names)
        lexical = classify(sql, self._driver.dialect, self._alone)
        if lexical.streams:
            raise InterfaceError(
                "COPY FROM STDIN and TO STDOUT carry data besides the statement: on a connection from acquire(), "
                "copy_to_table() and copy_records_to_table() take them in, copy_from_table() and copy_from_query() out"
            )
        if self._driver.has_settings and (lexical.kind is StatementClass.SESSION or lexical.count > 1):
            _check_settings(sql)
        query = Query(sql, lexical, groupable=False)
        query.urgent = sql in self.urgent
        verdict = self._guard(query)
        query.kind, query.groupable = verdict.kind, verdict.groupable
        unfit = lexical.count > 1 or lexical.kind is StatementClass.CONTROL
        table = self._others if unfit else self.known
        if len(table) >= MOST_TEXTS:
            for old in list(table)[: MOST_TEXTS // 2]:
                del table[old]
        table[sql] = query
        if not unfit and lexical.kind is not StatementClass.EMPTY:
            self._driver.describe(query)
        return query


def _check(sql: str) -> None:
    if "\0" in sql:
        raise InterfaceError("SQL must not contain a NUL character")
    try:
        sql.encode()
    except UnicodeEncodeError as error:
        raise InterfaceError(f"SQL must not contain a lone surrogate, as at position {error.start + 1}") from None


def _check_settings(script: str) -> None:
    """InterfaceError if a statement gives a session a setting that no connection of a pool may have."""
    for sql in split_statements(script):
        if (found := _FIXED.match(sql)) is not None:
            encoding, given = found[1] or found[3], found[1] or found[2] or found[3] or found[4]
            wanted = "client_encoding UTF8" if encoding else "standard_conforming_strings on"
            if given.lower().replace("-", "") not in _TAKEN:
                raise InterfaceError(f"{sql.strip()}: connections of a pool have {wanted}")


class Stray(Enum):
    """For how long a session may see other tables and types."""

    LOCAL = "until the transaction ends"
    SESSION = "until it is given back"


def stray(sql: str) -> Stray | None:
    """What a text does to the names of tables and types, as far as it can be seen in it."""
    if _CHANGES_PATH.search(sql) is not None:
        return Stray.LOCAL if _LOCAL.fullmatch(sql) else Stray.SESSION
    if _TEMPORARY.search(sql) is not None:
        return Stray.LOCAL if _DROPPED.fullmatch(sql) else Stray.SESSION
    return None


def unshared(query: Query) -> Query:
    """The same text, of which nothing is known yet, for one call."""
    own = Query(query.sql, query.lexical, groupable=False)
    own.kind, own.dirties, own.own = query.kind, query.dirties, True
    return own


def session_text(sql: str, dialect: str) -> Query:
    """The text of a statement that runs on one session and is not kept."""
    return Query(sql, classify(sql, dialect), groupable=False)


def command_text(sql: str, dialect: str) -> Query:
    """The text of a command that pools send on their own account (BEGIN, ROLLBACK, RESET ...).

    All pools share it, so it must not be worth describing: what a SELECT returns is a matter of the database, and the
    `$` of a name (`LISTEN "a$1"`) is taken for one of a parameter, about which the server is asked.
    """
    return session_text(sql, dialect) if "$" in sql else _shared_text(sql, dialect)


_shared_text = lru_cache(maxsize=512)(session_text)


def empty_result(args: tuple[Any, ...], want: int) -> Any:
    """The answer to a text without a statement; ArgumentError if there are arguments."""
    if args:
        raise ArgumentError(f"the text holds no statement, so it takes no arguments; got {len(args)}")
    return Result([], (), Status("")) if want is RESULT else [] if want is ROWS else Status("")


def single(parts: list[str]) -> str:
    """The only one of a text's statements; InterfaceError if there are others."""
    if len(parts) != 1:
        raise InterfaceError(f"one statement at a time: the text holds {len(parts)}")
    return parts[0]


def _refuse(query: Query) -> None:
    if query.lexical.count > 1:
        raise InterfaceError(
            "one statement at a time: several in one text are taken by execute() on a connection from acquire()"
        )
    raise InterfaceError(
        f"{query.lexical.command} on the pool would reach a connection that others share: "
        "use `async with pool.transaction()`, or `pool.acquire()` for a connection to yourself"
    )


def limits_for(config: PoolConfig, driver: Database) -> Limits:
    """The numbers of the rules for this pool: those that its options set, and those of its database."""
    given = limits_of(config)
    cost = {one.name: given.pop(one.name) for one in fields(CostLimits) if one.name in given}
    return Limits(
        **given,
        read_lanes=min(driver.read_lanes, config.max_size),
        max_write_lanes=driver.max_write_lanes,
        breaks_stalls=driver.breaks_stalls,
        cost=CostLimits(**cost),
    )
