"""Statements in groups do what each does alone: on generated schemas that run code wherever PostgreSQL lets them.

Why the oracle is right. A program's calls are made at once, so their order is not defined; the oracle is one order,
each call alone on a clean connection. Both must agree whatever the order, because by construction the outcome of a
call alone is the same in every order: each has a key of its own, none reads what another writes, and the calls that do
depend on others are those that fail alone in every order (each half of a swap of two keys, each side of an entry that
does not balance). That this holds is not believed but tested: `test_the_order_makes_no_difference_alone`. The pool has
one connection, so what it runs is serial from one Sync to the next, and every difference is a group's doing. Not
compared are numbers of sequences and values of version tokens; of the latter, which calls were given the same.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import islice
from random import Random
from time import monotonic
from typing import Any

import pytest

from tests.contract import programs
from tests.contract.guarding import QUICK
from tests.contract.programs import (
    ENTER,
    MOVE,
    TOKEN,
    Call,
    Program,
    Seen,
    Side,
    differences,
    make_program,
    run_alone,
    run_together,
)
from tests.contract.schema_features import EFFECTS, LASTING, ROLE, VEHICLES, Part, part, parts, portions
from tests.contract.waiting import until

Make = Callable[..., Any]
Run = Callable[[Any, list[Call]], Awaitable[list[Any]]]

#: The faults of groups that go by words alone, by what they show in a difference.
FAULTS = {
    f"('{MOVE}": [],
    f"('{ENTER}": [],
    "notifications": [part(1, "AFTER ROW trigger", "pg_notify")],
    f"('{TOKEN}": [],
    "where alone [(": [part(1, "AFTER ROW trigger", "a setting of the transaction")],
}


#: Options of a pool that groups nothing and cleans each connection.
ALONE: dict[str, Any] = {"pipelining": "off", "reset": "always"}


@pytest.fixture
def without_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements are grouped by their words alone: the guard finds nothing in any catalogue."""
    keeper = importlib.import_module("db_pool_rs.guard.keeper")
    empty_result = keeper.judged([], frozenset())
    monkeypatch.setattr(keeper, "judged", lambda rows, shared: empty_result)


NAMES = ("equal_grouped", "equal_alone")


@pytest.fixture(scope="session")
def two_databases(pg_server: Any) -> None:
    """Made once, since that takes longer than a test; each schema begins with an empty one."""
    pg_server.sql(f"DROP ROLE IF EXISTS {ROLE}; CREATE ROLE {ROLE} LOGIN")
    for name in NAMES:
        pg_server.sql(f"CREATE DATABASE {name}")


@pytest.fixture
def sides(open_pool: Any, pg_server: Any, two_databases: None) -> Make:
    """`async with sides(schema) as (grouped, alone)`: two databases with one schema, and a pool on each."""

    @asynccontextmanager
    async def make(schema: list[Part], *, grouped: bool = True) -> AsyncIterator[tuple[Side, Side]]:
        setup = "".join((programs.BASE, *(one.setup for one in schema), programs.GRANTS))
        made = []
        async with AsyncExitStack() as stack:
            for name, options in zip(NAMES, (QUICK if grouped else ALONE, ALONE), strict=True):
                pg_server.sql(f"SET client_min_messages TO error; {setup}", name)
                pool = await open_pool(pg_server.dsn(name), user=ROLE, max_size=1, **options)
                listening = await open_pool(pg_server.dsn(name), max_size=1)
                stack.push_async_callback(listening.close)
                made.append(Side(pool, await stack.enter_async_context(listening.acquire())))
                await made[-1].listen()
                stack.push_async_callback(pool.close)
            yield made[0], made[1]

    return make


#: How many vehicles are in a schema, and how many programs run on it.
VEHICLES_EACH, PROGRAMS = 4, 2


async def _run(side: Side, run: Run, schema: list[Part], program: Program) -> Seen:
    """Run a program on one side, and look at everything that it did."""
    first = program.teaching[0]
    await run(side.pool, [first])  # with it the guard begins
    await until(lambda: side.pool.explain(first[0]).guarded)
    for call in program.teaching[1:]:
        await run(side.pool, [call])
    return await side.see(program.calls, await run(side.pool, program.calls), schema)


async def _compare(sides: tuple[Side, Side], schema: list[Part], program: Program) -> list[str]:
    """Run a program together in one database and alone in the other; the differences."""
    grouped = await _run(sides[0], run_together, schema, program)
    return differences(program.calls, grouped, await _run(sides[1], run_alone, schema, program))


def _members(pool: Any) -> int:
    """How many statements were not the first of their group."""
    stats = pool.stats()
    return int(stats.statements - stats.groups)


