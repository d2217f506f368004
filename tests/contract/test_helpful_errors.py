"""Errors show where the statement is wrong, and say what helps against the mistakes that everyone makes once."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, PoolTimeout, UndefinedColumn


@pytest.fixture(params=["pool", "connection"])
async def queries(pg_pool: Any, request: pytest.FixtureRequest) -> Any:
    """Both things that run statements."""
    await pg_pool.execute("CREATE TABLE item (id int, name text)")
    if request.param == "pool":
        yield pg_pool
    else:
        async with pg_pool.acquire() as connection:
            yield connection


async def test_the_line_at_fault_with_a_caret(queries: Any) -> None:
    for _ in range(2):
        with pytest.raises(UndefinedColumn) as caught:
            await queries.fetch("SELECT id\nFROM item\nWHERE nme = $1 AND id > 0", "secret argument")
        assert str(caught.value).splitlines()[:3] == [
            'column "nme" does not exist (SQLSTATE 42703)',
            "LINE 3: WHERE nme = $1 AND id > 0",
            "              ^",
        ]
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "args", "helps"),
    [
        ("SELECT * FROM item WHERE id = %s", (1,), "parameters are $1, $2, ..., or :name with a mapping; not %s"),
        ("SELECT * FROM item WHERE id=%s", (1,), "not %s"),
        ("INSERT INTO item VALUES (%s, %s)", (1, "a"), "not %s"),
        ("SELECT * FROM item WHERE id = %(id)s", ({"id": 1},), "not %s"),
        ("SELECT * FROM item WHERE id = ? AND name = ?", (1, "a"), "not ?"),
        ("SELECT * FROM item WHERE id = ?", (1,), "not ?"),
        ("INSERT INTO item VALUES (?, ?)", (1, "a"), "not ?"),
        ("SELECT * FROM item WHERE name = @name", ("a",), "not @name"),
        ("SELECT * FROM item WHERE id = $id", (1,), "not $name"),
        ("SELECT * FROM item WHERE id IN $1", ([1, 2],), "write = ANY($1)"),
        ("SELECT * FROM item WHERE id NOT IN $1", ([1, 2],), "write <> ALL($1)"),
        ("SELECT * FROM item WHERE id = ANY $1", ([1, 2],), "parentheses: ($1)"),
    ],
)
async def test_hints_of_the_text(queries: Any, sql: str, args: tuple[Any, ...], helps: str) -> None:
    with pytest.raises(DatabaseError) as caught:
        await queries.fetch(sql, *args)
    hints = [line for line in str(caught.value).splitlines() if line.startswith("HINT:  ")]
    assert helps in hints[0]


async def test_hints_of_the_arguments(queries: Any) -> None:
    await queries.execute("CREATE TYPE pair AS (a int, b int)")
    await queries.execute("CREATE TABLE pairs (one pair)")
    for sql, value, helps in (
        ("SELECT * FROM item WHERE id = $1", [1, 2], r"write = ANY\(\$1\) and pass a list"),
        ("SELECT * FROM item WHERE id IN ($1)", (1, 2), r"write = ANY\(\$1\) and pass a list"),
        ("SELECT * FROM item WHERE name = $1", {"a"}, r"write = ANY\(\$1\) and pass a list"),
        ("SELECT * FROM pairs WHERE one = $1", [1, 2], r"write \$1::thetype"),
        ("SELECT * FROM item WHERE id = :id", 1, r'takes one mapping: \{"id": ...\}'),
    ):
        for _ in range(2):
            with pytest.raises(ArgumentError, match=helps):
                await queries.fetch(sql, value)
    with pytest.raises(ArgumentError) as caught:
        await queries.fetch("SELECT * FROM item WHERE id = $1", "one")
    assert "ANY" not in str(caught.value)


@pytest.mark.parametrize(
    ("sql", "args", "helps"),
    [
        ("SELECT * FROM item WHERE id = ?", (1,), "parameters are $1, $2, ..., or :name with a mapping; not ?"),
        ("SELECT * FROM item WHERE id = %s", (1,), "not %s"),
        ("SELECT * FROM item WHERE id = @id", (1,), "not @name"),
        ("SELECT ?", (), "not ?"),
        ("SELECT * FROM item WHERE id IN $1", ([1, 2],), "write IN (SELECT value FROM json_each($1))"),
        ("SELECT * FROM item WHERE id = :id", (1,), 'takes one mapping: {"id": ...}'),
    ],
)
async def test_hints_on_sqlite(open_pool: Any, sql: str, args: tuple[Any, ...], helps: str) -> None:
    pool = await open_pool("sqlite://")
    await pool.execute("CREATE TABLE item (id int, name text)")
    for _ in range(2):
        with pytest.raises((ArgumentError, DatabaseError)) as caught:
            await pool.fetch(sql, *args)
        assert helps in str(caught.value)
    await pool.executemany("INSERT INTO item VALUES ($1, 'x')", [(1,), (2,), (3,)])
    several = "SELECT count(*) FROM item WHERE id IN (SELECT value FROM json_each($1))"
    assert await pool.fetchval(several, [1, 3, 5]) == 2


async def test_other_calls_and_the_log_do_not_see_the_statement(
    open_pool: Any, pg_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def init(connection: Any) -> None:
        await connection.execute("SELECT mine FROM nowhere")

    caplog.set_level(logging.DEBUG, "db_pool_rs")
    with pytest.raises(Exception, match="nowhere") as caught:
        await open_pool(pg_database, min_size=1, init=init)
    assert "SELECT mine" not in str(caught.value)
    pool = await open_pool(pg_database, min_size=0, max_size=1, acquire_timeout=0.3)
    async with pool.acquire():
        with pytest.raises(PoolTimeout) as timed_out:
            await pool.fetch("SELECT 1")
    assert "LINE" not in str(timed_out.value)
    assert "LINE" not in caplog.text
