"""The settings of a session that decide whether values can be read as text: in binary they always can.

The server reports DateStyle and IntervalStyle however set. It does not report `extra_float_digits`, below 1 of
which a float in text is a rounded one: a new session is asked for it (:attr:`.PostgresDialect.startup_query`), and
statements that name it are watched. So one that a function hides is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from ...errors import InterfaceError
from ...sql import StatementClass
from ...sql.records import may_have_records
from ...types import oids as pg
from .dialect import PREPARABLE, STARTUP_QUERY, names_digits

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

    from ...scheduler.cost import Query
    from ...scheduler.model import StatementRequest

_NAME = "extra_float_digits"
_SET = re.compile(rf"\s*SET\s+(?:SESSION\s+)?{_NAME}\s*(?:=|\sTO\s)\s*'?(-?\d+)'?\s*;?\s*", re.IGNORECASE)


#: A statement that may set it, but is no plain SET.
_UNCERTAIN = float("-inf")


@lru_cache(maxsize=1024)
def _digits(sql: str) -> float | None:
    """What a text sets `extra_float_digits` to; None: it does not name it."""
    if _NAME not in sql.lower() or sql == STARTUP_QUERY:
        return None
    found = _SET.fullmatch(sql)
    return _UNCERTAIN if found is None else int(found[1])


def _with_arrays(*rows: pg.PgType) -> frozenset[int]:
    return frozenset(oid for row in rows for oid in (row.oid, row.array_oid))


_FLOATS = _with_arrays(pg.FLOAT4, pg.FLOAT8)
#: Their zone is an abbreviation in every style but ISO.
_ZONED = _with_arrays(pg.TIMESTAMPTZ, pg.TSTZRANGE, pg.TSTZMULTIRANGE)
_INTERVALS = _with_arrays(pg.INTERVAL)
_ALL = _FLOATS | _ZONED | _INTERVALS


class Columns(Protocol):
    """What a result holds (:class:`~db_pool_rs.drivers.postgres.statements.Description`)."""

    names: tuple[str, ...]
    oids: tuple[int, ...]
    result_format: int


class SessionSettings:
    """Of one connection."""

    __slots__ = ("_digits", "_status", "_told")

    def __init__(self, pgconn: PGconn) -> None:
        self._status = pgconn.parameter_status
        #: Floats in text are exact: as the session began, and now.
        self._told = self._digits = True

    def note_float_digits(self, digits: int) -> None:
        """The session was asked for `extra_float_digits`, before its first use."""
        self._told = self._digits = digits > 0

    def reset(self) -> None:
        """The session is as it began."""
        self._digits = self._told

    def observe(self, group: Sequence[StatementRequest], in_transaction: Callable[[], bool]) -> None:
        """These statements are about to be sent."""
        last = None
        for statement in group:
            query = statement.query
            if names_digits(statement):
                self._digits = False
            if query is last or query.kind is StatementClass.CONTROL:
                continue
            last, digits = query, _digits(query.sql)
            if digits is not None:
                lasting = digits is not _UNCERTAIN and len(group) == 1 and not in_transaction()
                self._digits = digits > 0 and (lasting or self._digits)

    def must_ask(self, statement: StatementRequest) -> bool:
        """Whether a text without a description cannot just be run, its rows coming as text."""
        if statement.args or "$" in statement.query.sql:
            return True
        if not statement.want or not (statement.described is None or is_kept(statement.query)):
            return False
        return not self.is_plain() or may_have_records(statement.query.sql, statement.query.lexical.command)

    def is_plain(self) -> bool:
        """Whether every value can be read as text."""
        return self._digits and self._iso() and self._postgres()

    def _iso(self) -> bool:
        return (self._status(b"DateStyle") or b"ISO").startswith(b"ISO")

    def _postgres(self) -> bool:
        return self._status(b"IntervalStyle") in (b"postgres", None)

    def check(self, described: Columns) -> None:
        """InterfaceError for columns that come as text and cannot be read so; nothing was sent yet."""
        if described.result_format or self.is_plain():
            return
        for name, oid in zip(described.names, described.oids, strict=True):
            setting = self._in_the_way(oid)
            if setting is not None:
                raise InterfaceError(
                    f'column "{name}" ({pg.type_name(oid)}) cannot be read under the {setting} of this session: beside'
                    " columns without a binary form it comes as text. Select it alone, or change the setting"
                )

    def _in_the_way(self, oid: int) -> str | None:
        if oid in _FLOATS and not self._digits:
            return _NAME
        if oid in _ZONED and not self._iso():
            return "DateStyle"
        return "IntervalStyle" if oid in _INTERVALS and not self._postgres() else None


def is_kept(text: Query) -> bool:
    """Whether a description is good for later executions of the text; what FETCH returns changes every time."""
    return text.lexical.command in PREPARABLE or "$" in text.sql


def is_sensitive(oids: Sequence[int]) -> bool:
    """Whether settings matter where these columns come as text."""
    return not _ALL.isdisjoint(oids)
