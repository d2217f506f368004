"""Results as Arrow: what each type becomes, the values of `fetch`, read by the libraries that programs use."""

from __future__ import annotations

import asyncio
import datetime as dt
from contextlib import aclosing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.arrow import forms
from db_pool_rs.errors import DatabaseError, DecodeError, InterfaceError, StatementTimeout
from tests.contract.guarding import at_rest
from tests.contract.waiting import until

pa = pytest.importorskip("pyarrow")

SERIES = "SELECT i::int4 AS i, 'text ' || i AS t, i * 0.5::float8 AS f FROM generate_series(1, {}) AS i ORDER BY i"
ENDLESS = "SELECT generate_series(1, 1000000000) AS i"


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    return await open_pool(pg_database, max_size=1)


async def _free(pool: Any) -> None:
    """The only connection serves again, and it is the one that was opened first."""
    assert await pool.fetchval("SELECT 1") == 1
    stats = pool.stats()
    assert (stats.connects, stats.lost, stats.sessions) == (1, 0, 0)


async def _column(pool: Any, expression: str) -> Any:
    """The only column of a table of one row and a NULL, as pyarrow has it."""
    rows = f"(SELECT {expression} AS x) s RIGHT JOIN (VALUES (1), (2)) v (n) ON n = 1"
    table = pa.table(await pool.fetch_arrow(f"SELECT x FROM {rows} ORDER BY n"))
    assert table.column_names == ["x"]
    assert table["x"][1].as_py() is None
    return table["x"]


TYPES: dict[str, tuple[str, Any]] = {
    "true": ("bool", True),
    "(-7)::int2": ("int16", -7),
    "2147483647::int4": ("int32", 2147483647),
    "(-9223372036854775808)::int8": ("int64", -9223372036854775808),
    "4294967295::oid": ("uint32", 4294967295),
    "1.5::float4": ("float", 1.5),
    "'-Infinity'::float8": ("double", float("-inf")),
    "'12.30'::numeric(10, 2)": ("decimal128(10, 2)", Decimal("12.30")),
    "'-0.00012'::numeric(38, 38)": ("decimal128(38, 38)", Decimal("-0.00012")),
    "'-99999999999999999999999999999999999999'::numeric(38)": ("decimal128(38, 0)", Decimal(-(10**38) + 1)),
    "'1000000'::numeric(10, 2)": ("decimal128(10, 2)", Decimal("1000000.00")),
    "'12.30'::numeric": ("string", "12.30"),
    "'NaN'::numeric": ("string", "NaN"),
    "'-1230000'::numeric": ("string", "-1230000"),
    "'Infinity'::numeric": ("string", "Infinity"),
    "0::numeric": ("string", "0"),
    "1e-20::numeric": ("string", "0.00000000000000000001"),
    "'12.30'::numeric(50, 2)": ("string", "12.30"),
    "'1200'::numeric(5, -2)": ("string", "1200"),
    "'grüße'::text": ("string", "grüße"),
    "'a '::varchar(4)": ("string", "a "),
    "'a'::char(3)": ("string", "a  "),
    "'n'::name": ("string", "n"),
    "'<a/>'::xml": ("string", "<a/>"),
    """'{"a": [1]}'::json""": ("string", '{"a": [1]}'),
    """'{"a":[1]}'::jsonb""": ("string", '{"a": [1]}'),
    "'9cb3c5f4-2f5d-4a0c-8b2f-0a8a5f8f7d01'::uuid": ("string", "9cb3c5f4-2f5d-4a0c-8b2f-0a8a5f8f7d01"),
    r"'\x00ff'::bytea": ("binary", b"\x00\xff"),
    "'1969-07-20'::date": ("date32[day]", dt.date(1969, 7, 20)),
    "'23:59:59.999999'::time": ("time64[us]", dt.time(23, 59, 59, 999999)),
    "'1969-07-20 20:17:40.5'::timestamp": ("timestamp[us]", dt.datetime(1969, 7, 20, 20, 17, 40, 500000)),
    "'2026-01-02 03:04:05+06'::timestamptz": (
        "timestamp[us, tz=UTC]",
        dt.datetime(2026, 1, 1, 21, 4, 5, tzinfo=dt.timezone.utc),
    ),
    "'-1 year -2 mons +3 days -04:05:06.7'::interval": (
        "duration[us]",
        dt.timedelta(days=-365 - 60 + 3) - dt.timedelta(hours=4, minutes=5, seconds=6.7),
    ),
    "'{1,NULL,3}'::int4[]": ("list<item: int32>", [1, None, 3]),
    "'[5:6]={a,\"b c\"}'::text[]": ("list<item: string>", ["a", "b c"]),
    "'{}'::float8[]": ("list<item: double>", []),
    "'{1.20}'::numeric(5, 2)[]": ("list<item: decimal128(5, 2)>", [Decimal("1.20")]),
    # no form there: text
    "'10.0.0.1/8'::inet": ("string", "10.0.0.1/8"),
    "'[1,5)'::int4range": ("string", "[1,5)"),
    "ROW(1, 'a')": ("string", "(1,a)"),
    "'12:00+02'::timetz": ("string", "12:00:00+02"),
    "'x'::\"char\"": ("string", "x"),
    "ARRAY['(1,2)'::point]": ("string", '{"(1,2)"}'),
}


