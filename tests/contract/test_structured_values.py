"""Values of types that are not built in go in as they came out: the first time, the fifth, in groups and sessions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from db_pool_rs import Range
from db_pool_rs.errors import ArgumentError, DecodeError
from db_pool_rs.record import Record
from tests.contract.guarding import at_rest
from tests.plugins.proxy import FaultProxy

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'very happy', 'NULL', 'a"b\\c');
CREATE DOMAIN note AS text;
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN numbers AS int[];
CREATE DOMAIN feelings AS mood[];
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN couple AS pair;
CREATE TYPE nothing AS ();
CREATE TYPE span AS RANGE (subtype = note, multirange_type_name = spans);
CREATE TYPE stretch AS RANGE (subtype = positive);
CREATE TYPE deep AS (m mood, ms mood[], p pair, ps pair[], r span, rs span[], ir int4range[], n numeric, d document[],
                     t timestamptz, ts timestamptz[], c couple, pos positive, box box[], b bytea);
"""
UTC = timezone.utc
MOMENT = datetime(2024, 5, 1, 12, 30, tzinfo=UTC)
DEEP = (
    "sad", ["very happy", None], (1, 'x "y\\, (z)'), [(1, None), None, (None, "")], Range("a,b", 'b"\\)'),
    [Range(None, "z", upper_inc=True), None, Range(empty=True)], [Range(1, 5)], Decimal("-1.50"), [{"a": [None]}, "é"],
    MOMENT, [MOMENT + timedelta(microseconds=1), None], (7, "c"), 3, ["(3,4),(1,2)", None], b"\x00\xff",
)  # fmt: skip
#: Type, and a value as it comes out.
VALUES: list[tuple[str, Any]] = [
    ("mood", "very happy"),
    ("mood[]", ["sad", None, "NULL", 'a"b\\c']),
    ("mood[]", [["sad"], ["very happy"]]),
    ("mood[]", []),
    ("feelings", ["sad", None]),
    ("feelings[]", [["sad", None], None, []]),
    ("numbers[]", [[1, 2], [3], []]),
    ("note[]", ["", " ", "null", "{}", "a,b", "\\", '"', "é\n"]),
    ("pair", (1, "x")),
    ("pair", (None, None)),
    ("pair", (-1, "")),
    ("couple", (1, 'a,b "c" \\d (e)')),
    ("pair[]", [(1, "a"), None, (2, None)]),
    ("pair[]", [[(1, "a")], [(2, "b")]]),
    ("couple[]", [(1, "a")]),
    ("span", Range("a", "b c")),
    ("span[]", [Range("{}", None), None, Range(empty=True)]),
    ("spans", [Range("a", "b"), Range("c", "d,e", lower_inc=False)]),
    ("spans[]", [[Range("a", "b")], [], None]),
    ("stretch", Range(1, None)),
    ("deep", DEEP),
    ("deep[]", [DEEP, None]),
    ("date[]", [[date(2024, 1, 1)], [date(1, 1, 1)]]),
]


@pytest.fixture
async def typed(open_pool: Any, pg_database: str, pg_server: Any) -> Any:
    """A pool on a database with these types, in a session in UTC."""
    pg_server.sql("CREATE DOMAIN document AS jsonb;" + SCHEMA, "contract")
    return await open_pool(pg_database, max_size=2, server_settings={"TimeZone": "UTC"})


@pytest.mark.parametrize(("kind", "value"), VALUES, ids=[f"{n}-{one[0]}" for n, one in enumerate(VALUES)])
async def test_values_come_out_as_they_went_in(typed: Any, kind: str, value: Any) -> None:
    literal = await typed.fetchval(f"SELECT $1::{kind}::text", value)
    quoted = literal.replace("'", "''")
    for _ in range(3):
        found = await typed.fetchval(f"SELECT '{quoted}'::{kind}")
        assert found == value
        assert await typed.fetchval(f"SELECT $1::{kind}", value) == value
        assert await typed.fetchval(f"SELECT $1::{kind}", found) == value, "what came out goes in"
        assert await typed.fetchrow(f"SELECT $1::{kind} AS a, 7 AS b", value) == (value, 7)
    async with typed.transaction() as connection:
        assert await connection.fetchval(f"SELECT $1::{kind} AS other", value) == value
        assert [row[0] async for row in connection.cursor(f"SELECT $1::{kind} FROM generate_series(1, 3)", value)] == (
            [value] * 3
        )
    rows = await asyncio.gather(*[typed.fetchrow(f"SELECT $1::{kind} AS v, $2::int AS i", value, i) for i in range(9)])
    assert rows == [(value, i) for i in range(9)]
    assert typed.stats().lost == 0


async def test_composites_are_records_with_the_names_of_their_fields(typed: Any) -> None:
    for _ in range(2):
        found = await typed.fetchval("SELECT (1, 'x')::pair")
        assert isinstance(found, Record)
        assert dict(found) == {"a": 1, "b": "x"}
        deep = await typed.fetchval("SELECT $1::deep", DEEP)
        assert deep["ps"][0].keys() == ("a", "b")
    await typed.execute("CREATE TABLE people (id int, mood mood, address pair)")
    await typed.execute("INSERT INTO people VALUES (1, 'sad', (7, 'street'))")
    row = await typed.fetchval("SELECT people FROM people")
    assert row["address"]["b"] == "street"
    assert row["mood"] == "sad"
    assert await typed.fetchval("SELECT '()'::nothing") == ()


