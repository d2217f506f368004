"""Why tests of SQLAlchemy's fail with our dialects that do not fail with its own drivers."""

from __future__ import annotations

import re

_OF_ASYNCPG = "tests of asyncpg itself (its codecs, its caches, the words of its errors, calls of a mock of it)"
_BITS = "a value is asyncpg's `BitString`; bits are `str` here"
_STRINGS = "sets `standard_conforming_strings` to off, which a pool refuses: it could not tell strings from code"
_WORKS = "a list as the argument of `json_to_recordset`, which is expected to fail, and works here"
_SESSION = "grouped only: temporary tables, or a `search_path`, beyond a transaction"
_FUNCTIONS = "regular expressions, which need functions in Python"
_AT_ONCE = "a cursor of SQLite's that has not read all its rows; they are all read at once here"
_ATTACHED = "attaches the file of the transaction to itself; CREATE TABLE is a part of the transaction here"
_TYPES = "`detect_types` of the module `sqlite3`"

#: Patterns of `module.class.test`, and the reason.
REASONS = (
    (r"test_async_pg\.", _OF_ASYNCPG),
    (r"test_dialect\.MiscBackendTest\.test_asyncpg_transactional_ping", _OF_ASYNCPG),
    (r"test_types\.PGInsertManyValuesTest\.test_imv_returning_datatypes\[.*-BIT\]", _BITS),
    (r"test_dialect\.MiscBackendTest\.test_backslash_escapes_detection", _STRINGS),
    (r"test_query\.TableValuedRoundTripTest\.test_render_derived_quoting_straight_json\[None", _WORKS),
    (r"test_suite\.ComponentReflectionTest\.test_get_multi_.*(TEMPORARY|Scope\.ANY)", _SESSION),
    (r"test_suite\.\w+\.test_(get|has|reflect)_\w*temp_(table|view)", _SESSION),
    (r"test_suite\.(Future)?WeCanSetDefaultSchemaWEventsTest\.", _SESSION),
    (r"test_suite\.LikeFunctionsTest\.test_(not_)?regexp_match", _FUNCTIONS),
    (r"test_suite\.ServerSideCursorsTest\.", _AT_ONCE),
    (r"test_reflection\.KeywordInDatabaseNameTest\.", _ATTACHED),
    (r"test_types\.TestTypes\.test_native_datetime", _TYPES),
)


def reason(name: str, grouped: bool) -> str | None:
    """The reason for a test, with a dialect that is `grouped` or not; None if there is none."""
    fitting = (text for pattern, text in REASONS if (grouped or text is not _SESSION) and re.match(pattern, name))
    return next(fitting, None)
