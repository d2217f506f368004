"""What matters in the body of a function: words, and names of the server's own functions (rule 8.1).

A body is read without its grammar, by its words outside strings and comments. In doubt a word matters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from ..sql.functions import LEAVES_STATE, READS_STATE, RUNS_ALONE, RUNS_TEXT, is_among

#: Further functions of the server's own.
_ALSO = ("txid_*", "pg_my_temp_schema", "table_to_xml*", "schema_to_xml*", "database_to_xml*")
#: Words that matter wherever they stand; `execute` is dynamic SQL, a `refcursor` has a name that tells how many were.
_ANYWHERE = frozenset(("execute", "constraints", "pg_temp", "refcursor", "xmin", "xmax", "cmin", "cmax"))
#: Commands that matter where a statement begins. (UPDATE ... SET is another SET.)
_COMMANDS = frozenset(
    ("set", "reset", "notify", "listen", "unlisten", "discard", "load", "prepare", "deallocate", "do")
)
_KEYWORDS = _COMMANDS | {"execute", "constraints", "temp", "temporary"}
#: What ends with the transaction at the latest, or only reads: of all that matters, the rest may stay on the session.
_PASSING = frozenset(("constraints", "refcursor", "xmin", "xmax", "cmin", "cmax", "notify"))
_OF_TRANSACTION = frozenset(("local", "constraints", "transaction"))
_BEGINS = frozenset((";", "begin", "then", "else", "loop"))
_TEMPORARY = frozenset(("temp", "temporary"))
_MAKES = frozenset(("create", "replace", "local", "global", "into"))
_WRITES = frozenset(("insert", "update", "delete", "merge", "truncate", "call"))

#: Extensions whose VOLATILE functions in C cannot notice anything, and are as good as the server's own. Extensions that
#: keep state on the session, or run SQL, are not among them.
HARMLESS = frozenset((
    "autoinc", "btree_gin", "btree_gist", "citext", "cube", "earthdistance", "fuzzystrmatch", "hstore",
    "insert_username", "intarray", "ltree", "moddatetime", "pgcrypto", "seg", "tsm_system_rows", "tsm_system_time",
    "unaccent", "uuid-ossp", "vector",
))  # fmt: skip

_TOKEN = re.compile(
    r"--[^\n\r]*|/\*(?s:.*?)\*/|\b[eE]'[^'\\]*(?:(?:\\(?s:.)|'')[^'\\]*)*'|'[^']*'"
    r'|"((?:[^"]|"")*)"|([A-Za-z_\x80-\U0010ffff][\w$]*)|(;)'
)


#: The server's functions that matter: by name, and by how their names begin.
_NAMES = (*LEAVES_STATE, *READS_STATE, *RUNS_ALONE, *RUNS_TEXT, *_ALSO)
_EXACT = frozenset(name for name in _NAMES if name[-1] != "*")
_BEGINNINGS = tuple(name[:-1] for name in _NAMES if name[-1] == "*")


def server_functions() -> tuple[list[str], list[str]]:
    """The names that matter, and patterns of LIKE for others, as the server takes them."""
    return sorted(_EXACT), [beginning.replace("_", r"\_") + "%" for beginning in _BEGINNINGS]


def fold(word: str) -> str:
    """An identifier without quotes as the server looks it up; its own letters only are folded."""
    return word.lower() if word.isascii() else re.sub("[A-Z]+", lambda match: match[0].lower(), word)


def words(body: str) -> Iterator[str]:
    """The words, quoted names and semicolons of a body."""
    for quoted, word, semicolon in _TOKEN.findall(body):
        if word:
            yield fold(word)
        elif quoted or semicolon:
            yield quoted.replace('""', '"') or semicolon


class Body(NamedTuple):
    """The names in a function's body, the first of its words that matters, whether it may change rows, and whether it
    may leave something on the session."""

    names: frozenset[str]
    reason: str | None
    writes: bool
    lasts: bool


def read_body(body: str) -> Body:
    """What the words of a function's body tell."""
    found, reason, lasts, previous = list(words(body)), None, False, ";"
    for word, following in pairwise([*found, ";"]):
        if word != ";" and _matters(word, previous):
            reason = reason or (word.upper() if word in _KEYWORDS else word)
            lasts = lasts or not (is_passing(word) or (word == "set" and following in _OF_TRANSACTION))
        previous = word
    names = frozenset(found) - {";"}
    return Body(names, reason, not names.isdisjoint(_WRITES), lasts)


def is_passing(name: str) -> bool:
    """Whether what matters leaves nothing on the session for certain; in doubt it does."""
    return (
        name in _PASSING
        or name.startswith("deferred constraint trigger ")
        or is_among(name, (*RUNS_ALONE, *READS_STATE, "txid_*"))
    )


def _matters(word: str, previous: str) -> bool:
    if word in _ANYWHERE:
        return True
    if word in _COMMANDS:
        return previous in _BEGINS
    if word in _TEMPORARY:
        return previous in _MAKES
    return word in _EXACT or word.startswith(_BEGINNINGS)
