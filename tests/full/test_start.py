"""What a program has to import until it has its first answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("db_pool_rs_full")

PROGRAM = """
import asyncio, sys
import db_pool_rs
from db_pool_rs.guard.keeper import Keeper

# The guard reads the catalogue in the background, and needs figures to find a moment for it.
Keeper.want = lambda self: None

async def main():
    async with db_pool_rs.create_pool(sys.argv[1], mode="full") as pool:
        assert await pool.fetchval("SELECT $1::int", 7) == 7

asyncio.run(main())
print(*sys.modules)
"""
#: Of no use before a program asks for figures, borrows a connection, or has another mode or database.
NOT_NEEDED = {
    "db_pool_rs.metrics.process", "db_pool_rs.metrics.stats", "db_pool_rs.pool.connection",
    "db_pool_rs.scheduler.scheduler", "db_pool_rs.types",
    "json", "psycopg", "random", "sqlite3", "urllib.parse", "yaml",
}  # fmt: skip


def test_what_is_not_needed_is_not_imported(pg_dsn: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, pg_dsn], check=True, capture_output=True, text=True)
    imported = set(done.stdout.split())
    assert "db_pool_rs.full.pool" in imported
    assert not NOT_NEEDED & imported
