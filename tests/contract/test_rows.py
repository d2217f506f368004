"""`row=`: a program has its rows as it wants them, from every call that has rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from db_pool_rs import DatabasePool
from db_pool_rs.errors import ConfigError, InterfaceError
from db_pool_rs.record import Record

SQL = "SELECT id, name FROM person WHERE id >= $1 ORDER BY id"


@dataclass
class Person:
    id: int
    name: str = "nameless"


ALL = [Person(1, "Ada"), Person(2, "Grace"), Person(3, "Edith")]


async def _fill(pool: Any) -> Any:
    await pool.execute("CREATE TABLE person (id int PRIMARY KEY, name text)")
    await pool.executemany("INSERT INTO person VALUES ($1, $2)", [(one.id, one.name) for one in ALL])
    return pool


@pytest.fixture
async def people(pool: Any) -> Any:
    """A pool with three rows in its table `person`."""
    return await _fill(pool)


async def test_calls_of_a_pool_and_of_a_connection(people: Any) -> None:
    async with people.acquire() as connection:
        for queries in (people, connection):
            for _ in range(2):  # the second time the text is known
                assert await queries.fetch(SQL, 1, row=Person) == ALL
                assert await queries.fetchrow(SQL, 2, row=Person) == ALL[1]
                assert await queries.fetchrow(SQL, 9, row=Person) is None
                assert await queries.fetch(SQL, 9, row=Person) == []
                assert await queries.fetch(SQL, 3, row=dict) == [{"id": 3, "name": "Edith"}]
                assert type((await queries.fetch(SQL, 3, row=tuple))[0]) is tuple
                assert await queries.fetch(SQL, 1, row=lambda record: record["name"]) == ["Ada", "Grace", "Edith"]
                assert await queries.fetchrow("SELECT id FROM person ORDER BY id", row=Person) == Person(1)
                assert isinstance((await queries.fetch(SQL, 1))[0], Record)
                assert await queries.fetchval(SQL, 1, column=1) == "Ada"
                assert await queries.fetch("", row=Person) == []


async def test_cursors_and_prepared_statements(people: Any) -> None:
    async with people.transaction() as connection:
        assert [one async for one in connection.cursor(SQL, 1, prefetch=2, row=Person)] == ALL
        cursor = connection.cursor(SQL, 1, row=dict)
        assert await cursor.fetchrow() == {"id": 1, "name": "Ada"}
        assert await cursor.fetch(9) == [{"id": 2, "name": "Grace"}, {"id": 3, "name": "Edith"}]
        statement = await connection.prepare(SQL, row=Person)
        assert await statement.fetch(2) == ALL[1:]
        assert await statement.fetchrow(3) == ALL[2]
        assert await statement.fetchval(3) == 3
        assert [one async for one in statement.cursor(1)] == ALL


async def test_the_pools_own_is_for_calls_that_say_nothing(open_pool: Any, backend: Any) -> None:
    pool = await _fill(await open_pool(backend.dsn, row=Person))
    async with pool.transaction() as connection:
        for queries in (pool, connection):
            assert await queries.fetch(SQL, 1) == ALL
            assert await queries.fetchrow(SQL, 2) == ALL[1]
            assert await queries.fetchval(SQL, 2, column=1) == "Grace"
            assert await queries.fetch(SQL, 3, row=dict) == [{"id": 3, "name": "Edith"}]
            assert isinstance(await queries.fetchrow(SQL, 1, row=Record), Record)
        assert [one async for one in connection.cursor(SQL, 1)] == ALL
        assert await (await connection.prepare(SQL)).fetch(1) == ALL
        assert await (await connection.prepare(SQL, row=tuple)).fetchrow(3) == (3, "Edith")


async def test_what_does_not_fit_is_told(people: Any) -> None:
    async with people.acquire() as connection:
        for queries in (people, connection):
            with pytest.raises(InterfaceError, match=r"no field for the column 'age'.*the statement was executed"):
                await queries.fetch("SELECT id, name, 7 AS age FROM person", row=Person)
            with pytest.raises(InterfaceError, match="no column for the field 'id'"):
                await queries.fetchrow("SELECT name FROM person", row=Person)
            with pytest.raises(InterfaceError, match="two columns are named 'id'"):
                await queries.fetch("SELECT id, id FROM person", row=dict)


async def test_what_cannot_make_rows_is_refused_before_anything_is_sent(people: Any) -> None:
    insert = "INSERT INTO person VALUES (4, 'x') RETURNING id, name"
    async with people.transaction() as connection:
        for queries in (people, connection):
            for row in (int, "Person", 7):
                with pytest.raises(InterfaceError, match=r"^row"):
                    await queries.fetch(insert, row=row)
                with pytest.raises(InterfaceError, match=r"^row"):
                    await queries.fetchrow(insert, row=row)
        with pytest.raises(InterfaceError, match=r"^row"):
            connection.cursor(SQL, 1, row=int)
        with pytest.raises(InterfaceError, match=r"^row"):
            await connection.prepare(SQL, row=int)
    assert await people.fetchval("SELECT count(*) FROM person") == 3


@pytest.mark.parametrize("row", [int, "Person"])
async def test_a_pool_does_not_take_it_either(open_pool: Any, backend: Any, row: Any) -> None:
    with pytest.raises(ConfigError, match="row"):
        await open_pool(backend.dsn, row=row)


async def test_database_pools_pass_it_on(engine: Any, backend: Any) -> None:
    async with DatabasePool(engine.name) as db:
        await _fill(await db.create_pool("main", backend.dsn))
        assert await db.query("main", SQL, 1, row=Person) == ALL
