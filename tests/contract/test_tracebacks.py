"""A traceback has the program's lines, few of the package's own, and no second error that says the same."""

from __future__ import annotations

import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs.errors import Error

PACKAGE = str(Path(db_pool_rs.__file__).parent)
#: In pure Python an answer that is awaited has frames of its own.
MOST = {"simple": 4, "balanced": 2, "full": 2}
INSERT = "INSERT INTO item VALUES ($1)"
WRONG = "SELECT nothing FROM item"

Call = Callable[[Any], Awaitable[Any]]

CALLS: dict[str, Call] = {
    "fetch": lambda queries: queries.fetch(WRONG),
    "fetch into objects": lambda queries: queries.fetch(WRONG, row=dict),
    "fetch_result": lambda queries: queries.fetch_result(WRONG),
    "fetch_result of a wrong argument": lambda queries: queries.fetch_result(INSERT, object()),
    "fetchrow": lambda queries: queries.fetchrow(WRONG),
    "fetchval": lambda queries: queries.fetchval(WRONG),
    "execute": lambda queries: queries.execute(INSERT, 1),
    "executemany": lambda queries: queries.executemany(INSERT, [(2,), (1,)]),
    "fetchmany": lambda queries: queries.fetchmany(INSERT, [(2,), (1,)]),
    "a wrong argument": lambda queries: queries.execute(INSERT, object()),
    "too many arguments": lambda queries: queries.fetch(INSERT, 1, 2),
    "a name without a value": lambda queries: queries.fetch("SELECT :a", {}),
    "a wrong time-out": lambda queries: queries.fetch("SELECT 1", timeout="long"),
    "a row that is none": lambda queries: queries.fetch("SELECT 1", row=7),
    "two statements": lambda queries: queries.fetch("SELECT 1; SELECT 2"),
}


def check(error: BaseException, most: int) -> None:
    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(PACKAGE)]
    assert 0 < len(ours) <= most, [f"{frame.filename}:{frame.name}" for frame in ours]
    report = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    assert "The above exception" not in report
    assert "During handling" not in report


@pytest.fixture
async def item(pool: Any) -> Any:
    """A pool with a table that has one row."""
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    await pool.execute(INSERT, 1)
    return pool


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
async def test_of_a_pool_and_of_a_connection(item: Any, engine: Any, call: Call) -> None:
    for _ in range(2):  # what the text means is known the second time
        with pytest.raises(Error) as caught:
            await call(item)
        # SQLite is served by the driver of mode simple there.
        sqlite = item.config.target.database_system == "sqlite"
        check(caught.value, MOST["simple" if engine.name == "balanced" and sqlite else engine.name])
        async with item.acquire() as connection:
            with pytest.raises(Error) as caught:
                await call(connection)
            check(caught.value, 2)


async def test_of_what_a_connection_makes(item: Any) -> None:
    async def cursor(connection: Any) -> None:
        async for _ in connection.cursor(WRONG):
            pass

    async def cursor_fetch(connection: Any) -> None:
        await connection.cursor(WRONG).fetchrow()

    async def prepared(connection: Any) -> None:
        statement = await connection.prepare(INSERT)
        await statement.execute(1)

    calls: list[Call] = [cursor, cursor_fetch, prepared, lambda connection: connection.prepare(WRONG)]
    for call in calls:
        with pytest.raises(Error) as caught:
            async with item.transaction() as connection:
                await call(connection)
        check(caught.value, 2)


async def test_of_a_commit_that_fails(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE item (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with pytest.raises(Error) as caught:
        async with pg_pool.transaction() as connection:
            await connection.executemany(INSERT, [(1,), (1,)])
    check(caught.value, 2)


async def test_of_a_pool_that_cannot_be_used(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn)
    await pool.close()
    for call in (lambda: pool.fetch("SELECT 1"), lambda: pool.execute("SELECT 1")):
        with pytest.raises(Error) as caught:
            await call()
        check(caught.value, 2)
