"""Random programs of several tasks on one pool, against a model of what a database does.

Each task works on keys of its own, so that its model is a dict: whatever the others do, whether their statements travel
with its own in a group, fail, hold sessions or are cancelled, its own statements have to behave as if it were alone.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError, UndefinedTable, UniqueViolation
from tests.contract.waiting import until

pytestmark = pytest.mark.usefixtures("patient")

TABLE = "CREATE TABLE item (id bigint PRIMARY KEY, value int NOT NULL)"
PUT = "INSERT INTO item VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET value = excluded.value"
INSERT = "INSERT INTO item VALUES ($1, $2)"
UPDATE = "UPDATE item SET value = value + $2 WHERE id = $1"
DELETE = "DELETE FROM item WHERE id = $1"
GET = "SELECT value FROM item WHERE id = $1"
COUNT = "SELECT count(*) FROM item WHERE id BETWEEN $1 AND $2"
KEYS, VALUES = st.integers(0, 5), st.integers(0, 9)
#: Keys of one task lie this far from those of the next.
REACH = 1000

simple_step = st.one_of(
    st.tuples(st.sampled_from(["put", "insert", "update"]), KEYS, VALUES),
    st.tuples(st.sampled_from(["delete", "get"]), KEYS),
    st.tuples(st.just("many"), st.lists(st.tuples(KEYS, VALUES), max_size=4)),
    st.tuples(st.just("count")),
    st.tuples(st.just("fail")),
)
cancelled_step = st.tuples(
    st.just("cancel"), st.tuples(st.sampled_from(["put", "insert", "update"]), KEYS, VALUES), st.integers(0, 6)
)
cancelled_block = st.tuples(
    st.just("cancel_all"),
    st.sampled_from(["block", "nested", "many"]),
    st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=4, unique_by=lambda row: row[0]),
    st.integers(0, 30),
)


def _blocks(steps: Any) -> Any:
    return st.one_of(
        simple_step, st.tuples(st.just("block"), st.lists(steps, max_size=5), st.sampled_from(["commit", "raise"]))
    )


in_a_block = st.recursive(simple_step, _blocks, max_leaves=8)
step = st.one_of(
    simple_step,
    cancelled_step,
    cancelled_block,
    st.tuples(st.just("block"), st.lists(in_a_block, max_size=5), st.sampled_from(["commit", "raise"])),
    st.tuples(st.just("session"), st.lists(in_a_block, max_size=5)),
)
programs = st.lists(st.lists(step, max_size=8), min_size=1, max_size=6)


class OwnError(Exception):
    """What a block of the program ends with."""


class Actor:
    """One task: runs its steps, and knows what each of them must give."""

    def __init__(self, pool: Any, number: int) -> None:
        self.pool = pool
        self.first = number * REACH
        self.data: dict[int, int] = {}
        #: Keys of cancelled writes, and the values they may have in the end (None: no row).
        self.unsure: dict[int, set[int | None]] = {}
        #: The same for several keys at once: all of them as before, or all as after.
        self.together: list[tuple[dict[int, int | None], dict[int, int | None]]] = []

    async def run(self, steps: Any) -> None:
        for one in steps:
            if one[0] == "block":
                await self.block(self.pool, one[1], one[2])
            elif one[0] == "session":
                async with self.pool.acquire() as conn:
                    await self.steps(conn, one[1], inside=False)
            elif one[0] == "cancel":
                await self.cancel(one[1], one[2])
            elif one[0] == "cancel_all":
                await self.cancel_all(one[1], dict(one[2]), one[3])
            else:
                await self.steps(self.pool, [one], inside=False)

    async def steps(self, queries: Any, steps: Any, inside: bool) -> None:
        """Inside a block the first error ends it, elsewhere the next step follows."""
        for one in steps:
            if one[0] == "block":
                await self.block(queries, one[1], one[2])
                continue
            try:
                await self.step(queries, *one)
            except DatabaseError:
                if inside:
                    raise

    async def block(self, queries: Any, steps: Any, end: str) -> None:
        before = dict(self.data)
        try:
            async with queries.transaction() as conn:
                await self.steps(conn, steps, inside=True)
                if end == "raise":
                    raise OwnError
        except (OwnError, DatabaseError):
            self.data = before

    async def step(self, queries: Any, kind: str, *args: Any) -> None:
        """Run one step; if the model says that it must fail, it does, and the error is passed on."""
        if kind in ("put", "insert", "update", "delete", "get") and args[0] in self.unsure:
            return
        await getattr(self, f"do_{kind}")(queries, *args)

    async def do_put(self, queries: Any, key: int, value: int) -> None:
        assert (await queries.execute(PUT, self.first + key, value)).rows == 1
        self.data[key] = value

    async def do_insert(self, queries: Any, key: int, value: int) -> None:
        if key in self.data:
            await self.refused(queries.execute(INSERT, self.first + key, value), UniqueViolation)
        assert await queries.execute(INSERT, self.first + key, value) == "INSERT 0 1"
        self.data[key] = value

    async def do_update(self, queries: Any, key: int, value: int) -> None:
        assert (await queries.execute(UPDATE, self.first + key, value)).rows == (key in self.data)
        if key in self.data:
            self.data[key] += value

    async def do_delete(self, queries: Any, key: int) -> None:
        assert (await queries.execute(DELETE, self.first + key)).rows == (key in self.data)
        self.data.pop(key, None)

    async def do_get(self, queries: Any, key: int) -> None:
        assert await queries.fetchval(GET, self.first + key) == self.data.get(key)

    async def do_count(self, queries: Any) -> None:
        if not self.unsure:
            assert await queries.fetchval(COUNT, self.first, self.first + REACH - 1) == len(self.data)

    async def do_many(self, queries: Any, rows: list[tuple[int, int]]) -> None:
        rows = [row for row in rows if row[0] not in self.unsure]
        keys = [key for key, _ in rows]
        call = queries.executemany(INSERT, [(self.first + key, value) for key, value in rows])
        if len(set(keys)) < len(keys) or self.data.keys() & set(keys):
            await self.refused(call, UniqueViolation)
        await call
        self.data.update(rows)

    async def do_fail(self, queries: Any) -> None:
        await self.refused(queries.fetch("SELECT * FROM no_table WHERE id = $1", 1), UndefinedTable)

    async def refused(self, call: Any, kind: type[DatabaseError]) -> None:
        with pytest.raises(kind) as caught:
            await call
        raise caught.value

    async def cancel(self, write: Any, turns: int) -> None:
        kind, key, value = write
        if key in self.unsure:
            return
        before = self.data.pop(key, None)
        sql = {"put": PUT, "insert": INSERT, "update": UPDATE}[kind]
        after = value if kind == "put" or (kind == "insert" and before is None) else before
        if kind == "update" and before is not None:
            after = before + value
        self.unsure[key] = {before, after}
        if await self.cut_off(self.pool.execute(sql, self.first + key, value), turns):
            self.unsure[key] = {after}

    async def cancel_all(self, how: str, rows: dict[int, int], turns: int) -> None:
        """A cancelled transaction is there as a whole or not at all."""
        if self.unsure.keys() & rows.keys():
            return
        before: dict[int, int | None] = {key: self.data.pop(key, None) for key in rows}
        self.unsure.update({key: {before[key], value} for key, value in rows.items()})
        finished = await self.cut_off(self.put_all(how, rows), turns)
        self.together.append((dict(rows) if finished else before, dict(rows)))

    async def put_all(self, how: str, rows: dict[int, int]) -> None:
        if how == "many":
            await self.pool.executemany(PUT, [(self.first + key, value) for key, value in rows.items()])
            return
        async with self.pool.transaction() as conn:
            for key, value in rows.items():
                if how == "nested":
                    async with conn.transaction():
                        await conn.execute(PUT, self.first + key, value)
                else:
                    await conn.execute(PUT, self.first + key, value)

    async def cut_off(self, work: Any, turns: int) -> bool:
        """Cancel `work` after some ticks of the event loop; whether it had succeeded before."""
        call = asyncio.ensure_future(work)
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return not call.cancelled() and call.exception() is None

    def check(self, there: dict[int, int]) -> None:
        """What is in the table in the end."""
        mine = {key - self.first: value for key, value in there.items() if 0 <= key - self.first < REACH}
        assert {key: value for key, value in mine.items() if key not in self.unsure} == self.data
        for key, values in self.unsure.items():
            assert mine.get(key) in values
        for before, after in self.together:
            assert {key: mine.get(key) for key in after} in (before, after)


@pytest.fixture
async def taught(open_pool: Any, backend: Any) -> Any:
    """A pool that knows the statements, so that they travel in groups."""
    pool = await open_pool(backend.dsn, max_size=3)
    await pool.execute(TABLE)
    for i in range(5):
        for sql in (PUT, UPDATE):
            await pool.execute(sql, -1, i)
        await pool.fetchval(GET, -1)
        await pool.fetchval(COUNT, -1, -1)
        await pool.execute(DELETE, -1)
        await pool.execute(INSERT, -2 - i, i)
    return pool


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(program=programs)
async def test_random_programs_behave_as_the_model(taught: Any, program: Any) -> None:
    await taught.execute("DELETE FROM item")
    actors = [Actor(taught, number) for number in range(len(program))]
    await asyncio.gather(*[actor.run(steps) for actor, steps in zip(actors, program, strict=True)])
    await until(lambda: taught.stats().in_flight == 0)
    there = dict(await taught.fetch("SELECT id, value FROM item"))
    for actor in actors:
        actor.check(there)
    await until(lambda: taught.stats().sessions == taught.stats().waiting == 0)  # the guard may be reading meanwhile
    stats = taught.stats()
    assert (stats.lost, stats.connect_failures) == (0, 0)
    assert stats.size <= 3
