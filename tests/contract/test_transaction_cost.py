"""What a transaction costs the event loop's thread, in the interpreter's instructions: beside asyncpg's, counted alike.

They are those of all Python code, asyncio's included; what C and Rust do is not counted, asyncpg's neither. The counts
are the same on a busy machine, apart from ticks of the loop that find nothing: so the smallest of several is taken.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import asyncpg
import pytest

from .guarding import at_rest

INSERT = "INSERT INTO transaction_cost VALUES ($1)"
#: Of asyncpg's instructions. Its own protocol is C, that of `simple` is Python.
MOST = {"simple": 1.08, "balanced": 1.11, "full": 0.67}


async def instructions(work: Callable[[], Awaitable[Any]]) -> int:
    """The instructions that one call of `work` takes when all is warm."""
    counted = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal counted
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        counted += event == "opcode"
        return trace

    async def one() -> int:
        before = counted
        await work()
        return counted - before

    for _ in range(50):
        await work()
    others = sys.gettrace()
    gc.disable()
    sys.settrace(trace)
    try:
        found = await asyncio.get_running_loop().create_task(several(one))
    finally:
        sys.settrace(others)
        gc.enable()
    return min(found)


async def several(one: Callable[[], Awaitable[int]]) -> list[int]:
    """The counts of ten calls; a frame is traced from its next call on, so the first is left out."""
    return [await one() for _ in range(10)][1:]


async def test_a_transaction_takes_no_more_than_its_share(
    open_pool: Any, engine: Any, pg_database: str, request: pytest.FixtureRequest
) -> None:
    if request.config.getoption("--loop") != "asyncio":
        pytest.skip("the loop's own part is in Python on asyncio alone")
    pool = await open_pool(pg_database, min_size=1, max_size=1)
    await pool.execute("CREATE TABLE transaction_cost (value int)")
    await at_rest(pool)

    async def ours() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute(INSERT, 7)

    async with asyncpg.create_pool(pg_database, min_size=1, max_size=1) as other:

        async def theirs() -> None:
            async with other.acquire() as connection, connection.transaction():
                await connection.execute(INSERT, 7)

        assert await instructions(ours) <= MOST[engine.name] * await instructions(theirs)
