"""A block whose BEGIN failed: what is called in it does not run as if there were none, its end does not say done."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, Error
from tests.contract.waiting import until

INSERT = "INSERT INTO t VALUES ($1)"


@pytest.fixture
async def pool(open_pool: Any, backend: Any) -> Any:
    """A pool whose database has an empty table `t`."""
    pool = await open_pool(backend.dsn, max_size=1)
    await pool.execute("CREATE TABLE t (a int)")
    return pool


@pytest.fixture
def refused(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not take what begins a transaction, as a standby some levels of isolation."""
    monkeypatch.setattr(pool._context.database, "begin", lambda *options: "BEGIN NONSENSE")


async def rows(pool: Any) -> list[int]:
    """What is in the table."""
    return [row[0] for row in await pool.fetch("SELECT a FROM t ORDER BY a")]


async def _fails(connection: Any, value: int) -> None:
    with pytest.raises(Error) as caught:
        await connection.execute(INSERT, value)
    assert isinstance(caught.value, DatabaseError)


@pytest.mark.usefixtures("refused")
async def test_nothing_in_it_runs_and_its_end_says_so(pool: Any) -> None:
    async def inner(connection: Any) -> None:
        async with connection.transaction():
            await _fails(connection, 4)

    async def outer() -> None:
        async with pool.transaction() as connection:
            await _fails(connection, 1)
            await _fails(connection, 2)
            with pytest.raises(DatabaseError):
                await connection.executemany(INSERT, [(3,)])
            with pytest.raises(DatabaseError):
                await inner(connection)
            together = await asyncio.gather(*(connection.execute(INSERT, 5) for _ in range(3)), return_exceptions=True)
            assert {type(one).__name__ for one in together} == {"InFailedSqlTransaction"}

    with pytest.raises(DatabaseError) as caught:
        await outer()
    assert caught.value.sqlstate == "25P02"
    assert await rows(pool) == []
    assert pool.stats().sessions == 0


@pytest.mark.usefixtures("refused")
async def test_the_error_of_the_block_is_the_caller_s(pool: Any) -> None:
    async def of_the_caller() -> None:
        async with pool.transaction() as connection:
            await _fails(connection, 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await of_the_caller()
    async with pool.acquire() as connection:
        block = connection.transaction()
        await block.start()
        await _fails(connection, 1)
        await block.rollback()
        await connection.execute(INSERT, 2)
        again = connection.transaction()
        await again.start()
        await _fails(connection, 3)
        with pytest.raises(DatabaseError):
            await again.commit()
        await connection.execute(INSERT, 4)
    assert await rows(pool) == [2, 4]


@pytest.mark.usefixtures("refused")
async def test_the_next_holder_has_nothing_of_it(pool: Any) -> None:
    connection = await pool.acquire()
    block = connection.transaction()
    await block.start()
    await _fails(connection, 1)
    await pool.release(connection)
    async with pool.acquire() as connection:
        await connection.execute(INSERT, 2)
    assert await rows(pool) == [2]


async def test_a_file_that_another_program_holds(open_pool: Any, tmp_path: Any) -> None:
    path = tmp_path / "a.db"
    pool = await open_pool(f"sqlite:///{path}", max_size=2)
    await pool.execute("CREATE TABLE t (a int)")
    other = sqlite3.connect(path, isolation_level=None)
    with contextlib.closing(other):
        other.execute("BEGIN IMMEDIATE")

        async def block() -> None:
            async with pool.transaction() as connection:
                with pytest.raises(Error):
                    await connection.execute(INSERT, 1, timeout=0.3)
                await until(lambda: connection._lease.session().is_answered)
                other.execute("ROLLBACK")
                await _fails(connection, 2)

        with pytest.raises(DatabaseError, match="25P02"):
            await block()
    await until(lambda: pool.stats().sessions == 0)
    assert await rows(pool) == []


async def test_a_block_that_is_left_while_its_begin_is_being_stopped(open_pool: Any, tmp_path: Any) -> None:
    path = tmp_path / "a.db"
    pool = await open_pool(f"sqlite:///{path}", max_size=2)
    await pool.execute("CREATE TABLE t (a int)")
    other = sqlite3.connect(path, isolation_level=None)

    async def block(connection: Any) -> None:
        async with connection.transaction():
            await connection.execute(INSERT, 1)

    with contextlib.closing(other):
        async with pool.acquire() as connection:
            other.execute("BEGIN IMMEDIATE")
            session = connection._lease.session()
            task = asyncio.ensure_future(block(connection))
            await until(lambda: session.busy)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: session.is_answered)
            other.execute("ROLLBACK")
            assert not connection.is_in_transaction()
            await connection.execute(INSERT, 2)
            async with connection.transaction():
                await connection.execute(INSERT, 3)
    assert await rows(pool) == [2, 3]