async def test_what_each_type_becomes(pool: Any) -> None:
    found = {}
    for expression in TYPES:
        column = await _column(pool, expression)
        found[expression] = (str(column.type), column[0].as_py())
    assert found == TYPES


async def test_types_that_are_not_built_in(pool: Any) -> None:
    await pool.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    await pool.execute("CREATE DOMAIN positive AS int4 CHECK (VALUE > 0)")
    await pool.execute("CREATE TYPE pair AS (a int4, b text)")
    moods = await _column(pool, "'glad'::mood")
    assert str(moods.type) == "dictionary<values=string, indices=int32, ordered=0>"
    assert moods.to_pylist() == ["glad", None]
    lists = await _column(pool, "'{sad,glad}'::mood[]")
    assert lists.to_pylist() == [["sad", "glad"], None]
    assert str((await _column(pool, "7::positive")).type) == "int32"
    assert (await _column(pool, "ROW(1, 'x')::pair")).to_pylist() == ["(1,x)", None]
    assert (await _column(pool, "'{1,2}'::positive[]")).to_pylist() == ["{1,2}", None]


async def test_rows_are_those_of_fetch(pool: Any) -> None:
    sql = SERIES.format(5000)
    rows = [tuple(row) for row in await pool.fetch(sql)]
    table = pa.table(await pool.fetch_arrow(sql))
    assert list(zip(*(column.to_pylist() for column in table.columns), strict=True)) == rows
    await _free(pool)


async def test_a_table_of_ours(pool: Any) -> None:
    table = await pool.fetch_arrow("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, 'y'")
    assert (table.num_rows, table.num_columns, table.column_names, len(table)) == (2, 2, ["a", "b"], 2)
    assert pa.schema(table).names == ["a", "b"]
    assert pa.table(table) == pa.table(table)  # it can be read again
    assert repr(table) == "<ArrowTable of 2 rows: a, b>"


async def test_no_rows_and_equal_names(pool: Any) -> None:
    empty = pa.table(await pool.fetch_arrow("SELECT 1::int8 AS a, '{}'::text[] AS b WHERE false"))
    assert empty.num_rows == 0
    assert [str(kind) for kind in empty.schema.types] == ["int64", "list<item: string>"]
    twice = pa.table(await pool.fetch_arrow("SELECT 1 AS a, point(1, 2) AS a"))
    assert twice.column_names == ["a", "a"]
    assert twice.column(1).to_pylist() == ["(1,2)"]


async def test_arguments(pool: Any) -> None:
    sql = "SELECT $1::int4 AS n, $2::text AS t, $3::timestamptz AS at"
    at = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    assert pa.table(await pool.fetch_arrow(sql, 7, "it's", at)).to_pylist() == [{"n": 7, "t": "it's", "at": at}]
    named = await pool.fetch_arrow("SELECT :n::int4 AS n, point(1, :n) AS p;", {"n": 3})
    assert pa.table(named).to_pylist() == [{"n": 3, "p": "(1,3)"}]


