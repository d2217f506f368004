"""What the database refuses: the class, the fields, whether to try again, and a pool that goes on."""

from __future__ import annotations

import asyncio
import copy
import io
import pickle
from typing import Any

import pytest

from db_pool_rs import errors
from db_pool_rs.errors import ConnectionLost, DatabaseError
from tests.contract.waiting import in_thread, until, until_async

SCHEMA = """
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE item (id int CONSTRAINT item_id PRIMARY KEY, name text NOT NULL,
    price int CONSTRAINT item_price CHECK (price >= 0), parent int CONSTRAINT item_parent REFERENCES parent (id));
INSERT INTO item VALUES (1, 'one', 1, NULL);
"""
#: Refused by both databases: statement, arguments, SQLSTATE and class.
REFUSED: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("INSERT INTO item VALUES ($1, $2, 1, NULL)", (1, "again"), "23505", "UniqueViolation"),
    ("INSERT INTO item VALUES ($1, $2, 1, NULL)", (2, None), "23502", "NotNullViolation"),
    ("INSERT INTO item VALUES ($1, $2, -1, NULL)", (2, "x"), "23514", "CheckViolation"),
    ("INSERT INTO item VALUES ($1, $2, 1, 99)", (2, "x"), "23503", "ForeignKeyViolation"),
    ("SELECT * FROM no_table", (), "42P01", "UndefinedTable"),
    ("SELECT no_column FROM item", (), "42703", "UndefinedColumn"),
    ("SELECT no_function(1)", (), "42883", "UndefinedFunction"),
    ("SELEKT 1", (), "42601", "SyntaxError"),
    ("CREATE TABLE item (id int)", (), "42P07", "DuplicateTable"),
]
MORE: list[tuple[str, tuple[Any, ...], str, str]] = [
    ("SELECT 1 / $1::int", (0,), "22012", "DivisionByZero"),
    ("SELECT 'x'::int", (), "22P02", "InvalidTextRepresentation"),
    ("SELECT 2147483647 + $1::int", (1,), "22003", "NumericValueOutOfRange"),
    (
        "DO $$ BEGIN RAISE EXCEPTION 'own' USING ERRCODE = 'AB123', HINT = 'a hint'; END $$",
        (),
        "AB123",
        "DatabaseError",
    ),
    ("DO $$ BEGIN SET LOCAL ROLE pg_monitor; PERFORM rolname FROM pg_authid; END $$", (), "42501", ""),
    ("VACUUM no_table", (), "42P01", "UndefinedTable"),
    ("TABLE", (), "42601", "SyntaxError"),
]


async def _prepare(pool: Any) -> None:
    async with pool.acquire() as conn:
        await conn.execute(SCHEMA)


