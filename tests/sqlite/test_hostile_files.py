"""Files that somebody else has written: what is no text in them is an error, and the pool works on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

import db_pool_rs
from tests.plugins.engines import OpenPool

#: A column whose name is no UTF-8.
SCHEMA = b'CREATE TABLE t (a INTEGER, "caf\xe9" INTEGER)'


@pytest.fixture
def hostile_file(tmp_path: Path) -> Path:
    path = tmp_path / "hostile.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b INTEGER)")
        connection.execute("INSERT INTO t VALUES (1, 2)")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_master SET sql = CAST(x'{SCHEMA.hex()}' AS TEXT) WHERE name = 't'")
    connection.close()
    return path


async def test_a_name_that_is_no_utf8(open_pool: OpenPool, hostile_file: Path) -> None:
    pool = await open_pool(f"sqlite:///{hostile_file}", max_size=1)
    for _ in range(2):
        with pytest.raises(db_pool_rs.Error, match=r"(?i)utf-?8"):
            await pool.fetch("SELECT * FROM t")
        assert await pool.fetchval("SELECT a FROM t") == 1
