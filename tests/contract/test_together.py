"""Calls that are made on a session in one tick of the loop, inside a transaction block, leave together."""

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
    InFailedSqlTransaction,
    InterfaceError,
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
SLEEP = "SELECT 1 FROM pg_sleep($1)"


@pytest.fixture
async def items(open_pool: Any, backend: Any) -> Any:
    pool = await open_pool(backend.dsn, max_size=2)
    await pool.execute(TABLE)
    for sql, args in ((INSERT, (0, "zero")), (NAME, (0,)), (COUNT, ())):  # so that their types are known
        await pool.fetch(sql, *args)
    return pool


@pytest.fixture
async def pg_items(pg_pool: Any) -> Any:
    await pg_pool.execute(TABLE)
    for sql, args in ((INSERT, (0, "zero")), (NAME, (0,)), (COUNT, ()), (SLEEP, (0.0,))):
        await pg_pool.fetch(sql, *args)
    return pg_pool


# rule 6.6
async def test_one_round_trip(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute(TABLE)
    for sql, args in ((INSERT, (0, "zero")), (NAME, (0,)), (COUNT, ())):
        await pool.fetch(sql, *args)
    await at_rest(pool)
    async with pool.transaction() as tx:
        assert await tx.fetchval(COUNT) == 1
        before = proxy.round_trips
        calls = [tx.execute(INSERT, i, f"n{i}") for i in range(1, 20)]
        results = await asyncio.gather(*calls, tx.fetchval(COUNT), tx.fetchval(NAME, 7))
        assert results == ["INSERT 0 1"] * 19 + [20, "n7"]
        assert proxy.round_trips == before + 1
    async with pool.transaction() as tx:  # BEGIN travels with them
        before = proxy.round_trips
        assert await asyncio.gather(tx.fetchval(COUNT), tx.fetchval(NAME, 0)) == [20, "zero"]
        assert proxy.round_trips == before + 1


async def test_in_order_with_what_cannot_leave_together(items: Any) -> None:
    """Savepoints, cursors, scripts and commands keep their place among the others."""

    async def nested(tx: Any) -> Any:
        async with tx.transaction():
            return await tx.fetchval(COUNT)

    async def cursor(tx: Any) -> Any:
        return [row[0] async for row in tx.cursor(COUNT)]

    async with items.transaction() as tx:
        results = await asyncio.gather(
            tx.execute(INSERT, 1, "a"),
            tx.fetchval(COUNT),
            cursor(tx),
            tx.execute(INSERT, 2, "b"),
            tx.execute("UPDATE item SET name = 'c' WHERE id = 1; UPDATE item SET name = 'd' WHERE id = 1"),
            tx.fetchval(NAME, 1),
            tx.fetchval(COUNT),
        )
        assert [results[1], results[2], results[5], results[6]] == [2, [2], "d", 3]
        assert await asyncio.gather(tx.execute(INSERT, 5, "e"), nested(tx), tx.execute(INSERT, 6, "f"))
        assert await tx.fetchval(COUNT) == 5
    assert await items.fetchval(COUNT) == 5


async def test_what_is_behind_a_failure_is_stopped(pg_items: Any) -> None:
    async with pg_items.acquire() as connection:

        async def block() -> None:
            async with connection.transaction():
                results = await asyncio.gather(
                    connection.execute(INSERT, 1, "one"),
                    connection.fetch(NAME, 1),
                    connection.execute(INSERT, 1, "again"),
                    connection.fetchval(COUNT),
                    connection.execute(INSERT, 2, "two"),
                    return_exceptions=True,
                )
                assert results[:2] == ["INSERT 0 1", [("one",)]]
                assert [type(one) for one in results[2:]] == [UniqueViolation, *[InFailedSqlTransaction] * 2]
                by_itself = await asyncio.gather(connection.fetchval(COUNT), return_exceptions=True)
                assert (str(by_itself[0]), by_itself[0].query) == (str(results[3]), results[3].query)
                raise results[2]

        with pytest.raises(UniqueViolation):
            await block()
        assert await connection.fetchval(COUNT) == 1


async def test_arguments_that_do_not_fit_concern_one_call(items: Any) -> None:
    async with items.transaction() as tx:
        new = "SELECT name FROM item WHERE id = $1 AND id > $2"  # whose types are not known
        results = await asyncio.gather(
            tx.execute(INSERT, 1, "one"),
            tx.execute(INSERT, 2),
            tx.fetch(new, 1),
            tx.fetchval(NAME, 1),
            tx.fetch(new, 1, 0),
            return_exceptions=True,
        )
    assert isinstance(results[1], ArgumentError)
    assert isinstance(results[2], ArgumentError)
    assert [results[0], *results[3:]] == ["INSERT 0 1", "one", [("one",)]]
    assert await items.fetchval(COUNT) == 2


async def test_cancelled_before_it_was_sent(items: Any) -> None:
    async with items.transaction() as tx:
        assert await tx.fetchval(COUNT) == 1
        calls = [asyncio.ensure_future(tx.execute(INSERT, i, "x")) for i in range(1, 6)]
        asyncio.get_running_loop().call_soon(calls[2].cancel)  # when all are called, and none is sent
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[2], asyncio.CancelledError)
        assert [row[0] for row in await tx.fetch("SELECT id FROM item ORDER BY id")] == [0, 1, 2, 4, 5]


