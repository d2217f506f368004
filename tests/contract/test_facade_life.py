"""DatabasePool: pools that need no configuration, and how pools begin and end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs import ConnectFailed, DatabasePool, InterfaceError, PoolClosed, Record
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


# ---- the end --------------------------------------------------------------------------------------------------------


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
    loop.run_forever()  # one tick: the task has begun and is not done
    assert not opening.done()
    with pytest.raises(InterfaceError, match="being opened in another event loop"):
        asyncio.run(db.query("default", "SELECT 1"))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.gather(*asyncio.all_tasks(loop), return_exceptions=True))
    loop.close()

    async def use() -> list[Record]:
        async with db:
            return await db.query("default", "SELECT 1")

    assert asyncio.run(use()) == [(1,)]
