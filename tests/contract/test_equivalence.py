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
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any

import pytest

from tests.contract import programs
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
from tests.contract.schema_features import EFFECTS, LASTING, VEHICLES, Part, part, parts
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


GUARD = importlib.util.find_spec("db_pool_rs.guard") is not None


@pytest.fixture
def without_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements are grouped by their words alone: the guard finds nothing in any catalogue."""
    if GUARD:
        keeper = importlib.import_module("db_pool_rs.guard.keeper")
        empty_result = keeper.findings([])
        monkeypatch.setattr(keeper, "findings", lambda rows, shared: empty_result)


NAMES = ("equal_grouped", "equal_alone")


@pytest.fixture(scope="session")
def two_databases(pg_server: Any) -> None:
    """Made once, since that takes longer than a test; each schema begins with an empty one."""
    pg_server.sql(f"DROP ROLE IF EXISTS {programs.ROLE}; CREATE ROLE {programs.ROLE} LOGIN")
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
            for name, options in zip(NAMES, ({} if grouped else ALONE, ALONE), strict=True):
                pg_server.sql(f"SET client_min_messages TO error; {setup}", name)
                pool = await open_pool(pg_server.dsn(name), user=programs.ROLE, max_size=1, **options)
                listening = await open_pool(pg_server.dsn(name), max_size=1)
                made.append(Side(pool, await stack.enter_async_context(listening.acquire())))
                await made[-1].listen()
                stack.push_async_callback(pool.close)
            yield made[0], made[1]

    return make


#: How many schemas are made, and programs run on each.
SCHEMAS, PROGRAMS = 12, 3


async def _run(side: Side, run: Run, schema: list[Part], program: Program) -> Seen:
    """Run a program on one side, and look at everything that it did."""
    first = program.teaching[0]
    await run(side.pool, [first])  # with it the guard begins
    if GUARD:
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
    for number in range(4):
        schema = parts(random, 6, tuple(EFFECTS))
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


#: Vehicles whose functions have no effect: the server takes no others, or there is nothing to call.
WITHOUT_EFFECT = {"generated column", "index on an expression", "identity and serial", "materialized view"}


PASSING = tuple(name for name in EFFECTS if name not in LASTING)


@pytest.mark.skipif(not GUARD, reason="without the guard groups differ, as the next test shows")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("effects", [PASSING, LASTING], ids=["in the transaction", "on the session"])
async def test_groups_do_what_statements_alone_do(sides: Make, effects: tuple[str, ...]) -> None:
    random, members, found = Random(4), 0, []
    for _ in range(SCHEMAS):
        schema = parts(random, 4, effects)
        async with sides(schema) as both:
            for number in range(PROGRAMS):
                program = make_program(random, schema, number)
                differ = await _compare(both, schema, program)
                found += [f"{[one.name for one in schema]}: {one}" for one in differ]
            members += _members(both[0].pool)
    assert found == []
    assert members >= SCHEMAS * PROGRAMS, "hardly anything was grouped: the test shows nothing"


@pytest.mark.parametrize(("sign", "schema"), FAULTS.items(), ids=list(FAULTS))
async def test_without_the_guard_the_fault_is_found(
    sides: Make, without_guard: None, sign: str, schema: list[Part]
) -> None:
    """The comparison is sharp enough: groups by words alone show each of the faults that made the guard necessary."""
    random = Random(3)
    async with sides(schema) as both:
        for number in range(8):
            found = await _compare(both, schema, make_program(random, schema, number))
            if any(sign in difference for difference in found):
                return
    pytest.fail(f"not seen in {_members(both[0].pool)} grouped statements")
