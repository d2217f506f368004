"""`db_pool_rs.testing`: a pool of which nothing stays, and the fixtures for pytest."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError, InterfaceError, SerializationFailure, UniqueViolation
from db_pool_rs.testing import rolled_back
from tests.contract.waiting import PROMPT, until


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


async def test_errors_of_what_a_connection_makes_spoil_nothing(users: Any) -> None:
    async with rolled_back(users) as db:
        await db.execute("INSERT INTO users VALUES (2, 'Grace')")
        with pytest.raises(DatabaseError):
            await db.prepare("SELECT nothing FROM users")
        insert = await db.prepare("INSERT INTO users VALUES ($1, $2)")
        with pytest.raises(UniqueViolation):
            await insert.execute(1, "again")
        with pytest.raises(UniqueViolation):
            await insert.executemany([(3, "Lin"), (1, "again")])
        assert insert.query == "INSERT INTO users VALUES ($1, $2)"
        with pytest.raises(DatabaseError):
            await db.cursor("SELECT nothing FROM users").fetch(1)
        with pytest.raises(DatabaseError):
            async for _ in db.cursor("SELECT nothing FROM users"):
                pass
        async with db.acquire() as connection:
            cursor = (await connection.prepare("SELECT id FROM users ORDER BY id")).cursor(prefetch=1)
            assert await cursor.fetchrow() == (1,)
            with pytest.raises(UniqueViolation):
                await insert.execute(1, "again")
            assert [row async for row in cursor] == [(2,)]
            await cursor.close()
        assert await count(db) == 2


async def test_streams_of_arrow(users: Any) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    async with rolled_back(users) as db:
        await db.executemany("INSERT INTO users VALUES ($1, 'x')", [(2,), (3,)])
        with pytest.raises(DatabaseError):
            async for _ in db.stream_arrow("SELECT nothing FROM users"):
                pass
        with pytest.raises(InterfaceError, match="batch: "):
            db.stream_arrow("SELECT 1", batch=0)
        seen = []
        async with db.stream_arrow("SELECT id FROM users WHERE id < $1 ORDER BY id", 9, batch=1) as tables:
            async for table in tables:
                seen += pyarrow.table(table)["id"].to_pylist()
                with pytest.raises(UniqueViolation):
                    await db.execute("INSERT INTO users VALUES (1, 'again')")
        assert seen == [1, 2, 3]
        async with db.acquire() as connection, aclosing(connection.stream_arrow("SELECT id FROM users")) as tables:
            assert len(await tables.__anext__()) == 3
        assert await count(db) == 3


async def test_calls_while_data_are_copied_out(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database)
    await pool.execute("CREATE TABLE users (id integer PRIMARY KEY, name text)")
    async with rolled_back(pool) as db:
        await db.copy_in("users", source=[(1, "Ada"), (2, "Grace")])
        with pytest.raises(DatabaseError):
            async for _ in db.copy_out("SELECT nothing FROM users"):
                pass
        pieces = []
        async with aclosing(db.copy_out("SELECT id FROM users ORDER BY id")) as copied:
            async for piece in copied:
                pieces.append(piece)
                await asyncio.wait_for(db.execute("UPDATE users SET name = 'seen'"), PROMPT)
        assert b"".join(pieces) == b"1\n2\n"
        assert await db.fetchval("SELECT count(*) FROM users WHERE name = 'seen'") == 2


async def test_a_call_that_waits_for_itself_is_refused(open_pool: Any, pg_database: str) -> None:
    """There is one connection, and the COPY has it while its data are taken."""
    pool = await open_pool(pg_database)
    async with rolled_back(pool) as db:
        later = []

        async def take(data: bytes) -> None:
            later.append(asyncio.ensure_future(db.fetchval("SELECT 7")))
            await db.execute("SELECT 1")

        with pytest.raises(InterfaceError, match="one connection"):
            await asyncio.wait_for(db.copy_from_query("SELECT 1", output=take), PROMPT)
        assert await db.fetchval("SELECT 1") == 1
        await asyncio.gather(*later, return_exceptions=True)


async def test_listening_receives_what_others_send(open_pool: Any, pg_database: str) -> None:
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


BY_HAND = ["COMMIT", "end;", "/* a */ ROLLBACK -- TO", "BEGIN", "COMMIT AND CHAIN", "SELECT 1; COMMIT; BEGIN"]


@pytest.mark.parametrize("text", BY_HAND)
async def test_no_transaction_is_ended_by_hand(users: Any, text: str) -> None:
    async with rolled_back(users) as db:
        await db.execute("INSERT INTO users VALUES (2, 'Grace')")
        async with db.acquire() as connection:
            for call in (db.execute(text), connection.execute(text), db.fetch(text), db.prepare(text)):
                with pytest.raises(InterfaceError, match="transaction"):
                    await call
        async with db.batch(atomic=False) as batch:
            with pytest.raises(InterfaceError, match="transaction"):
                batch.execute(text)
            batch.execute("INSERT INTO users VALUES (3, 'Lin')")
        await db.execute("SAVEPOINT a; INSERT INTO users VALUES (4, 'Sol'); ROLLBACK TO a")
        assert await count(db) == 3
    assert await count(users) == 1


async def test_a_block_ends_after_the_calls_of_its_tasks(users: Any) -> None:
    ended = asyncio.Event()

    async def late(db: Any) -> None:
        await ended.wait()
        await asyncio.gather(*(db.execute("INSERT INTO users VALUES ($1, 'x')", number) for number in (4, 5)))

    async with rolled_back(users) as db:
        async with db.transaction():
            tasks = [asyncio.create_task(db.execute("INSERT INTO users VALUES ($1, 'x')", n)) for n in (2, 3)]
            tasks.append(asyncio.create_task(late(db)))
            await asyncio.sleep(0)
        ended.set()
        await asyncio.gather(*tasks, db.execute("INSERT INTO users VALUES (6, 'x')"))
        assert await count(db) == 6
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 -- the block is what raises
            async with db.transaction():
                task = asyncio.create_task(db.execute("DELETE FROM users"))
                await asyncio.sleep(0)
                raise ZeroDivisionError
        assert await task == "DELETE 6"
        assert await count(db) == 6
    assert await count(users) == 1
