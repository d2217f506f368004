"""Mode full without an SQLite that can be lent to it: it says so, and `auto` takes another mode."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("db_pool_rs_full")

WITHOUT = """
import asyncio, sys
import db_pool_rs
from db_pool_rs.errors import ModeUnavailableError
from db_pool_rs.full import sqlite_library

sqlite_library._symbols = lambda names: None
sqlite_library._load_as_extension = lambda file: None


async def main():
    try:
        await db_pool_rs.create_pool("sqlite://", mode="full")
    except ModeUnavailableError as error:
        assert str(error).endswith(error.install)
        print(error.reason)
        print(error.install)
    print(db_pool_rs.detect_best_mode(database="sqlite") != "full", "full" in db_pool_rs.modes.MODES)
    async with db_pool_rs.create_pool("sqlite://") as pool:
        print(await pool.fetchval("SELECT 7"))


asyncio.run(main())
"""
#: Symbols of another library, which does not see what `sqlite3` has made.
OTHER = """
import sqlite3
from db_pool_rs.full import sqlite_library
import db_pool_rs_full

found = sqlite_library._symbols(db_pool_rs_full._sqlite_functions())
assert found is not None and sqlite_library._is_the_same(found)
real, sqlite3.connect = sqlite3.connect, lambda *_, **options: real(":memory:")
print(sqlite_library._is_the_same(found))
"""


def run(program: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2]
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_full_says_why_it_cannot_serve_sqlite() -> None:
    reason, remedy, *rest = run(WITHOUT)
    assert "shows no symbols and loads no extensions" in reason
    assert "mode='simple'" in remedy
    assert "--enable-loadable-sqlite-extensions" in remedy
    assert "setup_full" not in remedy  # it is installed
    assert rest == ["True True", "7"]


def test_symbols_of_another_copy_are_not_taken() -> None:
    assert run(OTHER) == ["False"]
