"""Values of every type as parts of others, two deep: in composites, arrays, domains, ranges, and these in each other.

What comes out of a part is what comes out of the type alone (see `test_own_text`), from every engine; what came out
goes in, and PostgreSQL's own text of it is the same. asyncpg, which knows such types in binary, reads the same.
"""

from __future__ import annotations

from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from db_pool_rs import Range
from tests.cross.test_own_text import TYPES
from tests.cross.test_values import NOT_ASYNCPG, for_all

FEW = settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
#: Types without an order, of which there are no ranges.
UNORDERED = ("json", "xml", "point", "box", "jsonpath", "money")
#: Where asyncpg has another idea of a type: its own classes, other numbers of decimals, other bounds of time zones.
OTHER_OPINIONS = (
    *(*NOT_ASYNCPG, "numeric", "timestamptz", "inet", "cidr", "bit(3)", "varbit", "point", "box", "tid", "pg_lsn"),
    *("xid8", '"char"', "macaddr", "money", "tsvector", "xml", "jsonpath"),
)
SQL = """
DO $$BEGIN
  CREATE DOMAIN own AS {name};
  CREATE TYPE span AS RANGE (subtype = {bound});
  CREATE TYPE part AS (one {name}, many {name}[], own own, owns own[], span span, spans span[]);
  CREATE TYPE whole AS (part part, parts part[], "a field" text);
END$$
"""


def plain(value: Any) -> Any:
    """Records as tuples, and other packages' ranges as ours."""
    if isinstance(value, (tuple, asyncpg.Record)):
        return tuple(plain(one) for one in value)
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, asyncpg.Range):
        return Range(
            value.lower, value.upper, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty
        )
    return value


def whole(known: list[Any], ranged: bool) -> tuple[Any, ...]:
    """A value of the type `whole`; `known` came out of the type alone."""
    first, last = known[0], known[-1]
    span = Range(first, None, lower_inc=False) if ranged else Range(1, 5)
    spans = [Range(first, first, upper_inc=True) if ranged else Range(7, None), None, Range(empty=True)]
    part = (first, [*known, None], last, known, span, spans)
    return part, [part, None, (None, [], None, [], None, [])], 'a "text"'


async def _check(pools: dict[str, Any], other: Any, name: str, value: Any) -> None:
    texts = set()
    for engine, pool in pools.items():
        for sql in ("SELECT $1::whole AS value", "SELECT $1::whole AS value, 7 AS seven"):
            found = await pool.fetchval(sql, value)
            assert repr(plain(found)) == repr(value), engine
        assert repr(plain((await pool.fetchval("SELECT ARRAY[$1::whole, NULL]", found))[0])) == repr(value), engine
        texts |= {await pool.fetchval("SELECT $1::whole::text", one) for one in (value, found)}
    assert len(texts) == 1
    if name not in OTHER_OPINIONS:
        theirs = await other.fetchval("SELECT $1::text::whole", texts.pop())
        assert plain(theirs) == value or repr(plain(theirs)) == repr(value)


@pytest.mark.parametrize("name", TYPES)
async def test_values_two_deep(pools: dict[str, Any], pg_database: str, name: str) -> None:
    first = next(iter(pools.values()))
    await first.execute(SQL.format(name=name, bound="int4" if name in UNORDERED else name))
    other = await asyncpg.connect(pg_database)
    alone = f"SELECT $1::{name}"
    values = st.lists(TYPES[name].values, min_size=1, max_size=3)

    async def check(some: list[Any]) -> None:
        known = [await first.fetchval(alone, value) for value in some]
        await _check(pools, other, name, whole(known, name not in UNORDERED))

    try:
        await for_all(values, check, FEW)
    finally:
        await other.close()
