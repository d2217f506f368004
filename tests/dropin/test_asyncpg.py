"""`db_pool_rs.asyncpg`: programs made for asyncpg, with one import changed; and each difference of docs/asyncpg.md."""

from __future__ import annotations

import asyncio
import decimal
import io
import json
import re
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg as original
import pytest

import db_pool_rs.asyncpg as asyncpg
from db_pool_rs import errors
from tests.contract.waiting import until
from tests.dropin import test_asyncpg_more, test_asyncpg_names, test_asyncpg_states, test_asyncpg_values
from tests.meta.source import ROOT


@pytest.fixture
async def make(engine: Any, pg_database: str) -> AsyncIterator[Any]:
    """Factory of pools; all are closed at the end."""
    made: list[Any] = []

    async def create(**options: Any) -> Any:
        pool = await asyncpg.create_pool(pg_database, mode=engine.name, **{"min_size": 1, "max_size": 3, **options})
        made.append(pool)
        return pool

    yield create
    for pool in made:
        if not pool.is_closing():
            await pool.close()


@pytest.fixture
async def pool(make: Any) -> Any:
    """A pool with one table."""
    pool = await make()
    await pool.execute("CREATE TABLE users (id int PRIMARY KEY, name text NOT NULL, data jsonb)")
    await pool.executemany("INSERT INTO users VALUES ($1, $2)", [(1, "Ada"), (2, "Grace")])
    return pool


async def on_a_connection(module: Any, connection: Any, seen: list[Any]) -> None:
    """Transactions, cursors, prepared statements, COPY."""
    async with connection.transaction():
        seen.append(await connection.execute("UPDATE t SET name = name || '!'"))
        try:
            async with connection.transaction():
                await connection.execute("INSERT INTO t (name) VALUES ('a!')")
        except module.UniqueViolationError as error:
            seen.append((error.sqlstate, error.constraint_name))
        rows = [row["name"] async for row in connection.cursor("SELECT name FROM t ORDER BY id", prefetch=1)]
        seen.append(rows)
        cursor = await connection.cursor("SELECT id FROM t ORDER BY id")
        seen.append((await cursor.forward(1), [tuple(row) for row in await cursor.fetch(5)]))
    transaction = connection.transaction(isolation="serializable", readonly=True)
    await transaction.start()
    seen.append(await connection.fetchval("SHOW transaction_isolation"))
    await transaction.rollback()
    statement = await connection.prepare("SELECT id, name FROM t WHERE id = ANY($1::int[])")
    seen.append([(one.name, one.type.name) for one in statement.get_attributes()])
    seen.append([(one.name, one.kind) for one in statement.get_parameters()])
    seen.append([tuple(row.values()) for row in await statement.fetch([1, 2])])
    seen.append((await statement.fetchval([1], column=1), len(await statement.fetch([1, 2]))))
    seen.append(statement.get_statusmsg())
    out = io.BytesIO()
    seen.append(await connection.copy_from_query("SELECT id, name FROM t ORDER BY id", output=out, format="csv"))
    seen.append(out.getvalue())
    seen.append(await connection.copy_records_to_table("t", records=[(7, "c")], columns=["id", "name"]))
    await connection.execute("SET TIME ZONE 'UTC'; UPDATE t SET at = '2026-01-02 03:04+00'")
    seen.append(await connection.fetchval("SELECT at FROM t LIMIT 1"))


async def failing(module: Any, pool: Any, seen: list[Any]) -> None:
    """Errors, by asyncpg's classes."""
    for statement_, args, kind in (
        ("SELECT nonsense", (), module.UndefinedColumnError),
        ("SELEC 1", (), module.PostgresSyntaxError),
        ("SELECT $1::int", ("x",), module.DataError),
        ("SELECT 1/0", (), module.exceptions.DivisionByZeroError),
        ("INSERT INTO t (id) VALUES (1)", (), module.IntegrityConstraintViolationError),
    ):
        try:
            await pool.fetch(statement_, *args)
        except kind as error:
            seen.append(isinstance(error, module.PostgresError))


