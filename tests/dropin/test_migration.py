"""The programs of docs/migration.md, before and after: both print the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.source import ROOT

PROGRAMS = dict(
    re.findall(
        r'^```python title="([^"]*)"\n(.*?)^```$', (ROOT / "docs/migration.md").read_text(), re.DOTALL | re.MULTILINE
    )
)
PAIRS = [
    ("asyncpg", "db_pool_rs.asyncpg"),
    ("psycopg_pool", "db_pool_rs"),
    ("postgresql+asyncpg", "postgresql+db_pool_rs"),
    ("aiosqlite", "db_pool_rs, SQLite"),
]
#: In a checkout that was installed before there were dialects.
REGISTER = """
from sqlalchemy.dialects import registry
registry.register("postgresql.db_pool_rs", "db_pool_rs.sqlalchemy.postgresql", "PostgresDialect")
"""


def printed(title: str, folder: Path, dsn: str) -> str:
    """What a program prints."""
    code = (REGISTER if "+db_pool_rs" in title else "") + PROGRAMS[title]
    environment = {**os.environ, "DATABASE_URL": dsn, "PYTHONPATH": str(ROOT)}
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("before", "after"), PAIRS)
def test_both_print_the_same(before: str, after: str, tmp_path: Path, pg_database: str) -> None:
    expected = printed(before, tmp_path / "before", pg_database)
    assert expected
    assert printed(after, tmp_path / "after", pg_database) == expected


def test_every_program_is_run() -> None:
    assert set(PROGRAMS) == {title for pair in PAIRS for title in pair}
