"""Why tests of asyncpg's own fail with `db_pool_rs.asyncpg` that pass with asyncpg."""

from __future__ import annotations

import re

_INSIDES = "look at private attributes and functions of asyncpg (`_protocol`, `_holders`, `_stmt_cache` ...)"
_WORDS = "the same error, in other words or of another class (several are InterfaceError here)"
_UNSUPPORTED = "not supported, and says so: binary and tuple codecs, names of prepared statements, `connect=`"
_ANY = ".*"

#: Patterns of `file.class.test` and of what it says, and the reason; the first that fits counts.
REASONS: tuple[tuple[str, str, str], ...] = (
    (
        _ANY,
        r".*(has no attribute '_|does not have the attribute '_|BUILTIN_TYPE_OID_MAP|has no attribute 'mock)",
        _INSIDES,
    ),
    (_ANY, r"failed: NotImplementedError", _UNSUPPORTED),
    (_ANY, r"failed: AssertionError: .* does not match ", _WORDS),
)


def reason(name: str, said: str) -> str | None:
    """The reason for a test that says so; None if there is none."""
    fitting = (why for test, text, why in REASONS if re.match(test, name) and re.match(text, said, re.DOTALL))
    return next(fitting, None)
