"""Values of every built-in type, alone and two deep (arrays of composites of composites with arrays), go in as they
come out: in every engine, and as asyncpg and psycopg read them.

Hypothesis makes the values; those of one type are sent together.
"""

from __future__ import annotations

import math
import uuid
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg.types.composite import CompositeInfo, register_composite
from psycopg.types.multirange import Multirange
from psycopg.types.range import Range as PsycopgRange

from db_pool_rs import Range, create_pool
from db_pool_rs.types import oids
from tests.contract.values import VALUES, WITHOUT

EXAMPLES = 8
#: By type: rows of `t_...`.
Held = dict[str, list[tuple[Any, Any, Any]]]
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
#: Composites of these asyncpg does not read: it has no binary form of them. In text its arrays of them are not asked
#: for either: asyncpg 0.32 reads beside its memory there.
ASYNCPG_UNREAD = {
    *("regproc", "regprocedure", "regoper", "regoperator", "regclass", "regtype", "regconfig", "regdictionary"),
    *("regnamespace", "regrole", "regcollation", "aclitem", "money", "macaddr", "macaddr8", "refcursor"),
    *("tsvector", "tsquery"),
}
#: What asyncpg reads otherwise, and why we do not: it has classes of its own, or leaves to the caller what we decode.
ASYNCPG = {
    **dict.fromkeys(
        ("point", "lseg", "path", "box", "polygon", "line", "circle", "bit", "varbit"),
        "classes of its own; these are PostgreSQL's text here, as psycopg has them",
    ),
    **dict.fromkeys(("json", "jsonb"), "it leaves them as text unless a codec is set; psycopg reads the documents"),
    "tid": "a tuple; here PostgreSQL's text, as in psycopg",
    **dict.fromkeys(("xid", "cid", "xid8"), "int; here text, as in psycopg: they are compared, and not counted with"),
    **dict.fromkeys(("txid_snapshot", "pg_snapshot"), "a tuple; here PostgreSQL's text, as in psycopg"),
    "pg_lsn": "int; here text, as in psycopg: 16/B374D848 is what functions and logs of the server show",
    **dict.fromkeys(("int2vector", "oidvector"), "its array; here PostgreSQL's text, as in psycopg"),
    '"char"': "bytes; here str, as in psycopg",
    "timetz": "it drops the seconds of a zone (+15:59:59); psycopg and the server have them",
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


async def fill(dsn: str) -> Held:
    """Put values into the tables."""
    held: Held = {}
    async with create_pool(dsn, mode="simple") as pool, pool.acquire() as connection:
        for n, name in enumerate(NAMES):
            held[name] = rows_of(drawn(VALUES[name]))
            await connection.copy_records_to_table(f"t_{n}", records=held[name], columns=["v", "vs", "two"])
    return held


def ours(value: Any) -> Any:
    """A value of psycopg's or asyncpg's, its structure made ours; what it is made of stays."""
    if isinstance(value, (PsycopgRange, asyncpg.Range)):
        bounds = value.lower, value.upper
        return Range(*bounds, lower_inc=value.lower_inc, upper_inc=value.upper_inc, empty=value.isempty)
    if isinstance(value, (list, Multirange)):
        return [ours(item) for item in value]
    if isinstance(value, (asyncpg.Record, tuple)):
        return tuple(ours(item) for item in value)
    return uuid.UUID(int=value.int) if isinstance(value, uuid.UUID) else value


def unlike_psycopg(dsn: str, held: Held) -> set[str]:
    """Types of which psycopg reads other values."""
    others = set()
    with psycopg.connect(dsn, autocommit=True) as other:
        for n, name in enumerate(NAMES):
            for kind in (f"one_{n}", f"two_{n}"):
                info = CompositeInfo.fetch(other, kind)
                assert info is not None
                register_composite(info, other)
            cursor = other.cursor(binary=name == "float4")  # its text is not of single precision
            found = cursor.execute(f"SELECT v, vs, two FROM t_{n} ORDER BY n").fetchall()
            if not alike([ours(row) for row in found], held[name]):
                others.add(name)
    return others


async def unlike_asyncpg(dsn: str, held: Held) -> tuple[set[str], set[str]]:
    """Types of which asyncpg reads other values, and those of which it reads no composites."""
    others, unread = set(), set()
    other = await asyncpg.connect(dsn)
    try:
        for n, name in enumerate(NAMES):
            wanted: list[Any] = held[name]
            try:
                found = await other.fetch(f"SELECT v, vs, two FROM t_{n} ORDER BY n")
            except asyncpg.UnsupportedClientFeatureError:
                unread.add(name)
                found = await other.fetch(f"SELECT v FROM t_{n} ORDER BY n")
                wanted = [row[:1] for row in wanted]
            if not alike([ours(row) for row in found], wanted):
                others.add(name)
    finally:
        await other.close()
    return others, unread


async def test_psycopg_and_asyncpg_agree_but_for_what_is_listed(pg_database: str, pg_server: Any) -> None:
    pg_server.sql(SCHEMA, "contract")
    held = await fill(pg_database)
    assert unlike_psycopg(pg_database, held) == set(PSYCOPG)
    assert await unlike_asyncpg(pg_database, held) == (set(ASYNCPG), ASYNCPG_UNREAD)
