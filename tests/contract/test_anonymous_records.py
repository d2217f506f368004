"""Records without a type of their own, `ROW(1, 'a')`: tuples whose elements are what they are as columns."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs import Codec
from db_pool_rs.errors import DecodeError, InterfaceError, UndefinedFunction
from tests.plugins.engines import EngineSpec

ROW = "ROW($1::int, ROW($2::text, ROW($3::text, $4::numeric)))"
TYPES = """
CREATE TYPE inmost AS (c text, d numeric); CREATE TYPE inner_one AS (b text, inmost inmost);
CREATE TYPE outer_one AS (a int, inner_one inner_one);
CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE TYPE pair AS (number int, mood mood); CREATE TYPE floats AS RANGE (subtype = float8);
CREATE TYPE priced AS (price money)
"""
texts = st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
quoted = st.none() | st.text('"\\(),{} \na\t', max_size=6)
fields = st.tuples(
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.one_of(texts, quoted),
    st.one_of(texts, quoted),
    st.none() | st.decimals(-1000, 1000, places=3),
)
#: What is read, in SQL: built-in types that Python has, those that are text, and types of the database's own.
VALUES = [
    "1::int2", "true", "1.5::float4", "'NaN'::float8", "1.50::numeric", "'a'::name", "'b '::char(3)",
    r"'\x00ff'::bytea",
    "'2024-02-29'::date", "'01:02:03'::time", "'01:02:03+05'::timetz", "'2024-02-29 12:00'::timestamp",
    "'2024-02-29 12:00+00'::timestamptz", "'1 day 2 hours'::interval", "'{\"a\": [1]}'::jsonb", "'[1]'::json",
    "'10.0.0.1'::inet", "'10.0.0.0/8'::cidr", "gen_random_uuid()", "int4range(1, 5)", "'{[1,2),[5,)}'::int8multirange",
    "tstzrange('2024-02-29 12:00+00', NULL)", "'empty'::numrange", "ARRAY[1, NULL]", "ARRAY[['a'], ['b']]",
    "ARRAY['2024-02-29 12:00+00'::timestamptz]", "'{}'::int[]",
    "'c'::\"char\"", "''::\"char\"", "'x'::xml", "'1 2'::int2vector", "''::int2vector",
    "'3 4'::oidvector", "'(1,2)'::tid",
    "'7'::xid", "'7'::cid", "'8'::xid8", "'1A/2B'::pg_lsn", "'1:3:2'::pg_snapshot", "'1:1:'::txid_snapshot",
    "'$.a'::jsonpath", "point(1.5, -1e-5)", "point(1e15, 123456789012345)", "point('-0', 'Infinity')",
    "lseg(point(1,2), point(3,4))", "box(point(1,2), point(3,4))", "path '((1,2),(3,4))'", "path '[(1,2),(3,4)]'",
    "polygon '((1,2),(3,4),(5,0.1))'", "line '{1,2,3}'", "circle '<(1,2),3>'", "B'10110'", "''::varbit",
    "'08:00:2b:01:02:03'::macaddr", "'08:00:2b:01:02:03:04:05'::macaddr8", "'a:1A,3 ''b\\ c'' d'::tsvector",
    "ARRAY[point(1,2), NULL]", "ARRAY[box(point(1,2), point(3,4))]", "ARRAY[B'1']", "'cursor'::refcursor",
    "'ok'::mood", "5::positive", "ROW(1, 'bad')::pair", "ROW(NULL, NULL)::pair", "ARRAY['ok', NULL]::mood[]",
    "floats(0.5, 1)", "floats_multirange(floats(0.5, 1))", "ARRAY[ROW(1, 'ok')::pair, NULL]", "ARRAY[[5::positive]]",
    "NULL::mood", "NULL",
]  # fmt: skip


@pytest.fixture
async def typed(open_pool: Any, pg_database: str) -> Any:
    """A pool whose database has types for the same rows."""
    pool = await open_pool(pg_database, max_size=1)
    async with pool.acquire() as connection:
        await connection.execute(TYPES)
    return pool


@pytest.fixture
async def rival(pg_database: str, typed: Any) -> AsyncIterator[Any]:
    """A connection of asyncpg's to the same database, where it is installed."""
    asyncpg = pytest.importorskip("asyncpg")
    connection = await asyncpg.connect(pg_database)
    yield connection
    await connection.close()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(fields, min_size=1, max_size=3))
