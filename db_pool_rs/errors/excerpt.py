"""What an error shows of the statement: the line at fault with a caret, and what helps against common mistakes.

A statement's text may hold values that the program wrote into it, but never its arguments. A text with a password is
not shown at all.
"""

from __future__ import annotations

import re
from unicodedata import combining, east_asian_width

from .redact import redact

#: Columns of a line that are shown.
WIDTH = 72
_PASSWORD = re.compile(r"\bpassword\b[\s=(,]*(?:[eEnN]|[uU]&)?['$]", re.IGNORECASE)


def excerpt(sql: str, position: int) -> list[str]:
    """Two lines: the one of `sql` in which the character of that number stands (from 1), and a caret below it."""
    index = position - 1
    if not 0 <= index <= len(sql) or _PASSWORD.search(sql) or redact(sql) != sql:
        return []
    start = sql.rfind("\n", 0, index) + 1
    end = sql.find("\n", index)
    line = sql[start : len(sql) if end < 0 else end].rstrip()
    column = min(index - start, len(line))
    first = max(0, min(column - WIDTH // 2, len(line) - WIDTH))
    shown = "".join(one if one.isprintable() else " " for one in line[first : first + WIDTH])
    number = sql.count("\n", 0, start) + 1
    head = f"LINE {number}: {'...' if first else ''}"
    tail = "..." if first + WIDTH < len(line) else ""
    before = len(head) + _columns(shown[: column - first])
    return [f"{head}{shown}{tail}", " " * before + "^"]


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(one) else 2 if east_asian_width(one) in "WF" else 1 for one in text)


_PLACEHOLDERS = "parameters are $1, $2, ..., or :name with a mapping; not {}"
#: What stands before the position, what stands at it, and what helps.
_MISTAKES = [
    ("", r"%s|%\(\w+\)s", _PLACEHOLDERS.format("%s")),
    (r"%\Z", r"s\b", _PLACEHOLDERS.format("%s")),
    (r"\?\s*\Z", r"", _PLACEHOLDERS.format("?")),
    ("", r"\?", _PLACEHOLDERS.format("?")),
    ("", r"@[^\W\d]", _PLACEHOLDERS.format("@name")),
    ("", r"\$[^\W\d]", _PLACEHOLDERS.format("$name")),
    (r"\bNOT\s+IN\s*\Z", r"\$\d", "a list is one argument for an array: write <> ALL({})"),
    (r"\bIN\s*\Z", r"\$\d", "a list is one argument for an array: write = ANY({})"),
    (r"\b(?:ANY|SOME|ALL)\s*\Z", r"\$\d", "the parameter belongs into parentheses: ({})"),
]
_PARAMETER = re.compile(r"\$\d+")
#: A syntax error, a column and an operator that do not exist.
_STATES = frozenset(("42601", "42703", "42883"))


def advice(sqlstate: str | None, sql: str, position: int) -> str | None:
    """What helps, if the place at fault shows one of the common mistakes."""
    if sqlstate not in _STATES:
        return None
    before, after = sql[max(0, position - 100) : position - 1], sql[position - 1 :]
    for behind, ahead, text in _MISTAKES:
        if re.match(ahead, after) and re.search(behind, before, re.IGNORECASE):
            parameter = _PARAMETER.match(after)
            return text.format(parameter[0]) if parameter else text
    return None


_STRAY = re.compile(
    r"""'[^']*'?|"[^"]*"?|`[^`]*`?|\[[^\]]*\]?|--[^\n]*|/\*.*?(?:\*/|\Z)"""
    r"|(?P<found>%s\b|%\(\w+\)s\b|\?(?!\d)|[@$][^\W\d]\w*)",
    re.DOTALL,
)


def stray_placeholder(sql: str) -> str | None:
    """What helps where a text without parameters is given arguments: it may have placeholders of another kind."""
    found = next((match["found"] for match in _STRAY.finditer(sql) if match["found"]), None)
    if found is None:
        return None
    kind = "%s" if found[0] == "%" else f"{found[0]}name" if found[0] in "@$" else found
    return _PLACEHOLDERS.format(kind)


def with_advice(message: str, sql: str | None) -> str:
    """The message of an error about the number of arguments, with what helps if it was meant otherwise."""
    helps = stray_placeholder(sql) if sql else None
    return f"{message}; {helps}" if helps else message


_NEAR_PARAMETER = re.compile(r"near \"\?\d+\": syntax error")
_IN_PARAMETER = re.compile(r"\b(NOT\s+)?IN\s*(\$\d+)", re.IGNORECASE)


def sqlite_advice(message: str, sql: str) -> str | None:
    """What helps against a message of SQLite's, which tells no position."""
    found = _IN_PARAMETER.search(sql) if _NEAR_PARAMETER.match(message) else None
    return found and f"IN takes no list as a parameter: write IN (SELECT value FROM json_each({found[2]}))"
