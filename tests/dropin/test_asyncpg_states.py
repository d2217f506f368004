"""`db_pool_rs.asyncpg`: what transactions, statements, cursors and connections say of their state, as asyncpg does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

import db_pool_rs.asyncpg as asyncpg
from db_pool_rs import errors


@pytest.fixture
async def pool(engine: Any, pg_database: str) -> AsyncIterator[Any]:
    """A pool of at most three connections."""
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=0, max_size=3) as pool:
        yield pool


async def test_states_of_a_transaction(pool: Any) -> None:
    async with pool.acquire() as connection:
        block = connection.transaction(readonly=True, isolation="serializable")
        assert repr(block).startswith("<asyncpg.Transaction state:new serializable readonly 0x")
        with pytest.raises(asyncpg.InterfaceError, match="cannot commit; the transaction is not yet started"):
            await block.commit()
        async with block:
            for call, words in (
                (block.start, "cannot start; the transaction is already started"),
                (block.commit, "cannot manually commit from within an `async with` block"),
                (block.rollback, "cannot manually rollback from within an `async with` block"),
                (block.__aenter__, "cannot enter context: already in an `async with` block"),
            ):
                with pytest.raises(asyncpg.InterfaceError, match=words):
                    await call()
            assert connection.is_in_transaction()
        assert repr(block).startswith("<asyncpg.Transaction state:committed ")
        assert not connection.is_in_transaction()
        with pytest.raises(asyncpg.InterfaceError, match="cannot start; the transaction is already committed"):
            await block.start()
        other = connection.transaction()
        await other.start()
        await other.rollback()
        with pytest.raises(asyncpg.InterfaceError, match="cannot rollback; the transaction is already rolled back"):
            await other.rollback()


async def test_a_transaction_that_failed_to_end_is_in_error_state(pool: Any) -> None:
    async with pool.acquire() as connection:
        block = connection.transaction()
        await block.start()
        with pytest.raises(asyncpg.DivisionByZeroError):
            await connection.execute("SELECT 1/0")
        with pytest.raises(asyncpg.InFailedSQLTransactionError):
            await block.commit()
        with pytest.raises(asyncpg.InterfaceError, match="cannot commit; the transaction is in error state"):
            await block.commit()
        async with connection.transaction():  # the outermost one again
            assert await connection.fetchval("SELECT 7") == 7


async def test_a_transaction_of_the_programs_own_words(pool: Any) -> None:
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    async with pool.acquire() as connection:
        await connection.execute("BEGIN")
        with pytest.raises(asyncpg.InterfaceError, match="in a manually started transaction"):
            await connection.transaction().start()
        await connection.reset()
        assert not connection.is_in_transaction()
        await connection.transaction().start()
    assert [text.partition(" <")[0] for text in told] == ["Resetting connection with an active transaction"] * 2
    with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
        async with pool.acquire() as connection, connection.transaction():
            await pool.release(connection)  # the block that is left then tells it, and not the event loop
    assert len(told) == 2


async def test_what_is_of_a_released_connection_says_so(pool: Any) -> None:
    async with pool.acquire() as connection:
        assert connection._con is connection
        statement = await connection.prepare("SELECT 1")
        block = connection.transaction()
        async with connection.transaction():
            cursor = await connection.cursor("SELECT 1")
            other = await statement.cursor()
    assert connection._con is None
    assert "[released]" in repr(connection)
    for call, what in (
        *((getattr(statement, name), f"PreparedStatement.{name}") for name in ("fetch", "fetchval", "get_query")),
        *((getattr(one, name), f"Cursor.{name}") for one in (cursor, other) for name in ("fetchrow",)),
        *((getattr(block, name), f"Transaction.{name}") for name in ("start", "commit", "rollback")),
    ):
        with pytest.raises(asyncpg.InterfaceError, match=rf"cannot call {what}\(\): .*released back to the pool"):
            call()
    for name in ("transaction", "cursor"):
        with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
            getattr(connection, name)(*(["SELECT 1"] if name == "cursor" else []))


async def test_a_released_connection_is_not_used_any_more(engine: Any, pg_database: str) -> None:
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1) as pool:
        connection = await pool.acquire()
        await pool.release(connection)
        await pool.release(connection)
        with pytest.raises(asyncpg.InterfaceError, match="released back to the pool"):
            await connection.fetch("SELECT 1")
        with pytest.raises(asyncpg.InterfaceError, match="invalid connection"):
            await pool.release(object())


async def test_a_closed_connection_says_so(engine: Any, pg_database: str) -> None:
    connection = await asyncpg.connect(pg_database, mode=engine.name)
    await connection.close()
    with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
        connection.transaction()
    for call in (
        lambda: connection.fetchval("SELECT 1"),
        lambda: connection.prepare("SELECT 1"),
        lambda: connection.executemany("SELECT 1", []),
        lambda: connection.add_listener("news", print),
        lambda: connection.set_builtin_type_codec("citext", codec_name="text"),
        connection.reset,
    ):
        with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
            await call()


async def test_a_call_during_a_loss_and_one_after_it(pool: Any) -> None:
    async with pool.acquire() as connection:
        running = asyncio.ensure_future(connection.fetch("SELECT pg_sleep(60)"))
        await asyncio.sleep(0)
        connection.terminate()
        with pytest.raises(asyncpg.ConnectionDoesNotExistError, match="closed in the middle of operation") as caught:
            await running
        assert isinstance(caught.value, errors.ConnectionLost)
        with pytest.raises(asyncpg.InterfaceError, match="connection is closed"):
            await connection.fetch("SELECT 1")


@pytest.mark.parametrize("timeout", ["a", False, -1, float("nan")], ids=str)
async def test_time_outs_that_cannot_be(pool: Any, timeout: Any) -> None:
    async with pool.acquire() as connection:
        for target in (pool, connection):
            with pytest.raises(ValueError, match="invalid timeout") as caught:
                await target.execute("SELECT 1", timeout=timeout)
            assert isinstance(caught.value, asyncpg.InterfaceError)


async def test_places_of_copy_that_cannot_be(pool: Any) -> None:
    with pytest.raises(TypeError, match="output is expected to be"):
        await pool.copy_from_query("SELECT 1", output=1)
    with pytest.raises(TypeError, match="source is expected to be"):
        await pool.copy_to_table("users", source=1)


async def test_a_cursor_tells_of_itself(pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        cursor = await connection.cursor("SELECT generate_series(1, 3)")
        assert len(await cursor.fetch(3)) == 3
        assert repr(cursor).startswith('<asyncpg.Cursor "SELECT generate_series(1, 3)" 0x')
        assert await cursor.forward(2) == 0
        assert '"SELECT generate_series(1, 3)" exhausted 0x' in repr(cursor)


async def test_classes_that_rows_cannot_be_of(engine: Any, pg_database: str, pool: Any) -> None:
    class Bad:
        pass

    class Made(asyncpg.Record):
        def __init__(self, *_: Any) -> None:
            raise AssertionError("rows are made by the pool")

    for call in (
        lambda: pool.fetch("SELECT 1", record_class=Bad),
        lambda: asyncpg.connect(pg_database, mode=engine.name, record_class=Bad),
    ):
        with pytest.raises(asyncpg.InterfaceError, match="expected to be a subclass of"):
            await call()
    with pytest.raises(asyncpg.InterfaceError, match="must not redefine __new__ or __init__"):
        await pool.fetch("SELECT 1", record_class=Made)


async def test_init_size_opens_more_than_are_kept(engine: Any, pg_database: str) -> None:
    sizes = {"init_size": 3, "min_size": 1, "max_size": 4}
    async with asyncpg.create_pool(pg_database, mode=engine.name, **sizes) as pool:
        assert (pool.get_size(), pool.get_idle_size()) == (3, 3)
        assert (pool.get_init_size(), pool.get_min_size(), pool.get_max_size()) == (3, 1, 4)
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=2, max_size=4) as pool:
        assert pool.get_init_size() == 2


async def test_a_call_waits_for_as_long_as_it_must(
    engine: Any, pg_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DB_POOL_ACQUIRE_TIMEOUT", "0.05")
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1) as pool:
        connection = await pool.acquire()
        waiting = asyncio.ensure_future(pool.acquire())
        with pytest.raises(asyncio.TimeoutError):
            await pool.acquire(timeout=0.3)
        assert not waiting.done()
        await pool.release(connection)
        await pool.release(await waiting)


async def test_a_pool_that_is_being_opened(engine: Any, pg_database: str) -> None:
    pool = asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1)
    with pytest.raises(asyncpg.InterfaceError, match="pool is not initialized"):
        await pool.fetch("SELECT 1")
    opening = asyncio.ensure_future(pool)
    await asyncio.sleep(0)
    with pytest.raises(asyncpg.InterfaceError, match="pool is being initialized, but not yet ready"):
        await pool.fetch("SELECT 1")
    await opening
    other = await asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1)
    async with pool.acquire() as connection:
        with pytest.raises(asyncpg.InterfaceError, match="is not a member of this pool"):
            await other.release(connection)
    await pool.close()
    await other.close()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"command_timeout": "a"}, "command_timeout .* greater than 0"),
        ({"command_timeout": 0}, "command_timeout .* greater than 0"),
        ({"command_timeout": True}, "command_timeout .* greater than 0"),
        ({"statement_cache_size": -1}, "statement_cache_size .* greater or equal to 0"),
        ({"max_cacheable_statement_size": None}, "max_cacheable_statement_size .* greater or equal to 0"),
    ],
    ids=str,
)
def test_numbers_that_cannot_be(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        asyncpg.create_pool("postgresql://x", **options)


async def test_the_time_for_arguments_that_are_made_into_others_counts(engine: Any, pg_database: str) -> None:
    """Their types are asked for, on a connection that is waited for."""
    pool = await asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1)
    async with pool, pool.acquire() as held:
        for argument in ([1], {1}):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(pool.fetch("SELECT $1::int[] AS a", argument, timeout=0.05), 20)
        async with held.transaction():
            cursor = await held.cursor("SELECT unnest($1::int[])", {1}, timeout=20)
            assert await cursor.fetchrow() == (1,)
