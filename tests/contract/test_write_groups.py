"""Tasks that write again and again, in groups."""

from __future__ import annotations

import asyncio
from typing import Any

from .guarding import QUICK, guarded

TASKS, TIMES = 8, 30


async def test_a_caller_that_is_answered_goes_on_without_a_timer(open_pool: Any, backend: Any) -> None:
    """A lane waits for those whom it has answered only until their tick is over, of which it must be told.

    Were it not, it would wait for a timer: the first to fire is its own, after 10 s.
    """
    pool = await open_pool(backend.dsn, max_size=4, write_lane_wait_ms=10_000, **QUICK)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    await guarded(pool, "INSERT INTO item VALUES ($1)")
    for number in range(3):  # now the text is known to be quick
        await pool.execute("INSERT INTO item VALUES ($1)", -1 - number)

    async def write(task: int) -> None:
        for time in range(TIMES):
            await pool.execute("INSERT INTO item VALUES ($1)", task * TIMES + time)

    await asyncio.gather(*map(write, range(TASKS)))
    assert await pool.fetchval("SELECT count(*) FROM item") == TASKS * TIMES + 3
    stats = pool.stats()
    assert stats.groups < stats.statements
    assert stats.wait_ms.p50 < 5_000
