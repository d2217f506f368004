"""How a transaction block ends where other calls are under way, and what is told to others meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, InFailedSqlTransaction, InterfaceError, PoolTimeout, StatementTimeout
from tests.contract.waiting import until
from tests.plugins.proxy import TO_CLIENT, FaultProxy

pytestmark = pytest.mark.usefixtures("patient")

INSERT = "INSERT INTO t VALUES ($1)"


@pytest.fixture
async def pool(open_pool: Any, backend: Any) -> Any:
    """A pool whose database has an empty table `t`."""
    pool = await open_pool(backend.dsn, max_size=2)
    await pool.execute("CREATE TABLE t (a int)")
    return pool


@pytest.fixture
async def pg(open_pool: Any, pg_database: str) -> Any:
    """The same, of PostgreSQL."""
    pool = await open_pool(pg_database, max_size=2)
    await pool.execute("CREATE TABLE t (a int)")
    return pool


async def rows(pool: Any) -> list[int]:
    """What is in the table."""
    return [row[0] for row in await pool.fetch("SELECT a FROM t ORDER BY a")]


async def _cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _cancel_its_end(connection: Any, value: int) -> None:
    """A block whose end waits behind a call that another task has made inside of it, and is cancelled there."""
    session = connection._lease.session()
    tasks: list[Any] = []

    async def block() -> None:
        async with connection.transaction():
            await connection.execute(INSERT, value)
            tasks.append(asyncio.ensure_future(connection.fetch("SELECT pg_sleep(1)")))
            await until(lambda: session.busy)

    ending = asyncio.ensure_future(block())
    await until(lambda: bool(tasks) and bool(session.gate._waiting))
    await _cancelled(ending)
    await tasks[0]


async def test_a_commit_that_was_not_sent_is_rolled_back(pg: Any) -> None:
    async with pg.acquire() as connection:
        await _cancel_its_end(connection, 1)
        assert not connection.is_in_transaction()
        await connection.execute(INSERT, 2)
        async with connection.transaction():
            await connection.execute(INSERT, 3)
    assert await rows(pg) == [2, 3]


async def test_a_savepoint_whose_release_was_not_sent_is_rolled_back(pg: Any) -> None:
    async with pg.transaction() as connection:
        await connection.execute(INSERT, 1)
        await _cancel_its_end(connection, 2)
        await connection.execute(INSERT, 3)
    assert await rows(pg) == [1, 3]


async def _failed(connection: Any) -> None:
    """A statement that fails, in a block whose holder goes on all the same."""
    with pytest.raises(DatabaseError, match="nothing"):
        await connection.execute("SELECT nothing")


async def test_a_savepoint_that_was_refused_does_not_keep_the_block_around_it_from_its_end(pg: Any) -> None:
    """The inner SAVEPOINT is refused since the block has failed: there is nothing that its end could undo."""

    async def inner(connection: Any) -> None:
        async with connection.transaction():
            await _failed(connection)
            async with connection.transaction():
                await connection.execute(INSERT, 0)

    async with pg.transaction() as connection:
        with pytest.raises(InFailedSqlTransaction):
            await inner(connection)
        await connection.execute(INSERT, 1)
    assert await rows(pg) == [1]


async def test_a_savepoint_that_is_refused_after_its_call_was_cancelled(
    open_pool: Any, pg: Any, pg_database: str, proxy: FaultProxy
) -> None:
    """Its end is on the list of what is to be sent when the refusal arrives."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)

    async def inner(connection: Any) -> None:
        async with connection.transaction():
            await _failed(connection)
            proxy.stall(TO_CLIENT, links="live")
            async with connection.transaction():
                await connection.execute(INSERT, 0)

    async with pool.transaction() as connection:
        await connection.execute(INSERT, 1)
        task = asyncio.ensure_future(inner(connection))
        await proxy.wait_held(TO_CLIENT)
        await _cancelled(task)
        proxy.resume()
        await connection.execute(INSERT, 2)
    assert await rows(pg) == [1, 2]


