"""Values of every built-in type, alone and two deep (arrays of composites of composites with arrays), go in as they
come out: in every engine, and as psycopg reads them.

Hypothesis makes the values; those of one type are sent together.
"""

from __future__ import annotations

import math
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range as PsycopgRange

from db_pool_rs import Range, create_pool
from db_pool_rs.types import oids
from tests.contract.values import VALUES, WITHOUT

EXAMPLES = 12
NAMES = list(VALUES)
#: Each type `T` in a composite, beside an array of it, and that one in another, beside an array of it.
SCHEMA = "\n".join(
    f"CREATE TYPE one_{n} AS (v {name}, vs {name}[]); CREATE TYPE two_{n} AS (o one_{n}, os one_{n}[]);"
    f"CREATE TABLE t_{n} (n serial, v {name}, vs {name}[], two two_{n}[]);"
    for n, name in enumerate(NAMES)
)


def drawn(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """Values of a strategy; Hypothesis begins with the smallest."""
    found: list[Any] = []

    @settings(max_examples=EXAMPLES, phases=[Phase.generate], database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def collect(value: Any) -> None:
        found.append(value)

    collect()
    return found


def rows_of(values: list[Any]) -> list[tuple[Any, Any, Any]]:
    """Each value alone, in an array, and two deep."""
    beside = [*values[1:], values[0]]
    return [
        (one, [one, None, other], [((one, [one, other]), [(other, []), None, (None, [None])]), None])
        for one, other in zip(values, beside, strict=True)
    ]


def alike(found: Any, wanted: Any) -> bool:
    """Equal, of equal types, -0.0 told apart from 0.0."""
    if isinstance(wanted, (list, tuple)):
        kinds = (list,) if isinstance(wanted, list) else (tuple,)
        return isinstance(found, kinds) and len(found) == len(wanted) and all(map(alike, found, wanted))
    if isinstance(wanted, float):
        return isinstance(found, float) and found == wanted and math.copysign(1, found) == math.copysign(1, wanted)
    return type(found) is type(wanted) and bool(found == wanted)


def test_the_whole_table_is_there() -> None:
    assert {row.name for row in oids.BUILTIN} == VALUES.keys() | WITHOUT.keys()


#: What psycopg reads otherwise, and why we do not.
PSYCOPG = {
    "pg_snapshot": "it does not know the type, so that an array of it is one text; elsewhere text is what it is here",
}


async def test_values_come_out_as_they_went_in(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    pg_server.sql(SCHEMA, "contract")
    pool = await open_pool(pg_database, max_size=2)
    for n, name in enumerate(NAMES):
        rows = rows_of(drawn(VALUES[name]))
        sql = f"INSERT INTO t_{n} (v, vs, two) VALUES ($1, $2, $3) RETURNING v, vs, two"
        for row in rows:
            got = await pool.fetchrow(sql, *row)
            assert alike(tuple(got), row), f"{name}: {got!r} instead of {row!r}"
        for columns in ("v", "vs", "two", "v, vs, two"):  # each in the format that suits it
            wanted = [row if "," in columns else (row[("v", "vs", "two").index(columns)],) for row in rows]
            found = await pool.fetch(f"SELECT {columns} FROM t_{n} ORDER BY n")
            assert alike([tuple(one) for one in found], wanted), f"{columns} of {name}"
        async with pool.acquire() as connection:
            await connection.execute(f"TRUNCATE t_{n}")
            await connection.copy_records_to_table(f"t_{n}", records=rows, columns=["v", "vs", "two"])
        found = await pool.fetch(f"SELECT v, vs, two FROM t_{n} ORDER BY n")
        assert alike([tuple(one) for one in found], rows), f"COPY of {name}"


@pytest.fixture
async def filled(pg_database: str, pg_server: Any) -> dict[str, list[tuple[Any, ...]]]:
    """What is in the tables."""
    pg_server.sql(SCHEMA, "contract")
    held: dict[str, list[tuple[Any, ...]]] = {}
    async with create_pool(pg_database, mode="simple") as pool, pool.acquire() as connection:
        for n, name in enumerate(NAMES):
            held[name] = list(rows_of(drawn(VALUES[name])))
            await connection.copy_records_to_table(f"t_{n}", records=held[name], columns=["v", "vs", "two"])
    return held


def ours(value: Any) -> Any:
    """A value of psycopg's, its structure made ours; what it is made of stays."""
    if isinstance(value, PsycopgRange):
        bounds = value.lower, value.upper
        return Range(*bounds, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty)
    if isinstance(value, (list, Multirange)):
        return [ours(item) for item in value]
    if isinstance(value, tuple):
        return tuple(ours(item) for item in value)
    return value


async def test_psycopg_agrees_but_for_what_is_listed(pg_database: str, filled: Any) -> None:
    others = set()
    with psycopg.connect(pg_database, autocommit=True) as other:
        for n, name in enumerate(NAMES):
            for kind in (f"one_{n}", f"two_{n}"):
                info = CompositeInfo.fetch(other, kind)
                assert info is not None
                register_composite(info, other)
            cursor = other.cursor(binary=name == "float4")  # its text is not of single precision
            found = cursor.execute(f"SELECT v, vs, two FROM t_{n} ORDER BY n").fetchall()
            if not alike([ours(row) for row in found], filled[name]):
                others.add(name)
    assert others == set(PSYCOPG)
