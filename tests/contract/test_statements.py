"""Statements on the pool and on a held connection: what goes in, what comes out."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db_pool_rs import Record, Status
from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError

TABLE = "CREATE TABLE item (id int PRIMARY KEY, name text)"
EMPTY_TEXTS = ["", " ", "\n\t", ";", " ; ;", "-- only a comment", "/* one */ -- two"]


@contextlib.asynccontextmanager
async def _either(pool: Any, held: bool) -> AsyncIterator[Any]:
    """The pool itself, or a connection of it."""
    if held:
        async with pool.acquire() as connection:
            yield connection
    else:
        yield pool


@pytest.fixture(params=[False, True], ids=["pool", "held"])
async def queries(pool: Any, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """What has fetch, fetchrow, fetchval, execute and executemany: a pool and a held connection, on each database."""
    async with _either(pool, request.param) as one:
        yield one


async def test_fetch_gives_records(queries: Any) -> None:
    for _ in range(4):
        rows = await queries.fetch("SELECT 1 AS a, 'x' AS b UNION ALL SELECT 2, NULL ORDER BY 1")
        assert rows == [(1, "x"), (2, None)]
        assert all(isinstance(row, Record) for row in rows)
        assert rows[0]["a"] == rows[0][0] == 1
        assert dict(rows[1]) == {"a": 2, "b": None}
        assert rows[0].get("b") == "x"
        assert rows[0].get("c", 7) == 7
        assert list(rows[0].keys()) == ["a", "b"]


async def test_fetchrow_and_fetchval_take_the_first_row(queries: Any) -> None:
    sql = "SELECT 1 AS a, 2 AS b UNION ALL SELECT 3, 4 ORDER BY 1"
    for _ in range(4):
        assert await queries.fetchrow(sql) == (1, 2)
        assert await queries.fetchval(sql) == 1
        assert await queries.fetchval(sql, column=1) == 2
        with pytest.raises(IndexError):
            await queries.fetchval(sql, column=2)


async def test_no_row_is_none(queries: Any) -> None:
    for _ in range(4):
        assert await queries.fetch("SELECT 1 AS a WHERE 1 = 0") == []
        assert await queries.fetchrow("SELECT 1 AS a WHERE 1 = 0") is None
        assert await queries.fetchval("SELECT 1 AS a WHERE 1 = 0") is None


async def test_execute_gives_the_command_tag(queries: Any) -> None:
    assert await queries.execute(TABLE) == "CREATE TABLE"
    for i in range(4):
        status = await queries.execute("INSERT INTO item VALUES ($1, $2)", i, "x")
        assert isinstance(status, Status)
        assert status == "INSERT 0 1"
        assert status.rows == 1
    for _ in range(4):
        status = await queries.execute("UPDATE item SET name = 'y' WHERE id < $1", 3)
        assert (status, status.rows, status.command) == ("UPDATE 3", 3, "UPDATE")
        assert (await queries.execute("SELECT * FROM item")).rows == 4
    assert (await queries.execute("DELETE FROM item")).rows == 4
    assert await queries.execute("DROP TABLE item") == "DROP TABLE"


async def test_fetch_of_what_has_no_rows_is_empty(queries: Any) -> None:
    assert await queries.fetch(TABLE) == []
    for i in range(4):
        assert await queries.fetch("INSERT INTO item VALUES ($1, NULL)", i) == []
    assert await queries.fetchval("SELECT count(*) FROM item") == 4


async def test_returning_gives_rows(queries: Any) -> None:
    await queries.execute(TABLE)
    for i in range(4):
        assert await queries.fetch("INSERT INTO item VALUES ($1, $2), ($1 + 100, $2) RETURNING id", i, "n") == [
            (i,),
            (i + 100,),
        ]
        assert await queries.fetchval("UPDATE item SET name = $2 WHERE id = $1 RETURNING name", i, f"é{i}") == f"é{i}"
    assert (await queries.execute("DELETE FROM item WHERE id >= 100 RETURNING id")).rows == 4


async def test_empty_text_gives_nothing(queries: Any) -> None:
    for sql in EMPTY_TEXTS * 2:
        assert await queries.fetch(sql) == []
        assert await queries.fetchrow(sql) is None
        assert await queries.fetchval(sql) is None
        status = await queries.execute(sql)
        assert isinstance(status, Status)
        assert (status, status.rows) == ("", 0)


async def test_comments_nest_where_the_database_nests_them(pg_pool: Any) -> None:
    for _ in range(4):
        assert await pg_pool.execute("/* a /* nested */ b */") == ""
        assert await pg_pool.fetchval("/* a /* nested ; */ b */ SELECT 1") == 1


async def test_arguments_of_an_empty_text_are_refused(queries: Any) -> None:
    for sql in EMPTY_TEXTS:
        with pytest.raises(ArgumentError):
            await queries.fetch(sql, 1)


@pytest.mark.parametrize(
    "second", ["INSERT INTO item VALUES (2, 'b')", "SELECT 1", "DROP TABLE item", "COMMIT", "/**/ SELECT ';'"]
)
async def test_two_statements_in_one_text_are_refused_without_effect(pool: Any, second: str) -> None:
    await pool.execute(TABLE)
    sql = f"INSERT INTO item VALUES (1, 'a'); {second}"
    async with pool.acquire() as conn:
        refused = [pool.fetch, pool.fetchrow, pool.fetchval, pool.execute, conn.fetch, conn.fetchrow, conn.fetchval]
        for call in refused:
            with pytest.raises(InterfaceError, match="one statement at a time"):
                await call(sql)
        with pytest.raises(InterfaceError, match="one statement at a time"):
            await conn.execute(sql.replace("'a'", "$1"), "a")
        for one in (pool, conn):
            with pytest.raises(InterfaceError, match="one statement at a time"):
                await one.executemany(sql.replace("'a'", "$1"), [("a",)])
    assert await pool.fetchval("SELECT count(*) FROM item") == 0


async def test_semicolons_that_separate_nothing_are_accepted(queries: Any) -> None:
    for sql in (
        "SELECT 1;",
        "SELECT 1 ; -- end",
        ";;SELECT 1",
        "SELECT 1 /* ; */",
        'SELECT 1 AS "a;b"',
        "SELECT 1 -- ;",
    ):
        for _ in range(3):
            assert await queries.fetchval(sql) == 1
    assert await queries.fetchval("SELECT ';SELECT 2'") == ";SELECT 2"


@pytest.mark.parametrize("sql", ["SELECT 1\0", "INSERT INTO item VALUES (1, 'a') \0 garbage", "\0"])
async def test_nul_in_the_text_is_refused_without_effect(pool: Any, sql: str) -> None:
    await pool.execute(TABLE)
    async with pool.acquire() as conn:
        for one in (pool, conn):
            for call in (one.fetch, one.execute, one.fetchval):
                with pytest.raises(InterfaceError, match="NUL"):
                    await call(sql)
            with pytest.raises(InterfaceError, match="NUL"):
                await one.executemany(sql, [()])
    assert await pool.fetchval("SELECT count(*) FROM item") == 0


@pytest.mark.parametrize("sql", [None, 5, b"SELECT 1", ["SELECT 1"]])
async def test_sql_that_is_no_text_is_refused(queries: Any, sql: Any) -> None:
    with pytest.raises(InterfaceError, match="str"):
        await queries.fetch(sql)
    assert await queries.fetchval("SELECT 1") == 1


async def test_lone_surrogates_are_refused(queries: Any) -> None:
    with pytest.raises(InterfaceError, match="surrogate"):
        await queries.fetch("SELECT '\ud800'")
    assert await queries.fetchval("SELECT 1") == 1


async def test_script_on_a_held_connection_runs_every_statement(pool: Any) -> None:
    async with pool.acquire() as conn:
        status = await conn.execute(
            f"{TABLE}; INSERT INTO item VALUES (1, 'a;b'), (2, 'c'); UPDATE item SET name = 'x';"
        )
        assert (status, status.rows) == ("UPDATE 2", 2)
    assert await pool.fetch("SELECT id, name FROM item ORDER BY id") == [(1, "x"), (2, "x")]


async def test_script_that_fails_leaves_nothing(pool: Any) -> None:
    await pool.execute(TABLE)
    async with pool.acquire() as conn:
        with pytest.raises(DatabaseError):
            await conn.execute("INSERT INTO item VALUES (1, 'a'); INSERT INTO item VALUES (1, 'b'); DELETE FROM item")
        assert await conn.fetchval("SELECT count(*) FROM item") == 0
        assert not conn.is_in_transaction()


async def test_statements_in_values_are_values(queries: Any) -> None:
    await queries.execute(TABLE)
    hostile = [
        "'; DROP TABLE item; --",
        "$1",
        "\\",
        "'",
        '"',
        "%s %(a)s {} ?",
        "?1",
        ":name",
        "line\nbreak",
        "\x01\x7f",
    ]
    for number, text in enumerate(hostile):
        await queries.execute("INSERT INTO item VALUES ($1, $2)", number, text)
        assert await queries.fetchval("SELECT name FROM item WHERE id = $1", number) == text
    assert await queries.fetchval("SELECT count(*) FROM item") == len(hostile)


async def test_dollar_signs_in_quotes_and_comments_are_no_parameters(queries: Any) -> None:
    for _ in range(4):
        assert await queries.fetchval("SELECT '$1' /* $2 */ -- $3") == "$1"
        assert await queries.fetchrow("SELECT '$2' AS \"$3\", $1 || 'x' /* $4 */", "a") == ("$2", "ax")


async def test_a_parameter_may_be_used_twice_and_out_of_order(queries: Any) -> None:
    for _ in range(4):
        row = await queries.fetchrow("SELECT $2 || 'x', $1 || 'x', $2 || 'y'", "one", "two")
        assert row == ("twox", "onex", "twoy")


async def test_texts_with_varying_values_are_all_right(queries: Any) -> None:
    for i in range(600):
        assert await queries.fetchval(f"SELECT {i}") == i
    for i in (0, 300, 599):
        assert await queries.fetchval(f"SELECT {i}") == i


async def test_unicode_everywhere(queries: Any) -> None:
    text = "žluťoučký 中文 😀 \u202e \N{COMBINING ACUTE ACCENT}"
    await queries.execute('CREATE TABLE "таблица" ("столбец ""x""" text)')
    for _ in range(3):
        await queries.execute('INSERT INTO "таблица" VALUES ($1)', text)
        row = await queries.fetchrow(f'SELECT "столбец ""x""", \'{text}\' AS "中" FROM "таблица"')
        assert row == (text, text)
        assert list(row.keys()) == ['столбец "x"', "中"]


