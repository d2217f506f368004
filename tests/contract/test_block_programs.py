"""Random programs of blocks whose calls are cancelled anywhere: what callers are told is what the database has.

After each program the session is outside of a transaction. What was told committed is there; what was told failed, or
is in a block that was told to be undone, is not. What was cancelled while it was sent may be either.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from db_pool_rs.errors import ConnectionLost, Error, StatementTimeout

pytestmark = pytest.mark.usefixtures("patient")

INSERT = "INSERT INTO t VALUES ($1)"
SLOW = {
    "postgresql": "SELECT pg_sleep(60)",
    "sqlite": "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c",
}
#: Programs for each test.
PROGRAMS = int(os.environ.get("DB_POOL_PROGRAMS", "15"))
DEEPEST = 3


class Own(Exception):
    """What a program raises."""


class Program:
    """One random program on one connection, and what it was told."""

    def __init__(self, pool: Any, connection: Any, random: Random, numbers: Iterator[int], slow: str) -> None:
        self._pool, self._connection, self._random, self._numbers, self._slow = pool, connection, random, numbers, slow
        #: What is known of the values that were inserted; None: they may be there or not.
        self.told: dict[int, bool | None] = {}
        self.log: list[str] = []
        self._released = False

    async def run(self) -> None:
        """A few blocks, one after the other, each of which may be cancelled at any step."""
        for _ in range(self._random.randint(1, 3)):
            if self._released:
                return
            finished: list[bool] = []
            before = set(self.told)
            await self._perhaps_cancelled("block", lambda finished=finished: self._block(1, finished))
            if not finished:  # it was not asked to be committed
                self._now(before, False)
        self.log.append("end")

    async def _perhaps_cancelled(self, what: str, call: Callable[[], Awaitable[Any]]) -> None:
        task = asyncio.ensure_future(call())
        try:
            if self._random.random() < 0.4:
                steps = self._random.randint(1, 12)
                self.log.append(f"cancel {what} after {steps}")
                for _ in range(steps):
                    await asyncio.sleep(0)
                task.cancel()
            with contextlib.suppress(Error, Own):
                await task
        except asyncio.CancelledError:
            if not task.cancelled():  # it is this program that is cancelled
                await _cancelled(task)
                raise
        finally:
            if not task.cancelled():
                task.exception()  # seen

    def _now(self, before: set[int], there: bool | None) -> None:
        """What is known of the values that came after these."""
        for value in self.told.keys() - before:
            if there is None or self.told[value] is not False:
                self.told[value] = there

    async def _block(self, depth: int, finished: list[bool]) -> None:
        before = set(self.told)
        block = self._connection.transaction()
        await block.__aenter__()
        self.log.append(f"begin {depth}")
        try:
            for _ in range(self._random.randint(0, 4)):
                await self._step(depth)
            if self._random.random() < 0.3:
                raise Own
        except BaseException as error:
            self.log.append(f"undo {depth} {type(error).__name__}")
            self._now(before, False)
            await block.__aexit__(type(error), error, None)
            raise
        if depth == 1:
            finished.append(True)
        await self._commit(block, depth, before)

    async def _commit(self, block: Any, depth: int, before: set[int]) -> None:
        self.log.append(f"commit {depth}")
        if self._released:
            self._now(before, False)
        try:
            await block.__aexit__(None, None, None)
        except (asyncio.CancelledError, ConnectionLost):
            self._unknown(before)
            raise
        except Error as error:
            self.log.append(f"not committed {depth}: {error}")
            if isinstance(error, StatementTimeout) and error.sent:
                self._unknown(before)
            else:
                self._now(before, False)
            raise

    def _unknown(self, before: set[int]) -> None:
        for value in self.told.keys() - before:
            if self.told[value]:
                self.told[value] = None

    async def _step(self, depth: int) -> None:
        steps = [self._insert, self._insert, self._together, self._slow_one, self._wrong]
        if self._random.random() < 0.03:
            steps = [self._release]
        step = self._random.choice(steps)
        if depth < DEEPEST and self._random.random() < 0.25:
            await self._perhaps_cancelled("inner", lambda: self._block(depth + 1, []))
            return
        self.log.append(step.__name__)
        await self._perhaps_cancelled(step.__name__, step)

    async def _insert(self) -> None:
        value = next(self._numbers)
        self.told[value] = None
        try:
            assert await self._connection.execute(INSERT, value) == "INSERT 0 1"
        except Error as error:
            self.log.append(f"{value}: {error}")
            if not (isinstance(error, StatementTimeout) and error.sent):
                self.told[value] = False
            raise
        self.told[value] = True if self.told[value] is None else self.told[value]

    async def _together(self) -> None:
        calls: list[Awaitable[Any]] = [self._insert(), self._connection.prepare("SELECT 1"), self._insert()]
        self._random.shuffle(calls)
        await asyncio.gather(*calls, return_exceptions=True)

    async def _slow_one(self) -> None:
        await self._connection.fetch(self._slow, timeout=self._random.choice([0, 0.001, 0.02]))

    async def _wrong(self) -> None:
        await self._connection.execute("SELECT * FROM no_such_table")

    async def _release(self) -> None:
        self._released = True
        await self._pool.release(self._connection)


async def _cancelled(task: asyncio.Future[Any]) -> None:
    """Cancel a task, again if this one is cancelled again, and wait until it has ended: it uses the connection."""
    while not task.done():
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait((task,))


async def _holds(pool: Any, seed: int, name: str) -> None:
    random, numbers = Random(seed), count(1)
    for _ in range(PROGRAMS):
        connection = await pool.acquire()
        program = Program(pool, connection, random, numbers, SLOW[name])
        try:
            await program.run()
            if not program._released:
                assert not connection.is_in_transaction(), "; ".join(program.log)
                last = next(numbers)
                assert await connection.execute(INSERT, last) == "INSERT 0 1", "; ".join(program.log)
                program.told[last] = True
                assert not connection._lease.session().link.in_transaction(), "; ".join(program.log)
        finally:
            await pool.release(connection)
        there = {row[0] for row in await pool.fetch("SELECT a FROM t")}
        for value, told in program.told.items():
            assert told is None or told == (value in there), (value, told, "; ".join(program.log))


@pytest.mark.parametrize("seed", range(4))
async def test_what_is_told_is_so(open_pool: Any, backend: Any, seed: int) -> None:
    pool = await open_pool(backend.dsn, max_size=3)
    await pool.execute("CREATE TABLE t (a int)")
    await _holds(pool, seed, backend.name)


async def test_a_program_that_is_cancelled_twice_leaves_no_call_behind() -> None:
    """What it left would end its block while later calls wait: they would be told that theirs has ended."""
    program, begun, ended = Program(None, None, Random(0), count(1), ""), asyncio.Event(), asyncio.Event()

    async def reluctant() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await asyncio.Event().wait()  # a call that is cancelled may take its time
            finally:
                ended.set()

    class Never(Random):
        def random(self) -> float:
            return 0.0

        def randint(self, a: int, b: int) -> int:
            return 1000

    program._random = Never()  # it is at its steps when it is cancelled
    running = asyncio.create_task(program._perhaps_cancelled("call", reluctant))
    await begun.wait()
    running.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait((running,))
    assert running.cancelled()
    assert ended.is_set()
