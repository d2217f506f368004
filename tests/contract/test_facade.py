"""DatabasePool: the interface of ADR-003 on every engine, pools by name, zero configuration, and misuse."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs import ConfigError, DatabasePool, InterfaceError, PoolClosed, Record
from db_pool_rs.errors import UniqueViolation
from tests.plugins.engines import Backend, EngineSpec

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