async def test_entering_a_block_is_cancelled_while_a_call_is_stopped(pg: Any) -> None:
    async with pg.acquire() as connection:
        with pytest.raises(StatementTimeout):
            await connection.fetch("SELECT pg_sleep(60)", timeout=0.05)
        entering = asyncio.ensure_future(connection.transaction().start())
        await asyncio.sleep(0)
        await _cancelled(entering)
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("nested", [False, True])
async def test_what_was_called_in_a_block_that_is_rolled_back_is_not_sent(pool: Any, nested: bool) -> None:
    async with pool.acquire() as connection, contextlib.AsyncExitStack() as stack:
        if nested:
            await stack.enter_async_context(connection.transaction())
            await connection.execute(INSERT, 0)
        task = None

        async def block() -> None:
            nonlocal task
            async with connection.transaction():
                task = asyncio.ensure_future(connection.execute(INSERT, 1))
                await asyncio.sleep(0)
                raise KeyError

        with pytest.raises(KeyError):
            await block()
        assert task is not None
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(outcome, InterfaceError) or outcome == "INSERT 0 1"  # sent in time, and rolled back
    assert await rows(pool) == [0] * nested


async def test_what_was_called_in_a_block_that_is_committed_is_in_it(pool: Any) -> None:
    async with pool.acquire() as connection:
        async with connection.transaction():
            task = asyncio.ensure_future(connection.execute(INSERT, 1))
            await asyncio.sleep(0)
        assert task.done()
        assert await task == "INSERT 0 1"
        assert not connection.is_in_transaction()
    assert await rows(pool) == [1]


@pytest.mark.parametrize("how", ["release", "close", "terminate"])
async def test_a_block_whose_connection_was_given_back_is_not_told_as_committed(pool: Any, how: str) -> None:
    connection = await pool.acquire()
    with pytest.raises(InterfaceError, match="rolled back"):  # noqa: PT012 -- the block is what raises
        async with connection.transaction():
            await connection.execute(INSERT, 1)
            if how == "terminate":
                connection.terminate()
            else:
                await (pool.release(connection) if how == "release" else connection.close())
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 -- the block is what raises
        async with pool.transaction() as connection:
            await pool.release(connection)
            raise ZeroDivisionError
    assert await rows(pool) == []


async def test_commit_after_the_release(pool: Any) -> None:
    connection = await pool.acquire()
    block = connection.transaction()
    await block.start()
    await connection.execute(INSERT, 1)
    await pool.release(connection)
    with pytest.raises(InterfaceError, match="rolled back"):
        await block.commit()
    assert await rows(pool) == []


async def test_a_close_that_is_cancelled_leaves_no_connection(pg: Any) -> None:
    async with pg.listen("news"):
        async with pg.acquire():
            closing = asyncio.ensure_future(pg.close())
            await until(lambda: pg.closed)
            await _cancelled(closing)
            assert pg.stats().size == 0
        await pg.close()


async def test_a_pool_opens_where_top_has_no_folder(
    open_pool: Any, pg_database: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DB_POOL_TOP", "1")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    pool = await open_pool(pg_database, max_size=1)
    assert await pool.fetchval("SELECT 1") == 1
    assert "`top` cannot see it" in caplog.text
    async with pool.listen("news"):
        pass


async def test_values_of_a_copied_query_stand_in_no_log(
    open_pool: Any, pg_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await open_pool(pg_database, max_size=1, slow_query_ms=0)
    heard: list[Any] = []
    pool.add_query_logger(heard.append)
    caplog.set_level(logging.WARNING)
    async with pool.acquire() as connection:
        async for _ in connection.copy_out("SELECT $1::text", "SECRET"):
            pass
        with pytest.raises(PoolTimeout) as caught:
            await pool.acquire(timeout=0.01)
        with pytest.raises(Exception, match="no_such") as refused:
            async for _ in connection.copy_out("SELECT $1::text FROM no_such", "SECRET"):
                pass
    assert "SECRET" not in f"{caplog.text} {caught.value} {refused.value} {[one.query for one in heard]}"
    assert "SELECT $1::text" in str(caught.value)
