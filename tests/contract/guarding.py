"""What the tests of the guard share."""

from __future__ import annotations

from typing import Any

from .waiting import until

#: However busy the machine is, the texts of these tests count as quick.
QUICK = {"fast_ms": 10_000.0, "stall_ms": 60_000.0}


async def script(pool: Any, sql: str) -> None:
    """Run several statements on a connection."""
    async with pool.acquire() as conn:
        await conn.execute(sql)


async def guarded(pool: Any, sql: str) -> Any:
    """Wait until the pool knows the catalogue; what it says of the text."""
    await until(lambda: pool.explain(sql).guarded)
    return pool.explain(sql)


async def at_rest(pool: Any) -> None:
    """Wait until the pool knows the catalogue, and the connection that read it is clean: no round trip follows."""
    await guarded(pool, "SELECT 1")
    await until(lambda: pool.stats().idle == pool.stats().size)
