"""Batches that share a pool, some of which are cancelled or meet a deadline: what becomes of one never hurts another.

A batch that is let be is told what it would be told alone, and what it has committed is there. One that was cancelled
or came too late has done as a whole, if it is atomic, or statement by statement what its results say.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import ConnectionLost, DatabaseError, InterfaceError, PoolTimeout, StatementTimeout

from .guarding import at_rest

pytestmark = pytest.mark.usefixtures("patient")

INSERT = "INSERT INTO t VALUES ($1, $2)"
READ = "SELECT $1::int"
SLOW = "SELECT pg_sleep(60)"
SLOW_ALONE = "SELECT pg_sleep(60), pg_notify('here', '')"


@dataclass(frozen=True)
class Plan:
    """A batch: its statements, and whether and when it is given up."""

    atomic: bool
    statements: tuple[str, ...]
    #: Ticks of the loop until it is cancelled; seconds that it may take.
    cancelled: int | None
    timeout: float | None

    @property
    def is_let_be(self) -> bool:
        """Whether its caller does not give it up."""
        return self.cancelled is None and self.timeout is None


quick = st.sampled_from(["insert", "insert", "read", "double"])
given_up = st.one_of(
    st.tuples(st.integers(1, 12), st.none()), st.tuples(st.none(), st.sampled_from((0.0, 0.001, 0.005)))
)
let_be = st.builds(
    lambda atomic, kinds: Plan(atomic, tuple(kinds), None, None),
    st.booleans(),
    st.lists(quick, min_size=1, max_size=5),
)
hurt = st.builds(
    lambda atomic, kinds, how: Plan(atomic, tuple(kinds), *how),
    st.booleans(),
    st.lists(st.one_of(quick, st.just("slow")), min_size=1, max_size=5),
    given_up,
)


class Batch:
    """One batch on its way, and what each of its statements has been told."""

    def __init__(self, pool: Any, plan: Plan, number: int) -> None:
        self._pool, self.plan, self._number = pool, plan, number
        self.results: list[tuple[str, int, Any]] = []
        self.error: BaseException | None = None

    async def run(self) -> None:
        """Its error, if it has one, is kept."""
        task = asyncio.ensure_future(self._all())
        if self.plan.cancelled is not None:
            for _ in range(self.plan.cancelled):
                await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait((task,))
        self.error = asyncio.CancelledError() if task.cancelled() else task.exception()

    async def _all(self) -> None:
        async with self._pool.batch(atomic=self.plan.atomic, timeout=self.plan.timeout) as batch:
            for at, kind in enumerate(self.plan.statements):
                key = self._number * 100 + at
                if kind == "slow":
                    result = batch.fetch(SLOW)
                elif kind == "read":
                    result = batch.fetchval(READ, key)
                else:  # "double": the same key for all that are in this batch
                    key = self._number * 100 + 99 if kind == "double" else key
                    result = batch.execute(INSERT, key, at)
                self.results.append((kind, key, result))

    def check(self, there: set[tuple[int, int]]) -> None:
        """What it was told is so."""
        if self.plan.is_let_be:
            self._check_as_alone()
        rows = [(one, (key, at)) for at, (kind, key, one) in enumerate(self.results) if kind in ("insert", "double")]
        if self.plan.atomic:
            found = {row in there for _, row in rows}
            assert len(found) <= 1, (self.plan, self.error, rows)
        for result, row in rows:
            if not result.done():  # cancelled before its block had ended
                continue
            error = result.exception()
            if error is None:
                assert row in there, (self.plan, row)
            elif not _is_unknown(error):
                assert row not in there, (self.plan, row, error)

    def _check_as_alone(self) -> None:
        doubles = [at for at, kind in enumerate(self.plan.statements) if kind == "double"]
        fails = self.plan.atomic and len(doubles) > 1
        assert (self.error is not None) is fails, (self.plan, self.error)
        for at, (kind, key, result) in enumerate(self.results):
            error = result.exception()
            expected = fails or (kind == "double" and at != doubles[0])
            assert isinstance(error, DatabaseError) is expected, (self.plan, at, error)
            if expected:
                assert error.sqlstate == "23505", error
            elif kind == "read":
                assert result.result() == key


def _is_unknown(error: BaseException) -> bool:
    if isinstance(error, (StatementTimeout, ConnectionLost)):
        return bool(error.sent)
    return isinstance(error, InterfaceError) and "the outcome of the statement is unknown" in str(error)


@pytest.fixture
async def table(open_pool: Any, pg_database: str) -> Any:
    """A pool of two connections, for more batches than these, and a table."""
    pool = await open_pool(pg_database, max_size=2)
    await pool.execute("CREATE TABLE t (a int PRIMARY KEY, b int)")
    return pool


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(range(5)), st.lists(let_be, min_size=2, max_size=2), st.lists(hurt, min_size=1, max_size=3))
async def test_one_that_is_given_up_hurts_no_other(
    table: Any, order: list[int], whole: list[Plan], broken: list[Plan]
) -> None:
    await table.execute("TRUNCATE t")
    batches = [Batch(table, plan, number) for number, plan in enumerate((*whole, *broken), 1)]
    await asyncio.gather(*[batches[at].run() for at in order if at < len(batches)])
    async with table.acquire() as one, table.acquire() as other:  # nothing is under way on either any more
        for connection in (one, other):
            assert not connection.is_in_transaction()
            await connection.execute("SELECT 1")
        there = {tuple(row) for row in await one.fetch("SELECT a, b FROM t")}
    for batch in batches:
        if not batch.plan.is_let_be:
            allowed = (asyncio.CancelledError, StatementTimeout, PoolTimeout, DatabaseError, type(None))
            assert isinstance(batch.error, allowed), (batch.plan, batch.error)
        batch.check(there)


@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_the_members_that_share_a_transaction(table: Any, atomic: bool, how: str) -> None:
    """Of one that was stopped while it ran none is told done, or is done."""
    await at_rest(table)
    results = await _stopped(table, atomic, how, SLOW)
    assert await table.fetch("SELECT a FROM t") == []
    assert all(one is not None for one in results)


@pytest.mark.parametrize("how", ["cancel", "deadline"])
async def test_the_members_in_front_of_one_that_is_stopped(table: Any, how: str) -> None:
    """Where each goes alone, those in front keep their outcome, and those behind are told not sent."""
    await at_rest(table)
    first, slow, last = await _stopped(table, False, how, SLOW_ALONE)
    assert [row[0] for row in await table.fetch("SELECT a FROM t")] == ([1] if first is None else [])
    assert first is None or how == "deadline"  # a deadline may come before anything was sent
    assert slow is not None
    assert last is not None
    assert not _is_unknown(last)


async def _stopped(pool: Any, atomic: bool, how: str, slow: str) -> list[Exception | None]:
    """What the members of a batch are told whose second one, `slow`, is stopped."""
    results: list[Any] = []

    async def run() -> None:
        async with pool.batch(atomic=atomic, timeout=0.2 if how == "deadline" else None) as batch:
            results.append(batch.execute(INSERT, 1, 0))
            results.append(batch.fetch(slow))
            results.append(batch.execute(INSERT, 2, 0))

    task = asyncio.ensure_future(run())
    with contextlib.suppress(asyncio.CancelledError, StatementTimeout):
        if how == "cancel":
            await _until_sleeping(pool)
            task.cancel()
        await task
    return [one.exception() for one in results]


async def _until_sleeping(pool: Any) -> None:
    sleeping = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    async with pool.acquire() as connection:
        while not await connection.fetchval(sleeping):
            pass
