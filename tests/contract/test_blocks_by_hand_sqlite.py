"""Programs of transaction blocks on SQLite in which the holder also says BEGIN, COMMIT, ROLLBACK and SAVEPOINT by hand.

A connection of Python's own sqlite3 is told the same, each command at once: what calls are told, and what is in the
table, is equal. There a block goes on after an error, and a savepoint outside of a transaction begins one. COMMIT and
ROLLBACK outside are warnings, as in PostgreSQL.
"""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError
from tests.contract.test_blocks_by_hand import FIXTURES, PROGRAMS

NAMES = ("a", "b")
INSERT, WRONG, DOUBLE = "INSERT INTO t VALUES ({})", "SELECT abs(-9223372036854775807 - 1)", "INSERT INTO t VALUES (-1)"
ENDS = ("COMMIT", "END", "ROLLBACK")
BY_HAND = (
    *("BEGIN", "BEGIN IMMEDIATE", *ENDS),
    *(f"{word} {name}" for word in ("SAVEPOINT", "ROLLBACK TO", "ROLLBACK TO SAVEPOINT", "RELEASE") for name in NAMES),
)
commands = st.sampled_from((*BY_HAND, *[INSERT] * 6, WRONG, DOUBLE))
steps = st.one_of(
    st.tuples(st.just("begin")),
    st.tuples(st.just("end"), st.booleans()),
    st.tuples(st.just("call"), commands),
    st.tuples(st.just("together"), st.lists(commands, min_size=2, max_size=4)),
)


class Plain:
    """What the pool is to do, on a connection without any pool; each step gives the error that it ends with, or ""."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", isolation_level=None)
        self.connection.execute("CREATE TABLE t (a int PRIMARY KEY)")
        #: What begins a block that no statement has followed yet; of the open blocks, what began each.
        self._pending: list[str] = []
        self._blocks: list[str] = []
        self._count = 0

    def begin(self) -> None:
        """A block: BEGIN, or a savepoint inside of a transaction."""
        self._count += 1
        command = f"SAVEPOINT block{self._count}" if self.connection.in_transaction or self._pending else "BEGIN"
        self._pending.append(command)
        self._blocks.append(command)

    def call(self, sql: str) -> str:
        """A statement, behind what begins its blocks."""
        for command in (*self._pending, sql):
            self._pending.clear()
            if command in ENDS and not self.connection.in_transaction:
                continue
            try:
                self.connection.execute(command)
            except sqlite3.Error as error:
                return str(error)
        return ""

    def end(self, commit: bool) -> str:
        """The innermost block ends. Nothing happens if nothing did inside, or where a ROLLBACK finds it ended."""
        begun = self._blocks.pop()
        if begun in self._pending:
            self._pending.remove(begun)
            return ""
        name = begun.removeprefix("SAVEPOINT ")
        if commit:
            return self.call("COMMIT" if begun == "BEGIN" else f"RELEASE {name}")
        if not self.connection.in_transaction:
            return ""
        if begun == "BEGIN":
            return self.call("ROLLBACK")
        return self.call(f"ROLLBACK TO {name}") or self.call(f"RELEASE {name}")

    def rows(self) -> list[Any]:
        """What is in the table."""
        return self.connection.execute("SELECT a FROM t ORDER BY a").fetchall()


class Program:
    """One program, on a connection of the pool and on a plain one."""

    def __init__(self, connection: Any, plain: Plain) -> None:
        self._connection = connection
        self._plain = plain
        self._blocks: list[Any] = []
        self._number = 0
        self._log: list[Any] = []

    async def run(self, program: list[Any]) -> None:
        """The steps, and the ends of all blocks."""
        for kind, *what in program:
            if kind == "begin":
                await self._begin()
            elif kind == "end":
                if self._blocks:
                    await self._end(*what)
            else:
                await self._together(what if kind == "call" else what[0])
        while self._blocks:
            await self._end(True)
        assert self._connection.is_in_transaction() == self._plain.connection.in_transaction, self._log
        assert [tuple(row) for row in await self._connection.fetch("SELECT a FROM t ORDER BY a")] == self._plain.rows()
        await self._together(["ROLLBACK"])

    async def _begin(self) -> None:
        block = self._connection.transaction()
        await block.start()
        self._blocks.append(block)
        self._plain.begin()
        self._log.append("begin")

    async def _end(self, commit: bool) -> None:
        block = self._blocks.pop()
        told = await _told(block.commit() if commit else block.rollback())
        self._compare("commit" if commit else "rollback", told, self._plain.end(commit))

    async def _together(self, texts: list[str]) -> None:
        """Called in one tick of the loop."""
        numbered = []
        for text in texts:
            self._number += 1
            numbered.append(text.format(self._number))
        told = await asyncio.gather(*(_told(self._connection.execute(sql)) for sql in numbered))
        for sql, outcome in zip(numbered, told, strict=True):
            self._compare(sql, outcome, self._plain.call(sql))

    def _compare(self, step: str, told: str, expected: str) -> None:
        self._log.append((step, told))
        known = expected.partition("block")[0]  # the pool has names of its own for savepoints
        assert bool(told) is bool(expected), (expected, self._log)
        assert known in told, (expected, self._log)


async def _told(call: Any) -> str:
    try:
        await call
    except DatabaseError as error:
        return str(error)
    return ""


@settings(max_examples=PROGRAMS, **FIXTURES)
@given(st.lists(steps, max_size=14))
async def test_what_is_told_is_what_sqlite_does(one: Any, program: list[Any]) -> None:
    await one.execute("DELETE FROM t")
    plain = Plain()
    with closing(plain.connection):
        async with one.acquire() as connection:
            await Program(connection, plain).run(program)
        assert [tuple(row) for row in await one.fetch("SELECT a FROM t ORDER BY a")] == plain.rows()


@pytest.fixture
async def one(open_pool: Any, tmp_path: Path) -> Any:
    """A pool of one connection, which all programs have, one after the other."""
    pool = await open_pool(f"sqlite:///{tmp_path / 'one.db'}", max_size=1)
    await pool.execute("CREATE TABLE t (a int PRIMARY KEY)")
    return pool
