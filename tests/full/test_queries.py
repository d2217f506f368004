"""Queries that the engine is told of and forgets, in whatever order both come together in one tick."""

from __future__ import annotations

import pytest

pytest.importorskip("db_pool_rs_full")

import db_pool_rs
from db_pool_rs.pool import queries

TOO_MANY = (None,) * 65_536


async def test_a_query_that_is_forgotten_in_the_tick_that_made_it_does_no_harm(
    pg_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_TEXTS", 2)
    async with await db_pool_rs.create_pool(pg_dsn, mode="full") as pool:
        for number in range(4):  # each is read, and refused before it is sent
            with pytest.raises(db_pool_rs.ArgumentError):
                await pool.fetch(f"SELECT {number}", *TOO_MANY)
        assert await pool.fetchval("SELECT 1") == 1