async def test_the_order_makes_no_difference_alone(sides: Make) -> None:
    """What the oracle rests on: programs run alone forwards and backwards have the same outcomes."""
    random = Random(1)
    for number, vehicles in enumerate(islice(portions(random, 14), 4)):
        schema = parts(random, vehicles, tuple(EFFECTS))
        async with sides(schema, grouped=False) as both:
            program = make_program(random, schema, number)
            forwards = await _run(both[1], run_alone, schema, program)
            backwards = await _run(both[0], run_backwards, schema, program)
            assert differences(program.calls, backwards, forwards) == []


async def run_backwards(pool: Any, calls: list[Call]) -> list[Any]:
    """Alone, the last one first."""
    return (await run_alone(pool, calls[::-1]))[::-1]


async def test_every_vehicle_can_be_made_and_reaches_its_function(sides: Make) -> None:
    """Each with an effect that can be seen; those whose function must not have one are only made."""
    names = sorted(VEHICLES)
    schema = [part(number, name, "pg_notify") for number, name in enumerate(names, 1)]
    async with sides(schema, grouped=False) as (_, alone):
        program = make_program(Random(2), schema, 1, count=0)
        seen = await _run(alone, run_alone, schema, program)
        reached = {names[int(payload.split()[1]) - 1] for payload in seen.notifications if payload != "sentinel"}
        assert set(names) - reached == WITHOUT_EFFECT


#: Vehicles without a function that could have an effect.
WITHOUT_EFFECT = {"identity and serial", "materialized view"}


PASSING = tuple(name for name in EFFECTS if name not in LASTING)


@dataclass
class Counts:
    """What a comparison has tried, and found. `grouped`: statements that were not the first of their group."""

    schemas: int = 0
    programs: int = 0
    statements: int = 0
    grouped: int = 0
    broken_up: int = 0
    pairs: set[str] = field(default_factory=set)
    differences: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"schemas: {self.schemas} with {len(self.pairs)} pairs of vehicle and effect, programs: {self.programs},"
            f" statements: {self.statements}, grouped: {self.grouped}, groups broken up: {self.broken_up},"
            f" differences: {len(self.differences)}"
        )


async def _try(sides: Make, random: Random, schema: list[Part], counts: Counts) -> None:
    """Programs on one schema."""
    async with sides(schema) as both:
        for number in range(PROGRAMS):
            program = make_program(random, schema, number)
            differ = await _compare(both, schema, program)
            counts.differences += [f"{[one.name for one in schema]}: {one}" for one in differ]
            counts.statements += len(program.teaching) + len(program.calls)
        counts.schemas, counts.programs = counts.schemas + 1, counts.programs + PROGRAMS
        counts.grouped += _members(both[0].pool)
        counts.broken_up += both[0].pool.stats().broken_up
        counts.pairs |= {one.name for one in schema}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("effects", [PASSING, LASTING], ids=["in the transaction", "on the session"])
async def test_groups_do_what_statements_alone_do(sides: Make, effects: tuple[str, ...]) -> None:
    """Each vehicle once."""
    random, counts = Random(4), Counts()
    for vehicles in islice(portions(random, VEHICLES_EACH), -(-len(VEHICLES) // VEHICLES_EACH)):
        await _try(sides, random, parts(random, vehicles, effects), counts)
    assert counts.differences == []
    assert counts.grouped >= counts.programs * 8, f"hardly anything was grouped, the test shows little: {counts}"


LONG = float(os.environ.get("DB_POOL_EQUIVALENCE_SECONDS", "0"))


@pytest.mark.skipif(not LONG, reason="DB_POOL_EQUIVALENCE_SECONDS: how long to look for differences on each engine")
@pytest.mark.timeout(LONG + 300)
async def test_for_a_long_time(sides: Make) -> None:
    """Other schemas and programs each time (DB_POOL_EQUIVALENCE_SEED repeats a run); the counts are printed."""
    seed = int(os.environ.get("DB_POOL_EQUIVALENCE_SEED", "0")) or Random().getrandbits(32)
    random, counts, began = Random(seed), Counts(), monotonic()
    for vehicles in portions(random, VEHICLES_EACH):
        await _try(sides, random, parts(random, vehicles, tuple(EFFECTS)), counts)
        if counts.differences or monotonic() - began > LONG:
            break
    print(f"\nseed {seed}: {counts}")
    assert counts.differences == []


@pytest.mark.parametrize(("sign", "schema"), FAULTS.items(), ids=list(FAULTS))
async def test_without_the_guard_the_fault_is_found(
    sides: Make, without_guard: None, sign: str, schema: list[Part]
) -> None:
    """The comparison is sharp enough: groups by words alone show each of the faults that made the guard necessary."""
    random = Random(3)
    async with sides(schema) as both:
        for number in range(12):
            found = await _compare(both, schema, make_program(random, schema, number))
            if any(sign in difference for difference in found):
                return
    pytest.fail(f"not seen in {_members(both[0].pool)} grouped statements")