async def program(module: Any, dsn: str, **options: Any) -> list[Any]:
    """What a program does with asyncpg; the same with this package."""
    seen: list[Any] = []
    async with module.create_pool(dsn, min_size=1, max_size=4, command_timeout=30, **options) as pool:
        seen.append(
            await pool.execute("CREATE TABLE t (id serial PRIMARY KEY, name text UNIQUE, data jsonb, at timestamptz)")
        )
        await pool.executemany("INSERT INTO t (name, data) VALUES ($1, $2)", [("a", '{"x": 1}'), ("b", None)])
        seen.append([dict(row) for row in await pool.fetch("SELECT id, name, data FROM t ORDER BY id")])
        seen.append(await pool.fetchval("SELECT name FROM t WHERE id = $1", 2))
        seen.append(await pool.fetchrow("SELECT name FROM t WHERE id = $1", 3))
        async with pool.acquire(timeout=5) as connection:
            await on_a_connection(module, connection, seen)
        await failing(module, pool, seen)
        await pool.execute("DROP TABLE t")
        seen.append((pool.get_size() >= 1, pool.get_min_size(), pool.get_max_size(), pool.is_closing()))
    return seen


async def test_a_program_sees_the_same(engine: Any, pg_database: str) -> None:
    with_original = await program(original, pg_database)
    assert await program(asyncpg, pg_database, mode=engine.name) == with_original


async def test_calls_on_the_pool_travel_in_groups(pool: Any) -> None:
    sql = "SELECT name FROM users WHERE id = $1"
    for _ in range(4):
        assert await pool.fetchval(sql, 1) == "Ada"
    before = pool._pool().stats()
    assert await asyncio.gather(*(pool.fetchval(sql, 1) for _ in range(100))) == ["Ada"] * 100
    after = pool._pool().stats()
    assert after.groups - before.groups < 100  # how much fewer is a matter of the machine


async def test_one_connection(engine: Any, pg_database: str) -> None:
    connection = await asyncpg.connect(pg_database, mode=engine.name, timeout=30)
    assert connection.get_server_pid() == await connection.fetchval("SELECT pg_backend_pid()")
    assert connection.get_server_version().major >= 12
    assert connection.get_settings().client_encoding == "UTF8"
    await connection.execute("CREATE TEMPORARY TABLE x (a int); INSERT INTO x VALUES (1), (2)")
    assert await connection.fetch("SELECT a FROM x") == [(1,), (2,)]
    await connection.reset()
    with pytest.raises(asyncpg.UndefinedTableError):
        await connection.fetch("SELECT a FROM x")
    assert not connection.is_in_transaction()
    await connection.close()
    assert connection.is_closed()
    with pytest.raises(asyncpg.InterfaceError):
        await connection.fetch("SELECT 1")


async def test_transactions_inside_of_others(pool: Any) -> None:
    async with pool.acquire() as connection:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"
            with pytest.raises(asyncpg.InterfaceError, match="different isolation"):
                await connection.transaction(isolation="serializable").start()
        async with connection.transaction():
            with pytest.raises(asyncpg.InterfaceError, match="!= outer 'read_committed'"):
                await connection.transaction(isolation="serializable").start()
        with pytest.raises(asyncpg.NoActiveSQLTransactionError):
            await connection.cursor("SELECT 1")
        with pytest.raises(asyncpg.InterfaceError, match="prefetch"):
            connection.cursor("SELECT 1", prefetch=0)
        for call in (connection.transaction().commit, connection.transaction().rollback):
            with pytest.raises(asyncpg.InterfaceError, match="not yet started"):
                await call()


async def test_closing_stops_what_runs(pool: Any) -> None:
    connection = await pool.acquire()
    running = asyncio.ensure_future(connection.fetch("SELECT pg_sleep(60)"))
    await asyncio.sleep(0)
    await connection.close()
    with pytest.raises(asyncpg.PostgresConnectionError):
        await running
    await pool.release(connection)
    assert await pool.fetchval("SELECT 7") == 7


async def test_hooks(make: Any) -> None:
    told: list[str] = []

    async def init(connection: Any) -> None:
        told.append("init")
        assert isinstance(connection, Mine)

    async def setup(connection: Any) -> None:
        told.append("setup")
        await connection.execute("SET application_name TO mine")

    class Mine(asyncpg.Connection):
        async def answer(self) -> int:
            return int(await self.fetchval("SELECT 42"))

    pool = await make(init=init, setup=setup, connection_class=Mine, max_size=1)
    assert await pool.fetchval("SHOW application_name") == "mine"
    async with pool.acquire() as connection:
        assert await connection.answer() == 42
    assert told[0] == "init"
    assert told.count("setup") == 2
    assert told.count("init") == 2  # what was set was reset, and init with it


