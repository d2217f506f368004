"""SQLite's own ways to notice company, in groups of every engine: each call ends as it does on a connection alone."""

from __future__ import annotations

import asyncio
import sqlite3
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, sqlite_error
from db_pool_rs.sql import StatementClass, classify
from tests.contract.guarding import QUICK

SCHEMA = """
CREATE TABLE person (id INTEGER PRIMARY KEY, partner INT REFERENCES person DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE item (id INTEGER PRIMARY KEY, n INT);
CREATE TABLE copied (id INTEGER PRIMARY KEY, n INT);
CREATE TABLE told (id INTEGER PRIMARY KEY, changed INT, last INT);
CREATE TRIGGER refuse BEFORE INSERT ON item BEGIN
    SELECT RAISE(ABORT, 'aborted') WHERE NEW.n = 1;
    SELECT RAISE(FAIL, 'failed') WHERE NEW.n = 2;
    SELECT RAISE(ROLLBACK, 'rolled back') WHERE NEW.n = 3;
    SELECT RAISE(IGNORE) WHERE NEW.n = 4;
END;
CREATE TRIGGER copies AFTER INSERT ON item BEGIN
    INSERT INTO copied VALUES (NEW.id, NEW.n), (1000 + NEW.id, NEW.n);
END;
CREATE TRIGGER tells AFTER INSERT ON copied BEGIN
    INSERT INTO told VALUES (NEW.id, changes(), last_insert_rowid());
END;
"""
INSERT = "INSERT INTO item VALUES ($1, $2)"


@pytest.fixture
async def pool(open_pool: Any, tmp_path: Path) -> Any:
    """A pool of the schema; groups of writes are as large as they get."""
    sqlite3.connect(tmp_path / "groups.db").executescript(SCHEMA).close()
    return await open_pool(f"sqlite:///{tmp_path / 'groups.db'}", **QUICK)


async def _together(pool: Any, calls: list[tuple[str, tuple[Any, ...]]], *, grouped: bool = True) -> list[Any]:
    """The outcomes of calls made at once: a status, or an error's SQLSTATE and message."""
    before = pool.stats()
    outcomes = await asyncio.gather(*[pool.execute(sql, *args) for sql, args in calls], return_exceptions=True)
    after = pool.stats()
    shared = after.statements - before.statements > after.groups - before.groups
    assert shared or not grouped, "nothing was grouped: the test shows nothing"
    return [(one.sqlstate, one.message) if isinstance(one, DatabaseError) else str(one) for one in outcomes]


async def test_a_deferred_key_is_not_cured_by_a_strangers_row(pool: Any) -> None:
    """Where keys are deferred nothing that writes shares a transaction."""
    insert = "INSERT INTO person VALUES ($1, $2)"
    for number in range(4):
        await pool.execute(insert, -1 - number, None)
    for _ in range(5):
        outcomes = await _together(pool, [(insert, (1, 2)), (insert, (2, 1)), (insert, (3, 3))], grouped=False)
        assert [one[0] for one in outcomes[:2]] == ["23503", "23503"]
        assert outcomes[2] == "INSERT 0 1"
        await pool.execute("DELETE FROM person WHERE id = 3")
    assert await pool.fetchval("SELECT count(*) FROM person WHERE id > 0") == 0


async def test_triggers_that_raise_end_their_own_statement_only(open_pool: Any, tmp_path: Path) -> None:
    """And the tables hold what they do after the same statements one by one, on a plain connection."""
    without_keys = SCHEMA.replace(" REFERENCES person DEFERRABLE INITIALLY DEFERRED", "")
    plain = sqlite3.connect(tmp_path / "plain.db", isolation_level=None)
    plain.executescript(without_keys)
    sqlite3.connect(tmp_path / "groups.db").executescript(without_keys).close()
    pool = await open_pool(f"sqlite:///{tmp_path / 'groups.db'}", **QUICK)
    for number in range(-4, 0):
        await pool.execute(INSERT, number, 0)
        plain.execute("INSERT INTO item VALUES (?, 0)", (number,))
    calls = [(INSERT, (number, number % 7)) for number in range(1, 43)]
    outcomes = await _together(pool, calls, grouped=False)
    for number in count(100, 3000):  # until the text, which has failed, may be grouped again
        if pool.explain(INSERT).grouped:
            break
        await pool.execute(INSERT, -number, 0)
        plain.execute("INSERT INTO item VALUES (?, 0)", (-number,))
    outcomes += await _together(pool, [(INSERT, (1 + number, 0)) for number in range(42, 80)])
    wanted = [_alone(plain, *args) for _, args in calls] + [_alone(plain, number, 0) for number in range(43, 81)]
    assert outcomes == wanted
    for table in ("item", "copied", "told"):  # which of them was first is not defined: what is told of others varies
        columns = "id, changed" if table == "told" else "*"
        sql = f"SELECT {columns} FROM {table} ORDER BY 1"
        assert [tuple(row) for row in await pool.fetch(sql)] == plain.execute(sql).fetchall()
    plain.close()


def _alone(plain: sqlite3.Connection, key: int, value: int) -> Any:
    try:
        return f"INSERT 0 {plain.execute('INSERT INTO item VALUES (?, ?)', (key, value)).rowcount}"
    except sqlite3.Error as error:
        told = sqlite_error(error, INSERT)
        return told.sqlstate, told.message


async def test_the_number_of_changed_rows_is_the_statements_own(open_pool: Any, tmp_path: Path) -> None:
    """Whatever triggers and neighbours change."""
    pool = await open_pool(f"sqlite:///{tmp_path / 'counts.db'}", **QUICK)
    await pool.execute("CREATE TABLE a (id INTEGER PRIMARY KEY, n INT)")
    await pool.execute("CREATE TABLE b (n INT)")
    await pool.execute("CREATE TRIGGER more AFTER UPDATE ON a BEGIN INSERT INTO b VALUES (1), (2), (3); END")
    await pool.executemany("INSERT INTO a VALUES ($1, 0)", [(number,) for number in range(1, 41)])
    update = "UPDATE a SET n = n + 1 WHERE id <= $1"
    for _ in range(4):
        await pool.execute(update, 0)
    outcomes = await _together(pool, [(update, (number,)) for number in range(40)])
    assert outcomes == [f"UPDATE {number}" for number in range(40)]


@pytest.mark.parametrize("function", ["changes()", "total_changes()", "last_insert_rowid()"])
async def test_what_tells_of_the_last_change_is_in_no_group(pool: Any, function: str) -> None:
    sql = f"SELECT {function} + 0 * $1"
    assert classify(sql, "sqlite").kind is StatementClass.SESSION
    for _ in range(4):
        await pool.fetchval(sql, 1)
    assert not pool.explain(sql).grouped
    before = pool.stats()
    await asyncio.gather(*[pool.fetchval(sql, number) for number in range(20)])
    after = pool.stats()
    assert after.groups - before.groups == after.statements - before.statements
