"""`db_pool_rs.asyncpg` beside statements: listeners, loggers, codecs, types, errors, TLS, modules."""

from __future__ import annotations

import asyncio
import gc
import json
import pickle
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import asyncpg as original
import pytest

import db_pool_rs.asyncpg as asyncpg
from tests.contract.waiting import until
from tests.postgres.certificates import Certificates


@pytest.fixture
async def connection(engine: Any, pg_database: str) -> AsyncIterator[Any]:
    """One connection."""
    connection = await asyncpg.connect(pg_database, mode=engine.name)
    yield connection
    await connection.close()


RAISE = "DO $$ BEGIN RAISE {} 'catch me' USING ERRCODE = '{}', HINT = 'a hint'; END $$"


async def test_log_listeners(connection: Any) -> None:
    heard: list[Any] = []

    async def listener(*told: Any) -> None:
        heard.append(told)

    connection.add_log_listener(listener)
    await connection.execute(RAISE.format("NOTICE", "00000"))
    await connection.execute(RAISE.format("WARNING", "01000"))
    await connection.execute(RAISE.format("WARNING", "01P01"))
    await until(lambda: len(heard) == 3)
    assert all(told[0] is connection for told in heard)
    kinds = [asyncpg.PostgresLogMessage, asyncpg.PostgresWarning, asyncpg.DeprecatedFeature]
    assert [type(told[1]) for told in heard] == kinds
    told = heard[1][1]
    assert (told.message, told.severity, told.sqlstate, told.hint) == ("catch me", "WARNING", "01000", "a hint")
    assert told.as_dict()["message"] == "catch me"
    connection.remove_log_listener(listener)
    await connection.execute(RAISE.format("NOTICE", "00000"))
    await connection.fetchval("SELECT 1")
    assert len(heard) == 3


async def test_a_log_listener_is_called_for_its_own_connection_only(engine: Any, pg_database: str) -> None:
    pool = await asyncpg.create_pool(pg_database, mode=engine.name, min_size=2, max_size=2)
    async with pool, pool.acquire() as first, pool.acquire() as second:
        heard: list[Any] = []
        first.add_log_listener(lambda _, told: heard.append(told.message))
        await second.execute("DO $$ BEGIN RAISE NOTICE 'other'; END $$")
        await first.execute("DO $$ BEGIN RAISE NOTICE 'own'; END $$")
        await until(lambda: heard)
        assert heard == ["own"]
        with pytest.warns(asyncpg.InterfaceWarning, match="released to the pool but has 1 active log listener"):
            await pool.release(first)


async def test_query_loggers(connection: Any) -> None:
    told: list[Any] = []
    with connection.query_logger(told.append):
        await connection.fetch("SELECT $1::int", 7)
        statement = await connection.prepare("SELECT 2")
        await statement.fetch()
        with pytest.raises(asyncpg.UndefinedColumnError):
            await connection.execute("SELECT x")
    await connection.execute("SELECT 3")
    await until(lambda: len(told) == 3)
    assert [one.query for one in told] == ["SELECT $1::int", "SELECT 2", "SELECT x"]
    assert (told[0].args, told[0].exception) == ((7,), None)
    assert type(told[2].exception) is asyncpg.UndefinedColumnError
    assert all(one.elapsed >= 0 for one in told)


async def test_what_is_no_listener_is_told_at_once(engine: Any, pg_database: str) -> None:
    pool = await asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1)
    async with pool.acquire() as connection:  # which would warn of one that is left
        for add in (
            connection.add_log_listener,
            connection.add_termination_listener,
            connection.add_query_logger,
        ):
            with pytest.raises(asyncpg.InterfaceError, match="callable"):
                add(5)
        with pytest.raises(asyncpg.InterfaceError, match="callable"):
            await connection.add_listener("channel", 5)
        with pytest.raises(asyncpg.InterfaceError, match="63 bytes"):
            await connection.add_listener("x" * 70, print)
    await pool.close()


async def test_a_codec_of_a_type_that_is_not_there(connection: Any) -> None:
    for name in ("nothing", "jsonb"):  # which is not in the schema public
        with pytest.raises(ValueError, match=f"unknown type: public.{name}"):
            await connection.set_type_codec(name, encoder=str, decoder=str)
        with pytest.raises(ValueError, match=f"unknown type: public.{name}"):
            await connection.reset_type_codec(name)


