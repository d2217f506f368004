"""Programs of transaction blocks in which the holder also says COMMIT, ROLLBACK and SAVEPOINT by hand.

Calls in between are cancelled and meet deadlines. What each call is told, and what is in the table at the end, is what
one of the states of `block_model` says; and that model of a connection is held against a plain one, by psycopg.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import DatabaseError, StatementTimeout
from tests.contract import block_model as model
from tests.contract.block_model import State
from tests.contract.waiting import until

pytestmark = pytest.mark.usefixtures("patient")

NAMES = ("a", "b")
BY_HAND = (
    *("BEGIN", "COMMIT", "ROLLBACK", "COMMIT AND CHAIN", "ROLLBACK AND CHAIN"),
    *(f"{word} {name}" for word in ("SAVEPOINT", "ROLLBACK TO", "ROLLBACK TO SAVEPOINT", "RELEASE") for name in NAMES),
)
#: Programs for each engine.
PROGRAMS = int(os.environ.get("DB_POOL_PROGRAMS", "60"))
#: A fixture that lives as long as all examples is meant.
FIXTURES = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}

statements = st.sampled_from((*BY_HAND, *[model.INSERT] * 6, model.WRONG))
anything = st.sampled_from((*BY_HAND, *[model.INSERT] * 4, model.WRONG, *[model.SLOW] * 4))
ends = st.tuples(st.just("end"), st.booleans(), st.none() | st.integers(1, 8))
steps = st.one_of(
    st.tuples(st.just("begin")),
    ends,
    st.tuples(st.just("call"), statements),
    st.tuples(st.just("cancel"), anything, st.integers(0, 8)),
    st.tuples(st.just("deadline"), anything, st.sampled_from((0, 0.001, 0.01))),
    st.tuples(st.just("together"), st.lists(statements, min_size=2, max_size=3), st.none() | st.integers(1, 6)),
)


def _text(command: str) -> str:
    return command.replace("INSERT ", "INSERT INTO t VALUES (") + ")" if command.startswith("INSERT ") else command


class Program:
    """One program on one connection, and the states in which that may be."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._states = {State()}
        self._blocks: list[Any] = []
        self._number = 0
        self._log: list[Any] = []

    async def run(self, program: list[Any]) -> frozenset[int]:
        """The steps, and the ends of all blocks; what may be in the table, which is one thing by then."""
        for step in program:
            await self._step(*step)
        while self._blocks:
            await self._end(True, None)
        assert self._connection.is_in_transaction() in {model.in_block(state) for state in self._states}, self._log
        await self._call("ROLLBACK")
        last = self._numbered(model.INSERT)
        await self._call(last)
        rows = await self._connection.fetch("SELECT a FROM t")
        found = frozenset(row[0] for row in rows)
        assert found in {state.committed for state in self._states}, (found, self._log)
        assert not self._connection.is_in_transaction(), self._log
        return found

    async def _step(self, kind: str, *what: Any) -> None:
        if kind == "begin":
            block = self._connection.transaction()
            await block.start()
            self._log.append("begin")
            self._blocks.append(block)
            self._states = {model.begin(state) for state in self._states}
        elif kind == "end":
            if self._blocks:
                await self._end(*what)
        elif kind == "call":
            await self._call(self._numbered(*what))
        elif kind == "together":
            await self._together(*what)
        else:
            await self._given_up(kind, *what)

    def _numbered(self, command: str) -> str:
        self._number += command == model.INSERT
        return f"{command} {self._number}" if command == model.INSERT else command

    def _now(self, what: Any, told: str, states: set[State]) -> None:
        self._log.append((what, told))
        assert states, (self._log, self._states)
        self._states = states

    def _answered(self, command: str, told: str) -> None:
        self._now(command, told, model.each(self._states, lambda state: [model.call(state, command)], told))

    def _stopped(self, command: str, told: str) -> None:
        states = {after for state in self._states for after in model.stopped(state, command)}
        self._now(command, told, states if told != "not sent" else self._states)

    async def _call(self, command: str) -> None:
        self._answered(command, await _told(self._connection.execute(_text(command))))

    async def _given_up(self, kind: str, command: str, limit: Any) -> None:
        command = self._numbered(command)
        if kind == "deadline":
            told = await _told(self._connection.execute(_text(command), timeout=limit))
        else:
            told = await _told(_cancelled(self._connection.execute(_text(command)), limit))
        if told in ("sent", "not sent", "cancelled"):
            self._stopped(command, told)
        else:
            self._answered(command, told)

    async def _together(self, commands: list[str], steps: int | None) -> None:
        """In one tick of the loop; the first of them may be cancelled."""
        commands = [self._numbered(command) for command in commands]
        calls = [asyncio.ensure_future(_told(self._connection.execute(_text(command)))) for command in commands]
        if steps is not None:
            await _after(steps)
            calls[0].cancel()
        outcomes = await asyncio.gather(*calls)
        for command, told in zip(commands, outcomes, strict=True):
            (self._stopped if told == "cancelled" else self._answered)(command, told)

    async def _end(self, commit: bool, steps: int | None) -> None:
        block = self._blocks.pop()
        ending = block.commit() if commit else block.rollback()
        told = await _told(ending if steps is None else _cancelled(ending, steps))
        if told == "cancelled":
            states = {after for state in self._states for after in model.end_stopped(state, commit)}
        else:
            states = model.each(self._states, lambda state: model.ends(state, commit), told)
        self._now(("commit" if commit else "rollback", steps), told, states)


