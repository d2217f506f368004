"""COPY whose source or sink ends with a CancelledError of its own, and what a COPY leaves behind on the server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from db_pool_rs.errors import InterfaceError

pytestmark = pytest.mark.usefixtures("patient")


class Own(BaseException):
    """Not an Exception."""


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    """A pool of one connection, and an empty table `t`."""
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TABLE t (a int)")
    return pool


ENDS: Any = pytest.mark.parametrize("error", [asyncio.CancelledError, Own])


async def _source(error: type[BaseException], *pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece
    raise error


async def _fails(call: Any, error: type[BaseException]) -> None:
    """The call raises an error of its own: the task was not cancelled."""
    task = asyncio.ensure_future(call)
    with pytest.raises(InterfaceError, match=error.__name__) as caught:
        await task
    assert isinstance(caught.value.__cause__, error)


@ENDS
@pytest.mark.parametrize("pieces", [(), (b"1\n",), (b"1\n", b"2\n" * 100_000)])
async def test_a_source_of_data(pool: Any, error: type[BaseException], pieces: tuple[bytes, ...]) -> None:
    async with pool.acquire() as connection:
        await _fails(connection.copy_to_table("t", source=_source(error, *pieces)), error)
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


@ENDS
async def test_a_source_of_records(pool: Any, error: type[BaseException]) -> None:
    async with pool.transaction() as connection:
        async with connection.transaction():
            await connection.execute("INSERT INTO t VALUES (1)")
        with contextlib.suppress(InterfaceError):
            async with connection.transaction():
                await _fails(connection.copy_records_to_table("t", records=_source(error, (2,))), error)
                raise InterfaceError("undo it")
    assert await pool.fetchval("SELECT count(*) FROM t") == 1


@pytest.mark.parametrize("pieces", [(), (b"1\n",), ((1,),)])
async def test_a_source_that_is_told_apart_first(pool: Any, pieces: tuple[Any, ...]) -> None:
    async with pool.acquire() as connection:
        source = _source(asyncio.CancelledError, *pieces)
        await _fails(connection.copy_in("t", source=source), asyncio.CancelledError)
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


@ENDS
async def test_a_sink(pool: Any, error: type[BaseException]) -> None:
    async def sink(piece: bytes) -> None:
        raise error

    async with pool.acquire() as connection:
        query = "SELECT i FROM generate_series(1, 100000) AS i"
        await _fails(connection.copy_from_query(query, output=sink), error)
        assert await connection.fetchval("SELECT 1") == 1


@ENDS
async def test_a_consumer(pool: Any, error: type[BaseException]) -> None:
    async def consume(connection: Any) -> None:
        async with contextlib.aclosing(connection.copy_out("SELECT generate_series(1, 100000)")) as pieces:
            async for _ in pieces:
                raise error

    async with pool.acquire() as connection:
        with pytest.raises(error):
            await consume(connection)
        assert await connection.fetchval("SELECT 1") == 1


async def test_the_caller_is_cancelled_all_the_same(pool: Any) -> None:
    waits = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"1\n"
        waits.set()
        await asyncio.Event().wait()

    async with pool.acquire() as connection:
        task = asyncio.ensure_future(connection.copy_to_table("t", source=source()))
        await waits.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def _named(connection: Any) -> set[str]:
    rows = await connection.fetch("SELECT name FROM pg_prepared_statements WHERE from_sql")
    return {row[0] for row in rows}


async def test_a_query_with_arguments_leaves_nothing_on_the_server(pool: Any) -> None:
    """However early its caller is cancelled."""
    await pool.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    arguments = 1, "x", [1, 2], "glad"
    query = "SELECT $1::int + 1, $2::text, $3::int8[], $4::mood"

    async def copy() -> bytes:
        return b"".join([piece async for piece in connection.copy_out(query, *arguments)])

    async with pool.acquire() as connection:
        assert await copy() == b"2\tx\t{1,2}\tglad\n"
        for steps in range(1, 12):
            task = asyncio.ensure_future(copy())
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            assert await _named(connection) == set()
