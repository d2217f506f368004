"""DatabasePool: the interface of ADR-003 on every engine, pools by name, zero configuration, and misuse."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs import ConfigError, ConnectFailed, DatabasePool, InterfaceError, PoolClosed, Record
from db_pool_rs.errors import UniqueViolation
from tests.plugins.engines import Backend, EngineSpec
from tests.plugins.loops import Runner
from tests.plugins.server import free_port

MakeFacade = Callable[..., DatabasePool]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder and no environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("DB_POOL_CONFIG", "DB_POOL_MODE", "DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
async def facade(engine: EngineSpec) -> AsyncIterator[MakeFacade]:
    """Factory of DatabasePools of the engine under test; all are closed at the end."""
    made: list[DatabasePool] = []

    def make(config: Any = None) -> DatabasePool:
        made.append(DatabasePool(engine.name, config=config))
        return made[-1]

    yield make
    for db in made:
        await db.close()


@pytest.fixture
async def db(facade: MakeFacade, backend: Backend) -> DatabasePool:
    """A DatabasePool with the pool "main" on the backend, and a table `users` of three rows in it."""
    db = facade()
    await db.create_pool(pool_id="main", dsn=backend.dsn, min_size=1, max_size=4)
    await db.execute("main", "CREATE TABLE users (id int PRIMARY KEY, name text, age int)")
    await db.execute("main", "INSERT INTO users VALUES (1, 'Ada', 36), (2, 'Bob', 17), (3, 'Cid', 50)")
    return db


# ---- the interface of the ADR ---------------------------------------------------------------------------------------


async def test_query_gives_records(db: DatabasePool) -> None:
    rows = await db.query("main", "SELECT id, name FROM users WHERE age > $1 ORDER BY id", 18)
    assert rows == [(1, "Ada"), (3, "Cid")]
    assert all(isinstance(row, Record) for row in rows)
    assert [row["name"] for row in rows] == ["Ada", "Cid"]
    assert await db.query(pool_id="main", sql="SELECT name FROM users WHERE id = 2") == [("Bob",)]


async def test_execute_gives_the_number_of_affected_rows(db: DatabasePool) -> None:
    assert await db.execute("main", "UPDATE users SET name = $2 WHERE id = $1", 3, "x") == 1
    assert await db.execute("main", "UPDATE users SET name = 'y' WHERE age > $1", 99) == 0
    assert await db.execute("main", "DELETE FROM users") == 3
    assert await db.execute("main", "CREATE TABLE other (id int)") == 0
    assert await db.execute("main", "-- nothing") == 0


async def test_status_and_metrics_are_measured(db: DatabasePool, engine: EngineSpec) -> None:
    status = await db.get_pool_status("main")
    assert status.healthy is status["healthy"] is True
    assert status.last_error is None
    assert (status.min_size, status["max_size"]) == (1, 4)
    assert 1 <= status.size <= 4
    assert status.statements >= 2
    metrics = db.get_metrics()
    assert metrics.deployment_mode == metrics["deployment_mode"] == db.mode == engine.name
    assert metrics.queries_per_second > 0
    assert metrics.memory_usage_mb > 5
    assert 0 < metrics.uptime_seconds < 60
    assert metrics.pools["main"].statements >= status.statements


async def test_transaction_and_acquire(db: DatabasePool) -> None:
    async with db.transaction("main") as tx:
        await tx.execute("UPDATE users SET age = 0")

    async def fail() -> None:
        async with db.transaction("main", isolation=None, readonly=False) as tx:
            await tx.execute("DELETE FROM users")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with db.acquire("main", timeout=5) as connection:
        assert await connection.fetchval("SELECT sum(age) FROM users") == 0
        assert await connection.fetchval("SELECT count(*) FROM users") == 3


async def test_a_database_error_is_the_callers_and_harms_nothing(db: DatabasePool) -> None:
    with pytest.raises(UniqueViolation) as caught:
        await db.execute("main", "INSERT INTO users VALUES (1, 'Eve', 1)")
    assert caught.value.sqlstate == "23505"
    assert await db.query("main", "SELECT count(*) FROM users") == [(3,)]


async def test_timeout_is_passed_on(db: DatabasePool) -> None:
    with pytest.raises(InterfaceError, match="timeout"):
        await db.query("main", "SELECT 1", timeout="soon")  # type: ignore[arg-type]
    assert await db.query("main", "SELECT 1", timeout=5) == [(1,)]


async def test_create_pool_gives_the_pool(facade: MakeFacade, backend: Backend) -> None:
    db = facade()
    pool = await db.create_pool("main", backend.dsn, max_connections=3, min_connections=0)
    assert await pool.fetchval("SELECT 41 + 1") == 42
    assert (pool.config.name, pool.config.min_size, pool.config.max_size) == ("main", 0, 3)
    assert await db.pool("main") is pool


async def test_create_pool_by_keywords(facade: MakeFacade, pg_server: Any) -> None:
    db = facade()
    await db.create_pool(
        pool_id="main",
        db_type="postgresql",
        host=pg_server.host,
        port=pg_server.port,
        database="postgres",
        username="postgres",
        password="unused",
    )
    assert await db.query("main", "SELECT current_user AS who") == [("postgres",)]


async def test_pools_are_apart(facade: MakeFacade) -> None:
    db = facade()
    for pool_id in ("a", "b"):
        await db.create_pool(pool_id, "sqlite://")
        await db.execute(pool_id, "CREATE TABLE t (x text)")
        await db.execute(pool_id, "INSERT INTO t VALUES ($1)", pool_id)
    assert await db.query("a", "SELECT x FROM t") == [("a",)]
    assert await db.query("b", "SELECT x FROM t") == [("b",)]
    assert set(db.get_metrics().pools) == {"a", "b"}


def test_the_signatures_of_the_adr() -> None:
    for name, parameters in (
        ("create_pool", ["self", "pool_id", "dsn"]),
        ("query", ["self", "pool_id", "sql"]),
        ("execute", ["self", "pool_id", "sql"]),
        ("get_pool_status", ["self", "pool_id"]),
        ("get_metrics", ["self"]),
    ):
        found = list(inspect.signature(getattr(DatabasePool, name)).parameters)
        assert found[: len(parameters)] == parameters
    for make in (DatabasePool, db_pool_rs.create_database_pool):
        assert inspect.signature(make).parameters["mode"].default == "auto"


async def test_the_other_ways_to_make_one() -> None:
    from db_pool_rs.simple import DatabasePool as Simple

    for db in (
        DatabasePool(),
        db_pool_rs.create_database_pool(),
        db_pool_rs.create_database_pool(mode="simple"),
        Simple(),
    ):
        async with db:
            assert await db.query("default", "SELECT 1 AS one") == [(1,)]
            assert repr(db) == f"<DatabasePool mode={db.mode} pools: default>"
        assert repr(db) == f"<DatabasePool mode={db.mode} closed>"


# ---- zero configuration ---------------------------------------------------------------------------------------------


async def test_default_is_an_in_memory_database(facade: MakeFacade) -> None:
    db = facade()
    assert db.get_metrics().pools == {}
    await db.execute("default", "CREATE TABLE t (x int)")
    assert await db.execute("default", "INSERT INTO t VALUES (1), (2)") == 2
    assert await db.query("default", "SELECT count(*) FROM t") == [(2,)]
    assert (await db.get_pool_status("default")).healthy


async def test_default_is_database_url(facade: MakeFacade, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", backend.dsn)
    pool = await facade().pool()
    assert pool.config.target.database_system == backend.name


async def test_default_is_what_config_yaml_says(
    engine: EngineSpec, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere.invalid/db")
    pools = "pools: {default: {dsn: 'sqlite:///app.db', max_size: 3}, logs: {dsn: 'sqlite:///${LOGS}'}}"
    (folder / "config.yaml").write_text(pools)
    monkeypatch.setenv("LOGS", "logs.db")
    async with DatabasePool(engine.name) as db:
        assert db.pool_ids == ("default", "logs")
        await db.execute("default", "CREATE TABLE t (x int)")
        async with db.transaction("logs") as tx:
            await tx.execute("CREATE TABLE l (x int)")
        assert {"app.db", "logs.db"} <= set(os.listdir())
        assert (await db.get_pool_status("default")).max_size == 3


async def test_create_pool_completes_what_config_yaml_says(facade: MakeFacade) -> None:
    db = facade({"pools": {"main": {"dsn": "sqlite://", "max_size": 3, "min_size": 2}}})
    pool = await db.create_pool("main", max_size=5)
    assert (pool.config.min_size, pool.config.max_size) == (2, 5)
    await db.close_pool("main")
    pool = await db.create_pool("main", "sqlite://")
    assert (pool.config.min_size, pool.config.max_size) == (1, 10)


async def test_the_section_of_the_mode_reaches_the_pools(facade: MakeFacade) -> None:
    db = facade({"simple": {"thread_pool_size": 2}, "pools": {"own": {"dsn": "sqlite://", "thread_pool_size": 3}}})
    if db.mode == "simple":
        assert (await db.pool()).config.thread_pool_size == 2
    assert (await db.pool("own")).config.thread_pool_size == 3


async def test_concurrent_first_uses_make_one_pool(facade: MakeFacade) -> None:
    db = facade()
    pools = await asyncio.gather(*(db.pool("default") for _ in range(20)))
    assert len(set(map(id, pools))) == 1
    db = facade()
    answers = await asyncio.gather(*(db.query("default", "SELECT 1") for _ in range(20)))
    assert answers == [[(1,)]] * 20
    assert db.get_metrics().pools["default"].statements == 20


async def test_a_first_user_that_is_cancelled_does_not_spoil_it_for_others(facade: MakeFacade) -> None:
    db = facade()
    users = [asyncio.ensure_future(db.query("default", "SELECT 1")) for _ in range(3)]
    await asyncio.sleep(0)
    users[0].cancel()
    done = await asyncio.gather(*users, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [[(1,)], [(1,)]]


async def test_a_failure_to_open_is_told_and_tried_again(facade: MakeFacade, folder: Path) -> None:
    db = facade({"pools": {"main": {"dsn": f"sqlite:///{folder / 'sub' / 'app.db'}"}}})
    failed = await asyncio.gather(*(db.query("main", "SELECT 1") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(error, ConnectFailed) for error in failed)
    assert db.get_metrics().pools == {}
    (folder / "sub").mkdir()
    assert await db.query("main", "SELECT 1") == [(1,)]


async def test_an_unreachable_server_fails_quickly_and_frees_the_name(facade: MakeFacade, backend: Backend) -> None:
    db = facade()
    with pytest.raises(ConnectFailed) as caught:
        await db.create_pool("main", f"postgresql://app:hunter2@127.0.0.1:{free_port()}/db")
    assert caught.value.attempts
    assert "hunter2" not in f"{caught.value!r}"
    with pytest.raises(InterfaceError, match="there is no pool 'main'"):
        await db.query("main", "SELECT 1")
    await db.create_pool("main", backend.dsn)
    assert await db.query("main", "SELECT 1") == [(1,)]


# ---- names ----------------------------------------------------------------------------------------------------------


async def test_an_unknown_name_lists_the_known_ones(facade: MakeFacade) -> None:
    db = facade({"pools": {"logs": {"dsn": "sqlite://"}}})
    await db.create_pool("main", "sqlite://")
    calls: list[Callable[[], Any]] = [
        lambda: db.query("mian", "SELECT 1"),
        lambda: db.execute("mian", "SELECT 1"),
        lambda: db.get_pool_status("mian"),
        lambda: db.close_pool("mian"),
        lambda: db.pool("mian"),
        lambda: db.transaction("mian").__aenter__(),
        lambda: db.acquire("mian").__aenter__(),
    ]
    for call in calls:
        with pytest.raises(InterfaceError, match=r"^there is no pool 'mian'; known: main, logs, default$"):
            await call()
    assert await db.query("main", "SELECT 1") == [(1,)]


@pytest.mark.parametrize("pool_id", ["", None, 7, b"main"])
async def test_what_is_no_name(pool_id: Any, facade: MakeFacade) -> None:
    db = facade()
    for call in (lambda: db.create_pool(pool_id, "sqlite://"), lambda: db.query(pool_id, "SELECT 1")):
        with pytest.raises(InterfaceError, match="pool_id must be a non-empty str"):
            await call()


async def test_a_name_is_taken_once(facade: MakeFacade) -> None:
    db = facade()
    first = await db.create_pool("main", "sqlite://")
    with pytest.raises(InterfaceError, match=r"there is a pool 'main' already; close_pool\('main'\) frees the name"):
        await db.create_pool("main", "sqlite://")
    assert await db.pool("main") is first
    both = await asyncio.gather(*(db.create_pool("other", "sqlite://") for _ in range(2)), return_exceptions=True)
    assert [type(one).__name__ for one in both] == ["Pool", "InterfaceError"]


async def test_a_wrong_option_is_told_before_anything_happens(facade: MakeFacade) -> None:
    db = facade()
    for options in ({"max_szie": 3}, {"max_size": 0}, {"dsn": "oracle://x/y"}, {"dsn": 7}):
        with pytest.raises(ConfigError):
            await db.create_pool("main", **options)
    await db.create_pool("main", "sqlite://")


# ---- the end --------------------------------------------------------------------------------------------------------


async def test_close_pool_frees_the_name(db: DatabasePool, backend: Backend) -> None:
    pool = await db.pool("main")
    await db.close_pool("main")
    assert pool.closed
    with pytest.raises(PoolClosed):
        await pool.fetch("SELECT 1")
    with pytest.raises(InterfaceError, match="there is no pool 'main'"):
        await db.query("main", "SELECT 1")
    await db.create_pool("main", backend.dsn)
    assert await db.query("main", "SELECT count(*) FROM users") == [(3,)]


async def test_a_configured_pool_that_was_closed_is_opened_again(facade: MakeFacade) -> None:
    db = facade()
    await db.close_pool("default")
    await db.execute("default", "CREATE TABLE t (x int)")
    await db.close_pool("default")
    await db.execute("default", "CREATE TABLE t (x int)")


async def test_after_close_everything_is_refused(facade: MakeFacade) -> None:
    db = facade()
    pools = [await db.create_pool("a", "sqlite://"), await db.pool("default")]
    await db.close()
    assert all(pool.closed for pool in pools)
    calls: list[Callable[[], Any]] = [
        lambda: db.query("a", "SELECT 1"),
        lambda: db.query("default", "SELECT 1"),
        lambda: db.execute("default", "SELECT 1"),
        lambda: db.create_pool("b", "sqlite://"),
        lambda: db.get_pool_status("a"),
        lambda: db.close_pool("a"),
        lambda: db.transaction("a").__aenter__(),
    ]
    for call in calls:
        with pytest.raises(PoolClosed, match="this DatabasePool is closed"):
            await call()
    await db.close()
    assert db.get_metrics().pools == {}


async def test_close_while_pools_are_being_opened(facade: MakeFacade) -> None:
    db = facade()
    first = asyncio.ensure_future(db.query("default", "SELECT 1"))
    second = asyncio.ensure_future(db.create_pool("main", "sqlite://"))
    await asyncio.sleep(0)
    await db.close()
    for outcome in await asyncio.gather(first, second, return_exceptions=True):
        assert isinstance(outcome, PoolClosed)


async def test_a_cancelled_create_pool_leaves_nothing(facade: MakeFacade) -> None:
    db = facade()
    creating = asyncio.ensure_future(db.create_pool("main", "sqlite://"))
    await asyncio.sleep(0)
    creating.cancel()
    with pytest.raises(asyncio.CancelledError):
        await creating
    assert "main" not in db.pool_ids
    await db.create_pool("main", "sqlite://")
    assert await db.query("main", "SELECT 1") == [(1,)]


def test_a_second_event_loop_is_told(engine: EngineSpec, runner: Runner) -> None:
    db = DatabasePool(engine.name)
    runner.run(db.query("default", "SELECT 1"))
    with pytest.raises(InterfaceError, match="another event loop"):
        asyncio.run(db.query("default", "SELECT 1"))
    assert runner.run(db.query("default", "SELECT 1")) == [(1,)]
    runner.run(db.close())


def test_a_loop_that_ended_while_a_pool_was_opened(engine: EngineSpec) -> None:
    db = DatabasePool(engine.name)
    loop = asyncio.new_event_loop()
    opening = loop.create_task(db.pool("default"))
    loop.call_soon(loop.stop)
    loop.run_forever()  # one turn: the task has begun and is not done
    assert not opening.done()
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
    loop.close()

    async def use() -> list[Record]:
        async with db:
            return await db.query("default", "SELECT 1")

    assert asyncio.run(use()) == [(1,)]