@dataclass
class Pair:
    """Field names of the composite, in another order."""

    b: str
    a: int


class Mood(Enum):
    """Its values are those of the enum type."""

    SAD = "sad"
    HAPPY = "very happy"


async def test_composites_from_mappings_and_dataclasses(typed: Any) -> None:
    record = await typed.fetchval("SELECT (1, 'x')::pair")
    for value in ((1, "x"), {"b": "x", "a": 1}, Pair("x", 1), record, "(1,x)"):
        assert await typed.fetchval("SELECT $1::pair", value) == (1, "x")
        assert await typed.fetchval("SELECT $1::couple[]", [value]) == [(1, "x")]
    for value, reason in (
        ({"a": 1}, 'field "b" is missing'),
        ({"a": 1, "b": "x", "c": 2}, "it has no field 'c'"),
        (Pair("x", "y"), 'field "a": int from'),  # type: ignore[arg-type]  # what is tested
        (Mood.SAD, "tuple of 2 values, mapping or dataclass"),
        (Pair, "tuple of 2 values"),
    ):
        with pytest.raises(ArgumentError, match=reason):
            await typed.fetchval("SELECT $1::pair", value)


async def test_members_of_an_enum_go_by_their_value(typed: Any) -> None:
    assert await typed.fetchval("SELECT $1::mood", Mood.HAPPY) == "very happy"
    assert await typed.fetchval("SELECT $1::mood[]", [Mood.HAPPY, None]) == ["very happy", None]
    assert await typed.fetchval("SELECT $1::text", Mood.SAD) == "sad"
    assert await typed.fetchval("SELECT $1::text[]", [Mood.SAD]) == ["sad"]
    assert await typed.fetchval("SELECT ($1::deep).m", (Mood.SAD, *[None] * 14)) == "sad"


async def test_hstore_is_a_dict(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    if not pg_server.sql("SELECT FROM pg_available_extensions WHERE name = 'hstore'"):
        pytest.skip("this PostgreSQL has no hstore (postgresql-contrib)")
    pg_server.sql(
        "DROP SCHEMA IF EXISTS other CASCADE; CREATE SCHEMA other; CREATE EXTENSION hstore SCHEMA other;"
        "CREATE DOMAIN tags AS other.hstore",
        "contract",
    )
    pool = await open_pool(pg_database, max_size=2)
    for value in ({}, {"a": "1", "b": None}, {'q"\\,=>': "", "": "NULL", "é": " "}):
        for kind in ("other.hstore", "tags"):
            assert await pool.fetchval(f"SELECT $1::{kind}", value) == value
        assert await pool.fetchval("SELECT $1::other.hstore[]", [value, None]) == [value, None]
    assert await pool.fetchval("SELECT $1::tags", 'a=>1, "b"=>NULL') == {"a": "1", "b": None}
    with pytest.raises(ArgumentError, match="keys are str, values str or None, got str 'a': int 1"):
        await pool.fetchval("SELECT $1::tags", {"a": 1})


# rule 4.7
async def test_columns_are_asked_about_once_in_a_pool(
    open_pool: Any, proxy: FaultProxy, pg_database: str, pg_server: Any
) -> None:
    pg_server.sql("CREATE DOMAIN document AS jsonb;" + SCHEMA, "contract")
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)

    async def trips(sql: str, *args: Any) -> int:
        before = proxy.round_trips
        await pool.fetch(sql, *args)
        return proxy.round_trips - before

    assert await trips("SELECT 1") == 1
    assert await trips("SELECT 'sad'::mood, NULL::pair") == 2, "one question for all columns"
    assert await trips("SELECT 'sad'::mood, NULL::pair") == 1
    assert await trips("SELECT 'sad'::mood, NULL::pair AS other") == 1
    assert await trips("SELECT ARRAY['sad'::mood] WHERE $1", True) == 3, "Describe, the statement, the question"
    assert await trips("SELECT ARRAY['sad'::mood] WHERE $1", True) == 1


# rule 4.7
async def test_a_composite_that_changes(typed: Any, pg_server: Any) -> None:
    """By a statement of the pool, in a transaction, and by another program."""
    async with typed.transaction() as connection:
        await connection.execute("CREATE TYPE fresh AS (a int, m mood[])")
        assert await connection.fetchval("SELECT (1, '{sad}')::fresh") == (1, ["sad"])
        await connection.execute("ALTER TYPE fresh ALTER ATTRIBUTE a TYPE jsonb")
        assert await connection.fetchval("SELECT ('[1]', '{sad}')::fresh") == ([1], ["sad"])
    await typed.execute("ALTER TYPE fresh ADD ATTRIBUTE n text")
    sql = "SELECT ('[1]', '{sad}', 'x')::fresh AS c"
    for _ in range(3):
        assert await typed.fetchval(sql) == ([1], ["sad"], "x")
    alter = "ALTER TYPE fresh ALTER ATTRIBUTE m TYPE int; ALTER TYPE fresh ADD ATTRIBUTE o int"
    await asyncio.get_running_loop().run_in_executor(None, pg_server.sql, alter, "contract")
    sql = "SELECT ('[1]', 5, 'x', 7)::fresh AS d"
    with pytest.raises(DecodeError, match='column "d"'):
        await typed.fetchval(sql)
    for _ in range(3):
        assert await typed.fetchval(sql) == ([1], 5, "x", 7)
    assert typed.stats().lost == 0


