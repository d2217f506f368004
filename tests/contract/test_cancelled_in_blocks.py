"""Calls and ends of a transaction block that are cancelled, stopped or refused: the session serves again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, Error, InterfaceError
from tests.contract.waiting import until

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


@pytest.fixture
def refused(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not take what begins a transaction."""
    monkeypatch.setattr(pool._context.database, "begin", lambda *options: "BEGIN NONSENSE")


async def rows(pool: Any) -> list[int]:
    """What is in the table."""
    return [row[0] for row in await pool.fetch("SELECT a FROM t ORDER BY a")]


async def _serves(connection: Any, value: int) -> None:
    """The session is outside of a transaction, and what it executes is committed."""
    assert not connection.is_in_transaction()
    assert await connection.execute(INSERT, value) == "INSERT 0 1"
    assert not connection._lease.session().link.in_transaction()


# -- the first calls of a block, together -----------------------------------------------------------------------------


async def _take(pieces: Any) -> bytes:
    return b"".join([piece async for piece in pieces])


async def _copied_from(connection: Any) -> bytes:
    data = bytearray()

    async def sink(piece: bytes) -> None:
        data.extend(piece)

    await connection.copy_from_query("SELECT 7", output=sink)
    return bytes(data)


ON_BOTH: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "prepare": lambda connection: connection.prepare("SELECT 7"),
    "executemany": lambda connection: connection.executemany(INSERT, [(7,)]),
    "script": lambda connection: connection.execute("SELECT 7; SELECT 8"),
    "fetch_arrow": lambda connection: connection.fetch_arrow("SELECT 7 AS a"),
    "cursor": lambda connection: connection.cursor("SELECT 7").fetch(1),
}
ON_POSTGRESQL: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "copy_out": lambda connection: _take(connection.copy_out("SELECT 7")),
    "copy_from_query": _copied_from,
    "copy_in": lambda connection: connection.copy_in("t", source=[(7,)]),
}


async def _together(pool: Any, other: Callable[[Any], Awaitable[Any]], first: bool) -> None:
    async with pool.acquire() as connection:
        async with connection.transaction():
            calls = [connection.execute(INSERT, 1), other(connection)]
            await asyncio.gather(*(calls if first else reversed(calls)))
            async with connection.transaction():
                await asyncio.gather(connection.execute(INSERT, 2), other(connection), connection.execute(INSERT, 3))
        await _serves(connection, 4)
    assert [one for one in await rows(pool) if one != 7] == [1, 2, 3, 4]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("call", ON_BOTH)
async def test_the_first_calls_of_a_block_together(pool: Any, call: str, first: bool) -> None:
    await _together(pool, ON_BOTH[call], first)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("call", ON_POSTGRESQL)
async def test_copy_among_the_first_calls_of_a_block(pg: Any, call: str, first: bool) -> None:
    await _together(pg, ON_POSTGRESQL[call], first)


@pytest.mark.parametrize("call", ["prepare", "script"])
@pytest.mark.usefixtures("refused")
async def test_the_first_calls_of_a_block_that_is_refused(pool: Any, call: str) -> None:
    async def block() -> None:
        async with connection.transaction():
            calls = connection.execute(INSERT, 1), ON_BOTH[call](connection), connection.execute(INSERT, 2)
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert isinstance(outcome, DatabaseError)

    async with pool.acquire() as connection:
        with pytest.raises(DatabaseError, match="25P02"):
            await block()
        await _serves(connection, 3)
    assert await rows(pool) == [3]


# -- a block whose BEGIN is refused ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("refused")
async def test_its_end_does_not_wait_for_the_answer(pool: Any) -> None:
    """The refusal is heard while its COMMIT waits."""
    tasks: list[Any] = []

    async def block() -> None:
        async with connection.transaction():
            tasks.append(asyncio.ensure_future(connection.execute(INSERT, 1)))
            await asyncio.sleep(0)

    async with pool.acquire() as connection:
        with pytest.raises(DatabaseError, match="25P02"):
            await block()
        assert isinstance((await asyncio.gather(*tasks, return_exceptions=True))[0], DatabaseError)
        await _serves(connection, 2)
        await _serves(connection, 3)
    assert await rows(pool) == [2, 3]


@pytest.mark.parametrize("command", ["ROLLBACK", "COMMIT", "  rollback work; ", "END -- it\n", "ROLLBACK AND NO CHAIN"])
@pytest.mark.usefixtures("refused")
async def test_its_holder_ends_it(pool: Any, command: str) -> None:
    """As in a block that has failed: the transaction is over, nothing of it is done, and its block says so."""

    async def block() -> None:
        async with connection.transaction():
            with pytest.raises(DatabaseError):
                await connection.execute(INSERT, 1)
            with pytest.raises(DatabaseError, match="25P02"):
                await connection.execute("ROLLBACK AND CHAIN")
            assert await connection.execute(command) == "ROLLBACK"
            await _serves(connection, 2)

    async with pool.acquire() as connection:
        with pytest.raises(DatabaseError, match="25P02") as caught:
            await block()
        assert isinstance(caught.value.__cause__, DatabaseError)
        await _serves(connection, 3)
    assert await rows(pool) == [2, 3]