async def test_statements_that_write(pool: Any) -> None:
    await pool.execute("CREATE TABLE made (id int4, at point)")
    added = await pool.fetch_arrow("INSERT INTO made VALUES (1, '(1,2)'), (2, NULL) RETURNING id")
    assert pa.table(added)["id"].to_pylist() == [1, 2]
    with pytest.raises(InterfaceError, match='column "at" has no form there; cast it: "at"::text'):
        await pool.fetch_arrow("INSERT INTO made VALUES (3, '(1,2)') RETURNING at")
    assert await pool.fetchval("SELECT count(*) FROM made") == 2
    await _free(pool)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SHOW work_mem", "a query expected"),
        ("CREATE TABLE t (a int4)", "a query expected"),
        ("SELECT 1; SELECT 2", "one statement at a time"),
        ("INSERT INTO pg_temp.t SELECT 1", "does not exist|no columns"),
        ("SELECT", "no columns"),
    ],
)
async def test_what_is_no_query_is_refused(pool: Any, sql: str, message: str) -> None:
    with pytest.raises((InterfaceError, DatabaseError), match=message):
        await pool.fetch_arrow(sql)
    await _free(pool)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT 'NaN'::numeric(5, 2) AS x", 'column "x": NaN has no form'),
        ("SELECT 'infinity'::timestamp AS x", "infinity='clamp'"),
        ("SELECT '-infinity'::date AS x", "infinity='clamp'"),
        ("SELECT '{{1},{2}}'::int4[] AS x", "2 dimensions"),
        ("SELECT '24:00'::time AS x", "hour=24"),
        ("SELECT '294276-12-31'::timestamp AS x", "beyond"),
        ("SELECT '178000000 years'::interval AS x", "beyond"),
    ],
)
async def test_values_that_arrow_cannot_hold(pool: Any, sql: str, message: str) -> None:
    with pytest.raises(DecodeError, match=message):
        await pool.fetch_arrow(sql)
    await _free(pool)


async def test_infinity_clamped(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, infinity="clamp")
    sql = "SELECT 'infinity'::date AS d, '-infinity'::timestamp AS t, 'infinity'::timestamptz AS z"
    assert pa.table(await pool.fetch_arrow(sql)).to_pylist() == [dict(await pool.fetchrow(sql))]


