"""A CancelRequest belongs to one statement: whatever is cancelled, nothing of another caller's is ever hit.

Callers give up COPYs, statements, sessions and cursors at random moments, while others run statements of 30 ms on the
same few connections. DB_POOL_CANCELS says how many are given up of each kind (2000 for a measurement).
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytestmark = pytest.mark.usefixtures("patient")

CANCELS = int(os.environ.get("DB_POOL_CANCELS", "100"))
TASKS, BYSTANDERS = 4, 4
SECONDS = "0.03"

Action = Callable[[Any], Awaitable[Any]]


async def _copy_out(pool: Any) -> None:
    async def slowly(data: bytes) -> None:
        await asyncio.sleep(0.001)

    async with pool.acquire() as connection:
        await connection.copy_from_query("SELECT repeat('x', 100) FROM generate_series(1, 100000)", output=slowly)


async def _copy_out_slow_server(pool: Any) -> None:
    async def take(data: bytes) -> None:
        pass

    async with pool.acquire() as connection:
        await connection.copy_from_query("SELECT pg_sleep(0.01) FROM generate_series(1, 10000)", output=take)


async def _copy_in(pool: Any) -> None:
    async def rows() -> Any:
        for number in range(1_000_000):
            await asyncio.sleep(0.001)
            yield b"%d\n" % number

    async with pool.acquire() as connection:
        await connection.copy_to_table("t", source=rows())


async def _copy_in_large(pool: Any) -> None:
    async def rows() -> Any:
        while True:
            await asyncio.sleep(0)
            yield b"1\n" * 50_000

    async with pool.acquire() as connection:
        await connection.copy_to_table("t", source=rows())


async def _statement(pool: Any) -> None:
    await pool.execute("SELECT pg_sleep(60)")


async def _session(pool: Any) -> None:
    async with pool.acquire() as connection:
        await connection.execute("SELECT pg_sleep(60)")


async def _cursor(pool: Any) -> None:
    async with pool.transaction() as connection:
        async for _ in connection.cursor("SELECT pg_sleep(0.005) FROM generate_series(1, 1000)", prefetch=2):
            pass


KINDS = {
    "copy_out": _copy_out, "copy_out_slow_server": _copy_out_slow_server, "copy_in": _copy_in,
    "copy_in_large": _copy_in_large, "statement": _statement, "session": _session, "cursor": _cursor,
}  # fmt: skip


async def _give_up_at_random(action: Action, pool: Any, count: int, rnd: random.Random) -> None:
    for _ in range(count):
        task = asyncio.ensure_future(action(pool))
        if rnd.random() < 0.3:
            for _ in range(rnd.randrange(30)):
                await asyncio.sleep(0)
        else:
            await asyncio.sleep(rnd.random() * 0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def _bystander(pool: Any, number: int, over: Callable[[], bool]) -> int:
    """Statements of its own, half of them on a session that it acquires: all of them succeed."""
    count = 0
    while not over():
        if (number + count) % 2:
            assert await pool.fetchval(f"SELECT {number} FROM pg_sleep({SECONDS})") == number
        else:
            async with pool.acquire() as connection:
                assert await connection.fetchval(f"SELECT {number} FROM pg_sleep({SECONDS})") == number
        count += 1
    return count


@pytest.mark.parametrize("kind", KINDS)
async def test_no_stranger_is_hit(open_pool: Any, pg_database: str, kind: str) -> None:
    pool = await open_pool(pg_database, max_size=3, acquire_timeout=120)
    await pool.execute("CREATE TABLE t (id int)")
    rnd = random.Random(kind)
    cancelling = asyncio.gather(*[_give_up_at_random(KINDS[kind], pool, CANCELS // TASKS, rnd) for _ in range(TASKS)])
    bystanders = [_bystander(pool, number, cancelling.done) for number in range(BYSTANDERS)]
    served = await asyncio.gather(*bystanders, return_exceptions=True)
    await cancelling
    hit = [answer for answer in served if isinstance(answer, BaseException)]
    assert hit == []
    assert min(served) > 0
    stats = pool.stats()
    assert (stats.lost, stats.connect_failures) == (0, 0)
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
