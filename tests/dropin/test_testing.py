"""`db_pool_rs.testing`: a pool of which nothing stays, and the fixtures for pytest."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, InterfaceError, SerializationFailure, UniqueViolation
from db_pool_rs.testing import rolled_back
from tests.contract.waiting import until


@pytest.fixture
async def users(pool: Any) -> Any:
    """A pool with one table and one row in it."""
    await pool.execute("CREATE TABLE users (id integer PRIMARY KEY, name text)")
    await pool.execute("INSERT INTO users VALUES (1, 'Ada')")
    return pool


async def count(db: Any) -> int:
    """How many users there are."""
    return int(await db.fetchval("SELECT count(*) FROM users"))


async def test_nothing_stays(users: Any) -> None:
    async with rolled_back(users) as db:
        await db.execute("INSERT INTO users VALUES ($1, $2)", 2, "Grace")
        await db.executemany("INSERT INTO users VALUES ($1, $2)", [(3, "Lin"), (4, "Sol")])
        assert (await db.fetch_result("DELETE FROM users WHERE id = 4")).status == "DELETE 1"
        assert await count(db) == 3
        assert await db.fetchrow("SELECT name FROM users WHERE id = $1", 2) == ("Grace",)
    assert await count(users) == 1
    await until(lambda: users.stats().sessions == 0)


async def test_an_expected_error_spoils_nothing(users: Any) -> None:
    async with rolled_back(users) as db:
        await db.execute("INSERT INTO users VALUES (2, 'Grace')")
        with pytest.raises(UniqueViolation):
            await db.execute("INSERT INTO users VALUES (1, 'again')")
        with pytest.raises(UniqueViolation):
            async with db.acquire() as connection:
                await connection.execute("INSERT INTO users VALUES (1, 'again')")
        assert await count(db) == 2


async def test_blocks_are_savepoints(users: Any) -> None:
    async with rolled_back(users) as db:
        with pytest.raises(RuntimeError):  # noqa: PT012 -- the block is what raises
            async with db.transaction(isolation="serializable") as outer:
                await outer.execute("INSERT INTO users VALUES (2, 'Grace')")
                async with outer.transaction():
                    await outer.execute("INSERT INTO users VALUES (3, 'Lin')")
                with pytest.raises(UniqueViolation):
                    async with outer.transaction():
                        await outer.execute("INSERT INTO users VALUES (3, 'Lin')")
                assert await count(db) == 3
                raise RuntimeError
        assert await count(db) == 1
        async with db.transaction():
            await db.execute("INSERT INTO users VALUES (2, 'Grace')")
        assert await count(db) == 2
    assert await count(users) == 1


async def test_calls_of_several_tasks(users: Any) -> None:
    """Each has a savepoint of its own, also beside a block, and inside one."""

    async def add(db: Any, number: int) -> None:
        if number % 3:
            await db.execute("INSERT INTO users VALUES ($1, 'x')", number)
        else:
            async with db.transaction() as block:
                await block.execute("INSERT INTO users VALUES ($1, 'x')", number)
                await asyncio.gather(*(add(block, 100 * number + part) for part in (1, 2)))

    async with rolled_back(users) as db:
        found = await asyncio.gather(*(add(db, number) for number in range(1, 13)), return_exceptions=True)
        assert [type(one) for one in found if one is not None] == [UniqueViolation]
        assert await count(db) == 1 + 11 + 2 * 4


async def test_it_is_used_like_a_pool(users: Any) -> None:
    async with rolled_back(users) as db:
        connection = await db.acquire(timeout=1)
        async with connection.transaction():
            assert [row async for row in connection.cursor("SELECT id FROM users")] == [(1,)]
        await db.release(connection)
        with pytest.raises(InterfaceError):
            await db.release(users)
        assert db.stats().sessions == 1
        assert db.explain("SELECT 1").grouped is not None
        async with db:
            await db.close()
        assert not db.closed
        assert await count(db) == 1


async def test_batches(users: Any) -> None:
    async with rolled_back(users) as db:
        async with db.batch() as batch:
            added = batch.execute("INSERT INTO users VALUES ($1, $2)", 2, "Grace")
            rows = batch.fetch("SELECT id FROM users ORDER BY id")
            assert not added.done()
        assert added.result() == "INSERT 0 1"
        assert rows.result() == [(1,), (2,)]
        with pytest.raises(UniqueViolation):  # noqa: PT012 -- the block is what raises
            async with db.batch() as batch:
                lost = batch.execute("INSERT INTO users VALUES (3, 'Lin')")
                batch.execute("INSERT INTO users VALUES (1, 'again')")
        assert isinstance(lost.exception(), UniqueViolation)
        assert await count(db) == 2
        async with db.batch(atomic=False) as batch:
            kept = batch.execute("INSERT INTO users VALUES (3, 'Lin')")
            refused = batch.execute("INSERT INTO users VALUES (1, 'again')")
            name = batch.fetchval("SELECT name FROM users WHERE id = 3")
        assert kept.result() == "INSERT 0 1"
        assert isinstance(refused.exception(), UniqueViolation)
        assert name.result() == "Lin"
        with pytest.raises(InterfaceError):
            batch.fetchrow("SELECT 1")
    assert await count(users) == 1


async def test_streams_let_others_call_meanwhile(users: Any) -> None:
    async with rolled_back(users) as db:
        await db.executemany("INSERT INTO users VALUES ($1, 'x')", [(i,) for i in range(2, 12)])
        seen = []
        async for row in db.stream("SELECT id FROM users WHERE id < $1 ORDER BY id", 100, batch=3):
            seen.append(row["id"])
            with pytest.raises(UniqueViolation):
                await db.execute("INSERT INTO users VALUES (1, 'again')")
            await db.execute("UPDATE users SET name = 'seen' WHERE id = $1", row["id"])
        assert seen == list(range(1, 12))
        assert await db.fetchval("SELECT count(*) FROM users WHERE name = 'seen'") == 11
        async with db.stream("SELECT id FROM users ORDER BY id", batch=3) as batches:
            async for rows in batches:
                assert rows == [(1,), (2,), (3,)]
                break
        with pytest.raises(DatabaseError):
            async for _ in db.stream("SELECT nothing FROM users"):
                pass
        assert await count(db) == 11


async def test_run_repeats_in_a_savepoint(users: Any) -> None:
    attempts = []

    async def work(connection: Any, number: int) -> str:
        attempts.append(connection.attempt)
        await connection.execute("INSERT INTO users VALUES ($1, 'x')", number)
        if len(attempts) < 3:
            raise SerializationFailure("once more")
        with pytest.raises(InterfaceError):
            await connection.run(work, 9)
        return "done"

    async with rolled_back(users) as db:
        assert await db.run(work, 2) == "done"
        assert attempts == [1, 2, 3]
        assert await count(db) == 2
        attempts.clear()
        with pytest.raises(SerializationFailure):
            await db.run(work, 3, retries=1)
        with pytest.raises(UniqueViolation):
            await db.run(work, 1)
        assert await count(db) == 2


async def test_listening_hears_others(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    async with rolled_back(pool) as db, db.listen("jobs") as events:
        await db.execute("NOTIFY jobs, 'never committed'")
        await pool.execute("NOTIFY jobs, 'one'")
        assert (await events.__anext__()).payload == "one"


PROGRAM = """
import pytest
pytest_plugins = ["db_pool_rs.testing.for_{kind}"]