async def test_a_block_that_has_failed_and_is_ended_by_its_holder(pg: Any) -> None:
    async with pg.acquire() as connection:
        async with connection.transaction():
            await connection.execute(INSERT, 1)
            with pytest.raises(DatabaseError):
                await connection.execute("SELECT 1/0")
            assert await connection.execute("ROLLBACK") == "ROLLBACK"
            await _serves(connection, 2)
        await _serves(connection, 3)
    assert await rows(pg) == [2, 3]


# -- a call that is stopped --------------------------------------------------------------------------------------------


async def test_a_rollback_that_is_cancelled_is_done_before_the_next_call(pg: Any) -> None:
    for steps in range(1, 6):
        async with pg.acquire() as connection:
            block = connection.transaction()
            await block.start()
            await connection.execute(INSERT, 1)
            ending = asyncio.ensure_future(block.rollback())
            for _ in range(steps):
                await asyncio.sleep(0)
            ending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ending
            await _serves(connection, 2)
    assert set(await rows(pg)) == {2}


async def test_a_rollback_that_is_cancelled_before_it_is_sent(pg: Any) -> None:
    async with pg.acquire() as connection:
        session = connection._lease.session()
        block = connection.transaction()
        await block.start()
        await connection.execute(INSERT, 1)
        await session.gate.enter(None)  # a call of another task is about to be sent
        ending = asyncio.ensure_future(block.rollback())
        await until(lambda: bool(session.gate._waiting))
        ending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await ending
        session.gate.leave()
        await _serves(connection, 2)
    assert await rows(pg) == [2]


async def test_calls_that_wait_when_the_connection_is_given_back(pool: Any) -> None:
    connection = await pool.acquire()
    block = connection.transaction()
    await block.start()
    await connection.execute("SELECT 1")
    await block.rollback()
    block = connection.transaction()
    await block.start()
    calls = [connection.prepare("SELECT 1"), *(connection.execute(INSERT, number) for number in range(3))]
    tasks = [asyncio.ensure_future(call) for call in calls]
    await asyncio.sleep(0)
    await pool.release(connection)
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(one) for one in outcomes[1:]} == {InterfaceError}
    assert await rows(pool) == []


async def test_a_call_that_waits_behind_a_rollback_when_the_connection_is_given_back(pg: Any) -> None:
    """It was called outside of the block: what is told done is there."""
    connection = await pg.acquire()
    session = connection._lease.session()

    async def block() -> None:
        async with connection.transaction():
            await connection.execute(INSERT, 1)
            await connection.fetch("SELECT pg_sleep(60)")

    task = asyncio.ensure_future(block())
    await until(lambda: session.busy and session.last_sql.startswith("SELECT pg_sleep"))
    assert connection.is_in_transaction()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    last = asyncio.ensure_future(connection.execute(INSERT, 2))
    await asyncio.sleep(0)
    await pg.release(connection)
    assert await last == "INSERT 0 1"
    assert await rows(pg) == [2]


async def test_an_argument_that_does_not_fit_leaves_the_block_to_begin(pool: Any) -> None:
    async with pool.acquire() as connection:
        async with connection.transaction():
            with pytest.raises(Error):
                await connection.execute(INSERT, object())
            await connection.execute(INSERT, 1)
            assert connection._lease.session().link.in_transaction()
        await _serves(connection, 2)
    assert await rows(pool) == [1, 2]


ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"


@pytest.mark.parametrize(("end", "there"), [("commit", [1, 2, 3]), ("rollback", [1, 3])])
@pytest.mark.parametrize("nested", [False, True])
async def test_the_end_of_a_block_waits_for_a_thread_and_is_cancelled(
    open_pool: Any, tmp_path: Any, nested: bool, end: str, there: list[int]
) -> None:
    """SQLite: the end is not skipped, since what is called next would run in the old block."""
    pool = await open_pool(f"sqlite:///{tmp_path / 'a.db'}", max_size=2, thread_pool_size=1)
    await pool.execute("CREATE TABLE t (a int)")
    await pool.execute(INSERT, 1)
    async with pool.acquire() as connection, pool.acquire() as other, contextlib.AsyncExitStack() as stack:
        if nested:
            await stack.enter_async_context(connection.transaction())
            await connection.execute("SELECT 1")
        block = connection.transaction()
        await block.start()
        await connection.execute(INSERT, 2)
        busy = asyncio.ensure_future(other.fetch(ENDLESS))
        await until(lambda: other._lease.session().busy)
        ending = asyncio.ensure_future(getattr(block, end)())
        await until(lambda: connection._lease.session().busy)
        for task in (ending, busy):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await connection.execute(INSERT, 3)
        assert connection.is_in_transaction() is nested
    assert await rows(pool) == there
