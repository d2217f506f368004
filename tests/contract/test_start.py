"""What a program has to import until it has its first answer, and until the guard knows the database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.plugins.engines import EngineSpec

ANSWER = """
import asyncio, sys
import db_pool_rs
from db_pool_rs.guard.keeper import Keeper

# The guard reads the catalogue in the background: when it begins is a matter of time.
Keeper.want = lambda self: None

async def main():
    async with db_pool_rs.create_pool(sys.argv[1], mode=sys.argv[2]) as pool:
        assert await pool.fetchval("SELECT $1::int", 7) == 7

asyncio.run(main())
print(*sys.modules)
"""
GUARDED = """
import asyncio, sys
import db_pool_rs

async def main():
    async with db_pool_rs.create_pool(sys.argv[1], mode=sys.argv[2]) as pool:
        while not pool.explain("SELECT f()").guarded:
            await pool.fetchval("SELECT 1")

asyncio.run(main())
print(*sys.modules)
"""
#: Of no use before a program asks for figures or features, writes a batch, listens, streams, borrows a connection, gets
#: an error of the server's, has values of its own types, a config.yaml, passwords that change, or another mode or
#: database.
NOT_NEEDED = {
    "db_pool_rs.codecs", "db_pool_rs.config.yaml_file", "db_pool_rs.conninfo.password", "db_pool_rs.conninfo.sqlite",
    "db_pool_rs.drivers.postgres.socket_thread", "db_pool_rs.features",
    "db_pool_rs.metrics.process", "db_pool_rs.metrics.stats", "db_pool_rs.modes.figures", "db_pool_rs.modes.selection",
    "db_pool_rs.pool.batch", "db_pool_rs.pool.connection", "db_pool_rs.pool.cursor", "db_pool_rs.pool.listen",
    "db_pool_rs.pool.stream", "db_pool_rs.pool.subscription", "db_pool_rs.sql.without_values",
    "db_pool_rs.types.composites", "db_pool_rs.types.extensions", "db_pool_rs.types.structures",
    "difflib", "sqlite3", "yaml",
}  # fmt: skip
#: Of no use before the guard has an answer, or is asked. Beside it, on its thread, the classes of errors are made.
GUARD = {
    "db_pool_rs.errors._sqlstates", "db_pool_rs.guard.explanation", "db_pool_rs.guard.findings",
    "db_pool_rs.guard.words",
}  # fmt: skip
#: Of no use to some engines. psycopg, which `simple` needs, imports most of the standard library.
FURTHER = {
    "simple": {"db_pool_rs.balanced", "db_pool_rs.full"},
    "balanced": {"db_pool_rs.full", "importlib.resources", "psycopg", "tempfile"},
    "full": {
        "db_pool_rs.drivers.postgres.link", "db_pool_rs.errors.conditions", "db_pool_rs.scheduler.scheduler",
        "db_pool_rs.types", "importlib.resources", "json", "psycopg", "random", "tempfile", "urllib.parse",
    },
}  # fmt: skip


def _imported(program: str, dsn: str, mode: str, folder: Path) -> set[str]:
    command = [sys.executable, "-c", program, dsn, mode]
    return set(subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout.split())


@pytest.mark.feature("postgresql")
def test_what_the_first_answer_does_not_need_is_not_imported(engine: EngineSpec, pg_dsn: str, tmp_path: Path) -> None:
    imported = _imported(ANSWER, pg_dsn, engine.name, tmp_path)
    assert "db_pool_rs.pool.pool" in imported
    assert not (NOT_NEEDED | GUARD | FURTHER[engine.name]) & imported


@pytest.mark.feature("postgresql")
def test_what_the_guard_does_not_need_is_not_imported(engine: EngineSpec, pg_dsn: str, tmp_path: Path) -> None:
    imported = _imported(GUARDED, pg_dsn, engine.name, tmp_path)
    assert imported >= GUARD
    assert not (NOT_NEEDED | FURTHER[engine.name]) & imported