async def test_a_codec_is_taken_back(connection: Any) -> None:
    for name, text, usual in (("json", "[1]", "[1]"), ("int4", "7", 7)):
        sql = f"SELECT '{text}'::{name}"
        assert await connection.fetchval(sql) == usual
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=json.dumps, decoder=lambda one: ["decoded", one]
        )
        assert await connection.fetchval(sql) == ["decoded", text]
        await connection.reset_type_codec(name, schema="pg_catalog")
        assert await connection.fetchval(sql) == usual
        assert await connection.fetchval(f"SELECT ARRAY['{text}'::{name}]") == [usual]


async def test_hstore_needs_no_codec(connection: Any) -> None:
    await connection.execute("CREATE EXTENSION hstore")
    await connection.set_builtin_type_codec("hstore", codec_name="pg_contrib.hstore")
    assert await connection.fetchval("SELECT $1::hstore", {"a": "1", "b": None}) == {"a": "1", "b": None}


GEOMETRY = (
    ("point", "(1,2)", "Point(1, 2)"),
    ("lseg", "[(1,2),(3,4)]", "LineSegment((1, 2), (3, 4))"),
    ("box", "(3,4),(1,2)", "Box((3, 4), (1, 2))"),
    ("line", "{1,2,3}", "Line(1, 2, 3)"),
    ("path", "[(1,2),(3,4)]", "Path((1, 2), (3, 4))"),
    ("path", "((1,2),(3,4))", "Path((1, 2), (3, 4), is_closed=True)"),
    ("polygon", "((1,2),(3,4),(5,6))", "Polygon((1, 2), (3, 4), (5, 6))"),
    ("circle", "<(1,2),3>", "Circle((1, 2), 3)"),
)


@pytest.mark.parametrize(("name", "text", "value"), GEOMETRY, ids=[f"{one[0]}-{one[1][0]}" for one in GEOMETRY])
async def test_geometry(connection: Any, name: str, text: str, value: str) -> None:
    expected = eval(f"asyncpg.{value}")
    found = await connection.fetchval(f"SELECT '{text}'::{name}")
    assert (type(found), found) == (type(expected), expected)
    assert await connection.fetchval(f"SELECT $1::{name}::text", expected) == text
    assert await connection.fetchval(f"SELECT ARRAY[$1::{name}]", expected) == [expected]


async def test_bit_strings(connection: Any) -> None:
    found = await connection.fetchval("SELECT B'010111'")
    same = original.BitString("010111")
    assert isinstance(found, asyncpg.BitString)
    assert (found.as_string(), found.bytes, len(found), found.to_int()) == (
        same.as_string(), same.bytes, len(same), same.to_int(),
    )  # fmt: skip
    assert asyncpg.BitString.from_int(-3, 6, signed=True).to_int(signed=True) == -3
    assert asyncpg.BitString.frombytes(b"\x58", bitlength=6).as_string() == "0101 10"
    assert await connection.fetchval("SELECT $1::varbit", asyncpg.BitString("0101")) == "0101"
    with pytest.raises(ValueError, match="zeros and ones"):
        asyncpg.BitString("2")


async def test_errors_have_their_fields(connection: Any) -> None:
    await connection.execute("CREATE TABLE t (id int CONSTRAINT mine PRIMARY KEY, name text NOT NULL)")
    await connection.execute("INSERT INTO t VALUES (1, 'x')")
    with pytest.raises(asyncpg.UniqueViolationError) as caught:
        await connection.execute("INSERT INTO t VALUES (1, 'x')")
    error = caught.value
    assert (error.schema_name, error.table_name, error.constraint_name) == ("public", "t", "mine")
    assert error.as_dict()["detail"] == "Key (id)=(1) already exists."
    assert pickle.loads(pickle.dumps(error)).constraint_name == "mine"
    with pytest.raises(asyncpg.NotNullViolationError) as missing:
        await connection.execute("INSERT INTO t VALUES (2)")
    assert missing.value.column_name == "name"


def test_every_name_of_an_error_is_exported() -> None:
    assert set(original.exceptions.__all__) <= set(asyncpg.exceptions.__all__)
    assert set(original.__all__) <= set(asyncpg.__all__)
    for name in asyncpg.__all__:
        assert getattr(asyncpg, name) is not None
    assert issubclass(asyncpg.InterfaceWarning, UserWarning)
    assert issubclass(asyncpg.PostgresWarning, Warning)


