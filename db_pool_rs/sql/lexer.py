"""SQL text -> tokens -> statements, exactly as far as `statement` needs it, for PostgreSQL and SQLite.

What matters is where quotes and comments begin and end, which words stand outside them, and the parentheses. All the
rest (strings, numbers, parameters, operators, and rows of these in a list of VALUES) is swallowed in runs, at the speed
of `re`, as one FILLER. So tokens are few, and time is linear in the length of the text, whatever it contains: each
expression below either has one way only to match a character, or is the last in its place, so that nothing makes `re`
go back and try again.

PostgreSQL's rules are those of its scanner (scan.l) with `standard_conforming_strings = on`, SQLite's those of its
tokenize.c. A quote that is never closed ends the text with a token BROKEN.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

WORD = "word"  # keyword or identifier outside quotes, in upper case
NAME = "name"  # quoted identifier, without its quotes
UNICODE_NAME = "unicode_name"  # U&"...": an identifier that cannot be told from its text alone
OPEN = "open"
CLOSE = "close"
SEMICOLON = "semicolon"
FILLER = "filler"
BROKEN = "broken"


class Token(NamedTuple):
    """A token that means something: its kind (one of the above), its text, and where it lies in the SQL text."""

    kind: str
    text: str
    start: int
    end: int


class Statement(NamedTuple):
    """A statement that is not empty: its tokens, and the part of the text up to its semicolon, comments included."""

    tokens: list[Token]
    start: int
    end: int


# Every character outside ASCII belongs to identifiers, for both servers. The sets name what is ASCII only: one that
# names all the others takes `re` milliseconds to compile, at every start of a program.
LETTER = r"[^\x00-@\[-^`{-\x7f]"
LETTER_DIGIT = r"[^\x00-/:-@\[-^`{-\x7f]"
LETTER_DIGIT_DOLLAR = r"[^\x00-\#%-/:-@\[-^`{-\x7f]"
_WORD = rf"{LETTER}{LETTER_DIGIT_DOLLAR}*"
STRING = r"'[^']*'"  # '' within a string makes two of them, which is the same to us
QUOTED = r'"[^"]*(?:""[^"]*)*"(?!")'
ESCAPED = r"'[^'\\]*(?:(?:\\(?s:.)|'')[^'\\]*)*'(?!')"


def _filler(plain: str, *pieces: str) -> str:
    """A run of characters of the set `plain` and of pieces, and of parentheses around nothing but these.

    The parentheses are rows of VALUES and lists of IN. They do not come first, because behind a word they may hold the
    arguments of a function. A run is cut after 1000 pieces because `re` keeps some memory for each.
    """
    others = "|".join(pieces)
    return rf"(?:{plain}|{others})(?:{plain}+|{others}|\((?:{plain}|{others}){{0,1000}}\)){{0,1000}}"


_OPERATORS = (r"-(?!-)", r"/(?!\*)")
_SQLITE_FILLER = _filler(r"[\x00-!%-&*-,.0-9<->\\-^{-\x7f]", STRING, rf"[$?:@\#]{LETTER_DIGIT_DOLLAR}*", *_OPERATORS)


_POSTGRESQL_FILLER = _filler(r"[\x00-!\#%-&*-,.0-:<-@\[-^`{-\x7f]", STRING, r"\$[0-9]+", *_OPERATORS)

_SCANNERS = {
    "postgresql": rf"""
    (?P<space>[ \t\n\r\f\v]+|--[^\n\r]*)
  | (?P<comment>/\*)
  | (?P<escape>[eE]{ESCAPED})
  | (?P<unicode_name>[uU]&{QUOTED})
  | (?P<name>{QUOTED})
  | (?P<dollar>\$(?P<tag>(?:{LETTER}{LETTER_DIGIT}*)?)\$(?s:.*?)\$(?P=tag)\$)
  | (?P<broken>[eE]'|(?:[uU]&)?"|\$(?:{LETTER}{LETTER_DIGIT}*)?\$)
  | (?P<word>{_WORD})
  | (?P<open>\()
  | (?P<close>\))
  | (?P<semicolon>;)
  | (?P<filler>{_POSTGRESQL_FILLER})
  | (?P<open_string>')
  | (?P<other>(?s:.))
    """,
    "sqlite": rf"""
    (?P<space>[ \t\n\r\f\ufeff]+|--[^\n]*|/\*(?s:.*?)(?:\*/|\Z))
  | (?P<name>{QUOTED}|`[^`]*(?:``[^`]*)*`(?!`)|\[[^\]]*\])
  | (?P<broken>'[^']*\Z|["`\[])
  | (?P<word>{_WORD})
  | (?P<open>\()
  | (?P<close>\))
  | (?P<semicolon>;)
  | (?P<filler>{_SQLITE_FILLER})
  | (?P<other>(?s:.))
    """,
}

_COMMENT_EDGE = re.compile(r"/\*|\*/")
_GAP = re.compile(r"(?:[ \t\n\r\f\v]|--[^\n\r]*[\n\r])*")
_CONTINUED = re.compile(ESCAPED)


@cache
def _scanner(dialect: str) -> re.Pattern[str]:
    """Compiled when it is needed: most programs have one database, and compiling takes a while."""
    return re.compile(_SCANNERS[dialect], re.VERBOSE)


def tokens(sql: str, dialect: str) -> Iterator[Token]:
    """The tokens of an SQL text; comments and white space are left out. Never raises."""
    scan = _scanner(dialect).match
    position = 0
    while match := scan(sql, position):
        kind = match.lastgroup or BROKEN
        start, position = match.span()
        if kind == "space":
            continue
        if kind == "comment":
            position = comment_end(sql, position)
            if position < 0:
                yield Token(BROKEN, "", start, len(sql))
                return
            continue
        if kind == "escape":
            position = continued_end(sql, position)
        elif kind in (BROKEN, "open_string"):
            yield Token(BROKEN, "", start, len(sql))
            return
        yield Token(*_named(kind, match[0]), start, position)


def _named(kind: str, text: str) -> tuple[str, str]:
    """The kind that the readers of tokens know, and the text in the form in which they compare it."""
    if kind == WORD:
        # Outside ASCII no server folds case, and `upper` would make keywords of words that are none.
        return kind, text.upper() if text.isascii() else text
    if kind == NAME:
        quote = "]" if text[0] == "[" else text[0]
        return kind, text[1:-1] if quote == "]" else text[1:-1].replace(quote * 2, quote)
    if kind in ("escape", "dollar", "other"):
        return FILLER, text
    return kind, text


def comment_end(sql: str, position: int) -> int:
    """Where the comment ends whose `/*` has been read, -1 if nowhere; PostgreSQL's comments nest."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(sql, position):
        depth += 1 if edge[0] == "/*" else -1
        if not depth:
            return edge.end()
    return -1


def continued_end(sql: str, position: int) -> int:
    """Where an E'...' string ends: strings on the following lines continue it, and so its backslashes."""
    while gap := _GAP.match(sql, position):
        follow = _CONTINUED.match(sql, gap.end())
        if follow is None or not ("\n" in gap[0] or "\r" in gap[0]):
            break
        position = follow.end()
    return position


def statements(sql: str, dialect: str) -> Iterator[Statement]:
    """The statements of a text, cut at each semicolon that ends one; empty ones are left out."""
    make: Callable[[], _Extent] = _SqliteExtent if dialect == "sqlite" else _PostgresqlExtent
    extent = make()
    start = 0
    for token in tokens(sql, dialect):
        if token.kind == SEMICOLON and extent.complete():
            if extent.tokens:
                yield Statement(extent.tokens, start, token.start)
            extent = make()
            start = token.end
        else:
            extent.add(token)
    if extent.tokens:
        yield Statement(extent.tokens, start, len(sql))


class _Extent:
    """The tokens of a statement so far, and whether a semicolon now would end it."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []

    def add(self, token: Token) -> None:
        self.tokens.append(token)

    def complete(self) -> bool:
        return True


class _PostgresqlExtent(_Extent):
    """Semicolons also stand in parentheses (CREATE RULE) and in BEGIN ATOMIC ... END of a routine, as psql has it."""

    def __init__(self) -> None:
        super().__init__()
        self._parentheses = 0
        self._blocks = 0
        self._previous = ""

    def add(self, token: Token) -> None:
        self.tokens.append(token)
        kind = token.kind
        if kind == OPEN:
            self._parentheses += 1
        elif kind == CLOSE:
            self._parentheses = max(0, self._parentheses - 1)
        elif kind == WORD:
            self._count_blocks(token.text)
        # What follows AS or a dot is a name.
        self._previous = token.text if kind == WORD else token.text.rstrip()[-1:] if kind == FILLER else ""

    def _count_blocks(self, word: str) -> None:
        if self._blocks:
            if self._previous in ("AS", "."):
                return
            if word == "CASE":
                self._blocks += 1
            elif word == "END":
                self._blocks -= 1
        elif word == "ATOMIC" and self._previous == "BEGIN" and _creates(self.tokens, {"FUNCTION", "PROCEDURE"}):
            self._blocks = 1

    def complete(self) -> bool:
        return not self._parentheses and not self._blocks


class _SqliteExtent(_Extent):
    """A trigger ends with `; END ;` and nothing less (as sqlite3_complete has it)."""

    def complete(self) -> bool:
        if not _creates(self.tokens, {"TRIGGER"}):
            return True
        return len(self.tokens) > 2 and self.tokens[-1].text == "END" and self.tokens[-2].kind == SEMICOLON


_BETWEEN = {"EXPLAIN", "QUERY", "PLAN", "CREATE", "OR", "REPLACE", "TEMP", "TEMPORARY"}


def _creates(found: list[Token], what: set[str]) -> bool:
    """Whether the statement begins with CREATE, perhaps OR REPLACE or TEMP, and one of these words."""
    for number, token in enumerate(found[:7]):
        if token.kind != WORD or token.text not in _BETWEEN:
            return number > 0 and token.text in what and any(one.text == "CREATE" for one in found[:number])
    return False
