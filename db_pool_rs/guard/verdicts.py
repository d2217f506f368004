"""What may be grouped, text by text: the words, the pool's settings, and what the guard has found."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from ..sql import Lexical, StatementClass
from ..sql.names import ANY_DDL, UNREADABLE, Names

if TYPE_CHECKING:
    from ..config import PoolConfig
    from .findings import Findings

#: Why a text is not grouped, in a word: the labels of the metric.
CLASS, SETTINGS, UNREAD, GUARD, COST = "class", "settings", "catalogue", "guard", "cost"
REASONS = (CLASS, SETTINGS, UNREAD, GUARD, COST)

#: What may stand before a parenthesis in a READ that needs no guard: functions of the server's own that everyone
#: knows, and words that are no functions. As long as the catalogue was not read, any other may be the user's.
_PLAIN = frozenset((
    "abs", "all", "and", "any", "array", "array_agg", "array_length", "as", "avg", "between", "bool_and", "bool_or",
    "by", "case", "cast", "ceil", "ceiling", "char", "char_length", "character", "coalesce", "concat", "concat_ws",
    "count", "cume_dist", "date_part", "date_trunc", "decimal", "dense_rank", "distinct", "else", "except", "exists",
    "extract", "filter", "first_value", "float", "floor", "from", "generate_series", "greatest", "group",
    "grouping", "having", "in", "intersect", "interval", "is", "join", "json_agg", "json_build_object", "jsonb_agg",
    "jsonb_build_object", "lag", "last_value", "lateral", "lead", "least", "left", "length", "limit", "lower", "max",
    "md5", "min", "mod", "not", "now", "ntile", "nullif", "numeric", "offset", "on", "or", "over", "overlay",
    "partition", "percent_rank", "position", "power", "random", "rank", "recursive", "repeat", "replace", "right",
    "round", "row", "row_number", "row_to_json", "select", "similar", "some", "split_part", "sqrt", "string_agg",
    "substr", "substring", "sum", "then", "time", "timestamp", "to_char", "to_date", "to_json", "to_jsonb", "to_number",
    "to_timestamp", "trim", "trunc", "union", "unnest", "upper", "using", "values", "varchar", "when", "where", "with",
    "within",
))  # fmt: skip


_RUNS_NOTHING = (StatementClass.EMPTY, StatementClass.CONTROL)


class Verdict(NamedTuple):
    """The class of a text, whether it may be grouped, and if not why: in a word, and in full.

    `dirties`: it may leave something on its session. `keys`: a group with it checks deferred keys at once.
    """

    kind: StatementClass
    groupable: bool
    why: str
    reason: str | None
    dirties: bool = False
    keys: bool = False


class Verdicts:
    """Judges texts for one pool. `found` is None until the catalogue was read."""

    def __init__(self, config: PoolConfig, has_catalog: bool) -> None:
        self.found: Findings | None = None
        #: Why it was not.
        self.unread = "the catalogue has not been read yet"
        #: Transactions are of an isolation in which statements of a group would share a snapshot.
        self.isolated = False
        #: Commits wait for a standby: no group that writes may be broken up.
        self.waits = False
        #: Whether there is a guard. What it knows counts where nothing is grouped, too: for what stays on the session.
        self.needed = has_catalog
        self._alone = frozenset(name.rpartition(".")[2].strip('"') for name in config.alone_functions)
        self._pipelining = config.pipelining

    @property
    def guarded(self) -> bool:
        """Whether the guard knows all that it needs."""
        return not self.needed or self.found is not None

    def judge(self, lexical: Lexical, names: Names | None) -> Verdict:
        """What may be done with a text; `names` is None where no guard is needed."""
        verdict = self._judge(lexical, names)
        return verdict._replace(
            dirties=lexical.dirties or self._lasts(verdict, names),
            keys=verdict.groupable and verdict.kind is StatementClass.WRITE and self._reaches_keys(names),
        )

    def _lasts(self, verdict: Verdict, names: Names | None) -> bool:
        """Whether the guard knows that something may be left on the session, or does not know that it is not."""
        if names is None or verdict.groupable or verdict.kind in _RUNS_NOTHING:
            return False
        if self.found is None:
            return not _is_plain(verdict.kind, names)
        if UNREADABLE in names.found:
            return True
        found = names.found | {ANY_DDL} if verdict.kind is StatementClass.OTHER else names.found
        return self.found.lasts(found, verdict.kind is not StatementClass.READ)

    def _reaches_keys(self, names: Names | None) -> bool:
        found = self.found
        if names is None or found is None or not found.deferred_keys:
            return False
        return UNREADABLE in names.found or found.reaches_keys(names.found)

    def _judge(self, lexical: Lexical, names: Names | None) -> Verdict:
        kind, found = lexical.kind, self.found
        if kind not in (StatementClass.READ, StatementClass.WRITE):
            return Verdict(kind, False, CLASS, self._class_reason(lexical, names))
        if kind is StatementClass.READ and found is not None and names is not None and found.is_write(names.found):
            kind = StatementClass.WRITE
        if self.isolated:
            return Verdict(kind, False, SETTINGS, "transactions are not READ COMMITTED")
        if self._pipelining == "off" or (self._pipelining == "reads" and kind is StatementClass.WRITE):
            return Verdict(kind, False, SETTINGS, f"pipelining={self._pipelining}")
        if self.waits and kind is StatementClass.WRITE:
            return Verdict(kind, False, SETTINGS, "commits wait for a standby (synchronous_standby_names)")
        if names is None:
            return Verdict(kind, True, COST, None)
        if found is None:
            plain = _is_plain(kind, names)
            return Verdict(kind, plain, COST if plain else UNREAD, None if plain else self.unread)
        if UNREADABLE in names.found and (found.reading or found.writing):
            return Verdict(kind, False, GUARD, "a name that is written in escapes")
        reason = found.reason(names.found, lexical.command, kind is StatementClass.WRITE)
        return Verdict(kind, reason is None, COST if reason is None else GUARD, reason)

    def names_for(self, names: Names, sql: str) -> Names:
        """With the operators that the guard has found, where the text contains them."""
        operators = self.found.operators if self.found is not None else frozenset[str]()
        there = {operator for operator in operators if operator in sql}
        return Names(names.found | there, names.called) if there else names

    def _class_reason(self, lexical: Lexical, names: Names | None) -> str:
        if lexical.count > 1:
            return f"{lexical.count} statements in one text"
        named = sorted(self._alone & names.found) if names is not None else []
        if named:
            return f"{named[0]}(): named in alone_functions"
        return f"{lexical.command or 'the text'} is of the class {lexical.kind.value}"


def _is_plain(kind: StatementClass, names: Names) -> bool:
    """Whether it is a READ that calls only functions which every server has."""
    return kind is StatementClass.READ and names.called <= _PLAIN and UNREADABLE not in names.found


__all__ = ["COST", "REASONS", "Verdict", "Verdicts"]