async def test_listeners(pool: Any) -> None:
    heard: list[Any] = []
    lost: list[Any] = []
    async with pool.acquire() as connection:
        callback = lambda *told: heard.append(told)  # noqa: E731
        await connection.add_listener("news", callback)
        connection.add_termination_listener(lost.append)
        await pool.execute("NOTIFY news, 'one'")
        await until(lambda: heard)
        assert [(told[0] is connection, told[2:]) for told in heard] == [(True, ("news", "one"))]
        await connection.remove_listener("news", callback)
        await pool.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()})")
        await until(lambda: lost)
        assert lost == [connection]
        with pytest.raises(asyncpg.PostgresConnectionError):
            await connection.fetch("SELECT 1")


async def test_records_of_a_class(make: Any) -> None:
    class Row(asyncpg.Record):
        def __getattr__(self, name: str) -> Any:
            try:
                return self[name]
            except KeyError:
                raise AttributeError(name) from None

    pool = await make(record_class=Row)
    async with pool.acquire() as connection:
        assert (await connection.fetchrow("SELECT 1 AS one, 2 AS two")).two == 2
        assert not isinstance(await connection.fetchrow("SELECT 1", record_class=asyncpg.Record), Row)
        assert (await connection.fetchmany("SELECT $1::int AS one", [(1,)]))[0].one == 1
    assert (await pool.fetch("SELECT 1 AS one"))[0].one == 1
    assert (await pool.fetchrow("SELECT 1 AS one")).one == 1
    assert (await pool.fetchmany("SELECT $1::int AS one", [(1,), (2,)]))[1].one == 2
    assert not isinstance(await pool.fetchrow("SELECT 1", record_class=asyncpg.Record), Row)
    plain = await make()
    assert (await plain.fetch("SELECT 1 AS one", record_class=Row))[0].one == 1