@pytest.mark.usefixtures("patient")
async def test_who_gives_up_does_not_hurt_the_others(pg_items: Any) -> None:
    async with pg_items.transaction() as tx:
        calls = [
            asyncio.ensure_future(tx.execute(INSERT, 1, "one")),
            asyncio.ensure_future(tx.fetchval(SLEEP, 1.5, timeout=0.1)),
            asyncio.ensure_future(tx.fetchval(SLEEP, 0.1)),
            asyncio.ensure_future(tx.fetchval(NAME, 1)),
        ]
        asyncio.get_running_loop().call_later(0.05, calls[2].cancel)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(results[1], StatementTimeout)
        assert results[1].sent
        assert isinstance(results[2], asyncio.CancelledError)
        assert [results[0], results[3]] == ["INSERT 0 1", "one"]
        assert await tx.fetchval(COUNT) == 2
    assert await pg_items.fetchval(COUNT) == 2


@pytest.mark.usefixtures("patient")
async def test_the_server_is_stopped_when_no_call_waits(pg_items: Any) -> None:
    async with pg_items.acquire() as connection:

        async def block() -> None:
            async with connection.transaction():
                calls = [connection.fetchval(SLEEP, 60.0, timeout=0.05) for _ in range(3)]
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert {type(one) for one in results} == {StatementTimeout}
                with pytest.raises(InFailedSqlTransaction):
                    await connection.fetchval(COUNT)
                raise results[0]

        with pytest.raises(StatementTimeout):
            await block()
        assert await connection.fetchval(COUNT) == 1


@pytest.mark.usefixtures("patient")
async def test_the_end_of_the_block_stops_what_was_given_up(pg_items: Any) -> None:
    """A call that times out ends the block, and does not leave its neighbours waiting for it."""
    async with pg_items.acquire() as connection:
        behind: asyncio.Future[Any]

        async def block() -> None:
            nonlocal behind
            async with connection.transaction():
                slow = asyncio.ensure_future(connection.fetchval(SLEEP, 60.0, timeout=0.1))
                behind = asyncio.ensure_future(connection.fetchval(COUNT))
                await slow

        with pytest.raises(StatementTimeout):
            await block()
        with pytest.raises(DatabaseError) as caught:
            await behind
        assert caught.value.sqlstate in ("57014", "25P02")
        assert await connection.fetchval(COUNT) == 1


@pytest.mark.parametrize("joins", [True, False])
@pytest.mark.usefixtures("patient")
async def test_what_was_called_in_a_block_is_not_done_outside(pg_items: Any, joins: bool) -> None:
    """A call waits behind one that its task gives up; the block ends meanwhile."""
    sql = INSERT if joins else INSERT + " RETURNING pg_backend_pid(), set_config('a.b', 'c', true)"
    async with pg_items.acquire() as connection:
        behind: asyncio.Future[Any]

        async def block() -> None:
            nonlocal behind
            async with connection.transaction():
                slow = asyncio.ensure_future(
                    connection.execute("DO $$ BEGIN PERFORM pg_sleep(60); END $$", timeout=0.5)
                )
                await until(lambda: connection._lease.session().busy)
                behind = asyncio.ensure_future(connection.fetch(sql, 1, "one"))
                await slow

        with pytest.raises(StatementTimeout):
            await block()
        with pytest.raises(InterfaceError, match="has ended"):
            await behind
        assert await connection.fetchval(COUNT) == 1


