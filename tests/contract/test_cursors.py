"""Cursors: rows a few at a time, inside a transaction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import (
    AdminShutdown,
    ArgumentError,
    ConnectionLost,
    DatabaseError,
    InterfaceError,
    StatementTimeout,
)
from tests.contract.guarding import at_rest

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25) SELECT i FROM n"
BELOW = f"SELECT i, i * 2 AS twice FROM ({NUMBERS}) s WHERE i < CAST($1 AS integer) ORDER BY i; -- the end"


@pytest.fixture
async def connection(open_pool: Any, backend: Any) -> Any:
    pool = await open_pool(backend.dsn, max_size=2)
    connection = await pool.acquire()
    yield connection
    await pool.release(connection)


@pytest.mark.parametrize("prefetch", [1, 2, 3, 25, 26, 500])
async def test_all_rows_in_order(connection: Any, prefetch: int) -> None:
    async with connection.transaction():
        rows = [row async for row in connection.cursor(NUMBERS, prefetch=prefetch)]
    assert [row["i"] for row in rows] == list(range(1, 26))


async def test_arguments_and_a_semicolon(connection: Any) -> None:
    async with connection.transaction():
        for limit in (4, 0, 100):
            rows = [tuple(row) async for row in connection.cursor(BELOW, limit, prefetch=2)]
            assert rows == [(i, 2 * i) for i in range(1, min(limit, 26))]
    assert await connection.fetchval("SELECT 1") == 1


async def test_several_at_once_and_one_given_up(connection: Any) -> None:
    async with connection.transaction():
        one, two = connection.cursor(NUMBERS, prefetch=2), connection.cursor(NUMBERS, prefetch=3)
        assert [(await one.fetchrow())[0], (await two.fetchrow())[0], (await one.fetchrow())[0]] == [1, 1, 2]
        await one.close()
        await one.close()
        assert await one.fetchrow() is None
        third = connection.cursor(NUMBERS)
        assert (await third.fetchrow())[0] == 1
        assert [row[0] for row in await two.fetch(5)] == [2, 3, 4, 5, 6]
        async for row in two:
            if row[0] == 10:
                break
        assert (await two.fetchrow())[0] == 11
    assert await connection.fetchval("SELECT 1") == 1


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(1, 8), st.lists(st.one_of(st.integers(0, 30), st.sampled_from(["row", "next"])), max_size=12))
async def test_every_way_of_reading_goes_on_from_one_position(connection: Any, prefetch: int, calls: Any) -> None:
    left = list(range(1, 26))
    async with connection.transaction():
        cursor = connection.cursor(NUMBERS, prefetch=prefetch)
        for call in calls:
            if call == "row":
                row = await cursor.fetchrow()
                assert (row and row[0]) == (left.pop(0) if left else None)
            elif call == "next":
                found = [row[0] async for row in _first(cursor)]
                assert found == [left.pop(0) for _ in left[:1]]
            else:
                assert [row[0] for row in await cursor.fetch(call)] == left[:call]
                del left[:call]


async def _first(cursor: Any) -> Any:
    async for row in cursor:
        yield row
        return


async def test_ends_with_its_transaction(connection: Any) -> None:
    async with connection.transaction():
        cursor = connection.cursor(NUMBERS, prefetch=1)
        assert (await cursor.fetchrow())[0] == 1
    for _ in range(2):
        async with connection.transaction():
            with pytest.raises(DatabaseError) as caught:
                async with connection.transaction():
                    await cursor.fetch(1)
            assert caught.value.sqlstate == "34000"
            assert await connection.fetchval("SELECT 1") == 1
            assert [row[0] async for row in connection.cursor("SELECT 5")] == [5]


async def test_another_of_a_later_transaction_is_not_taken_for_it(connection: Any) -> None:
    """Their names on the server are the same."""
    async with connection.transaction():
        first = connection.cursor(NUMBERS, prefetch=1)
        assert (await first.fetchrow())[0] == 1
    async with connection.transaction():
        second = connection.cursor("SELECT i + 100 FROM (" + NUMBERS + ") s", prefetch=1)
        assert (await second.fetchrow())[0] == 101
        with pytest.raises(DatabaseError, match="its transaction has ended") as caught:
            await first.fetchrow()
        assert caught.value.sqlstate == "34000"
        await first.close()
        assert (await second.fetchrow())[0] == 102


async def test_closing_one_that_has_ended(open_pool: Any, backend: Any) -> None:
    """By an error, or with its session."""
    pool = await open_pool(backend.dsn)
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        cursor = connection.cursor(NUMBERS, prefetch=1)
        await cursor.fetchrow()
        with pytest.raises(DatabaseError):
            await connection.fetch("SELECT nonsense")
        await cursor.close()
        await transaction.rollback()
        async with connection.transaction():
            cursor = connection.cursor(NUMBERS, prefetch=1)
            await cursor.fetchrow()
    await cursor.close()


BY_HAND = {
    "COMMIT": ("COMMIT", "BEGIN"),
    "ROLLBACK": ("ROLLBACK", "BEGIN"),
    "in one script": ("COMMIT; BEGIN",),
    "a savepoint": ("ROLLBACK TO SAVEPOINT a",),
}


@pytest.mark.parametrize("ends", BY_HAND.values(), ids=BY_HAND)
async def test_closing_one_whose_transaction_was_ended_by_hand(
    connection: Any, backend: Any, ends: tuple[str, ...]
) -> None:
    """A CLOSE that fails would abort what was begun since, and so would a FETCH."""
    await connection.execute("BEGIN")
    await connection.execute("SAVEPOINT a")
    first, other = (connection.cursor(NUMBERS, prefetch=1) for _ in range(2))
    assert (await first.fetchrow())[0] == (await other.fetchrow())[0] == 1
    for sql in ends:
        await connection.execute(sql)
    second = connection.cursor("SELECT i + 100 FROM (" + NUMBERS + ") s", prefetch=1)
    assert (await second.fetchrow())[0] == 101
    await first.close()
    assert await first.fetchrow() is None
    for _ in range(2):
        if backend.name == "sqlite" and "SAVEPOINT" in ends[0]:  # its cursors outlive savepoints
            await other.fetchrow()
            continue
        with pytest.raises(DatabaseError) as caught:
            await other.fetchrow()
        assert caught.value.sqlstate == "34000"
    assert (await second.fetchrow())[0] == 102
    await second.close()
    await connection.execute("COMMIT")


async def test_closing_one_of_a_savepoint_that_was_rolled_back(connection: Any) -> None:
    async with connection.transaction():
        outer = connection.cursor(NUMBERS, prefetch=1)
        assert (await outer.fetchrow())[0] == 1
        undone = connection.transaction()
        await undone.start()
        inner = connection.cursor(NUMBERS, prefetch=1)
        assert (await inner.fetchrow())[0] == 1
        await undone.rollback()
        await inner.close()
        assert (await outer.fetchrow())[0] == 2
        async with connection.transaction():
            kept = connection.cursor(NUMBERS, prefetch=1)
            assert (await kept.fetchrow())[0] == 1
        assert (await kept.fetchrow())[0] == 2
        await outer.close()
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.feature("postgresql")
async def test_one_that_is_not_in_doubt_asks_nothing(open_pool: Any, proxy: Any, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)
    for _ in range(2):
        async with pool.acquire() as connection, connection.transaction():
            cursor = connection.cursor(NUMBERS, prefetch=1)
            await cursor.fetchrow()
            async with connection.transaction():
                await connection.fetchval("SELECT 1")
            before = proxy.round_trips
            await cursor.fetchrow()
            await cursor.close()
            assert proxy.round_trips - before == 2


@pytest.mark.feature("postgresql")
async def test_a_loss_is_no_end_of_its_transaction(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2)
    for doubt in ("SET LOCAL work_mem = '1MB'", "SELECT 1"):
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            cursor = connection.cursor(NUMBERS, prefetch=1)
            await cursor.fetchrow()
            await connection.execute(doubt)
            pid = await connection.fetchval("SELECT pg_backend_pid()")
            await pool.execute("SELECT pg_terminate_backend($1)", pid)
            with pytest.raises((ConnectionLost, AdminShutdown)):
                await cursor.fetchrow()
            with pytest.raises(ConnectionLost):
                await cursor.fetchrow()


async def test_what_ends_it_comes_behind_a_call_that_was_made_before(connection: Any) -> None:
    """Though that call asks whether the cursor is there first."""
    await connection.execute("BEGIN")
    await connection.execute("SAVEPOINT a")
    cursor = connection.cursor(NUMBERS, prefetch=1)
    await cursor.fetchrow()
    await connection.execute("SAVEPOINT b")
    row, _ = await asyncio.gather(cursor.fetchrow(), connection.execute("ROLLBACK TO SAVEPOINT a"))
    assert row[0] == 2
    await cursor.close()
    assert await connection.fetchval("SELECT 1") == 1
    await connection.execute("COMMIT")


async def test_rows_that_came_are_not_lost_where_its_end_fails(connection: Any, monkeypatch: Any) -> None:
    async with connection.transaction():
        cursor = connection.cursor(NUMBERS)
        with monkeypatch.context() as broken:
            broken.setattr(type(cursor), "_end", _cannot_end)
            with pytest.raises(StatementTimeout):
                await cursor.fetch(1000)
        assert [row[0] for row in await cursor.fetch(1000)] == list(range(1, 26))


async def _cannot_end(cursor: Any, timeout: float | None) -> None:
    raise StatementTimeout("in vain", sent=False)


async def test_survives_an_error_within_a_savepoint(connection: Any) -> None:
    async with connection.transaction():
        cursor = connection.cursor(NUMBERS, prefetch=5)
        assert (await cursor.fetchrow())[0] == 1
        with pytest.raises(DatabaseError):
            async with connection.transaction():
                await connection.fetch("SELECT nonsense")
        assert [row[0] for row in await cursor.fetch(10)] == list(range(2, 12))


async def test_wrong_use(connection: Any) -> None:
    with pytest.raises(InterfaceError, match="inside a transaction"):
        await connection.cursor(NUMBERS).fetchrow()
    async with connection.transaction():
        for sql, got in (
            ("INSERT INTO t VALUES (1)", "INSERT"),
            ("SELECT 1; SELECT 2", "several"),
            ("", "no statement"),
            ("WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a RETURNING *", "WITH that changes rows"),
        ):
            with pytest.raises(InterfaceError, match=f"one SELECT, VALUES, TABLE or WITH, got {got}"):
                connection.cursor(sql)
        for prefetch in (0, -1, 1.5, True):
            with pytest.raises(InterfaceError, match="prefetch"):
                connection.cursor(NUMBERS, prefetch=prefetch)
        with pytest.raises(InterfaceError, match="count"):
            await connection.cursor(NUMBERS).fetch(-1)
        with pytest.raises(ArgumentError):
            await connection.cursor(BELOW).fetchrow()
        assert [row[0] async for row in connection.cursor("SELECT 1")] == [1]


async def test_what_the_database_refuses(connection: Any) -> None:
    async with connection.transaction():
        with pytest.raises(DatabaseError) as caught:
            async with connection.transaction():
                await connection.cursor("SELECT nonsense").fetchrow()
        assert caught.value.sqlstate is not None
        assert [row[0] async for row in connection.cursor("SELECT 1")] == [1]


async def test_rows_stay_on_the_server(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    async with pool.transaction() as tx:
        cursor = tx.cursor("SELECT generate_series(1, 1000000000)", prefetch=10)
        assert [row[0] for row in await cursor.fetch(15)] == list(range(1, 16))
        await cursor.close()
        assert await tx.fetchval("SELECT count(*) FROM pg_cursors WHERE name LIKE 'db_pool%'") == 0


MANY_TYPES = """
    SELECT i, i::int8 AS big, i * 1.5::float8 AS half, i::numeric / 3 AS third, 'name-' || i AS name, i % 2 = 0 AS even,
    md5(i::text)::uuid AS token, now() AS seen, now()::date AS day, '\\x00'::bytea AS raw,
    json_build_object('i', i) AS j, ARRAY[i, NULL] AS list, '1.2.3.4'::inet + i AS host, interval '1 day' * i AS span,
    NULL::text AS nothing
    FROM generate_series(1, 40) AS i
"""


@pytest.mark.parametrize("prefetch", [1, 7, 500])
@pytest.mark.parametrize("more", ["", ", 'x'::\"char\" AS letter", ", i::money AS price"])
async def test_rows_are_those_of_fetch(pg_pool: Any, prefetch: int, more: str) -> None:
    sql = MANY_TYPES.replace("\n    FROM", f"{more} FROM")
    async with pg_pool.transaction() as connection:
        wanted = await connection.fetch(sql)
        for _ in range(2):
            rows = [row async for row in connection.cursor(sql, prefetch=prefetch)]
            assert rows == wanted
            assert [type(value) for row in rows for value in row] == [type(value) for row in wanted for value in row]
            assert list(rows[-1].keys()) == list(wanted[0].keys())


async def test_cursors_of_other_columns_take_turns(pg_pool: Any) -> None:
    texts = ("SELECT i, i::text FROM generate_series(1, 9) AS i", "SELECT now() FROM generate_series(1, 9)", "SELECT")
    async with pg_pool.transaction() as connection:
        for _ in range(3):
            for sql in texts:
                rows = [tuple(row) async for row in connection.cursor(sql, prefetch=2)]
                assert rows == [tuple(row) for row in await connection.fetch(sql)]