async def test_nested_two_deep(typed: Any, rows: list[tuple[Any, ...]]) -> None:
    for values in rows:
        a, b, c, d = values
        expected = (a, (b, (c, d)))
        assert await typed.fetchrow(f"SELECT {ROW}, {ROW}::outer_one", *values) == (expected, expected)
        array = f"SELECT ARRAY[{ROW}, NULL, {ROW}]"
        assert await typed.fetchval(array, *values) == [expected, None, expected]


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(fields, min_size=1, max_size=3))
async def test_the_same_as_with_asyncpg(typed: Any, rival: Any, rows: list[tuple[Any, ...]]) -> None:
    for values in rows:
        for query in (f"SELECT {ROW}", f"SELECT ARRAY[{ROW}, {ROW}]", f"SELECT ROW(ARRAY[{ROW}], $1::int)"):
            assert await typed.fetchval(query, *values) == await rival.fetchval(query, *values)


async def test_elements_are_what_they_are_as_columns(typed: Any) -> None:
    for value in VALUES:
        # Both in one snapshot; a column is read in text where it stands alone, in binary beside the record.
        (expected,) = await typed.fetchrow(f"SELECT {value} AS it") if "random" not in value else (None,)
        for _ in range(2):  # once it is known and prepared, too
            found, nested, beside = await typed.fetchrow(
                f"WITH v AS MATERIALIZED (SELECT {value} AS it) SELECT ROW(it), ARRAY[ROW(ROW(it, 1))], it FROM v"
            )
            ((element,), (((again, one),),)) = found, nested
            assert [repr(element), repr(again), one] == [repr(beside), repr(beside), 1], value
            assert expected is None or repr(element) == repr(expected), value


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("ROW('a', NULL, '')", ("a", None, "")),
        ("ROW()", ()),
        ("ROW(ROW(), ARRAY[ROW()])", ((), [()])),
        ("(1, 2)", (1, 2)),
        ("array_agg((1, 'x'))", [(1, "x")]),
        ("(SELECT x FROM (SELECT 1 AS a, 'b' AS b) x)", (1, "b")),
        ("json_each('{\"a\": 1}')", ("a", 1)),
        ("NULL::record", None),
        ("ARRAY[]::record[]", []),
        ("ARRAY[[(1, 2)], [(3, 4)]]", [[(1, 2)], [(3, 4)]]),
    ],
)
async def test_where_records_come_from(pg_pool: Any, row: str, expected: Any) -> None:
    assert await pg_pool.fetchval(f"SELECT {row}") == expected
    async with pg_pool.acquire() as connection:
        for _ in range(3):
            assert await connection.fetchval(f"SELECT {row}") == expected
            assert await connection.fetchrow(f"SELECT 1, {row}") == (1, expected)


async def test_the_first_rows_of_a_change_have_types_too(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    await pool.execute("CREATE TABLE lines (id int, word text)")
    changes = [
        ("INSERT INTO lines VALUES ($1, 'a') RETURNING ROW(id, word)", (1,)),
        ("INSERT INTO lines VALUES (1, 'a') RETURNING (id, word)", ()),
        ("UPDATE lines SET id = 1 WHERE id = 1 RETURNING ROW(id, word)", ()),
    ]
    for sql, args in changes:
        for _ in range(2):
            assert await pool.fetchval(sql, *args) == (1, "a")
    async with pool.acquire() as connection, connection.transaction():
        assert await connection.fetchval(changes[0][0], 1) == (1, "a")


async def test_cursors_and_streams(pg_pool: Any) -> None:
    query = "SELECT ROW(n, 'x', ROW(n::numeric)) FROM generate_series(1, 5) n"
    expected = [((n, "x", (n,)),) for n in range(1, 6)]
    async with pg_pool.acquire() as connection, connection.transaction():
        assert [row async for row in connection.cursor(query, prefetch=2)] == expected
        await connection.execute(f"DECLARE mine CURSOR FOR {query}")
        assert await connection.fetch("FETCH 2 FROM mine") == expected[:2]
    assert [row async for row in pg_pool.stream(query, batch=2)] == expected
    async with pg_pool.stream("SELECT ROW(n, $1::text) FROM generate_series(1, 3) n", "y", batch=2) as batches:
        assert [row async for rows in batches for row in rows] == [((n, "y"),) for n in range(1, 4)]


async def test_long_results(typed: Any) -> None:
    rows = await typed.fetch(
        "SELECT ROW(n, 'ok'::mood, repeat('x', 20)), ARRAY[(n, n::positive)] FROM generate_series(1, 20000) n"
    )
    assert len(rows) == 20_000
    assert rows[-1] == ((20_000, "ok", "x" * 20), [(20_000, 20_000)])


async def test_types_of_fields_that_change(typed: Any) -> None:
    async with typed.acquire() as connection:
        assert await connection.fetchval("SELECT ROW(ROW(1, 'ok')::pair)") == ((1, "ok"),)
        await connection.execute("ALTER TYPE pair ADD ATTRIBUTE more text")
        ((found,),) = await connection.fetchrow("SELECT ROW(ROW(1, 'ok', 'm')::pair)")
        assert found == (1, "ok", "m")
        assert found["more"] == "m"


async def test_the_time_zone_counts(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.acquire() as connection:
        for zone in ("Europe/Rome", "Asia/Tokyo"):
            await connection.execute(f"SET TIME ZONE '{zone}'")
            (element,), alone = await connection.fetchrow(
                "SELECT ROW('2024-02-29 12:00+00'::timestamptz), '2024-02-29 12:00+00'::timestamptz"
            )
            assert (element.isoformat(), str(element.tzinfo)) == (alone.isoformat(), zone)


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ("'1'::money", r"field 1 \(money\)"),
        ("1, 'pg_class'::regclass", r"field 2 \(regclass\)"),
        ("1, ROW('a & b'::tsquery)", r"field 2 \(record\): field 1 \(tsquery\)"),
        ("ARRAY['1'::money]", r"field 1 \(money\[\]\)"),
        ("ROW('1'::money)::priced", r"field 1 \(priced\)"),
    ],
)
async def test_fields_without_a_form_that_can_be_read(typed: Any, row: str, field: str) -> None:
    for _ in range(2):
        with pytest.raises(DecodeError, match=rf'column "row" \(record\) of row 1: {field}: .*cast this one to text'):
            await typed.fetchval(f"SELECT ROW({row})")
    assert await typed.fetchval("SELECT ROW('1'::money::text, NULL::money)") == ("$1.00", None)


