"""What type checkers make of `row=`: a list of the program's own class."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.source import ROOT

PROGRAM = """
from dataclasses import dataclass
from typing import Any

from typing_extensions import assert_type

import db_pool_rs
from db_pool_rs import Record


@dataclass
class User:
    id: int
    name: str


def first(record: Record) -> str:
    return str(record[0])


async def use() -> None:
    async with db_pool_rs.create_pool("sqlite://") as pool:
        assert_type(await pool.fetch("x", 1), list[Record])
        assert_type(await pool.fetch("x", 1, row=User), list[User])
        assert_type(await pool.fetch("x", row=dict[str, Any]), list[dict[str, Any]])
        assert_type(await pool.fetch("x", row=first), list[str])
        assert_type(await pool.fetch("x", row=lambda record: len(record)), list[int])
        assert_type(await pool.fetchrow("x", 1), Record | None)
        assert_type(await pool.fetchrow("x", 1, row=User), User | None)
        async with pool.transaction() as connection:
            assert_type(await connection.fetch("x", row=User), list[User])
            assert_type([user async for user in connection.cursor("x", row=User)], list[User])
            assert_type([row async for row in connection.cursor("x")], list[Record])
            assert_type(await (await connection.prepare("x", row=User)).fetch(1), list[User])
            assert_type(await (await connection.prepare("x")).fetchrow(1), Record | None)
    async with db_pool_rs.DatabasePool() as db:
        assert_type(await db.query("main", "x", row=User), list[User])
"""


def test_mypy_infers_the_class_of_the_rows(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(program)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200)
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