@pytest.fixture(scope="session")
def db_pool_options():
    return {{"dsn": "{dsn}"}}
"""
TESTS = """
import pytest

@pytest.mark.{mark}
async def test_the_table_is_made(db_pool):
    await db_pool.execute("CREATE TABLE t (id integer)")

@pytest.mark.{mark}
@pytest.mark.parametrize("number", [1, 2])
async def test_a_row_is_alone(db, number):
    await db.execute("INSERT INTO t VALUES ($1)", number)
    assert await db.fetch("SELECT id FROM t") == [(number,)]
"""


@pytest.mark.parametrize(("kind", "mark"), [("asyncio", 'asyncio(loop_scope="session")'), ("anyio", "anyio")])
def test_the_fixtures(pytester: pytest.Pytester, kind: str, mark: str) -> None:
    pytester.makeconftest(PROGRAM.format(kind=kind, dsn=f"sqlite:///{pytester.path / 'test.db'}"))
    pytester.makepyfile(TESTS.format(mark=mark))
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = session" if kind == "asyncio" else "[pytest]")
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=3)


FIXTURES = """
import pytest, pytest_asyncio
import sqlalchemy as sa
from sqlalchemy.dialects import registry
from sqlalchemy.ext.asyncio import create_async_engine
from db_pool_rs.sqlalchemy.testing import rolled_back_session

registry.register("sqlite.db_pool_rs", "db_pool_rs.sqlalchemy.sqlite", "SqliteDialect")
pytest_plugins = ["db_pool_rs.testing.for_asyncio"]

@pytest.fixture(scope="session")
def db_pool_options():
    return {{"dsn": "sqlite:///{path}"}}

@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def engine():
    engine = create_async_engine("sqlite+db_pool_rs:///{path}", grouped={grouped})
    yield engine
    await engine.dispose()

@pytest_asyncio.fixture(loop_scope="session")
async def session(engine):
    async with rolled_back_session(engine) as session:
        yield session
"""
BOTH = """
import pytest
import sqlalchemy as sa

pytestmark = pytest.mark.asyncio(loop_scope="session")

async def test_the_table_is_made(db_pool):
    await db_pool.execute("CREATE TABLE t (id integer PRIMARY KEY)")

@pytest.mark.parametrize("number", [1, 2])
async def test_a_row_is_alone(session, number):
    for _ in range(2):
        await session.execute(sa.text("INSERT INTO t VALUES (:id)"), {"id": number})
        await session.commit()
        with pytest.raises(sa.exc.IntegrityError):
            await session.execute(sa.text("INSERT INTO t VALUES (:id)"), {"id": number})
        await session.rollback()
        assert (await session.scalars(sa.text("SELECT id FROM t"))).all() == [number]
        await session.execute(sa.text("DELETE FROM t"))

async def test_a_row_of_the_pool_is_alone(db):
    await db.execute("INSERT INTO t VALUES (1)")
    assert await db.fetchval("SELECT count(*) FROM t") == 1
"""


@pytest.mark.parametrize("grouped", [False, True])
def test_fixtures_of_sqlalchemy_beside_those_of_the_pool(pytester: pytest.Pytester, grouped: bool) -> None:
    pytester.makeconftest(FIXTURES.format(path=pytester.path / "test.db", grouped=grouped))
    pytester.makepyfile(BOTH)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = session")
    done = pytester.runpytest_subprocess("-q", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=4)
