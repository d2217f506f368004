"""Sessions whose search path is not that of the pool's other connections: there the same text means other tables.

What the server tells of a text is kept for the pool, by the text. A session that has changed its search path by a
statement of its own neither uses nor feeds that: the server is asked on each call (one round trip more where there are
arguments), and nothing is prepared under a name. What every connection has from its start, by `server_settings`,
`options`, `init`, the role or the database, is the pool's own. A change that a function hides is not seen.
"""

from __future__ import annotations

import re
from enum import Enum

from ..scheduler.cost import Query

#: What the path is made of: the setting, SET SCHEMA, and the role, which is its "$user".
_CHANGES = re.compile(
    r"search_path|set_config\s*\(\s*\$|\bRESET\s+ALL\b|\bDISCARD\s+ALL\b"
    r"|\b(?:SET|RESET)\s+(?:(?:SESSION|LOCAL)\s+)?(?:SCHEMA|ROLE|SESSION\s+AUTHORIZATION|AUTHORIZATION)\b",
    re.IGNORECASE,
)
_LOCAL = re.compile(r"\s*SET\s+LOCAL\s[^;]*;?\s*", re.IGNORECASE)


class Stray(Enum):
    """For how long a session may see other tables and types."""

    LOCAL = "until the transaction ends"
    SESSION = "until it is given back"


def stray(sql: str) -> Stray | None:
    """What a text does to the search path, as far as it can be seen in it."""
    if _CHANGES.search(sql) is None:
        return None
    return Stray.LOCAL if _LOCAL.fullmatch(sql) else Stray.SESSION


def unshared(text: Query) -> Query:
    """The same text, of which nothing is known yet, for one call."""
    own = Query(text.sql, text.lexical, groupable=False)
    own.kind, own.dirties, own.own = text.kind, text.dirties, True
    return own
