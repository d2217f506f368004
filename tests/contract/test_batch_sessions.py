"""Batches and what is around them: other callers of the pool, query loggers, cancelled tasks, connections that fail."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import ConnectionLost, InterfaceError, StatementTimeout, UniqueViolation
from tests.contract.guarding import at_rest
from tests.contract.waiting import until, until_async
from tests.plugins.proxy import TO_CLIENT, FaultProxy

OTHER_PATH = "SET LOCAL search_path TO other"
ROWS = "SELECT * FROM t WHERE a = $1"
NAMES = "SELECT b FROM t WHERE a <> $1"


@pytest.fixture
async def two_tables(pg_pool: Any) -> Any:
    """Tables of one name: that of the pool, and one in another schema."""
    await pg_pool.execute("DROP SCHEMA IF EXISTS other CASCADE")
    await pg_pool.execute("CREATE SCHEMA other")
    await pg_pool.execute("CREATE TABLE t (a int, b text)")
    await pg_pool.execute("CREATE TABLE other.t (a text, b int)")
    await pg_pool.execute("INSERT INTO t VALUES (1, 'one')")
    await pg_pool.execute("INSERT INTO other.t VALUES ('x', 7)")
    yield pg_pool
    await pg_pool.execute("DROP SCHEMA other CASCADE")


TEMPORARY = [
    "CREATE TEMP TABLE t ON COMMIT DROP AS SELECT a, b FROM other.t",
    "CREATE TEMPORARY TABLE t AS SELECT a, b FROM other.t",
    "CREATE OR REPLACE TEMP VIEW t AS SELECT a, b FROM other.t",
    "SELECT a, b INTO TEMP t FROM other.t",
    "CREATE TABLE pg_temp.t AS SELECT a, b FROM other.t",
]


@pytest.mark.parametrize("change", [OTHER_PATH, *TEMPORARY])
@pytest.mark.parametrize("known", [True, False])
async def test_other_tables_are_of_the_batch_alone(two_tables: Any, known: bool, change: str) -> None:
    async def others() -> list[Any]:
        return [await two_tables.fetch(ROWS, 1), await two_tables.fetch(NAMES, 2)]

    if known:
        assert await others() == [[(1, "one")], [("one",)]]
    async with two_tables.batch() as batch:
        before = batch.fetch(ROWS, 1)
        batch.execute(change)
        rows, names, count = batch.fetch(ROWS, "x"), batch.fetch(NAMES, "y"), batch.fetchval("SELECT b FROM t")
    assert (before.result(), rows.result(), names.result(), count.result()) == ([(1, "one")], [("x", 7)], [(7,)], 7)
    assert await others() == [[(1, "one")], [("one",)]]


@pytest.mark.parametrize("change", TEMPORARY)
async def test_temporary_tables_are_of_the_session_alone(two_tables: Any, change: str) -> None:
    async with two_tables.transaction() as connection:
        await connection.execute(change)
        assert await connection.fetch(ROWS, "x") == [("x", 7)]
        assert await connection.fetch(NAMES, "y") == [(7,)]
    assert await two_tables.fetch(ROWS, 1) == [(1, "one")]
    assert await two_tables.fetch(NAMES, 2) == [("one",)]


async def test_a_setting_of_no_transaction(two_tables: Any) -> None:
    """Where each is a transaction of its own, SET LOCAL has no effect; SET lasts until the end."""
    async with two_tables.batch(atomic=False) as batch:
        batch.execute(OTHER_PATH)
        before, same = batch.fetch(ROWS, 1), batch.fetch(NAMES, 2)
        batch.execute("SET search_path TO other")
        rows, names = batch.fetch(ROWS, "x"), batch.fetch(NAMES, "y")
    assert (before.result(), same.result(), rows.result(), names.result()) == (
        [(1, "one")],
        [("one",)],
        [("x", 7)],
        [(7,)],
    )
    assert await two_tables.fetch(ROWS, 1) == [(1, "one")]


# -- what is told of statements --------------------------------------------------------------------------------------

INSERTS = [f"INSERT INTO t VALUES ({number}) -- {place}" for place, number in enumerate((1, 1, 2))]


@pytest.mark.parametrize("atomic", [True, False])
async def test_loggers_hear_of_each_statement_once(open_pool: Any, backend: Any, atomic: bool) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    await pool.execute("CREATE TABLE t (a int PRIMARY KEY)")
    await at_rest(pool)
    heard: list[Any] = []
    pool.add_query_logger(heard.append)
    before = pool.stats().statements

    async def block() -> None:
        async with pool.batch(atomic=atomic) as batch:
            for sql in INSERTS:
                batch.execute(sql)

    if atomic:
        with pytest.raises(UniqueViolation):
            await block()
    else:
        await block()
    executed = INSERTS[:2] if atomic else INSERTS
    await until(lambda: len(heard) >= len(executed))
    end = await pool.fetchval("SELECT count(*) FROM t")
    await until(lambda: heard[-1].query == "SELECT count(*) FROM t")
    failed = [isinstance(one.error, UniqueViolation) for one in heard[:-1]]
    assert [one.query for one in heard[:-1]] == executed
    assert (failed, end) == (([True, True], 0) if atomic else ([False, True, False], 2))
    assert pool.stats().statements == before + len(executed) + 1


# -- what goes wrong -------------------------------------------------------------------------------------------------


async def _batch(pool: Any, results: list[Any], atomic: bool, *statements: tuple[Any, ...], **options: Any) -> None:
    async with pool.batch(atomic=atomic, **options) as batch:
        results += [batch.execute(*one) for one in statements]


@pytest.mark.parametrize("atomic", [True, False])
async def test_the_connection_is_lost_while_a_failed_batch_is_rolled_back(
    open_pool: Any, pg_database: str, proxy: FaultProxy, atomic: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error is told; without `atomic`, that nothing was sent that could have an effect."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute("CREATE TABLE t (a int PRIMARY KEY)")
    await pool.execute("INSERT INTO t VALUES ($1)", 1)
    await at_rest(pool)
    results: list[Any] = []
    _before_rollback(monkeypatch, proxy)
    inserts = [("INSERT INTO t VALUES ($1)", i) for i in (2, 1, 3)]
    with pytest.raises(UniqueViolation if atomic else ConnectionLost):
        await _batch(pool, results, atomic, *inserts)
    errors = [one.exception() for one in results]
    if atomic:
        assert [type(one) for one in errors] == [UniqueViolation] * 3
    else:
        assert [(type(one), one.sent) for one in errors] == [(ConnectionLost, False)] * 3


def _before_rollback(monkeypatch: pytest.MonkeyPatch, proxy: FaultProxy) -> None:
    """Have the connection lost while ROLLBACK is under way."""
    from db_pool_rs.pool.session import Session

    command = Session.command

    async def lose(self: Any, *queries: str, timeout: float | None = None) -> str:
        proxy.stall(TO_CLIENT)
        running = asyncio.ensure_future(command(self, *queries, timeout=timeout))
        await proxy.wait_held(TO_CLIENT)
        await proxy.drop()
        try:
            return await running
        finally:
            proxy.resume()

    monkeypatch.setattr(Session, "command", lose)


SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"


async def test_cancelled_where_each_has_an_outcome_of_its_own(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE t (a int)")
    results: list[Any] = []
    statements = ["INSERT INTO t VALUES (1)", "SELECT nonsense", "SELECT pg_sleep(60)", "INSERT INTO t VALUES (2)"]
    task = asyncio.ensure_future(_batch(pg_pool, results, False, *((sql,) for sql in statements)))
    await until_async(lambda: pg_pool.fetchval(SLEEPS))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert results[0].result() == "INSERT 0 1"
    assert results[1].exception().sqlstate == "42703"
    with pytest.raises(InterfaceError, match="the outcome of the statement is unknown"):
        results[2].result()
    with pytest.raises(InterfaceError, match="was not sent"):
        results[3].result()
    assert await pg_pool.fetch("SELECT a FROM t") == [(1,)]


@pytest.mark.parametrize("atomic", [True, False])
async def test_cancelled_before_there_was_a_connection(open_pool: Any, backend: Any, atomic: bool) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    results: list[Any] = []
    async with pool.acquire():
        task = asyncio.ensure_future(_batch(pool, results, atomic, ("SELECT 1",), ("SELECT 2",)))
        await until(lambda: len(results) == 2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ["not sent" in str(one.exception()) for one in results] == [True, True]


@pytest.mark.parametrize("atomic", [True, False])
async def test_the_deadline_passes_before_the_types_are_known(
    open_pool: Any, pg_database: str, proxy: FaultProxy, atomic: bool
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute("CREATE TABLE t (a int)")
    await at_rest(pool)
    results: list[Any] = []
    unknown = [(f"INSERT INTO t VALUES ($1 + {i})", i) for i in range(3)]
    proxy.stall(TO_CLIENT)
    with pytest.raises(StatementTimeout) as caught:
        await _batch(pool, results, atomic, *unknown, timeout=0.3)
    proxy.resume()
    assert not caught.value.sent
    assert [one.exception().sent for one in results] == [False] * 3


@pytest.mark.usefixtures("patient")
async def test_a_batch_that_is_cancelled_while_its_results_arrive(
    open_pool: Any, pg_pool: Any, pg_database: str, proxy: FaultProxy
) -> None:
    """Some have come when their caller waits no longer: the rest is received all the same, and the next call served."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute("CREATE TABLE put (n int)")
    sql = "INSERT INTO put VALUES ($1) RETURNING n"
    await pool.fetch(sql, 0)
    pid = await pool.fetchval("SELECT pg_backend_pid()")
    results = []

    async def run() -> None:
        async with pool.batch() as batch:
            results.extend(batch.fetch(sql, n) for n in range(1, 20))

    await at_rest(pool)
    proxy.silence(200, TO_CLIENT, links="live")
    running = asyncio.ensure_future(run())
    await proxy.wait_held(TO_CLIENT)
    await until_async(lambda: pg_pool.fetchval("SELECT count(*) = 20 FROM put"))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    proxy.silence(None, TO_CLIENT)
    proxy.resume()
    assert await pool.fetchval("SELECT pg_backend_pid()") == pid
    assert all(isinstance(result.exception(), InterfaceError) for result in results)
