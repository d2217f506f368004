"""Ranges and multiranges, both ways: `db_pool_rs.Range` in every engine."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range as PsycopgRange

from db_pool_rs import Range
from db_pool_rs.errors import ArgumentError

UTC = timezone.utc
MOMENT = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
#: Type, a range that the server does not write another way, and one that has no bounds or is empty.
RANGES: list[tuple[str, Range[Any], Range[Any]]] = [
    ("int4range", Range(-1, 5), Range(None, 7)),
    ("int8range", Range(2**40, 2**41), Range(None, None)),
    ("numrange", Range(Decimal("1.50"), Decimal("2.5"), upper_inc=True), Range(Decimal(1), None, lower_inc=False)),
    ("daterange", Range(date(1, 1, 1), date(2024, 5, 1)), Range(empty=True)),
    ("tsrange", Range(datetime(2024, 5, 1, 12, 30), datetime(9999, 12, 31), lower_inc=False), Range(empty=True)),
    ("tstzrange", Range(MOMENT, MOMENT + timedelta(days=1, microseconds=1)), Range(None, MOMENT, upper_inc=True)),
]


@pytest.fixture
async def ranged(open_pool: Any, pg_database: str) -> Any:
    return await open_pool(pg_database, max_size=2, server_settings={"TimeZone": "UTC"})


async def _same(pool: Any, kind: str, value: Any) -> None:
    """As an argument and a result: for the first time in text, then in binary, and beside a column without binary."""
    literal = await pool.fetchval(f"SELECT $1::{kind}::text", value)
    sql = f"SELECT '{literal}'::{kind} AS value"
    for _ in range(3):
        assert repr(await pool.fetchval(sql)) == repr(value)
        assert repr(await pool.fetchval(f"SELECT $1::{kind} AS value", value)) == repr(value)
        row = await pool.fetchrow(f"SELECT $1::{kind} AS value, '(1,2)'::point AS beside", value)
        assert repr(row["value"]) == repr(value)


@pytest.mark.parametrize(("kind", "one", "other"), RANGES, ids=lambda case: case if isinstance(case, str) else "")
async def test_ranges_go_in_as_they_come_out(ranged: Any, kind: str, one: Range[Any], other: Range[Any]) -> None:
    for value in (one, other):
        await _same(ranged, kind, value)
    await _same(ranged, f"{kind}[]", [one, None, other])
    await _same(ranged, f"{kind}[]", [[one], [other]])
    await _same(ranged, f"{kind}[]", [])


@pytest.mark.parametrize(("kind", "one"), [case[:2] for case in RANGES], ids=[case[0] for case in RANGES])
async def test_multiranges_are_lists(ranged: Any, kind: str, one: Range[Any]) -> None:
    multi = kind.replace("range", "multirange")
    for value in ([], [one], [Range(None, None)]):
        await _same(ranged, multi, value)
    await _same(ranged, f"{multi}[]", [[one], [], None])
    await _same(ranged, f"{multi}[]", [[[one], []], [[], None]])
    assert await ranged.fetchval(f"SELECT $1::{multi}", (one, Range(empty=True))) == [one]


async def test_ranges_of_other_packages_are_taken(ranged: Any) -> None:
    for value in (PsycopgRange(1, 5, "[)"), asyncpg.Range(1, 5), "[1,5)", "[1,4]"):
        assert await ranged.fetchval("SELECT $1::int4range", value) == Range(1, 5)
        assert await ranged.fetchval("SELECT $1::int4range[]", [value]) == [Range(1, 5)]
        assert await ranged.fetchval("SELECT $1::int4multirange", [value]) == [Range(1, 5)]
    assert await ranged.fetchval("SELECT $1::int4multirange", Multirange([PsycopgRange(1, 5)])) == [Range(1, 5)]
    assert await ranged.fetchval("SELECT $1::int4range", PsycopgRange(empty=True)) == Range(empty=True)


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("int4range", Range("1", 5), "bound: int from .* expected, got str '1'"),
        ("int4range", 5, r"int4range expected \(Range of int .*, or str\), got int 5"),
        ("int4range", (1, 5), "int4range expected"),
        ("tstzrange", Range(datetime(2024, 1, 1), None), "bound: datetime with time zone expected"),
        ("int4range[]", [Range(1, 2.5)], "element 1: int4range"),
        ("int4multirange", Range(1, 5), "int4multirange expected"),
        ("int4multirange", [Range(1, 5), 7], "int4multirange expected"),
    ],
)
async def test_what_is_no_range_is_refused(ranged: Any, kind: str, value: Any, reason: str) -> None:
    for _ in range(2):
        with pytest.raises(ArgumentError, match=reason):
            await ranged.fetchval(f"SELECT $1::{kind}", value)
    assert ranged.stats().lost == 0