#: A type by the name of an extension's that is not installed here; its text is kept as it is.
STAND_IN = """
CREATE TYPE {name};
CREATE FUNCTION {name}_in(cstring) RETURNS {name} AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION {name}_out({name}) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE {name} (INPUT = {name}_in, OUTPUT = {name}_out, LIKE = text);
"""


class Array:
    """What a numpy array has."""

    def tolist(self) -> list[float]:
        """The numbers."""
        return [1.0, 2.5]


@pytest.mark.parametrize("name", ["vector", "halfvec"])
async def test_vectors_are_lists_of_float(open_pool: Any, pg_database: str, pg_server: Any, name: str) -> None:
    pg_server.sql(STAND_IN.format(name=name), "contract")
    pool = await open_pool(pg_database, max_size=2)
    assert await pool.fetchval(f"SELECT $1::{name}::text", [1, 2.5, -0.1]) == "[1.0,2.5,-0.1]"
    for value in ([1.0, 2.5], (1, 2.5), Array(), "[1,2.5]"):
        assert await pool.fetchval(f"SELECT $1::{name}", value) == [1.0, 2.5]
    assert await pool.fetchval(f"SELECT '[0.1]'::{name}") == [0.10000000149011612], "in single precision, as float4"
    assert await pool.fetchval(f"SELECT $1::{name}[]", [[1.0], None, [2.0, 3.0]]) == [[1.0], None, [2.0, 3.0]]
    assert await pool.fetchval(f"SELECT $1::{name}[]", [[[1.0]], [[2.0]]]) == [[[1.0]], [[2.0]]]
    with pytest.raises(ArgumentError, match="list or array of float"):
        await pool.fetchval(f"SELECT $1::{name}", ["a"])


async def test_a_part_that_is_forgotten_is_asked_for_with_the_whole(typed: Any) -> None:
    """A value that does not fit has its type asked for again, and with it those that it is a part of."""
    await typed.execute("CREATE TYPE day AS (d date)")
    await typed.execute("CREATE TYPE days AS (days day[])")
    for _ in range(2):
        assert await typed.fetchval("SELECT $1::days", ([(date(2024, 1, 1),)],)) == ([(date(2024, 1, 1),)],)
        with pytest.raises(DecodeError, match="infinity"):
            await typed.fetchval("SELECT '(infinity)'::day AS v")
        assert await typed.fetchval("SELECT $1::days AS other", ([(date(2024, 1, 1),)],)) == ([(date(2024, 1, 1),)],)


@pytest.fixture
def blind(pg_database: str, pg_server: Any) -> Any:
    """The name of a role that may not read what types are made of."""
    grants = "ON pg_catalog.pg_range {} PUBLIC"
    pg_server.sql("DROP ROLE IF EXISTS blind", "contract")
    pg_server.sql(f"CREATE ROLE blind LOGIN; REVOKE SELECT {grants.format('FROM')}", "contract")
    pg_server.sql(SCHEMA.partition("CREATE TYPE deep")[0], "contract")
    pg_server.sql("CREATE TABLE kept (id int, m mood); GRANT ALL ON kept TO blind", "contract")
    yield "blind"
    pg_server.sql(f"GRANT SELECT {grants.format('TO')}; DROP OWNED BY blind; DROP ROLE blind", "contract")


# rule 4.7
async def test_rows_that_cannot_be_read_are_no_failure_of_the_statement(
    open_pool: Any, pg_database: str, pg_server: Any, blind: str
) -> None:
    """What is committed is told as a DecodeError, which is never safe to retry, and others are answered."""
    pool = await open_pool(pg_database, user=blind, max_size=1)
    sql = "INSERT INTO kept VALUES (1, 'sad') RETURNING m"
    for _ in range(2):
        with pytest.raises(DecodeError, match="the server did not tell what type") as caught:
            await pool.fetch(sql)
        assert not caught.value.safe_to_retry
    assert await pool.fetchval("SELECT count(*) FROM kept") == 2
    answers = await asyncio.gather(
        *[pool.fetch(f"SELECT m AS m{i} FROM kept" if i % 2 else f"SELECT {i} AS i") for i in range(6)],
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [list, DecodeError] * 3
    assert pool.stats().lost == 0
    await asyncio.to_thread(pg_server.sql, "GRANT SELECT ON pg_catalog.pg_range TO PUBLIC", "contract")
    assert await pool.fetch("SELECT m FROM kept") == [("sad",), ("sad",)]