async def test_fields_without_a_binary_form(pg_pool: Any) -> None:
    with pytest.raises(UndefinedFunction, match="no binary output") as caught:
        await pg_pool.fetchval("SELECT ROW(acldefault('r', 10))")
    assert "Cast this one to text" in (caught.value.hint or "")


async def test_columns_beside_records(typed: Any, engine: EngineSpec) -> None:
    """libpq has one format for all columns; the engine in Rust one for each."""
    await typed.execute("CREATE TABLE sums (id int)")
    await typed.execute("CREATE TYPE tagged AS (id int, sum money)")
    for column, kind in (("'1'::money", "money"), ("ROW(1, '1')::tagged", "tagged"), ("'a'::tsquery", "tsquery")):
        query = f"INSERT INTO sums VALUES (1) RETURNING ROW(id), {column} AS it"
        if engine.name == "full":
            assert (await typed.fetchrow(query))[0] == (1,)
            await typed.execute("DELETE FROM sums")
            continue
        for _ in range(2):
            with pytest.raises(InterfaceError, match=rf'column "it" \({kind}\) cannot be read beside a record'):
                await typed.fetchrow(query)
    assert await typed.fetchval("SELECT count(*) FROM sums") == 0  # nothing was sent


async def test_codecs(open_pool: Any, pg_database: str) -> None:
    codecs = [
        Codec("mood", encoder=str, decoder=str.upper),
        Codec("pair", decoder=lambda fields: [*fields], encoder=tuple, fields=True),
        Codec("int8", encoder=str, decoder=lambda text: f"<{text}>"),
        Codec("jsonb", encoder=str, decoder=lambda text: text),
        Codec("interval", encoder=str, decoder=lambda text: text),
    ]
    pool = await open_pool(pg_database, max_size=1, codecs=codecs)
    async with pool.acquire() as connection:
        await connection.execute(TYPES)
    values = "'ok'::mood, ROW(1, 'bad')::pair, 5::int8, '{\"a\": 1}'::jsonb, ARRAY[6::int8], int8range(1, 2)"
    row = await pool.fetchrow(f"SELECT {values}")
    for _ in range(2):
        assert await pool.fetchval(f"SELECT ROW({values})") == row
        assert await pool.fetchrow(f"SELECT {values}, ROW(1)") == (*row, (1,))
    with pytest.raises(DecodeError, match=r"field 1 \(interval\): the codec of the type takes text.*cast this one"):
        await pool.fetchval("SELECT ROW('1 day'::interval)")


async def test_infinite_dates_that_are_clamped(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, infinity="clamp")
    values = "'infinity'::date, '-infinity'::timestamp, 'infinity'::timestamptz, '2024-02-29'::date"
    row = await pool.fetchrow(f"SELECT {values}")
    assert await pool.fetchrow(f"SELECT ROW({values}), {values}") == (row, *row)


async def test_too_deep(pg_pool: Any) -> None:
    assert await pg_pool.fetchval("SELECT " + "ROW(" * 64 + "1" + ")" * 64) is not None
    with pytest.raises(DecodeError, match="nested more than 64 deep"):
        await pg_pool.fetchval("SELECT " + "ROW(" * 65 + "1" + ")" * 65)