def test_libraries_find_it_by_asyncpgs_name() -> None:
    program = """
import db_pool_rs.asyncpg as ours
ours.install_as_asyncpg()
import asyncpg, asyncpg.pool
from asyncpg.exceptions import UniqueViolationError
from asyncpg.connection import Connection
from asyncpg.transaction import Transaction
from asyncpg.protocol import Record
from asyncpg.protocol.protocol import Record as Same
from asyncpg.pgproto.pgproto import UUID
from asyncpg.types import Range
assert asyncpg is ours and asyncpg.Pool is asyncpg.pool.Pool
import uuid
assert UUID is uuid.UUID and Same is Record
assert UniqueViolationError is ours.UniqueViolationError and Connection is ours.Connection
"""
    subprocess.run([sys.executable, "-c", program], check=True)


async def test_a_context_of_the_module_ssl(engine: Any, own_server: Any, tmp_path: Any) -> None:
    certificates = Certificates(tmp_path)
    certificates.issue("server", "localhost")
    server = own_server(start=False, conf={"ssl": "on"})
    for name in ("server.crt", "server.key"):
        server.write_file(name, (tmp_path / name).read_text())
    server.start()
    context = ssl.create_default_context(cafile=certificates.path("ca.crt"))
    dsn = f"postgresql://postgres@localhost:{server.port}/postgres"
    connection = await asyncpg.connect(dsn, mode=engine.name, ssl=context)
    assert await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    await connection.close()
    with pytest.raises(ssl.SSLCertVerificationError, match="certificate verify failed"):
        await asyncpg.connect(dsn.replace("localhost", "127.0.0.1"), mode=engine.name, ssl=context)
    context.check_hostname = False
    await (await asyncpg.connect(dsn.replace("localhost", "127.0.0.1"), mode=engine.name, ssl=context)).close()
    with pytest.raises(asyncpg.ClientConfigurationError, match="sslrootcert"):
        await asyncpg.connect(dsn, mode=engine.name, ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def test_void_is_none(connection: Any) -> None:
    assert await connection.fetchval("SELECT pg_sleep(0)") is None


async def test_prepared_statements_explain_themselves_and_run_many_times(connection: Any) -> None:
    statement = await connection.prepare("SELECT $1::int AS one")
    assert await statement.fetchmany([(1,), (2,)]) == [(1,), (2,)]
    plan = await statement.explain(1, analyze=True)
    assert plan[0]["Plan"]["Actual Rows"] == 1


async def test_copy_of_bytes(connection: Any) -> None:
    await connection.execute("CREATE TABLE t (a int)")
    for source in (b"1\n", bytearray(b"2\n"), memoryview(b"3\n")):
        assert await connection.copy_to_table("t", source=source) == "COPY 1"
    assert await connection.fetchval("SELECT sum(a) FROM t") == 6


async def test_what_init_raises_is_raised(engine: Any, pg_database: str) -> None:
    class Failed(Exception):
        """Of the program's own."""

    async def init(_: Any) -> None:
        raise Failed

    with pytest.raises(Failed):
        await asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1, init=init)
    pool = await asyncpg.create_pool(pg_database, mode=engine.name, min_size=0, max_size=1, init=init)
    for call in (pool.acquire, lambda: pool.fetch("SELECT 1"), lambda: pool.execute("SELECT 1")):
        with pytest.raises(Failed):
            await call()
    await pool.close()


