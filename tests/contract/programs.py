"""Programs on generated schemas, run through a pool or one by one, and everything that can be seen of a run."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import Any

from db_pool_rs.errors import DatabaseError
from tests.contract.schema_features import ROLE, Part
from tests.contract.waiting import until

BASE = """
DROP SCHEMA public CASCADE; CREATE SCHEMA public;
CREATE TABLE log (what text);
CREATE TABLE token (token text);
CREATE TABLE seen (id int, tenant text, scratch bool);
CREATE TABLE seat (id int PRIMARY KEY, place int UNIQUE DEFERRABLE INITIALLY DEFERRED,
                   CONSTRAINT apart EXCLUDE (place WITH =) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO seat SELECT i, i FROM generate_series(1, 40) i;
CREATE TABLE parent (id int PRIMARY KEY);
INSERT INTO parent VALUES (1), (2);
CREATE TABLE child (id int, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE entry (id int, transfer int, amount int);
CREATE FUNCTION balanced() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT sum(amount) FROM entry WHERE transfer = NEW.transfer) <> 0 THEN RAISE 'one-sided'; END IF;
    RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER balance AFTER INSERT ON entry INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION balanced();
CREATE TABLE item (id int PRIMARY KEY, v int);
INSERT INTO item SELECT i, 0 FROM generate_series(-200, 2000) i;
CREATE VIEW versioned AS SELECT id, v, xmin::text AS token FROM item;
"""
GRANTS = f"GRANT ALL ON SCHEMA public TO {ROLE}; GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE};" + (
    f"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {ROLE};"
)

#: What is in every program: statements that notice, or suffer from, what strangers do. `pair` takes keys two by two.
SEES = "INSERT INTO seen VALUES ($1, current_setting('own.tenant', true), to_regclass('pg_temp.scratch') IS NOT NULL)"
LOOKS = "SELECT coalesce(current_setting('own.tenant', true), ''), $1::int, $2::int"
MOVE = "UPDATE seat SET place = $2 WHERE id = $1"
ENTER = "INSERT INTO entry VALUES ($1, $1 / 2, $2)"
CHILD = "INSERT INTO child VALUES ($1, $2)"
TOKEN = "UPDATE versioned SET v = $2 WHERE id = $1 RETURNING token"
TABLES = (
    "SELECT what, count(*) FROM log GROUP BY what ORDER BY what",
    "SELECT count(*), count(DISTINCT token) FROM token",
    "SELECT id, coalesce(tenant, ''), scratch FROM seen ORDER BY id",
    "SELECT id, place FROM seat ORDER BY id",
    "SELECT id, parent FROM child ORDER BY id",
    "SELECT id, amount FROM entry ORDER BY id",
)
SESSION = (
    "SELECT coalesce(current_setting('own.tenant', true), ''), to_regclass('pg_temp.scratch') IS NULL,"
    " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid())"
)

Call = tuple[str, tuple[Any, ...]]


@dataclass
class Program:
    """Statements that teach the pool their texts, one by one; then statements made together."""

    teaching: list[Call] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


@dataclass
class Seen:
    """Everything that a program can see."""

    outcomes: list[Any]
    tables: list[Any]
    notifications: Counter[str]
    session: Any


def make_program(random: Random, schema: list[Part], number: int, count: int = 60) -> Program:
    """A program; its texts are its own (by a comment), so that no earlier failure keeps them out of groups."""
    program, first = Program(), 1 + number * 100
    values = random.choice([(1,), (1, 2), (1, 2), (1,) * 20 + (95,)])  # one that fails breaks its whole group up
    mark = f" /* {number} */"
    steps = [step for one in schema for step in one.steps] + [SEES, LOOKS, TOKEN, CHILD]
    for turn in range(3):  # from then on they are known to be quick
        program.teaching += [_call(step + mark, -1 - number * 20 - turn, 1) for step in steps]
        program.teaching += [(MOVE + mark, (40, 40)), (ENTER + mark, (-2 - turn, 0))]
    for offset in range(count):
        step = random.choice(steps)
        program.calls.append(_call(step + mark, first + offset, random.choice(values)))
    seat = 1 + 2 * (number % 19)
    if random.random() < 0.3:
        program.calls += [(MOVE + mark, (seat, seat + 1)), (MOVE + mark, (seat + 1, seat))]
    if random.random() < 0.3:
        program.calls += [(ENTER + mark, (first * 2, 5)), (ENTER + mark, (first * 2 + 1, -5))]
    random.shuffle(program.calls)
    return program


def _call(sql: str, key: int, value: int) -> Call:
    return sql, (key, value) if "$2" in sql else (key,) if "$1" in sql else ()


async def run_together(pool: Any, calls: list[Call]) -> list[Any]:
    """All at once."""
    return await asyncio.gather(*[_outcome(pool, call) for call in calls])


async def run_alone(pool: Any, calls: list[Call]) -> list[Any]:
    """One after the other, each on a connection that is clean."""
    outcomes = []
    for call in calls:
        async with pool.acquire() as connection:
            outcomes.append(await _outcome(connection, call))
    return outcomes


async def _outcome(queries: Any, call: Call) -> Any:
    try:
        return [tuple(row) for row in await queries.fetch(call[0], *call[1])]
    except DatabaseError as error:
        return error.sqlstate, error.message, error.constraint


def without_tokens(calls: list[Call], outcomes: list[Any]) -> list[Any]:
    """Version tokens are arbitrary numbers; what counts is which calls were given the same."""
    pairs = list(zip(calls, outcomes, strict=True))
    tokens = [out[0][0] if TOKEN in call[0] and isinstance(out, list) and out else None for call, out in pairs]
    return [out if token is None else tokens.index(token) for token, out in zip(tokens, outcomes, strict=True)]


class Side:
    """One of the two databases: a listener, and the pool that runs programs."""

    def __init__(self, pool: Any, listening: Any) -> None:
        self.pool = pool
        self._listening = listening
        self._heard: Counter[str] = Counter()

    async def listen(self) -> None:
        await self._listening.add_listener("news", lambda connection, pid, channel, payload: self._hear(payload))

    def _hear(self, payload: str) -> None:
        self._heard[payload] += 1

    async def see(self, calls: list[Call], outcomes: list[Any], schema: list[Part]) -> Seen:
        """What the program has left behind; what it notified has come when the sentinel has."""
        before = self._heard["sentinel"]
        await self._listening.execute("NOTIFY news, 'sentinel'")
        await until(lambda: self._heard["sentinel"] > before)
        queries = (*TABLES, *(one.rows for one in schema))
        tables = [[tuple(row) for row in await self._listening.fetch(sql)] for sql in queries]
        session = tuple(await self.pool.fetchrow(SESSION))
        return Seen(without_tokens(calls, outcomes), tables, Counter(self._heard), session)


def differences(calls: list[Call], grouped: Seen, alone: Seen) -> list[str]:
    """What differs, in words."""
    found = [
        f"{call}: {one} where alone {other}"
        for call, one, other in zip(calls, grouped.outcomes, alone.outcomes, strict=True)
        if one != other
    ]
    tables = zip(grouped.tables, alone.tables, strict=True)
    found += [f"table: {one} where alone {other}" for one, other in tables if one != other]
    if grouped.notifications != alone.notifications:
        found.append(f"notifications: {grouped.notifications} where alone {alone.notifications}")
    if grouped.session != alone.session:
        found.append(f"session: {grouped.session} where alone {alone.session}")
    return found
