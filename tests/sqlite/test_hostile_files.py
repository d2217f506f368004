"""Files that another program has written: what is no text in them is an error, and the pool works on."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

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


#: Writes whose rows cannot be read: for the name of a column, for a value.
UNREADABLE = [
    "INSERT INTO t VALUES (3, 4) RETURNING *",
    "UPDATE t SET a = 5 RETURNING *",
    "DELETE FROM t RETURNING *",
    "INSERT INTO t VALUES (3, 4) RETURNING CAST(x'ff' AS TEXT) AS c",
    "WITH s AS (SELECT 6 AS n) UPDATE t SET a = (SELECT n FROM s) RETURNING CAST(x'ff' AS TEXT)",
]


async def _unchanged(pool: Any, before: int = 1) -> None:
    assert await pool.fetchval("SELECT count(*) FROM t") == before
    assert await pool.fetchval("SELECT a FROM t") == 1


@pytest.mark.parametrize("sql", UNREADABLE)
async def test_what_is_told_as_failed_is_not_done(open_pool: OpenPool, hostile_file: Path, sql: str) -> None:
    pool = await open_pool(f"sqlite:///{hostile_file}", max_size=1)
    for _ in range(2):
        with pytest.raises(db_pool_rs.Error, match=r"(?i)utf-?8"):
            await pool.fetch(sql)
        await _unchanged(pool)
    async with pool.acquire() as session:
        with pytest.raises(db_pool_rs.Error, match=r"(?i)utf-?8"):
            await session.fetch(sql)
        assert not session.is_in_transaction()
        assert await session.fetchval("SELECT 7") == 7
    await _unchanged(pool)


@pytest.mark.parametrize("sql", UNREADABLE)
async def test_a_group_goes_on_without_it(open_pool: OpenPool, hostile_file: Path, sql: str) -> None:
    pool = await open_pool(f"sqlite:///{hostile_file}", max_size=1)
    good = [pool.execute("INSERT INTO t VALUES ($1, 0)", number) for number in range(10, 20)]
    outcomes = await asyncio.gather(*good[:5], pool.fetch(sql), *good[5:], return_exceptions=True)
    assert isinstance(outcomes.pop(5), db_pool_rs.Error)
    assert outcomes == ["INSERT 0 1"] * 10
    await _unchanged(pool, 11)


@pytest.mark.parametrize("sql", UNREADABLE)
async def test_a_transaction_does_not_keep_what_it_told_as_failed(
    open_pool: OpenPool, hostile_file: Path, sql: str
) -> None:
    """Whether the transaction goes on or has ended: what was told as failed is not in it."""
    pool = await open_pool(f"sqlite:///{hostile_file}", max_size=1)
    async with pool.acquire() as session:
        await session.execute("BEGIN")
        with pytest.raises(db_pool_rs.Error, match=r"(?i)utf-?8"):
            await session.fetch(sql)
        await session.execute("COMMIT")
        assert not session.is_in_transaction()
    await _unchanged(pool)