async def test_codecs(pool: Any) -> None:
    assert await pool.fetchval("SELECT '{\"a\": [1, 2.50]}'::json") == '{"a": [1, 2.50]}'
    async with pool.acquire() as connection:
        await connection.set_type_codec("jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
        assert await connection.fetchval("SELECT $1::jsonb", {"a": [1]}) == {"a": [1]}


async def test_a_failed_login_is_theirs_and_ours(engine: Any, pg_database: str) -> None:
    wrong = re.sub(r"/\w+$", "/missing", pg_database)
    with pytest.raises(asyncpg.InvalidCatalogNameError) as caught:
        await asyncpg.connect(wrong, mode=engine.name)
    assert isinstance(caught.value, errors.ConnectFailed)
    for host, kind in (("127.0.0.1:1", ConnectionRefusedError), ("nowhere.invalid", socket.gaierror)):
        with pytest.raises(kind, match="connect"):
            await asyncpg.connect(f"postgresql://{host}/x", mode=engine.name, timeout=5)
    for url, options in (("mysql://x", {}), ("postgresql://x", {"ssl": "no"})):
        with pytest.raises(asyncpg.InterfaceError, match="not allowed") as mistake:
            await asyncpg.connect(url, mode=engine.name, **options)
        assert isinstance(mistake.value, asyncpg.ClientConfigurationError)


@pytest.mark.usefixtures("patient")
async def test_time_is_up(pool: Any) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await pool.fetch("SELECT pg_sleep(60)", timeout=0.05)
    async with pool.acquire() as connection:
        with pytest.raises(asyncio.TimeoutError):
            await connection.fetch("SELECT pg_sleep(60)", timeout=0.05)
        assert await connection.fetchval("SELECT 7") == 7


@pytest.mark.parametrize("call", [("fetch", 1), ("fetchrow",), ("forward", 1)], ids=lambda call: call[0])
@pytest.mark.usefixtures("patient")
async def test_time_of_a_cursor_is_up(pool: Any, call: tuple[Any, ...]) -> None:
    name, *args = call
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        cursor = await connection.cursor("SELECT pg_sleep(60)")
        with pytest.raises(asyncio.TimeoutError):
            await getattr(cursor, name)(*args, timeout=0.05)
        await transaction.rollback()
        assert await connection.fetchval("SELECT 7") == 7


async def test_a_connection_lost_before_the_commit_is_theirs_and_ours(pool: Any) -> None:
    async with pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("INSERT INTO users VALUES (7, 'x')")
        await pool.execute(f"SELECT pg_terminate_backend({connection.get_server_pid()}, 30000)")
        with pytest.raises(asyncpg.ConnectionDoesNotExistError) as caught:
            await transaction.commit()
        assert isinstance(caught.value, errors.ConnectionLost)


async def test_several_statements_in_one_text(pool: Any) -> None:
    assert await pool.execute("CREATE TABLE one (a int); CREATE TABLE two (a int); INSERT INTO two VALUES (1)")
    assert await pool.fetchval("SELECT a FROM two") == 1
    assert await pool.execute("SELECT ';';") == "SELECT 1"
    with pytest.raises(asyncpg.DivisionByZeroError):
        await pool.execute("INSERT INTO one VALUES (1); SELECT 1/0")
    assert await pool.fetchval("SELECT count(*) FROM one") == 0
    with pytest.raises(asyncpg.InterfaceError):
        await pool.execute("SELECT $1::int; SELECT 2", 1)
    with pytest.raises(asyncpg.InterfaceError, match="SQL must be a str"):
        await pool.execute(b"SELECT 1; SELECT 2")


async def test_fetchmany(pool: Any) -> None:
    insert = "INSERT INTO users VALUES ($1, $2) RETURNING name"
    assert await pool.fetchmany(insert, [(3, "c"), (4, "d")]) == [("c",), ("d",)]
    async with pool.acquire() as connection:
        for many in (connection.fetchmany, pool.fetchmany):
            with pytest.raises(asyncpg.DataError, match=r"element 1: .* got a mapping"):
                await many(insert, [(5, "e"), {6: "x", "y": 7}])
    assert await pool.fetchval("SELECT count(*) FROM users") == 4


def test_names_of_errors() -> None:
    for name, theirs in vars(original.exceptions).items():
        if (
            isinstance(theirs, type)
            and issubclass(theirs, original.PostgresError)
            and getattr(theirs, "sqlstate", None)
        ):
            ours = getattr(asyncpg, name)
            assert ours.sqlstate == theirs.sqlstate, name
            assert issubclass(ours, asyncpg.PostgresError)
    with pytest.raises(AttributeError):
        _ = asyncpg.Nonsense


# -- the table of differences ------------------------------------------------------------------------------------------


async def test_calls_of_several_tasks_on_a_connection_queue(pool: Any) -> None:
    async with pool.acquire() as connection:
        found = await asyncio.gather(*(connection.fetchval("SELECT $1::int", number) for number in range(5)))
        assert found == [0, 1, 2, 3, 4]


async def test_a_statement_goes_on_after_a_change_of_its_table(pool: Any) -> None:
    async with pool.acquire() as connection:
        statement = await connection.prepare("SELECT * FROM users WHERE id = $1")
        assert len(await statement.fetchrow(1)) == 3
        await connection.execute("ALTER TABLE users ADD COLUMN more int")
        assert len(await statement.fetchrow(1)) == 4


async def test_a_numeric_of_a_float(pool: Any) -> None:
    for value in (0.1, "0.1", decimal.Decimal("0.1")):
        assert await pool.fetchval("SELECT $1::numeric", value) == decimal.Decimal("0.1")
    assert await pool.fetchval("SELECT ARRAY[1.50]") == [decimal.Decimal("1.50")]


async def test_a_codec_is_the_pools(pool: Any) -> None:
    async with pool.acquire() as connection:
        await connection.set_type_codec("json", encoder=json.dumps, decoder=json.loads, schema="pg_catalog")
    assert await pool.fetchval("SELECT '[1]'::json") == [1]


async def test_records_are_tuples(pool: Any) -> None:
    row = await pool.fetchrow("SELECT 1 AS a, 2 AS b")
    assert row == (1, 2)
    assert isinstance(row, tuple)
    assert list(row.keys()) == ["a", "b"]


async def test_what_is_not_supported_says_why(pool: Any) -> None:
    async with pool.acquire() as connection:
        for call in (
            lambda: pool.set_connect_args("postgresql://x", command_timeout=5),
            lambda: asyncpg.create_pool(connect=print),
        ):
            with pytest.raises(NotImplementedError, match=r"\w+.*: "):
                call()
        for awaited in (
            connection.set_builtin_type_codec("json", schema="pg_catalog", codec_name="int4"),
            connection.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="binary"),
        ):
            with pytest.raises(NotImplementedError, match=r"\w+.*: "):
                await awaited


def test_the_table_names_these_tests() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "asyncpg.md").read_text()))
    assert len(named) >= 6
    own = sys.modules[__name__]
    modules = (own, test_asyncpg_more, test_asyncpg_names, test_asyncpg_states, test_asyncpg_values)
    assert named <= {name for module in modules for name in vars(module)}
