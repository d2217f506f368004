"""Statements as traces and views may show them: without values.

Literals (strings in every form, numbers) become `?`, comments go; parameters (`$1`), identifiers and keywords stay. A
quote that is never closed ends with the text: what cannot be told is taken for a literal. So is, in SQLite, a text in
double quotes, which is a string where no column has that name, unless it stands where only a name can.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: Characters of a text that are shown.
SHOWN = 2000

_PIECES = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*(?:.*?)(?:\*/|\Z) )
  | (?P<kept> "[^"]*(?:""[^"]*)*"? | `[^`]*`? | \$\d+ | :: )
  | (?P<literal>
        [eE]'(?:[^'\\]|\\.|'')*(?:'|\Z)
      | (?:[bBxXnN]|[uU]&)?'(?:[^']|'')*(?:'|\Z)
      | \$(?P<tag>[^\W\d]\w*|)\$.*?(?:\$(?P=tag)\$|\Z)
      | (?<![\w$])(?:\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d\w*)
    )
  | (?P<word> [^\W\d][\w$]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_SQLITE = re.compile(
    r"""
    (?P<comment> --[^\n]* | /\*(?:.*?)(?:\*/|\Z) )
  | (?P<kept>
        `[^`]*`? | \[[^\]]*\]? | [?:@$][\w$]+
      | (?:(?<![\w$])(?i:FROM|JOIN|INTO|UPDATE|TABLE|EXISTS|INDEX|VIEW|TRIGGER|COLUMN|REFERENCES|AS)\s+|\.\s*)
        "[^"]*(?:""[^"]*)*"?
      | "[^"]*(?:""[^"]*)*"(?=\s*\.)
    )
  | (?P<literal>
        [xX]?'(?:[^']|'')*(?:'|\Z)
      | "[^"]*(?:""[^"]*)*"?
      | (?<![\w$])(?:\d[\w.]*(?:(?<=[eE])[+-]\d+)?|\.\d\w*)
    )
  | (?P<word> [^\W\d][\w$]* )
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s+")


@lru_cache(1024)
def without_values(sql: str, dialect: str = "postgresql") -> str:
    """The statement with `?` for every literal, on one line."""
    pieces = _SQLITE if dialect == "sqlite" else _PIECES
    text = pieces.sub(lambda found: "?" if found["literal"] else "" if found["comment"] else found[0], sql)
    return _SPACE.sub(" ", text).strip()[:SHOWN]
