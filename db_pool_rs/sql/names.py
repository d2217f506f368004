"""The names in an SQL text, as PostgreSQL looks them up: what the guard compares with its own."""

from __future__ import annotations

import re
from typing import NamedTuple

from .lexer import BROKEN, NAME, OPEN, UNICODE_NAME, WORD, tokens

#: The name of a text in :class:`Names` whose names cannot all be read: `U&"..."`.
UNREADABLE = "U&"
#: The name that stands for every text; and that of event triggers, which is that of what sets them off.
EVERY, ANY_DDL = "*", "any DDL"
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
