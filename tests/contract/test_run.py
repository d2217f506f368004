"""A function in a transaction, repeated after serialization failures and deadlocks, and after nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import (
    ConnectionLost,
    DatabaseError,
    DeadlockDetected,
    InterfaceError,
    SerializationFailure,
    StatementTimeout,
    UniqueViolation,
)
from db_pool_rs.pool import retry
from tests.contract.waiting import until_async
from tests.plugins.proxy import TO_CLIENT, FaultProxy

TABLE = "CREATE TABLE account (id int PRIMARY KEY, amount int NOT NULL)"
FAIL = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '{}'; END $$"
TASKS, TRANSFERS, ACCOUNTS = 32, 3, 8


@pytest.fixture
async def accounts(open_pool: Any, backend: Any) -> Any:
    pool = await open_pool(backend.dsn, max_size=4)
    await pool.execute(TABLE)
    return pool


async def test_the_result_of_what_was_committed(accounts: Any) -> None:
    async def add(tx: Any, number: int, amount: int) -> str:
        assert tx.is_in_transaction()
        await tx.execute("INSERT INTO account VALUES ($1, $2)", number, amount)
        return f"{tx.attempt}: {amount}"

    assert await accounts.run(add, 1, 50) == "1: 50"
    with pytest.raises(UniqueViolation):
        await accounts.run(add, 1, 60)
    assert [tuple(row) for row in await accounts.fetch("SELECT id, amount FROM account")] == [(1, 50)]


@pytest.mark.parametrize(("state", "error"), [("40001", SerializationFailure), ("40P01", DeadlockDetected)])
async def test_it_is_repeated_so_many_times(pg_pool: Any, state: str, error: type[Exception]) -> None:
    attempts = []

    async def fail(tx: Any, until: int) -> int:
        attempts.append(tx.attempt)
        await tx.execute("CREATE TABLE made (i int)")
        if tx.attempt < until:
            await tx.execute(FAIL.format(state))
        return int(tx.attempt)

    assert await pg_pool.run(fail, 3) == 3
    assert attempts == [1, 2, 3]
    assert await pg_pool.fetchval("SELECT count(*) FROM made") == 0
    await pg_pool.execute("DROP TABLE made")
    attempts.clear()
    with pytest.raises(error):
        await pg_pool.run(fail, 100, retries=2)
    assert attempts == [1, 2, 3]
    attempts.clear()
    with pytest.raises(error):
        await pg_pool.run(fail, 100, retries=2, retry_for=0)
    assert attempts == [1]


@pytest.mark.parametrize("state", ["40000", "40002", "40003", "23505", "55P03", "25P02"])
async def test_nothing_else_is_repeated(pg_pool: Any, state: str) -> None:
    attempts = []

    async def fail(tx: Any) -> None:
        attempts.append(tx.attempt)
        await tx.execute(FAIL.format(state))

    with pytest.raises(DatabaseError) as caught:
        await pg_pool.run(fail)
    assert (caught.value.sqlstate, attempts) == (state, [1])


async def test_a_commit_that_is_refused_is_repeated(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    await pg_pool.execute(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"
    )
    await pg_pool.execute(
        "CREATE CONSTRAINT TRIGGER late AFTER INSERT ON account DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW WHEN (NEW.amount < 3) EXECUTE FUNCTION refuse()"
    )

    async def add(tx: Any) -> None:
        await tx.execute("INSERT INTO account VALUES (1, $1)", tx.attempt)

    await pg_pool.run(add)
    assert await pg_pool.fetchval("SELECT amount FROM account") == 3


async def test_a_commit_whose_outcome_is_unknown_is_not_repeated(
    open_pool: Any, pg_database: str, proxy: FaultProxy
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    await pool.execute(TABLE)
    async with await open_pool(pg_database, max_size=1) as other:
        attempts = []

        async def add(tx: Any) -> None:
            attempts.append(tx.attempt)
            await tx.execute("INSERT INTO account VALUES (1, 1)")
            proxy.stall(TO_CLIENT)

        running = asyncio.ensure_future(pool.run(add, retries=100))
        await until_async(lambda: other.fetchval("SELECT count(*) = 1 FROM account"))
        await proxy.drop()
        with pytest.raises(ConnectionLost) as caught:
            await running
        assert (caught.value.sent, attempts) == (True, [1])
        proxy.resume()


async def test_a_commit_that_takes_too_long_is_not_repeated(
    open_pool: Any, pg_database: str, proxy: FaultProxy
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=2, command_timeout=0.3)
    attempts = []

    async def work(tx: Any) -> None:
        attempts.append(tx.attempt)
        await tx.execute("SELECT 1", timeout=10)
        proxy.stall(TO_CLIENT)

    with pytest.raises(StatementTimeout, match="the outcome of the transaction is unknown"):
        await pool.run(work, retries=100)
    assert attempts == [1]
    proxy.resume()


async def test_inside_of_itself_it_is_refused(open_pool: Any, backend: Any, accounts: Any) -> None:
    later: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    other = await open_pool(backend.dsn, max_size=1)

    async def one(tx: Any) -> int:
        return int(await tx.fetchval("SELECT 1"))

    async def outlives() -> int:
        await later
        return int(await accounts.run(one))

    async def outer(tx: Any) -> asyncio.Task[int]:
        with pytest.raises(InterfaceError, match="inside a function"):
            await accounts.run(one)
        with pytest.raises(InterfaceError, match="inside a function"):
            await asyncio.create_task(accounts.run(one))
        assert await one(tx) == 1
        assert await other.run(one) == 1
        return asyncio.create_task(outlives())

    task = await accounts.run(outer, readonly=True)
    later.set_result(None)
    assert await task == 1


async def test_wrong_use(accounts: Any) -> None:
    async def one(tx: Any) -> int:
        return 1

    for wrong in ({"retries": -1}, {"retries": 1.5}, {"retries": True}, {"retry_for": -1}, {"retry_for": "1"}):
        with pytest.raises(InterfaceError, match=next(iter(wrong))):
            await accounts.run(one, **wrong)
    with pytest.raises(InterfaceError, match="a coroutine function"):
        await accounts.run(None)
    with pytest.raises(InterfaceError, match="serializable"):
        await accounts.run(one, isolation="chaos")
    assert await accounts.run(one) == 1


async def test_every_transfer_once_and_the_sums_are_right(open_pool: Any, pg_database: str) -> None:
    """32 tasks move money between 8 accounts, serializable: each reads both amounts, then writes them."""
    pool = await open_pool(pg_database, max_size=8)
    await pool.execute(TABLE)
    await pool.execute("CREATE TABLE transfer (task int, number int, attempt int)")
    await pool.executemany("INSERT INTO account VALUES ($1, 1000)", [(i,) for i in range(ACCOUNTS)])

    async def transfer(tx: Any, task: int, number: int) -> int:
        giver, taker = (task + number) % ACCOUNTS, (task * 5 + number + 1) % ACCOUNTS
        amounts = [await tx.fetchval("SELECT amount FROM account WHERE id = $1", i) for i in (giver, taker)]
        await tx.execute("INSERT INTO transfer VALUES ($1, $2, $3)", task, number, tx.attempt)
        if giver != taker:
            await tx.execute("UPDATE account SET amount = $2 WHERE id = $1", giver, amounts[0] - 1)
            await tx.execute("UPDATE account SET amount = $2 WHERE id = $1", taker, amounts[1] + 1)
        return int(tx.attempt)

    async def task(number: int) -> int:
        options = {"isolation": "serializable", "retries": 1000, "retry_for": 60, "timeout": 60}
        return max([await pool.run(transfer, number, i, **options) for i in range(TRANSFERS)])

    attempts = await asyncio.gather(*(task(number) for number in range(TASKS)))
    assert max(attempts) > 1, "nothing was repeated, so nothing is shown"
    done = await pool.fetch("SELECT task, number FROM transfer ORDER BY 1, 2")
    assert [tuple(row) for row in done] == [(task, number) for task in range(TASKS) for number in range(TRANSFERS)]
    sums = dict.fromkeys(range(ACCOUNTS), 1000)
    for task_number, number in map(tuple, done):
        sums[(task_number + number) % ACCOUNTS] -= 1
        sums[(task_number * 5 + number + 1) % ACCOUNTS] += 1
    assert {row[0]: row[1] for row in await pool.fetch("SELECT id, amount FROM account")} == sums


def test_pauses_grow_and_are_random() -> None:
    for attempt in range(1, 100):
        most = min(retry.PAUSE_MAX, retry.PAUSE * 2 ** (attempt - 1))
        pauses = [retry.pause(attempt) for _ in range(20)]
        assert all(most / 2 <= seconds <= most for seconds in pauses)
        assert len(set(pauses)) > 1


class _Group(Exception):
    """As asyncio.TaskGroup raises it, from Python 3.11 on."""

    def __init__(self, *members: Exception) -> None:
        self.exceptions = members


def _error(state: str) -> DatabaseError:
    return DatabaseError("x", {"sqlstate": state})


def test_groups_of_exceptions() -> None:
    again, follows, other = _error("40001"), _error("25P02"), _error("23505")
    assert retry.is_repeated(_Group(again, follows))
    assert retry.is_repeated(_Group(_Group(again), again))
    assert not retry.is_repeated(_Group(again, other))
    assert not retry.is_repeated(_Group(follows))
    assert not retry.is_repeated(_Group())
