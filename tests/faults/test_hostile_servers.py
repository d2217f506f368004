"""Servers that break the rules: what is told of it is true, and no other call waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs.types import oids as pg
from tests.cext.lies import PATIENT
from tests.cext.wire import ASK, GREETING, LyingServer, error
from tests.plugins.engines import EngineSpec, OpenPool

#: How long a connection must be idle to be asked for a sign of life, and more.
IDLE = 1.2
COLUMNS = 400
#: As float8, which each mode asks for in binary.
SEVEN = struct.pack(">d", 7)


async def test_an_error_at_the_sign_of_life_is_no_statements(engine: EngineSpec) -> None:
    """The connection is lost: no statement of the group behind it has failed, nor is known not to have been run."""
    async with LyingServer([pg.FLOAT8.oid], [[SEVEN]]).running() as server:
        dsn = f"postgresql://u@127.0.0.1:{server.port}/d?sslmode=disable"
        async with db_pool_rs.create_pool(dsn, mode=engine.name, min_size=1, max_size=1, **PATIENT) as pool:
            assert await pool.fetchval(ASK, 1) == 7
            server.sign_of_life = error("ERROR", "XX000")
            with pytest.raises(db_pool_rs.ConnectionLost):
                await _asks_until_it_fails(pool)
            server.sign_of_life = b""
            assert await pool.fetchval(ASK, 1) == 7


async def _asks_until_it_fails(pool: Any) -> None:
    """On a busy machine the pool's own questions come late, so that a connection is not idle long enough."""
    while True:
        await asyncio.sleep(IDLE)
        assert await pool.fetchval(ASK, 1) == 7


async def test_a_server_that_lets_in_and_hangs_up_is_not_waited_for(engine: EngineSpec) -> None:
    """The loss of a new connection may be known before it is asked its first question."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            size = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(size - 4)
            writer.write(b"".join(GREETING))
            writer.write_eof()
            while await reader.read(65536):
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        dsn = f"postgresql://u@127.0.0.1:{server.sockets[0].getsockname()[1]}/d?sslmode=disable"
        for _ in range(3):
            with pytest.raises(db_pool_rs.ConnectFailed, match="was lost before it could be used"):
                await db_pool_rs.create_pool(dsn, mode=engine.name, min_size=1, max_size=1, connect_timeout=15)


async def test_a_connection_that_is_lost_behind_the_answer_to_its_first_question(engine: EngineSpec) -> None:
    """Its loss may be known when it is being handed to the rules: no statement waits on it."""
    async with LyingServer([pg.FLOAT8.oid], [[SEVEN]]).running() as server:
        dsn = f"postgresql://u@127.0.0.1:{server.port}/d?sslmode=disable"
        async with db_pool_rs.create_pool(dsn, mode=engine.name, min_size=0, max_size=1, **PATIENT) as pool:
            for _ in range(3):
                server.hang_ups = 1
                with contextlib.suppress(db_pool_rs.ConnectFailed, db_pool_rs.ConnectionLost):
                    assert await asyncio.wait_for(pool.fetchval(ASK, 1), 30) == 7
                assert await asyncio.wait_for(pool.fetchval(ASK, 1), 30) == 7
                pool.expire_connections()


async def _holds(call: asyncio.Future[Any]) -> tuple[float, float]:
    """The processor's time between two ticks of the loop, while a call is under way: the longest, and all of it."""
    longest = total = 0.0
    before = time.thread_time()
    while not call.done():
        await asyncio.sleep(0)
        now = time.thread_time()
        longest, total, before = max(longest, now - before), total + now - before, now
    return longest, total


async def test_a_row_of_long_values_holds_no_other_call_up(open_pool: OpenPool, pg_dsn: str) -> None:
    pool = await open_pool(pg_dsn, max_size=1)
    numbers = ", ".join(f"n AS c{at}" for at in range(COLUMNS))
    sql = f"SELECT {numbers} FROM (SELECT repeat('7', 5000)::numeric AS n OFFSET 0) AS one, generate_series(1, 2)"
    assert len(await pool.fetch(sql)) == 2  # what is imported for the first such values is imported
    call = asyncio.ensure_future(pool.fetch(sql))
    longest, total = await _holds(call)
    rows = await call
    assert len(rows) == 2
    assert {str(value) for row in rows for value in row} == {"7" * 5000}
    assert longest < total / 5, f"the loop was held for {longest:.3f} s of {total:.3f} s"