async def _caught(call: Any) -> DatabaseError:
    with pytest.raises(DatabaseError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize(("sql", "args", "sqlstate", "name"), REFUSED, ids=[row[2] for row in REFUSED])
async def test_class_and_sqlstate_on_both_databases(
    pool: Any, sql: str, args: tuple[Any, ...], sqlstate: str, name: str
) -> None:
    await _prepare(pool)
    async with pool.acquire() as conn:
        for one in (pool, conn, pool, conn):
            for call in (one.fetch, one.fetchval, one.execute):
                error = await _caught(call(sql, *args))
                assert (error.sqlstate, type(error).__name__) == (sqlstate, name)
                assert isinstance(error, getattr(errors, name))
                assert error.query == sql
                assert not error.safe_to_retry
            assert await one.fetchval("SELECT count(*) FROM item") == 1
    assert pool.stats().lost == 0


@pytest.mark.parametrize(("sql", "args", "sqlstate", "name"), MORE, ids=[f"{i}-{row[2]}" for i, row in enumerate(MORE)])
async def test_class_and_sqlstate(pg_pool: Any, sql: str, args: tuple[Any, ...], sqlstate: str, name: str) -> None:
    async with pg_pool.acquire() as conn:
        for one in (pg_pool, conn, pg_pool, conn):
            error = await _caught(one.fetch(sql, *args))
            assert error.sqlstate == sqlstate
            assert not name or type(error).__name__ == name
            assert await one.fetchval("SELECT 1") == 1
    assert pg_pool.stats().lost == 0


async def test_fields_of_the_server(pg_pool: Any) -> None:
    await _prepare(pg_pool)
    for _ in range(4):
        error = await _caught(pg_pool.execute("INSERT INTO item VALUES ($1, 'x', 1, NULL)", 1))
        assert (error.severity, error.table, error.schema, error.constraint) == ("ERROR", "item", "public", "item_id")
        assert error.detail == "Key (id)=(1) already exists."
        assert error.message.startswith("duplicate key value")
        assert "DETAIL" in str(error)
        error = await _caught(pg_pool.execute("INSERT INTO item VALUES (5, $1)", None))
        assert (error.column, error.table) == ("name", "item")
        error = await _caught(pg_pool.fetch("SELECT 1 FROM item WHERE nam = $1", "x"))
        assert error.position == 26
        assert error.hint is not None
        assert "item.name" in error.hint
        error = await _caught(pg_pool.fetch("DO $$ BEGIN PERFORM 1 / 0; END $$"))
        assert error.where is not None
        assert error.internal_query is None or "1 / 0" in error.internal_query


async def test_constraint_is_named_on_both_databases(pool: Any) -> None:
    await _prepare(pool)
    error = await _caught(pool.execute("INSERT INTO item VALUES (7, 'x', $1, NULL)", -5))
    assert error.constraint == "item_price"


async def test_errors_can_be_pickled_and_copied(pool: Any) -> None:
    await _prepare(pool)
    error = await _caught(pool.execute("INSERT INTO item VALUES ($1, $2, 1, NULL)", 1, "x"))
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert (str(other), other.sqlstate, other.query) == (str(error), error.sqlstate, error.query)


async def test_each_caller_gets_its_own_error(pool: Any) -> None:
    await _prepare(pool)
    sql = "INSERT INTO item VALUES ($1, $2, 1, NULL)"
    for turn in range(4):
        ids = [100 * turn + 200 + i if i % 4 else 1 for i in range(40)]
        results = await asyncio.gather(*[pool.execute(sql, i, "x") for i in ids], return_exceptions=True)
        failed = [result for result in results if isinstance(result, DatabaseError)]
        assert [isinstance(result, DatabaseError) for result in results] == [i == 1 for i in ids]
        assert len({id(error) for error in failed}) == len(failed) == 10
        assert {error.sqlstate for error in failed} == {"23505"}
    assert await pool.fetchval("SELECT count(*) FROM item") == 1 + 4 * 30


async def test_error_in_a_transaction_ends_it(pool: Any) -> None:
    await _prepare(pool)

    async def work() -> None:
        async with pool.transaction() as conn:
            await conn.execute("INSERT INTO item VALUES (2, 'two', 2, NULL)")
            await conn.execute("INSERT INTO item VALUES (1, 'x', 1, NULL)")

    for _ in range(3):
        with pytest.raises(errors.UniqueViolation):
            await work()
        assert await pool.fetchval("SELECT count(*) FROM item") == 1


async def test_error_in_executemany_undoes_all(pool: Any) -> None:
    await _prepare(pool)
    for _ in range(3):
        with pytest.raises(errors.UniqueViolation):
            await pool.executemany(
                "INSERT INTO item VALUES ($1, $2, 1, NULL)", [(2, "a"), (3, "b"), (1, "c"), (4, "d")]
            )
        assert await pool.fetchval("SELECT count(*) FROM item") == 1


async def test_deferred_constraint_is_the_error_of_the_statement(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE parent (id int PRIMARY KEY)")
    await pg_pool.execute("CREATE TABLE child (id int, parent int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
    async with pg_pool.acquire() as conn:
        for one in (pg_pool, conn) * 3:
            error = await _caught(one.execute("INSERT INTO child VALUES ($1, $2)", 1, 99))
            assert isinstance(error, errors.ForeignKeyViolation)
            error = await _caught(one.execute("INSERT INTO child VALUES (1, 99)"))
            assert isinstance(error, errors.ForeignKeyViolation)
            assert await one.fetchval("SELECT count(*) FROM child") == 0
    with pytest.raises(errors.ForeignKeyViolation):
        async with pg_pool.transaction() as conn:
            await conn.execute("INSERT INTO child VALUES ($1, $2)", 1, 99)
    assert await pg_pool.fetchval("SELECT count(*) FROM child") == 0


async def test_serialization_failure_is_safe_to_retry(pg_pool: Any) -> None:
    await _prepare(pg_pool)

    async def work() -> None:
        async with pg_pool.transaction(isolation="repeatable_read") as one:
            await one.fetch("SELECT * FROM item")
            await pg_pool.execute("UPDATE item SET name = 'other' WHERE id = 1")
            await one.execute("UPDATE item SET name = 'mine' WHERE id = 1")

    with pytest.raises(errors.SerializationFailure) as caught:
        await work()
    assert caught.value.safe_to_retry
    assert caught.value.sqlstate == "40001"


async def test_deadlock_is_safe_to_retry_and_hits_one_of_two(pg_pool: Any) -> None:
    await _prepare(pg_pool)
    await pg_pool.execute("INSERT INTO item VALUES (2, 'two', 2, NULL)")
    locked = [asyncio.Event(), asyncio.Event()]

    async def cross(number: int) -> None:
        async with pg_pool.transaction() as conn:
            await conn.execute("SET LOCAL deadlock_timeout = '10ms'")
            await conn.execute("UPDATE item SET price = 5 WHERE id = $1", number + 1)
            locked[number].set()
            await locked[1 - number].wait()
            await conn.execute("UPDATE item SET price = 5 WHERE id = $1", 2 - number)

    results = await asyncio.gather(cross(0), cross(1), return_exceptions=True)
    failed = [result for result in results if result is not None]
    assert [type(error) for error in failed] == [errors.DeadlockDetected]
    assert failed[0].safe_to_retry


async def test_copy_that_needs_a_stream_is_refused(pg_pool: Any) -> None:
    await _prepare(pg_pool)
    async with pg_pool.acquire() as conn:
        for one in (pg_pool, conn):
            for sql in ("COPY item FROM STDIN", "COPY item TO STDOUT", "COPY (SELECT 1) TO STDOUT"):
                with pytest.raises(errors.InterfaceError, match="COPY"):
                    await one.execute(sql)
                assert await one.fetchval("SELECT 1") == 1


async def test_session_terminated_while_it_runs_is_unknown(pg_pool: Any) -> None:
    call = asyncio.ensure_future(pg_pool.fetchval("SELECT pg_backend_pid() FROM pg_sleep(60)"))
    asleep = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
    await until_async(lambda: pg_pool.fetchval(asleep))
    await pg_pool.execute(f"SELECT pg_terminate_backend(pid) FROM ({asleep}) AS q")
    with pytest.raises((ConnectionLost, DatabaseError)) as caught:
        await call
    assert "administrator command" in str(caught.value) + str(caught.value.__cause__)
    assert await pg_pool.fetchval("SELECT 1") == 1


async def test_commit_cut_off_after_it_was_made_is_not_called_undone(open_pool: Any, own_server: Any) -> None:
    """A commit that waits for a replica is there already: an end of the wait must not make us say that it is not."""
    server = own_server(conf={"synchronous_standby_names": "nobody", "synchronous_commit": "local"})
    pool = await open_pool(server.dsn(), max_size=2, server_settings={"synchronous_commit": "on"})
    await in_thread(server.sql, "CREATE TABLE paid (id int)")
    call = asyncio.ensure_future(pool.execute("INSERT INTO paid VALUES ($1)", 1))
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    await until(lambda: bool(server.sql(waiting)))
    await in_thread(server.sql, f"SELECT pg_terminate_backend(pid) FROM ({waiting}) AS q")
    with pytest.raises(ConnectionLost) as caught:
        await call
    assert caught.value.sent
    assert not caught.value.safe_to_retry
    assert await in_thread(server.sql, "SELECT count(*) FROM paid") == [("1",)]


async def test_messages_in_another_encoding_are_errors_as_well(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    await in_thread(server.sql, "CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    pool = await open_pool(server.dsn("latin"), max_size=2)
    for _ in range(4):
        with pytest.raises(DatabaseError) as caught:
            await pool.fetch('SELECT "é"')
        assert "é" in str(caught.value)
        with pytest.raises(DatabaseError) as caught:
            await pool.fetch("SELECT $1::text", "中")
        assert caught.value.sqlstate == "22P05"
        assert await pool.fetchval("SELECT $1::text", "é") == "é"


async def test_bytes_that_are_no_text_are_an_error_of_their_statement(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    await in_thread(server.sql, "CREATE DATABASE raw TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    pool = await open_pool(server.dsn("raw"), max_size=2)
    sql = "SELECT convert_from($1::bytea, 'SQL_ASCII') AS t"
    for _ in range(4):
        assert await pool.fetchval(sql, "é".encode()) == "é"
    bad, good = await asyncio.gather(pool.fetchval(sql, b"\xff"), pool.fetchval(sql, b"x"), return_exceptions=True)
    assert isinstance(bad, DatabaseError), bad
    assert bad.sqlstate == "22021"
    assert good == "x"
    assert await pool.fetchval(sql, b"y") == "y"


IN_PARTS = "DO $$ BEGIN RAISE EXCEPTION 'again' USING ERRCODE = '40001'; END $$"


async def test_errors_of_every_session_know_their_statement(pg_pool: Any) -> None:
    """Also of texts that mean other tables on this session, of scripts, and of a COPY."""

    async def refused(call: Any, query: str) -> DatabaseError:
        with pytest.raises(DatabaseError) as caught:
            await call
        assert caught.value.query == query
        return caught.value

    async with pg_pool.acquire() as connection:
        for _ in range(2):
            assert not (await refused(connection.execute(IN_PARTS), IN_PARTS)).safe_to_retry
            missing = await refused(connection.fetch("SELECT * FROM missing"), "SELECT * FROM missing")
            assert "LINE 1: SELECT * FROM missing" in str(missing)
            await connection.execute("SET search_path TO pg_catalog")
        await refused(connection.execute("SELECT 1; SELECT * FROM missing"), "SELECT * FROM missing")
        await refused(connection.execute("COMMIT NONSENSE"), "COMMIT NONSENSE")
        await refused(connection.copy_from_table("missing", output=io.BytesIO()), 'COPY "missing" TO STDOUT')