async def _told(call: Awaitable[Any]) -> str:
    try:
        return await call or ""
    except DatabaseError as error:
        return str(error.sqlstate)
    except StatementTimeout as error:
        return "sent" if error.sent else "not sent"
    except asyncio.CancelledError:
        return "cancelled"


async def _cancelled(call: Any, steps: int) -> Any:
    task = asyncio.ensure_future(call)
    await _after(steps)
    task.cancel()
    return await task


async def _after(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)


@settings(max_examples=PROGRAMS, **FIXTURES)
@given(st.lists(steps, max_size=12))
async def test_what_is_told_is_what_a_connection_does(one: Any, program: list[Any]) -> None:
    await one.execute("TRUNCATE t")
    async with one.acquire() as connection:
        found = await Program(connection).run(program)
    assert frozenset(row[0] for row in await one.fetch("SELECT a FROM t")) == found


@pytest.fixture
async def one(open_pool: Any, pg_database: str) -> Any:
    """A pool of one connection, which all programs have, one after the other."""
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TABLE t (a int)")
    return pool


@pytest.fixture
def plain(pg_database: str) -> Any:
    """What a connection does without any pool."""
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE t (a int)")
        yield connection


@settings(max_examples=150, **FIXTURES)
@given(st.lists(statements, max_size=14))
def test_the_model_is_what_postgresql_does(plain: Any, commands: list[str]) -> None:
    state = State()
    plain.execute("TRUNCATE t")
    for number, command in enumerate(commands):
        step = f"{command} {number}" if command == model.INSERT else command
        try:
            told = plain.execute(_text(step)).statusmessage
        except psycopg.Error as error:
            told = error.sqlstate
        state, expected = model.run(state, step)
        assert told == expected, (commands[: number + 1], state)
    inside = plain.info.transaction_status != psycopg.pq.TransactionStatus.IDLE
    assert inside is (state.inserted is not None)
    plain.execute("ROLLBACK")
    assert {row[0] for row in plain.execute("SELECT a FROM t")} == state.committed


# -- what programs have found ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["ROLLBACK", "abort work", "COMMIT"])
async def test_a_savepoint_that_is_gone_is_told_once(one: Any, command: str) -> None:
    """The holder has ended the block around it: what undoes it fails, and is not tried again before other calls."""
    async with one.acquire() as connection:
        await connection.execute("BEGIN")
        inner = connection.transaction()
        await inner.start()
        await connection.execute("COMMIT AND CHAIN")
        with pytest.raises(DatabaseError, match="does not exist"):
            await inner.rollback()
        assert await connection.execute(command) == "ROLLBACK"
        assert await connection.execute("INSERT INTO t VALUES (1)") == "INSERT 0 1"
    assert len(await one.fetch("SELECT a FROM t")) == 1


@pytest.mark.parametrize("command", ["ROLLBACK", "COMMIT AND CHAIN", "COMMIT"])
async def test_a_savepoint_is_gone_and_its_undoing_waits_for_a_call_that_is_stopped(one: Any, command: str) -> None:
    """Outside of a transaction nothing is to be undone; in one that is another, its end by hand is executed."""
    async with one.acquire() as connection:
        session = connection._lease.session()
        await connection.execute("BEGIN")

        async def block() -> None:
            async with connection.transaction():
                await connection.execute(command)
                await connection.execute(model.SLOW)

        task = asyncio.ensure_future(block())
        await until(lambda: session.busy and session.last_sql == model.SLOW)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if command == "COMMIT AND CHAIN":
            assert await connection.execute("ROLLBACK") == "ROLLBACK"
        assert await connection.execute("INSERT INTO t VALUES (1)") == "INSERT 0 1"
        assert not connection.is_in_transaction()
    assert len(await one.fetch("SELECT a FROM t")) == 1
