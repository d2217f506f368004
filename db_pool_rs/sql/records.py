"""Whether rows of a text may hold records without a type of their own, as `ROW(1, 'a')`: :func:`may_have_records`.

Such a column is read in binary, so that a text which may have one is not run before the server was asked for its types.
No table or view has one: it comes of a row constructor, a function, or the name of a subquery, of VALUES or of a common
table expression, and all of these have parentheses. So a text without any has none, nor has one with no others than
those of well-known functions and of lists behind IN, unless rows are numbered (WITH ORDINALITY). Comments and strings
are not told apart: a round trip too many when a text is new harms nothing.
"""

from __future__ import annotations

import re
from functools import lru_cache

#: Before a parenthesis they begin nothing that is a record.
_PLAIN = frozenset((
    "ABS", "ALL", "ANY", "ARRAY_AGG", "AVG", "BOOL_AND", "BOOL_OR", "CEIL", "CHAR", "CHARACTER", "COALESCE",
    "CONCAT", "COUNT", "CURRENT_DATABASE", "CURRENT_SCHEMA", "CURRENT_SETTING", "CURRVAL", "DATE_PART",
    "DATE_TRUNC", "DECIMAL", "EXISTS", "EXTRACT", "FLOOR", "FORMAT", "GEN_RANDOM_UUID", "GENERATE_SERIES",
    "GREATEST", "IN", "JSONB_BUILD_OBJECT", "JSON_AGG", "JSONB_AGG", "JSON_BUILD_OBJECT", "LASTVAL", "LEAST",
    "LENGTH", "LOWER", "MAX", "MD5", "MIN", "MOD", "NEXTVAL", "NOW", "NULLIF", "NUMERIC", "OVER",
    "PG_ADVISORY_LOCK", "PG_ADVISORY_UNLOCK", "PG_ADVISORY_XACT_LOCK", "PG_BACKEND_PID", "PG_NOTIFY", "PG_SLEEP",
    "PG_TRY_ADVISORY_LOCK", "RANDOM", "REPEAT", "REPLACE", "ROUND", "ROW_NUMBER", "SET_CONFIG", "SETVAL",
    "STRING_AGG", "SUBSTR", "SUBSTRING", "SUM", "TIMESTAMP", "TO_CHAR", "TO_JSON", "TO_JSONB", "TO_REGCLASS",
    "TRIM", "TXID_CURRENT", "UPPER", "VALUES", "VARCHAR", "VERSION",
))  # fmt: skip
_QUERIES = frozenset(("SELECT", "VALUES", "TABLE", "WITH"))
_CHANGES = frozenset(("INSERT", "UPDATE", "DELETE", "MERGE"))
#: On one line: what stands at the end of a comment is no name of what follows.
_opened = re.compile(r"([\w$.]*)[ \t]*\(").finditer
_returning = re.compile(r"\bRETURNING\b", re.IGNORECASE).search
#: The commands of cursors: of this package's own cursors, `pool.cursor` says by FROM that they have none.
_without = re.compile(r'FETCH FORWARD \d+ FROM "db_pool_rs_cursor_').match


@lru_cache(maxsize=1024)
def may_have_records(sql: str, command: str) -> bool:
    """Whether a statement that begins with this command may have a column of records, for all that its text tells."""
    if command == "FETCH":
        return _without(sql) is None
    if command in _CHANGES:
        returning = _returning(sql)
        if returning is None:
            return False
        return _has_more(sql, returning.end() if command == "INSERT" else 0)
    return command in _QUERIES and _has_more(sql, 0)


def _has_more(sql: str, start: int) -> bool:
    return "ORDINALITY" in sql.upper() or any(
        found[1].upper().removeprefix("PG_CATALOG.") not in _PLAIN for found in _opened(sql, start)
    )