async def test_a_connection_that_is_lost_leaves_nothing(engine: Any, pg_database: str, connection: Any) -> None:
    """A program that reconnects does not close what is lost."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    lost, told = await asyncpg.connect(pg_database, mode=engine.name), asyncio.Event()
    lost.add_termination_listener(lambda _: told.set())
    await connection.execute("SELECT pg_terminate_backend($1, 30000)", lost.get_server_pid())
    await told.wait()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> $1"
    await until(lambda: lost._pool.is_closing())
    assert lost.is_closed()
    while await connection.fetchval(others, pid):
        pass
    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await lost.fetch("SELECT 1")
    await lost.close()


async def test_what_runs_when_a_connection_is_lost(engine: Any, pg_database: str, connection: Any) -> None:
    lost = await asyncpg.connect(pg_database, mode=engine.name)
    running = asyncio.ensure_future(lost.execute("SELECT pg_sleep(60)"))
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
    while not await connection.fetchval(asleep, lost.get_server_pid()):
        pass
    waiting = asyncio.ensure_future(lost.execute("SELECT 1"))
    await connection.execute("SELECT pg_terminate_backend($1)", lost.get_server_pid())
    with pytest.raises(asyncpg.ConnectionDoesNotExistError, match=r"administrator.*was not carried out"):
        await running
    with pytest.raises((asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError), match=r"not carried out|closed"):
        await waiting
    await lost.close()


async def test_a_forgotten_connection_is_closed(engine: Any, pg_database: str, connection: Any) -> None:
    async def forget() -> Any:
        made = await asyncpg.connect(pg_database, mode=engine.name)
        pool: asyncpg.Pool = made._pool
        return pool

    with pytest.warns(ResourceWarning, match="never released"):  # noqa: PT031 (which of the two lines is the collector's)
        pool = await asyncio.create_task(forget())
        gc.collect()
    await until(pool.is_closing)
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while await connection.fetchval(others):
        pass


async def test_a_pool_is_opened_once(engine: Any, pg_database: str) -> None:
    pool = asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1)

    async def opened() -> Any:
        return await pool

    found = await asyncio.gather(opened(), opened(), return_exceptions=True)
    assert found[0] is pool
    assert isinstance(found[1], asyncpg.InterfaceError)
    assert await pool is pool
    await pool.close()


async def test_a_forgotten_connection_comes_back(engine: Any, pg_database: str) -> None:
    pool = await asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1)

    async def forget() -> None:
        await pool.acquire()

    with pytest.warns(ResourceWarning, match="never released"):  # noqa: PT031 (as above)
        await asyncio.create_task(forget())
        gc.collect()
    async with pool.acquire(timeout=30) as connection:
        assert isinstance(connection, asyncpg.pool.PoolConnectionProxy)
    await pool.close()


def test_sizes_that_cannot_be() -> None:
    for init, least, most, said in (
        (1, 2, 5, "init_size is smaller"),
        (3, 3, 2, "min_size is greater"),
        (5, 1, 3, "init_size is greater"),
        (-1, 0, 3, "init_size is expected"),
        (0, 0, 0, "max_size is expected"),
        (0, -1, 1, "min_size is expected"),
    ):
        with pytest.raises(ValueError, match=said):
            asyncpg.create_pool("postgresql://", init_size=init, min_size=least, max_size=most)


def test_ranges_within_ranges() -> None:
    bounds = [None, 1, 2, 3]
    kinds = [
        (lower, upper, lower_inc, upper_inc, empty)
        for lower in bounds
        for upper in bounds
        for lower_inc in (True, False)
        for upper_inc in (True, False)
        for empty in (True, False)
    ]

    def made(module: Any, kind: Any) -> Any:
        lower, upper, lower_inc, upper_inc, empty = kind
        return module.Range(lower, upper, lower_inc=lower_inc, upper_inc=upper_inc, empty=empty)

    for one in kinds:
        for other in kinds:
            expected = made(original, one).issubset(made(original, other))
            assert made(asyncpg, one).issubset(made(asyncpg, other)) is expected
            assert made(asyncpg, other).issuperset(made(asyncpg, one)) is expected


@pytest.mark.usefixtures("patient")
async def test_a_transaction_that_failed_is_not_said_to_be_committed(connection: Any) -> None:
    transaction = connection.transaction()
    await transaction.start()
    with pytest.raises(asyncio.TimeoutError):
        await connection.fetch("SELECT pg_sleep(60)", timeout=0.05)
    with pytest.raises(asyncpg.InFailedSQLTransactionError, match="rolled back, not committed"):
        await transaction.commit()
    assert await connection.fetchval("SELECT 7") == 7


async def test_parameters_without_arguments(engine: Any, pg_database: str) -> None:
    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=1) as pool:
        for text in ("SELECT $1::int", "SELECT 1; SELECT $1::int"):
            with pytest.raises(asyncpg.UndefinedParameterError) as caught:
                await pool.execute(text)
            assert caught.value.sqlstate == "42P02"
            async with pool.acquire() as connection:
                with pytest.raises(asyncpg.UndefinedParameterError):
                    await connection.execute(text)
        with pytest.raises(asyncpg.InterfaceError):
            await pool.fetch("SELECT $1::int")
