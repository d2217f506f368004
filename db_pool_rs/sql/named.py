"""Named parameters, `:id`, as the servers take them: numbered, `$1`, each name once.

A name stands outside strings, quoted identifiers and comments; `::` is a cast, and `a:b` has none, since what follows a
letter or digit at once is not one. In a PostgreSQL subscript a colon that begins the bracket or follows an operand is
that of a slice: `list[:n]` and `list[low:high]` name columns, `list[1 + :n]`, `list[1: :n]` and `ARRAY[:a, :b]` have
parameters. On PostgreSQL, what is taken for a name here is a syntax error otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, lru_cache
from typing import NamedTuple

from .lexer import (
    ESCAPED,
    LETTER,
    LETTER_DIGIT,
    LETTER_DIGIT_DOLLAR,
    QUOTED,
    STRING,
    comment_end,
    continued_end,
)

CACHED_TEXTS = 4096
CACHED_LENGTH = 64 * 1024
#: Characters of a parameter whose number is to be taken for one.
_DIGITS = len("$2147483647")


class Named(NamedTuple):
    """A text with named parameters: `sql` with numbers instead, `names` in their order.

    `numbered`: the text has parameters with numbers too, so that these mean nothing.
    """

    sql: str
    names: tuple[str, ...]
    numbered: bool


_COMMON = rf"""
  | (?P<number>\$[0-9]+)
  | (?P<operand>{LETTER_DIGIT}{LETTER_DIGIT_DOLLAR}*)
  | ::
  | (?<!{LETTER_DIGIT_DOLLAR}):(?P<name>{LETTER}{LETTER_DIGIT}*)(?!{LETTER_DIGIT}|['"$])
"""
_PIECES = {
    "postgresql": rf"""
    (?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
  | (?P<comment>/\*)
  | (?P<escape>[eE]{ESCAPED})
  | (?P<quoted>{STRING}|{QUOTED}|\$(?P<tag>(?:{LETTER}{LETTER_DIGIT}*)?)\$(?s:.*?)\$(?P=tag)\$)
  {_COMMON}
  | (?P<open>[\[(])
  | (?P<close>[\])])
  | (?P<colon>:)
  | (?P<broken>['"])
  | (?P<other>[!\#%&*+,.;<-@\\^`{{|}}~]+|(?s:.))
    """,
    "sqlite": rf"""
    (?P<space>[ \t\n\r\f\ufeff]+|--[^\n]*|/\*(?s:.*?)(?:\*/|\Z))
  | (?P<quoted>{STRING}|{QUOTED}|`[^`]*(?:``[^`]*)*`(?!`)|\[[^\]]*\])
  | (?P<foreign>[@\#$](?![0-9]){LETTER_DIGIT}+)
  {_COMMON}
  | (?P<broken>['"`\[])
  | (?P<other>[!%&(-,.;<-?\\^{{|}}~]+|(?s:.))
    """,
}


#: Where a name may be; most texts with a colon have casts alone.
_MAYBE = re.compile(rf"(?<!:)(?<!{LETTER_DIGIT_DOLLAR}):(?={LETTER})|:::")


@cache
def _scanner(dialect: str) -> re.Pattern[str]:
    return re.compile(_PIECES[dialect], re.VERBOSE)


def named(sql: str, dialect: str) -> Named | None:
    """The text without its names; None if it has none."""
    if ":" not in sql or _MAYBE.search(sql) is None:
        return None
    return _named_cached(sql, dialect) if len(sql) <= CACHED_LENGTH else _named(sql, dialect)


def _named(sql: str, dialect: str) -> Named | None:
    numbers: dict[str, int] = {}
    parts: list[str] = []
    copied, numbered = 0, False
    for match in _parameters(sql, dialect):
        name = match["name"]
        if name is None:
            numbered = True
            continue
        parts += (sql[copied : match.start()], f"${numbers.setdefault(name, len(numbers) + 1)}")
        copied = match.end()
    return Named("".join([*parts, sql[copied:]]), tuple(numbers), numbered) if numbers else None


_named_cached = lru_cache(CACHED_TEXTS)(_named)


def highest(sql: str, dialect: str) -> int:
    """The highest number of a parameter in the text, 0 if it has none; what is beyond every limit does not count."""
    pieces = (match[0] for match in _parameters(sql, dialect) if match["name"] is None)
    return max((int(piece[1:]) for piece in pieces if len(piece) <= _DIGITS), default=0)


def _parameters(sql: str, dialect: str) -> Iterator[re.Match[str]]:
    """The pieces of the text that are parameters, named or numbered."""
    brackets = _Brackets()
    for match in _pieces(sql, dialect):
        kind = match.lastgroup or ""
        if kind == "name" and brackets.slices():
            kind = "operand"  # the colon and a column
        if kind in ("name", "number"):
            yield match
        brackets.add(kind, match[0])


def _pieces(sql: str, dialect: str) -> Iterator[re.Match[str]]:
    """What the text consists of, but for spaces and comments, up to a quote or comment that never ends."""
    scan = _scanner(dialect).match
    position = 0
    while match := scan(sql, position):
        kind, position = match.lastgroup, match.end()
        if kind == "comment":
            position = comment_end(sql, position)
        elif kind == "escape":
            position = continued_end(sql, position)
        if kind == "broken" or position < 0:
            return
        if kind not in ("space", "comment"):
            yield match


_OPERANDS = frozenset(("number", "operand", "name", "quoted", "escape", "close"))


class _Brackets:
    """Where in PostgreSQL's brackets the text stands, and so whether a colon there would be that of a slice."""

    def __init__(self) -> None:
        #: Of each open bracket, whether it is a subscript.
        self._subscripts: list[bool] = []
        self._previous, self._text = "", ""

    def add(self, kind: str, text: str) -> None:
        """The next piece of the text."""
        if kind == "open":
            after = self._previous in _OPERANDS and self._text.upper() != "ARRAY"
            self._subscripts.append(text == "[" and after)
        elif kind == "close" and self._subscripts:
            self._subscripts.pop()
        self._previous, self._text = kind, text

    def slices(self) -> bool:
        """Whether a colon that came now would divide a slice."""
        return bool(self._subscripts) and self._subscripts[-1] and self._previous in (*_OPERANDS, "open")
