"""What users of other drivers report: values that came wrong, types that were not known, errors that came up late.

The number in the id is that of the report: asyncpg, psycopg, psqlpy, sqlx, bun.
"""

from __future__ import annotations

from datetime import time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from db_pool_rs.errors import DecodeError, Error

TIMES = 3


async def _both(pool: Any, sql: str, *args: Any) -> Any:
    """The value, the same in binary and where another column makes the row come as text, unknown and prepared."""
    found = [await pool.fetchval(sql, *args) for _ in range(TIMES)]
    text = sql.replace("SELECT ", "SELECT '1'::money AS text_only, ", 1)
    found += [(await pool.fetchrow(text, *args))[1] for _ in range(TIMES)]
    assert all(type(one) is type(found[0]) and one == found[0] for one in found), found
    return found[0]


READ: dict[str, tuple[str, Any]] = {
    "psycopg-719": (
        "SELECT '1993534:40:40.447'::interval",
        timedelta(days=83063, seconds=81640, microseconds=447000),
    ),
    "sqlpage-811": ("SELECT age(timestamp '2024-02-14', timestamp '2023-01-13 01:00')", timedelta(395, 82800)),
    "bun-43187": ("SELECT '[0:2]={a,NULL,\"NULL\"}'::text[]", ["a", None, "NULL"]),
    "bounds-of-two": ("SELECT '[-1:0][5:6]={{1,2},{3,4}}'::int[]", [[1, 2], [3, 4]]),
    "effect-8304": ("SELECT 'pg_catalog.pg_class'::regclass", "pg_class"),
    "powersync-428": ("SELECT ARRAY[box '(3,4),(1,2)', NULL]", ["(3,4),(1,2)", None]),
    "timetz-with-seconds": (
        "SELECT '10:30:45+05:30:15'::timetz",
        time(10, 30, 45, tzinfo=timezone(timedelta(hours=5, minutes=30, seconds=15))),
    ),
    "psqlpy-163": ("SELECT '{\"id\": 2147483648, \"n\": 170141183460469231731687303715884105728}'::jsonb",
                   {"id": 2147483648, "n": 2**127}),
    "negative-zero": ("SELECT (ARRAY['-0'::float8, '-0'::float4])::text", "{-0,-0}"),
    "long-numeric": ("SELECT (repeat('9', 4999) || '.9')::numeric", Decimal("9" * 4999 + ".9")),
    "money-with-commas": ("SELECT '{\"$1,000.00\"}'::money[]", ["$1,000.00"]),
    "no-elements": ("SELECT '{}'::int[][]", []),
    "row-of-json": ("SELECT ROW('[1]'::jsonb, NULL, '')::text", '([1],,"")'),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
async def test_values_that_others_read_otherwise(pg_pool: Any, name: str) -> None:
    sql, expected = READ[name]
    assert await _both(pg_pool, sql) == expected


async def test_rows_of_a_table_as_arguments(pg_pool: Any) -> None:
    """asyncpg 43, 360, 710: row types of tables whose columns were dropped or changed, with an enum among them."""
    await pg_pool.execute("CREATE TYPE kind AS ENUM ('phone', 'e mail')")
    await pg_pool.execute("CREATE TABLE link (gone int, src int, dst int, of kind, note jsonb)")
    await pg_pool.execute("ALTER TABLE link DROP gone")
    sql = "INSERT INTO link SELECT l.* FROM unnest($1::link[]) AS l RETURNING link"
    rows = await pg_pool.fetch(sql, [(1, 2, "phone", [1]), (2, 3, "e mail", {"a": None}), (4, None, None, "x")])
    assert [row[0] for row in rows] == [(1, 2, "phone", [1]), (2, 3, "e mail", {"a": None}), (4, None, None, "x")]
    await pg_pool.execute("ALTER TABLE link ALTER src TYPE text, ADD more int[]")
    assert await pg_pool.fetchval("SELECT ($1::link).src", ("one", 2, "phone", None, [1, None])) == "one"
    assert await pg_pool.fetchval("SELECT link FROM link WHERE src = '1'") == ("1", 2, "phone", [1], None)


async def test_arrays_of_types_that_are_not_built_in(pg_pool: Any, pg_server: Any) -> None:
    """asyncpg 82, 112."""
    await pg_pool.execute("CREATE TYPE mood AS ENUM ('a', 'b c')")
    for given in (["a", "b c"], ("a", "b c")):
        assert await pg_pool.fetchval("SELECT $1::mood[]::text", given) == '{a,"b c"}'
    assert await pg_pool.fetchval("SELECT 'a'::mood = ANY($1::mood[])", ["b c", "a"]) is True
    if pg_server.sql("SELECT FROM pg_available_extensions WHERE name = 'citext'"):
        await pg_pool.execute("CREATE EXTENSION citext")
        assert await pg_pool.fetchval("SELECT 'A'::citext = ANY($1::citext[])", ("b", "a")) is True


async def test_a_domain_over_a_composite_with_a_domain(pg_pool: Any) -> None:
    """sqlx 1110."""
    await pg_pool.execute("CREATE DOMAIN month_id AS int2 CHECK (VALUE BETWEEN 1 AND 12)")
    await pg_pool.execute("CREATE TYPE year_month AS (year int4, month month_id)")
    await pg_pool.execute("CREATE DOMAIN winter AS year_month CHECK ((VALUE).month <= 3)")
    await pg_pool.execute("CREATE TABLE bills (month winter PRIMARY KEY, cost int)")
    for month in (1, 2):
        await pg_pool.execute("INSERT INTO bills VALUES ($1, 5)", (2020, month))
    assert await pg_pool.fetchval("SELECT sum((month).month) FROM bills WHERE month = $1::winter", (2020, 2)) == 2
    with pytest.raises(Error) as caught:
        await pg_pool.execute("INSERT INTO bills VALUES ($1, 5)", (2020, 7))
    assert caught.value.sqlstate == "23514"


@pytest.mark.parametrize("kind", ["jsonb", "json", "document", "holder"])
async def test_numbers_of_any_length_in_json(pg_pool: Any, kind: str) -> None:
    """psqlpy 163, and 118: a str is a JSON string."""
    await pg_pool.execute("CREATE DOMAIN document AS jsonb")
    await pg_pool.execute("CREATE TYPE holder AS (d document)")
    for value in ({"id": 2**31}, [2**63, -(2**100)], '{"a": 1}', 1.5):
        given = (value,) if kind == "holder" else value
        part = "($1::holder).d" if kind == "holder" else f"$1::{kind}"
        found = await pg_pool.fetchval(f"SELECT {part}", given)
        assert found == value
        assert type(found) is type(value)


#: JSON that PostgreSQL keeps and Python does not read.
UNREADABLE = {
    "deep": "repeat('[', 6000) || repeat(']', 6000)",
    "long number": "repeat('1', 5000)",
}


@pytest.mark.parametrize("name", UNREADABLE)
@pytest.mark.parametrize("kind", ["json", "jsonb", "json[]"])
async def test_json_beyond_python_is_a_decode_error(pg_pool: Any, name: str, kind: str) -> None:
    text = f"({UNREADABLE[name]})::{kind.removesuffix('[]')}"
    sql = f"SELECT {text if kind[-1] != ']' else f'ARRAY[{text}]'} AS value"
    for _ in range(TIMES):
        with pytest.raises(DecodeError, match="value"):
            await pg_pool.fetchval(sql)
    assert await pg_pool.fetchval("SELECT 1") == 1
    assert pg_pool.stats().lost == 0