async def test_a_lost_connection_is_told_to_each(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute(TABLE)
    await pool.fetch(INSERT, 0, "zero")
    async with pool.acquire() as connection:

        async def block() -> None:
            async with connection.transaction():
                assert await connection.fetchval(COUNT) == 1
                proxy.stall(TO_CLIENT)
                calls = [asyncio.ensure_future(connection.execute(INSERT, i, "x")) for i in range(1, 4)]
                await proxy.wait_held(TO_CLIENT)
                calls += [asyncio.ensure_future(connection.execute(INSERT, i, "x")) for i in range(4, 6)]
                await asyncio.sleep(0)
                await proxy.drop()
                results = await asyncio.gather(*calls, return_exceptions=True)
                assert [type(one) for one in results] == [ConnectionLost] * 5
                assert [one.sent for one in results] == [True] * 3 + [False] * 2
                raise results[0]

        with pytest.raises(ConnectionLost):
            await block()
    proxy.resume()
    await until_async(lambda: pool.fetchval(COUNT))
    assert await pool.fetchval(COUNT) == 1


async def test_rows_of_a_write_before_the_one_that_fails(items: Any) -> None:
    """Its text is prepared on this connection in the same group, so its rows come as text."""
    delete = "DELETE FROM item WHERE id = $1 RETURNING id"
    async with items.acquire() as first, items.acquire() as second:
        for _ in range(2):
            assert await first.fetch(delete, 7) == []
        block = second.transaction()
        await block.start()
        await second.fetchval(COUNT)
        calls = (second.fetch(delete, 0), second.execute(INSERT, 1, "one"), second.execute(INSERT, 1, "one"))
        rows, inserted, failed = await asyncio.gather(*calls, return_exceptions=True)
        await block.rollback()
    assert (rows, inserted) == ([(0,)], "INSERT 0 1")
    assert isinstance(failed, UniqueViolation)


async def test_types_of_rows_before_the_statement_that_fails(pg_items: Any) -> None:
    """A block that has failed cannot be asked what they are; the next one can."""
    sql = "SELECT ROW(1, 'x')::pair"
    await pg_items.execute("CREATE TYPE pair AS (a int, b text)")
    await pg_items.execute(INSERT, 1, "known again")
    async with pg_items.acquire() as connection:
        block = connection.transaction()
        await block.start()
        calls = (connection.fetch(sql), connection.execute(INSERT, 0, "twice"))
        rows, failed = await asyncio.gather(*calls, return_exceptions=True)
        await block.rollback()
        assert isinstance(failed, UniqueViolation)
        assert isinstance(rows, DecodeError)
        assert "did not tell what type" in str(rows)
        assert (await connection.fetchval(sql))["b"] == "x"


OPERATIONS = {
    "insert": (INSERT, lambda n: (n, "x")),
    "count": (COUNT, lambda n: ()),
    "name": (NAME, lambda n: (n,)),
    "long": ("SELECT CAST($1 AS int) + id AS i, name FROM item", lambda n: (n,)),
    "one too few": (INSERT, lambda n: (n,)),
    "null": ("INSERT INTO item VALUES (NULLIF($1, $1 + 0), NULL)", lambda n: (n,)),
    "nonsense": ("SELECT nonsense", lambda n: ()),
    "not a query": ("SELEKT", lambda n: ()),
    "twice": ("INSERT INTO item (id) SELECT 100 FROM item", lambda n: ()),
    "empty": ("", lambda n: ()),
    "alone": ("SELECT id FROM item WHERE id < $1 FOR UPDATE", lambda n: (n,)),
    "no rows": ("DELETE FROM item WHERE id = $1 RETURNING id", lambda n: (n,)),
}


async def _outcome(call: Any) -> Any:
    try:
        return await call
    except (DatabaseError, ArgumentError) as error:
        return type(error), str(error)


# rule 6.6
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 3), st.booleans()), max_size=8))
async def test_together_is_as_one_by_one(items: Any, chosen: list[tuple[str, int, bool]]) -> None:
    async def run(together: bool) -> Any:
        async with items.acquire() as connection:
            block = connection.transaction()
            await block.__aenter__()
            calls = []
            for name, number, rows in chosen:
                sql, args = OPERATIONS[name]
                calls.append(_outcome((connection.fetch if rows else connection.execute)(sql, *args(number))))
            outcomes = list(await asyncio.gather(*calls)) if together else [await call for call in calls]
            outcomes.append(await _outcome(connection.fetch("SELECT id, name FROM item ORDER BY id")))
            await block.__aexit__(KeyError, KeyError(), None)
            return outcomes

    one_by_one = await run(False)
    assert await run(True) == one_by_one
    assert await items.fetchval(COUNT) == 1