async def test_columns_with_equal_and_odd_names(queries: Any) -> None:
    for _ in range(4):
        row = await queries.fetchrow('SELECT 1 AS a, 2 AS a, 3 AS "A", 4 AS " ", 5 AS "class"')
        assert row == (1, 2, 3, 4, 5)
        assert list(row.keys()) == ["a", "a", "A", " ", "class"]
        assert row["A"] == 3
        assert row[" "] == 4


async def test_nulls(queries: Any) -> None:
    await queries.execute(TABLE)
    for i in range(4):
        await queries.execute("INSERT INTO item VALUES ($1, $2)", i, None)
        assert await queries.fetchrow("SELECT id, name, NULL AS n FROM item WHERE id = $1", i) == (i, None, None)
    assert await queries.fetchval("SELECT count(*) FROM item WHERE name IS NULL") == 4


async def test_a_megabyte_of_text_both_ways(queries: Any) -> None:
    await queries.execute(TABLE)
    text = "aé😀" * 300_000
    for i in range(3):
        await queries.execute("INSERT INTO item VALUES ($1, $2)", i, text)
        assert await queries.fetchval("SELECT name FROM item WHERE id = $1", i) == text
    assert await queries.fetchval(f"SELECT '{text}'") == text


async def test_a_hundred_thousand_rows(queries: Any) -> None:
    sql = (
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000) SELECT i, 'row ' || i FROM n"
    )
    for _ in range(2):
        rows = await queries.fetch(sql)
        assert len(rows) == 100_000
        assert rows[0] == (1, "row 1")
        assert rows[-1] == (100_000, "row 100000")