async def test_a_failing_statement(pool: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        await pool.fetch_arrow("SELECT 1 / (i - 900) AS x FROM generate_series(1, 1000) AS i")
    assert caught.value.sqlstate == "22012"
    await at_rest(pool)  # to read the catalogue may take longer than the deadline
    with pytest.raises(StatementTimeout):
        await pool.fetch_arrow("SELECT pg_sleep(600)::text AS x", timeout=0.2)
    assert await pool.fetchval("SELECT 1") == 1


# -- batches -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 99, 100, 101, 250])
async def test_batches(pool: Any, batch: int) -> None:
    tables = [pa.table(table) async for table in pool.stream_arrow(SERIES.format(250), batch=batch)]
    assert [value for table in tables for value in table["i"].to_pylist()] == list(range(1, 251))
    assert all(len(chunk) <= batch for table in tables for chunk in table["i"].chunks)
    async with pool.stream_arrow(SERIES.format(3)) as again:
        assert [len(table) async for table in again] == [3]
    await _free(pool)


async def test_a_stream_of_a_connection_inside_a_transaction(pool: Any) -> None:
    async with pool.transaction() as connection:
        await connection.execute("CREATE TEMP TABLE mine ON COMMIT DROP AS SELECT 5 AS five")
        async with aclosing(connection.stream_arrow("SELECT five FROM mine")) as tables:
            assert [pa.table(table).to_pylist() async for table in tables] == [[{"five": 5}]]
        assert pa.table(await connection.fetch_arrow("TABLE mine")).to_pylist() == [{"five": 5}]


async def test_a_stream_that_is_left_early(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.stream_arrow(ENDLESS, batch=10) as tables:
        first = await tables.__anext__()
    assert first.num_rows >= 10
    assert await pool.fetchval("SELECT 1") == 1


async def test_wrong_batches(pool: Any) -> None:
    for batch in (0, -1, 1.5, True, "9"):
        with pytest.raises(InterfaceError, match="batch: an int of at least 1 expected"):
            pool.stream_arrow("SELECT 1", batch=batch)


async def test_a_cancelled_call(pool: Any) -> None:
    task = asyncio.ensure_future(pool.fetch_arrow(ENDLESS))
    await until(lambda: pool.stats().sessions == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await pool.fetchval("SELECT 1") == 1


# -- other libraries ---------------------------------------------------------------------------------------------------


async def test_what_programs_read_it_with(pool: Any) -> None:
    duckdb, pandas, polars = (pytest.importorskip(name) for name in ("duckdb", "pandas", "polars"))
    await pool.execute("CREATE TYPE kind AS ENUM ('a', 'b')")
    columns = [expression for expression in TYPES if "numeric(50" not in expression and "ROW" not in expression]
    listed = ", ".join(f"{expression} AS c{number}" for number, expression in enumerate([*columns, "'b'::kind"]))
    result = await pool.fetch_arrow(f"SELECT {listed}")
    whole = pa.table(result)
    frame = polars.DataFrame(result)
    assert frame.shape == (1, len(columns) + 1)
    assert frame["c2"].to_list() == [2147483647]
    assert frame.to_arrow()["c7"].to_pylist() == whole["c7"].to_pylist()
    assert pandas.DataFrame.from_arrow(result).shape == frame.shape
    assert duckdb.sql("SELECT c2, c7 FROM result").fetchall() == [(2147483647, Decimal("12.30"))]


# -- SQLite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def lite(open_pool: Any, tmp_path: Any) -> Any:
    return await open_pool(f"sqlite:///{tmp_path}/a.db", max_size=1)


async def test_sqlite(lite: Any) -> None:
    await lite.execute("CREATE TABLE t (i, f, t, b, mixed, n)")
    await lite.executemany(
        "INSERT INTO t VALUES ($1, $2, $3, $4, $5, NULL)", [(1, 0.5, "a", b"\0", 1), (None, 2, "ß", None, 1.5)]
    )
    table = pa.table(await lite.fetch_arrow("SELECT * FROM t"))
    assert [str(kind) for kind in table.schema.types] == ["int64", "double", "string", "binary", "double", "null"]
    rows = [tuple(row) for row in await lite.fetch("SELECT * FROM t")]
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    with pytest.raises(DecodeError, match='column "x": Arrow needs one type, there are int, str'):
        await lite.fetch_arrow("SELECT 1 AS x UNION ALL SELECT 'a'")
    empty = await lite.fetch_arrow("SELECT i FROM t WHERE false")
    assert (empty.num_rows, empty.column_names) == (0, ["i"])
    assert pa.table(await lite.fetch_arrow("SELECT i FROM t WHERE i = $1", 1)).to_pylist() == [{"i": 1}]


async def test_sqlite_streams(lite: Any) -> None:
    sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25) SELECT i, i * 0.5 AS f FROM n"
    tables = [pa.table(table) async for table in lite.stream_arrow(sql, batch=10)]
    assert [len(table) for table in tables] == [10, 10, 5]
    assert pa.concat_tables(tables)["i"].to_pylist() == list(range(1, 26))
    mixed = "SELECT 1 AS x UNION ALL SELECT 'a'"
    with pytest.raises(DecodeError, match="where int64 came before"):
        [table async for table in lite.stream_arrow(mixed, batch=1)]


def test_the_documented_table_is_the_module_s() -> None:
    documented = (Path(__file__).parents[2] / "docs" / "arrow.md").read_text()
    assert [line for line in (forms.__doc__ or "").splitlines() if line.startswith("|")] == [
        line for line in documented.splitlines() if line.startswith("|")
    ]
