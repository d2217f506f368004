"""Statements that share a transaction behave exactly as if each had one of its own."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError, sqlite_error
from tests.sqlite.harness import Harness, harness

SCHEMA = """
CREATE TABLE item (id INTEGER PRIMARY KEY, v INT NOT NULL CHECK (v >= 0), u INT UNIQUE);
CREATE TABLE stern (id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK, u INT UNIQUE ON CONFLICT FAIL);
CREATE TABLE parent (id INTEGER PRIMARY KEY, partner INT REFERENCES parent {when});
CREATE TABLE child (id INTEGER PRIMARY KEY, parent INT REFERENCES parent ON DELETE CASCADE {when});
CREATE TABLE log (n INT, what TEXT);
CREATE TRIGGER watch AFTER INSERT ON log BEGIN
    SELECT RAISE(ABORT, 'aborted') WHERE NEW.n = 1;
    SELECT RAISE(FAIL, 'failed') WHERE NEW.n = 2;
    SELECT RAISE(ROLLBACK, 'rolled back') WHERE NEW.n = 3;
    SELECT RAISE(IGNORE) WHERE NEW.n = 4;
    INSERT INTO item VALUES (NULL, NEW.n, NULL);
END;
"""
TABLES = ("item", "stern", "parent", "child", "log")

small = st.integers(0, 4)
conflict = st.sampled_from(["", " OR ABORT", " OR FAIL", " OR IGNORE", " OR REPLACE", " OR ROLLBACK"])
writes = st.one_of(
    st.tuples(conflict.map(lambda c: f"INSERT{c} INTO item VALUES ($1, $2, $3)"), small, st.integers(-1, 2), small),
    st.tuples(conflict.map(lambda c: f"INSERT{c} INTO item VALUES (10, $1, 10), ($2, 1, $3)"), small, small, small),
    st.tuples(conflict.map(lambda c: f"UPDATE{c} item SET u = u + $1, v = v - $2"), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(conflict.map(lambda c: f"INSERT{c} INTO stern VALUES ($1, $2), (NULL, $3)"), small, small, small),
    st.tuples(st.just("INSERT INTO stern VALUES ($1, $2)"), small, small),
    st.tuples(st.just("INSERT INTO parent VALUES ($1, $2)"), small, st.none() | small),
    st.tuples(st.just("DELETE FROM parent WHERE id = $1"), small),
    st.tuples(st.just("UPDATE parent SET id = id + $1"), small),
    st.tuples(st.just("INSERT INTO child VALUES (NULL, $1) RETURNING id, parent"), st.none() | small),
    st.tuples(st.just("INSERT INTO log VALUES (0, 'a'), ($1, 'b'), (5, 'c')"), small),
    st.tuples(st.just("WITH x(n) AS (SELECT $1) DELETE FROM log WHERE n IN (SELECT n FROM x)"), small),
    st.tuples(st.just("DELETE FROM item WHERE id > $1"), small),
    st.tuples(st.just("INSERT INTO missing VALUES ($1)"), small),
)
reads = st.one_of(
    st.tuples(st.just("SELECT * FROM item WHERE id >= $1"), small),
    st.tuples(st.just("SELECT count(*) AS n, max(v) FROM item")),
    st.tuples(st.just("SELECT abs(-9223372036854775807 - $1)"), st.integers(0, 1)),
    st.tuples(st.just("SELECT * FROM missing")),
    st.tuples(st.just("SELECT CAST(x'ff' AS TEXT)")),
)
groups = st.lists(st.lists(writes, min_size=1, max_size=12) | st.lists(reads, min_size=1, max_size=6), max_size=6)


async def send(desk: Harness, link: Any, group: list[Any], want: bool) -> list[Any]:
    """What the scheduler does: all together; if that does not count, each alone."""
    sent = desk.pool(link, *group, want=want)
    outcomes = await sent.outcomes()
    if len(group) > 1 and not await sent.ok:
        outcomes = [(await desk.pool(link, call, want=want).outcomes())[0] for call in group]
    return [comparable(outcome) for outcome in outcomes]


def comparable(outcome: Any) -> Any:
    if isinstance(outcome, DatabaseError):
        return type(outcome), outcome.sqlstate, outcome.message, outcome.table, outcome.column
    if isinstance(outcome, Exception):
        return type(outcome)
    return str(outcome) if isinstance(outcome, str) else [tuple(row) for row in outcome]


def plainly(connection: sqlite3.Connection, call: Any, want: bool) -> Any:
    """The same statement on a plain connection in auto-commit mode."""
    sql, *args = call
    try:
        cursor = connection.execute(sql.replace("$", "?"), args)
        rows = cursor.fetchall()
        changed = connection.execute("SELECT changes()").fetchone()[0]
    except sqlite3.Error as error:
        return comparable(sqlite_error(error, sql))
    if want:
        return rows
    verb = "DELETE" if sql.startswith("WITH") else sql.split()[0]
    return {"INSERT": f"INSERT 0 {changed}", "SELECT": f"SELECT {len(rows)}"}.get(verb, f"{verb} {changed}")


@pytest.mark.parametrize("when", ["", "DEFERRABLE INITIALLY DEFERRED"], ids=["immediate", "deferred"])
@pytest.mark.parametrize("place", ["file", "memory"])
@settings(max_examples=60)
@given(program=groups, want=st.booleans())
async def test_random_groups_equal_statements_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, place: str, when: str, program: Any, want: bool
) -> None:
    folder: Path = tmp_path_factory.mktemp("groups")
    schema = SCHEMA.format(when=when)
    plain = sqlite3.connect(folder / "plain.db", isolation_level=None)
    plain.executescript("PRAGMA foreign_keys = ON; PRAGMA synchronous = OFF;" + schema)
    dsn = "sqlite://" if place == "memory" else f"sqlite:///{folder}/grouped.db?synchronous=normal"
    async with harness(dsn) as desk:
        link = await desk.connect()
        await desk.do(link, *[f"{one};" for one in _statements(schema)])
        for group in program:
            assert await send(desk, link, group, want) == [plainly(plain, call, want) for call in group]
        for table in TABLES:
            sql = f"SELECT * FROM {table} ORDER BY 1, 2"
            assert await desk.fetch(link, sql) == plain.execute(sql).fetchall()
    plain.close()


def _statements(schema: str) -> list[str]:
    from db_pool_rs.statement import split_statements

    return split_statements(schema, "sqlite")
