"""`executemany`: one statement, many arguments, all of it or nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError, UniqueViolation
from tests.contract.guarding import at_rest
from tests.contract.waiting import until
from tests.plugins.proxy import FaultProxy

INSERT = "INSERT INTO item VALUES ($1, $2)"


@pytest.fixture(params=["pool", "held", "transaction"])
async def many(pool: Any, request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    """What has executemany: a pool, a held connection, and one with a transaction open."""
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    if request.param == "pool":
        yield pool
    elif request.param == "held":
        async with pool.acquire() as conn:
            yield conn
    else:
        async with pool.transaction() as conn:
            yield conn


async def _count(queries: Any) -> Any:
    return await queries.fetchval("SELECT count(*) FROM item")


async def _in_a_savepoint(many: Any, rows: Any, call: str = "executemany", sql: str = INSERT, **options: Any) -> None:
    """Where a transaction is open, an error ends it: try it inside a savepoint."""
    if hasattr(many, "is_in_transaction") and many.is_in_transaction():
        async with many.transaction():
            await getattr(many, call)(sql, rows, **options)
    else:
        await getattr(many, call)(sql, rows, **options)


@pytest.mark.parametrize("count", [0, 1, 2, 499, 500, 501, 1200])
async def test_any_number_of_rows(many: Any, count: int) -> None:
    assert await many.executemany(INSERT, [(i, f"n{i}") for i in range(count)]) is None
    assert await _count(many) == count
    if count:
        assert await many.fetchrow("SELECT * FROM item WHERE id = $1", count - 1) == (count - 1, f"n{count - 1}")


async def test_any_iterable(many: Any) -> None:
    def rows() -> Iterator[list[Any]]:
        for i in range(700):
            yield [i, None]

    await many.executemany(INSERT, rows())
    await many.executemany(INSERT, iter([(1000, "a"), (1001, "b")]))
    await many.executemany(INSERT, ((i, "x") for i in range(2000, 2003)))
    await many.executemany(INSERT, {(3000, "x"): 1}.keys())
    assert await _count(many) == 706


#: Which row is at fault: the first ones, and one of a later chunk. The first one again, once its types are known.
CULPRITS = (0, 1, 3, 700, 0)


async def test_a_row_that_the_database_refuses_undoes_all(many: Any) -> None:
    for culprit in CULPRITS:
        rows = [(i, "x") for i in range(800)]
        rows[culprit] = (799, "x")
        with pytest.raises(UniqueViolation):
            await _in_a_savepoint(many, rows)
        assert await _count(many) == 0
    await many.executemany(INSERT, [(1, "x")])
    assert await _count(many) == 1


@pytest.mark.parametrize("bad", [(5, object()), (5,), (5, "x", 1), (2**70, "x")], ids=["type", "few", "many", "range"])
async def test_a_row_that_does_not_fit_undoes_all(many: Any, bad: Any) -> None:
    for culprit in CULPRITS:
        rows: list[Any] = [(i, "x") for i in range(800)]
        rows[culprit] = bad
        with pytest.raises(ArgumentError) as caught:
            await _in_a_savepoint(many, rows)
        assert str(culprit) in str(caught.value), "which row"
        assert await _count(many) == 0
    await many.executemany(INSERT, [(1, "x")])
    assert await _count(many) == 1


@pytest.mark.parametrize("rows", [5, None, [5], [(1, "x"), None]])
async def test_rows_that_are_none_are_refused(many: Any, rows: Any) -> None:
    with pytest.raises((InterfaceError, TypeError)):
        await _in_a_savepoint(many, rows)
    assert await _count(many) == 0


async def test_a_generator_that_fails_undoes_all(many: Any) -> None:
    def rows() -> Iterator[tuple[int, str]]:
        for i in range(600):
            yield i, "x"
        raise OSError("the file ended")

    with pytest.raises(OSError, match="the file ended"):
        await _in_a_savepoint(many, rows())
    assert await _count(many) == 0


async def test_a_statement_without_parameters(many: Any) -> None:
    await many.executemany("INSERT INTO item VALUES ((SELECT count(*) FROM item), 'x')", [(), [], ()])
    assert await _count(many) == 3


async def test_rows_that_come_back_are_dropped(many: Any) -> None:
    await many.executemany(f"{INSERT} RETURNING id", [(1, "x"), (2, "y")])
    assert await _count(many) == 2


async def test_empty_text(many: Any) -> None:
    await many.executemany("", [])
    await many.executemany("-- nothing", [(), ()])
    with pytest.raises(InterfaceError):
        await many.executemany("", [(1,)])


@pytest.mark.usefixtures("patient")
async def test_cancelled_in_the_middle_undoes_all(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    seen = 0

    def rows() -> Iterator[tuple[int, str]]:
        nonlocal seen
        for i in range(1_000_000):
            seen = i
            yield i, "x"

    task = asyncio.ensure_future(pool.executemany(INSERT, rows()))
    await until(lambda: seen > 1500)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await _count(pool) == 0
    await pool.executemany(INSERT, [(1, "x")])
    assert await _count(pool) == 1


async def test_hundred_thousand_rows(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    await pool.executemany(INSERT, ((i, "name") for i in range(100_000)))
    assert await _count(pool) == 100_000


async def test_others_see_all_or_nothing(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    task = asyncio.ensure_future(pool.executemany(INSERT, [(i, "x") for i in range(3000)]))
    seen = set()
    while not task.done():
        seen.add(await _count(pool))
    await task
    assert seen <= {0, 3000}


async def test_it_is_pipelined(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    await pool.executemany(INSERT, [(-1, "known from now on")])
    await at_rest(pool)
    before = proxy.round_trips
    await pool.executemany(INSERT, [(i, "x") for i in range(400)])
    assert proxy.round_trips - before <= 3
    assert await _count(pool) == 401


async def test_a_failing_statement_says_which(pg_pool: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        await pg_pool.executemany("INSERT INTO no_table VALUES ($1)", [(1,), (2,)])
    assert caught.value.sqlstate == "42P01"
    assert caught.value.query == "INSERT INTO no_table VALUES ($1)"


# -- fetchmany: the same with its rows ---------------------------------------------------------------------------------

RETURNING = f"{INSERT} RETURNING id, name"


async def test_fetchmany_returns_the_rows_in_order(many: Any) -> None:
    for first, count in ((0, 0), (0, 1), (100, 500), (1000, 1201)):
        expected = [(first + i, f"n{i}") for i in range(count)]
        assert await many.fetchmany(RETURNING, iter(expected)) == expected
    assert await _count(many) == 1702
    made = await many.fetchmany(RETURNING, [(1, "a"), (2, "b")], row=dict)
    assert made == [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}]
    named = "INSERT INTO item VALUES (:id, :name) RETURNING name"
    assert await many.fetchmany(named, [{"id": 3, "name": "c"}, {"id": 4, "name": "d"}]) == [("c",), ("d",)]


async def test_fetchmany_of_any_number_of_rows_each(many: Any) -> None:
    await many.executemany(INSERT, [(i, "x") for i in range(4)])
    below = "SELECT id FROM item WHERE id < $1 ORDER BY id"
    assert await many.fetchmany(below, [(2,), (0,), (3,)]) == [(0,), (1,), (0,), (1,), (2,)]
    assert await many.fetchmany("DELETE FROM item WHERE id = $1", [(0,), (1,)]) == []
    assert await many.fetchmany("", [()]) == []
    assert await _count(many) == 2


async def test_fetchmany_does_all_or_nothing(many: Any) -> None:
    async def refused(rows: Any, error: type[Exception], **options: Any) -> str:
        with pytest.raises(error) as caught:
            await _in_a_savepoint(many, rows, "fetchmany", RETURNING, **options)
        assert await _count(many) == 0
        return str(caught.value)

    for culprit in CULPRITS:
        rows: list[Any] = [(i, "x") for i in range(800)]
        rows[culprit] = (799, "x")
        await refused(rows, UniqueViolation)
        rows[culprit] = (799, "x", "y")
        assert f"element {culprit}:" in await refused(rows, ArgumentError)
    await refused([(1, "x")], InterfaceError, row=int)


async def test_fetchmany_of_a_prepared_statement(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    async with pool.acquire() as connection:
        statement = await connection.prepare(RETURNING, row=tuple)
        assert await statement.fetchmany([(1, "a"), (2, "b")]) == [(1, "a"), (2, "b")]


async def test_fetchmany_is_pipelined(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    await pool.fetchmany(RETURNING, [(-1, "known from now on")])
    await at_rest(pool)
    before = proxy.round_trips
    assert len(await pool.fetchmany(RETURNING, [(i, "x") for i in range(400)])) == 400
    assert proxy.round_trips - before <= 3


@pytest.mark.parametrize("wrong", ["ab", b"ab", bytearray(b"ab"), {"a", "b"}, 7, None])
async def test_what_is_no_sequence_of_values_is_refused(open_pool: Any, backend: Any, wrong: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    await pool.execute("CREATE TABLE pairs (a text, b text)")
    for many in (pool.executemany, pool.fetchmany):
        with pytest.raises(ArgumentError, match=f"element 1: .* expected, got {type(wrong).__name__}"):
            await many("INSERT INTO pairs VALUES ($1, $2)", [("x", "y"), wrong])
    assert await pool.fetchval("SELECT count(*) FROM pairs") == 0


@pytest.mark.feature("postgresql")
async def test_query_loggers_are_not_told_that_undone_executions_succeeded(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TABLE once (a int4 PRIMARY KEY)")
    told: list[Any] = []
    pool.add_query_logger(told.append)
    with pytest.raises(UniqueViolation):
        await pool.executemany("INSERT INTO once VALUES ($1)", [(1,), (2,), (1,), (3,)])
    await until(lambda: len([one for one in told if one.query.startswith("INSERT")]) >= 3)
    assert all(isinstance(one.error, UniqueViolation) for one in told if one.query.startswith("INSERT"))


async def test_what_others_call_meanwhile_is_not_undone_with_it(pool: Any) -> None:
    """Elements that are more than one group are a block of their own: calls of other tasks are not in it."""
    await pool.execute("CREATE TABLE put (n int PRIMARY KEY)")
    sql = "INSERT INTO put VALUES ($1)"
    await pool.execute(sql, 0)
    many = [(n,) for n in range(1, 2500)]
    async with pool.transaction() as connection:
        calls = (
            connection.executemany(sql, [*many, (0,)]),
            connection.execute(sql, 5000),
            connection.execute(sql, 5001),
        )
        failed, *told = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(failed, UniqueViolation)
        assert told == ["INSERT 0 1"] * 2
    assert [row[0] for row in await pool.fetch("SELECT n FROM put ORDER BY n")] == [0, 5000, 5001]
