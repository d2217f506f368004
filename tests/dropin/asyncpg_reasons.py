"""Why tests of asyncpg's own fail with `db_pool_rs.asyncpg` that pass with asyncpg."""

from __future__ import annotations

import re

#: Patterns of `file.class.test`, and the reason.
REASONS: tuple[tuple[str, str], ...] = ()


def reason(name: str) -> str | None:
    """The reason for a test; None if there is none."""
    return next((text for pattern, text in REASONS if re.match(pattern, name)), None)
