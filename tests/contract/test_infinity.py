"""Infinite dates and timestamps: an error, or the first and last that Python has, by an option."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest

from db_pool_rs import Range
from db_pool_rs.errors import DecodeError

UTC = timezone.utc
#: Type, what its infinite values are read as, and another value.
ENDS = {
    "date": (date.min, date.max, date(2024, 5, 1)),
    "timestamp": (datetime.min, datetime.max, datetime(2024, 5, 1, 12, 30)),
    "timestamptz": (
        *(datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2024, 5, 1, 12, tzinfo=UTC)),
    ),
}
RANGES = {"date": "daterange", "timestamp": "tsrange", "timestamptz": "tstzrange"}


@pytest.mark.parametrize("kind", ENDS)
async def test_clamped_wherever_they_are(open_pool: Any, pg_database: str, pg_server: Any, kind: str) -> None:
    pg_server.sql(f"CREATE TYPE stay AS (since {kind}, days {kind}[])", "contract")
    pool = await open_pool(pg_database, max_size=2, infinity="clamp")
    first, last, usual = ENDS[kind]
    text = usual.isoformat()
    for _ in range(3):
        row = await pool.fetchrow(f"SELECT '-infinity'::{kind} AS a, 'infinity'::{kind} AS b, '{text}'::{kind} AS c")
        assert row == (first, last, usual)
        assert await pool.fetchval(f"SELECT ARRAY['infinity', NULL, '{text}']::{kind}[]") == [last, None, usual]
        assert await pool.fetchval(f"SELECT '[-infinity,infinity)'::{RANGES[kind]}") == Range(first, last)
        stay = await pool.fetchval(f"SELECT ('infinity', ARRAY['-infinity'::{kind}])::stay")
        assert stay == (last, [first])
        assert await pool.fetchval(f"SELECT $1::{kind}", usual) == usual
        assert await pool.fetchval(f"SELECT isfinite($1::{kind})", last) is True, "what is sent is what it is"
        with pytest.raises(DecodeError):
            await pool.fetchval(f"SELECT '10000-01-01'::{kind}")
    assert pool.stats().lost == 0


@pytest.mark.parametrize("kind", ENDS)
async def test_errors_by_default(pg_pool: Any, kind: str) -> None:
    for value in ("infinity", "-infinity"):
        with pytest.raises(DecodeError, match="v"):
            await pg_pool.fetchval(f"SELECT '{value}'::{kind} AS v")