async def test_ddl_takes_effect_for_the_whole_pool(pool: Any) -> None:
    await pool.execute(TABLE)
    await pool.execute("CREATE INDEX item_name ON item (name)")
    await pool.execute("ALTER TABLE item ADD COLUMN price int DEFAULT 5")
    await asyncio.gather(*[pool.execute("INSERT INTO item (id) VALUES ($1)", i) for i in range(10)])
    async with pool.acquire() as first, pool.acquire() as second:
        for conn in (first, second):
            assert await conn.fetchval("SELECT sum(price) FROM item") == 50
    await pool.execute("DROP TABLE item")
    with pytest.raises(DatabaseError):
        await pool.fetch("SELECT * FROM item")


async def test_many_statements_at_once_get_each_their_own_answer(pool: Any) -> None:
    for _ in range(3):
        answers = await asyncio.gather(*[pool.fetchval("SELECT $1 || 'x'", str(i)) for i in range(500)])
        assert answers == [f"{i}x" for i in range(500)]


async def test_a_result_belongs_to_its_caller(pg_pool: Any) -> None:
    for _ in range(4):
        rows = await pg_pool.fetch("SELECT gen_random_uuid() AS id FROM generate_series(1, 3)")
        value = weakref.ref(rows[1]["id"])
        del rows
        await asyncio.sleep(0)
        assert value() is None
