"""Statements that are written down first and sent together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import (
    ArgumentError,
    ConnectionLost,
    DatabaseError,
    DecodeError,
    ForeignKeyViolation,
    InterfaceError,
    PoolTimeout,
    StatementTimeout,
    UniqueViolation,
)
from tests.contract.guarding import at_rest
from tests.contract.waiting import until, until_async
from tests.plugins.proxy import TO_CLIENT, FaultProxy

TABLE = "CREATE TABLE item (id int PRIMARY KEY, name text)"
INSERT = "INSERT INTO item VALUES ($1, $2)"
NAME = "SELECT name FROM item WHERE id = $1"
COUNT = "SELECT count(*) FROM item"


@pytest.fixture
async def items(open_pool: Any, backend: Any) -> Any:
    pool = await open_pool(backend.dsn, max_size=2)
    await pool.execute(TABLE)
    return pool


async def _ids(pool: Any) -> list[int]:
    return [row[0] for row in await pool.fetch("SELECT id FROM item ORDER BY id")]


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("known", [True, False])
async def test_results_after_the_block(items: Any, atomic: bool, known: bool) -> None:
    if known:
        for sql, args in ((INSERT, (0, "zero")), (NAME, (0,)), (COUNT, ())):
            await items.fetch(sql, *args)
        await items.execute("DELETE FROM item")
    async with items.batch(atomic=atomic) as batch:
        one, two = batch.execute(INSERT, 1, "one"), batch.execute(INSERT, 2, "two")
        rows, row, none = batch.fetch(NAME, 1), batch.fetchrow(NAME, 2), batch.fetchrow(NAME, 3)
        count, empty = batch.fetchval(COUNT), batch.fetch("-- nothing")
        assert not one.done()
        with pytest.raises(InterfaceError, match="when its block has ended"):
            one.result()
    assert one.done()
    assert one.exception() is None
    assert (one.result(), two.result()) == ("INSERT 0 1", "INSERT 0 1")
    assert (rows.result(), row.result()["name"], none.result()) == ([("one",)], "two", None)
    assert (count.result(), empty.result()) == (2, [])
    assert await _ids(items) == [1, 2]
    await until(lambda: items.stats().sessions == 0)


async def test_rows_as_the_program_wants_them(items: Any) -> None:
    async with items.batch() as batch:
        batch.execute(INSERT, 1, "one")
        rows, row = batch.fetch(NAME, 1, row=dict), batch.fetchrow(NAME, 1, row=lambda row: row["name"])
        none = batch.fetchrow(NAME, 2, row=dict)
    assert (rows.result(), row.result(), none.result()) == ([{"name": "one"}], "one", None)


@pytest.mark.parametrize("atomic", [True, False])
async def test_one_round_trip(open_pool: Any, pg_database: str, proxy: FaultProxy, atomic: bool) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute(TABLE)
    for sql, args in ((INSERT, (0, "zero")), (NAME, (0,)), (COUNT, ())):
        await pool.fetch(sql, *args)
    await at_rest(pool)
    before = (proxy.round_trips, pool.stats().statements)
    async with pool.batch(atomic=atomic) as batch:
        for i in range(1, 20):
            batch.execute(INSERT, i, "x")
        count, name = batch.fetchval(COUNT), batch.fetchval(NAME, 3)
    assert (count.result(), name.result()) == (20, "x")
    assert (proxy.round_trips, pool.stats().statements) == (before[0] + 1, before[1] + 21)


async def test_atomic_is_all_or_nothing(items: Any, caplog: pytest.LogCaptureFixture) -> None:
    await items.execute(INSERT, 1, "one")
    batch = items.batch()
    with pytest.raises(UniqueViolation):
        await _twice(batch)
    assert await _ids(items) == [1]
    assert not caplog.records
    with pytest.raises(InterfaceError, match="used already"):
        await batch.__aenter__()


async def _twice(block: Any) -> None:
    async with block as batch:
        results = [batch.execute(INSERT, i, "x") for i in (2, 1, 3)]
    assert not results


async def test_every_result_of_an_atomic_batch_that_failed_is_the_error(items: Any) -> None:
    await items.execute(INSERT, 1, "one")
    results: list[Any] = []

    async def block() -> None:
        async with items.batch() as batch:
            results.extend(batch.execute(INSERT, i, "x") for i in (2, 1, 3))

    with pytest.raises(UniqueViolation) as caught:
        await block()
    assert [one.exception() for one in results] == [caught.value] * 3
    with pytest.raises(UniqueViolation):
        results[0].result()


async def test_a_commit_that_is_refused(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    await pg_pool.execute("CREATE TABLE child (p int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    for atomic in (True, False):
        results: list[Any] = []

        async def block(atomic: bool = atomic, results: list[Any] = results) -> None:
            async with pg_pool.batch(atomic=atomic) as batch:
                results.append(batch.execute("INSERT INTO child VALUES (1)"))
                results.append(batch.execute("INSERT INTO parent VALUES ($1)", 2 + atomic))

        if atomic:
            with pytest.raises(ForeignKeyViolation):
                await block()
        else:
            await block()
        assert isinstance(results[0].exception(), ForeignKeyViolation)
    assert results[1].result() == "INSERT 0 1"
    assert await pg_pool.fetchval("SELECT count(*) FROM parent") == 1


async def test_each_has_an_outcome_of_its_own(items: Any) -> None:
    await items.execute(INSERT, 1, "one")
    async with items.batch(atomic=False) as batch:
        results = [batch.execute(INSERT, i, "x") for i in (2, 1, 3)]
        late = batch.fetchval("SELECT nonsense")
        count = batch.fetchval(COUNT)
    assert [results[0].result(), results[2].result(), count.result()] == ["INSERT 0 1", "INSERT 0 1", 3]
    assert isinstance(results[1].exception(), UniqueViolation)
    assert isinstance(late.exception(), DatabaseError)
    assert await _ids(items) == [1, 2, 3]


OPERATIONS: list[tuple[str, Any]] = [
    (INSERT, lambda n: (n, "x")),
    (COUNT, lambda n: ()),
    (NAME, lambda n: (n,)),
    ("INSERT INTO item VALUES (NULLIF($1, $1 + 0), NULL)", lambda n: (n,)),
    ("SELECT nonsense", lambda n: ()),
    ("INSERT INTO item (id) SELECT 100 FROM item", lambda n: ()),
    ("DELETE FROM item WHERE id = $1 RETURNING id", lambda n: (n,)),
]


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 3)), max_size=8))
async def test_not_atomic_is_as_one_by_one(items: Any, chosen: list[tuple[Any, int]]) -> None:
    await items.execute("DELETE FROM item")
    expected: list[Any] = []
    async with items.acquire() as connection:
        for (sql, args), number in chosen:
            try:
                expected.append(await connection.fetch(sql, *args(number)))
            except DatabaseError as error:
                expected.append(str(error))
    left = await _ids(items)
    await items.execute("DELETE FROM item")
    async with items.batch(atomic=False) as batch:
        results = [batch.fetch(sql, *args(number)) for (sql, args), number in chosen]
    assert [str(one.exception()) if one.exception() else one.result() for one in results] == expected
    assert await _ids(items) == left


async def test_what_is_wrong_is_told_when_it_is_added(items: Any) -> None:
    await items.fetch(INSERT, 0, "zero")
    batch = items.batch()
    with pytest.raises(InterfaceError, match="inside of the block"):
        batch.execute(INSERT, 1, "one")

    async def block(*call: Any) -> None:
        async with items.batch() as batch:
            batch.execute(INSERT, 1, "one")
            batch.execute(*call)

    for call, error in (
        ((INSERT, 1), ArgumentError),
        (("COMMIT",), InterfaceError),
        (("SELECT 1; SELECT 2",), InterfaceError),
        ((5,), InterfaceError),
    ):
        with pytest.raises(error):
            await block(*call)
    assert await _ids(items) == [0]


async def test_arguments_whose_types_are_found_out_later(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    results: list[Any] = []

    async def block(atomic: bool) -> None:
        async with pg_pool.batch(atomic=atomic) as batch:
            results[:] = [
                batch.execute(f"INSERT INTO item VALUES ($1, '{atomic}')", 1 + atomic),
                batch.execute(f"INSERT INTO item VALUES ($1, $2) -- {atomic}", "no number", "x"),
                batch.execute(f"INSERT INTO item VALUES ($1, NULL) -- {atomic}", 5),
            ]

    with pytest.raises(ArgumentError):
        await block(atomic=True)
    assert await _ids(pg_pool) == []
    await block(atomic=False)
    assert isinstance(results[1].exception(), ArgumentError)
    assert await _ids(pg_pool) == [1, 5]


async def test_what_cannot_be_read_was_done(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE day (d date)")
    async with pg_pool.batch() as batch:
        day = batch.fetch("INSERT INTO day VALUES ('infinity') RETURNING d")
        tag = batch.execute("INSERT INTO day VALUES ('2000-01-01')")
    with pytest.raises(DecodeError):
        day.result()
    assert tag.result() == "INSERT 0 1"
    assert await pg_pool.fetchval("SELECT count(*) FROM day") == 2


async def test_an_exception_in_the_block_sends_nothing(items: Any) -> None:
    results: list[Any] = []

    async def block() -> None:
        async with items.batch() as batch:
            results.append(batch.execute(INSERT, 1, "one"))
            raise KeyError

    with pytest.raises(KeyError):
        await block()
    with pytest.raises(InterfaceError, match="not sent"):
        results[0].result()
    assert await _ids(items) == []


@pytest.mark.parametrize("atomic", [True, False])
async def test_the_deadline(pg_pool: Any, atomic: bool) -> None:
    await pg_pool.execute(TABLE)
    await at_rest(pg_pool)  # to read the catalogue may take longer than the deadline
    results: list[Any] = []
    slow = "SELECT pg_sleep(60)" if atomic else "SELECT pg_sleep(60), pg_notify('here', '')"  # which runs alone

    async def block(timeout: float) -> None:
        async with pg_pool.batch(atomic=atomic, timeout=timeout) as batch:
            results[:] = [
                batch.execute("INSERT INTO item VALUES (1, 'one')"),
                batch.execute(slow),
                batch.execute("INSERT INTO item VALUES (2, 'two')"),
            ]

    with pytest.raises(StatementTimeout):
        await block(2)  # time enough for what is in front of the slow one
    errors = [one.exception() for one in results]
    assert [type(one) for one in errors[1:]] == [StatementTimeout] * 2
    assert await _ids(pg_pool) == ([] if atomic else [1])
    if not atomic:
        assert [one.sent for one in errors[1:]] == [True, False]
    async with pg_pool.acquire(), pg_pool.acquire():
        with pytest.raises((PoolTimeout, StatementTimeout)):
            await block(0.05)
        assert {type(one.exception()) for one in results} == {PoolTimeout}


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.usefixtures("patient")
async def test_cancelled(pg_pool: Any, atomic: bool, caplog: pytest.LogCaptureFixture) -> None:
    await pg_pool.execute(TABLE)
    results: list[Any] = []

    async def block() -> None:
        async with pg_pool.batch(atomic=atomic) as batch:
            results.append(batch.execute("INSERT INTO item SELECT 1, 'one' FROM pg_sleep(60)"))

    task = asyncio.ensure_future(block())
    asked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
    await until_async(lambda: pg_pool.fetchval(asked))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(InterfaceError, match="unknown"):
        results[0].result()
    await until(lambda: pg_pool.stats().sessions == 0)
    assert await _ids(pg_pool) == []
    assert not caplog.records


@pytest.mark.parametrize("atomic", [True, False])
async def test_a_lost_connection(open_pool: Any, pg_database: str, proxy: FaultProxy, atomic: bool) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute(TABLE)
    await pool.fetch(INSERT, 0, "zero")
    await at_rest(pool)
    results: list[Any] = []

    async def block() -> None:
        async with pool.batch(atomic=atomic) as batch:
            results.extend(batch.execute(INSERT, i, "x") for i in range(1, 4))
            results.append(batch.execute("CREATE TABLE other (i int)"))  # alone, where it may be

    proxy.stall(TO_CLIENT)
    task = asyncio.ensure_future(block())
    await proxy.wait_held(TO_CLIENT)
    await proxy.drop()
    with pytest.raises(ConnectionLost):
        await task
    assert [one.exception().sent for one in results] == [True, True, True, atomic]
    proxy.resume()


async def test_groups_of_reads_do_not_wait_for_a_writer_of_sqlite(open_pool: Any, tmp_path: Any) -> None:
    pool = await open_pool(f"sqlite:///{tmp_path / 'test.db'}", max_size=2)
    await pool.execute(TABLE)
    async with pool.transaction() as writer:
        await writer.execute(INSERT, 1, "one")
        async with pool.batch(timeout=10) as batch:
            counts = [batch.fetchval(COUNT) for _ in range(3)]
        assert [one.result() for one in counts] == [0, 0, 0]


@pytest.mark.parametrize("atomic", [True, False])
async def test_unknown_texts_take_one_round_trip_more(
    open_pool: Any, pg_database: str, proxy: FaultProxy, atomic: bool
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute(TABLE)
    await at_rest(pool)
    before = proxy.round_trips
    async with pool.batch(atomic=atomic) as batch:
        for i in range(6):
            batch.execute(f"INSERT INTO item VALUES ($1, $2) /* {i} */", i, "x")
        results = [batch.fetchval(f"SELECT name || '{i}' FROM item WHERE id = $1", i) for i in range(6)]
    assert [one.result() for one in results] == [f"x{i}" for i in range(6)]
    assert proxy.round_trips == before + 2


@pytest.mark.parametrize("atomic", [True, False])
async def test_texts_that_cannot_be_known_before(pg_pool: Any, atomic: bool) -> None:
    """What a statement means may depend on those in front of it."""
    async with pg_pool.batch(atomic=atomic) as batch:
        batch.execute("SELECT $1::int + $2::int", 1, 2)
        batch.execute("CREATE TABLE made (id int, name text)")
        batch.execute("INSERT INTO made VALUES ($1, $2)", 1, "one")
        name = batch.fetchval("SELECT name FROM made WHERE id = $1", 1)
    assert name.result() == "one"
    results: list[Any] = []

    async def block() -> None:
        async with pg_pool.batch(atomic=atomic) as batch:
            results[:] = [
                batch.execute("INSERT INTO made VALUES ($1, 'two')", 2),
                batch.execute("INSERT INTO no_table VALUES ($1)", 2),
                batch.execute("INSERT INTO made VALUES ($1, 'three')", 3),
            ]

    if atomic:
        with pytest.raises(DatabaseError):
            await block()
    else:
        await block()
    assert results[1].exception().sqlstate == "42P01"
    assert await pg_pool.fetchval("SELECT count(*) FROM made") == (1 if atomic else 3)


async def test_named_parameters(items: Any) -> None:
    async with items.batch() as batch:
        batch.execute(INSERT.replace("$1", ":id").replace("$2", ":name"), {"id": 1, "name": "one"})
        found = batch.fetchval("SELECT name FROM item WHERE id = :id", {"id": 1})
    assert found.result() == "one"
