"""Notices of the server and statements that were answered, as the log and a program's listeners are told of them."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError, UniqueViolation
from tests.contract.waiting import until

RAISE = "DO $$ BEGIN RAISE {} 'it says {}'; END $$"


@pytest.mark.parametrize(
    ("severity", "level"), [("WARNING", logging.WARNING), ("NOTICE", logging.INFO), ("DEBUG", logging.DEBUG)]
)
async def test_notices_are_logged_at_their_level(
    open_pool: Any, pg_database: str, caplog: pytest.LogCaptureFixture, severity: str, level: int
) -> None:
    caplog.set_level(logging.DEBUG, "db_pool_rs")
    pool = await open_pool(pg_database, name="orders", server_settings={"client_min_messages": "debug1"})
    heard: list[DatabaseError] = []
    pool.add_notice_listener(heard.append)
    await pool.execute(RAISE.format(severity, severity))
    async with pool.acquire() as connection:
        await connection.execute(RAISE.format(severity, severity))
    mine = f"it says {severity}"
    await until(lambda: [one.message for one in heard].count(mine) == 2)
    assert {str(one.severity).rstrip("12345") for one in heard if one.message == mine} == {severity}
    lines = [record for record in caplog.records if mine in record.getMessage()]
    assert [line.levelno for line in lines] == [level, level]
    assert all(line.getMessage().startswith("pool 'orders': ") for line in lines)
    pool.remove_notice_listener(heard.append)


async def test_listeners_can_be_removed_and_harm_nothing(
    open_pool: Any, pg_database: str, caplog: pytest.LogCaptureFixture
) -> None:
    pool = await open_pool(pg_database)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))
    heard: list[Any] = []

    def fail(told: Any) -> None:
        heard.append(told)
        raise RuntimeError("mine")

    pool.add_notice_listener(fail)
    pool.add_query_logger(fail)
    await pool.execute(RAISE.format("NOTICE", "x"))
    await until(lambda: len(failures) == 2)
    assert all(str(failure["exception"]) == "mine" for failure in failures)
    pool.remove_notice_listener(fail)
    pool.remove_query_logger(fail)
    pool.remove_query_logger(print)  # was not added
    count = len(heard)
    await pool.execute(RAISE.format("NOTICE", "x"))
    async with pool.acquire() as connection:
        await connection.execute("SELECT 1")
    assert len(heard) == count
    for wrong in (None, 7):
        with pytest.raises(InterfaceError, match="callback"):
            pool.add_notice_listener(wrong)
        with pytest.raises(InterfaceError, match="callback"):
            pool.add_query_logger(wrong)


async def test_every_statement_is_told_with_its_arguments_and_its_error(pool: Any) -> None:
    heard: list[Any] = []
    pool.add_query_logger(heard.append)
    insert = "INSERT INTO item VALUES ($1)"
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    await pool.execute(insert, 1)
    with pytest.raises(UniqueViolation):
        await pool.execute(insert, 1)
    with pytest.raises(ArgumentError):
        await pool.execute(insert, 1, 2)
    assert await pool.fetch("SELECT id FROM item WHERE id = :id", {"id": 1}, row=dict) == [{"id": 1}]
    assert await pool.fetchrow("SELECT id FROM item WHERE id = $1", 5, row=dict) is None
    assert await pool.fetchval("SELECT count(*) FROM item") == 1
    await pool.fetch("")
    async with pool.acquire() as connection:
        await connection.execute(insert, 2)
        await connection.executemany(insert, [(3,), (4,)])
    select = "SELECT id FROM item WHERE id = $1"
    expected = [
        ("CREATE TABLE item (id int PRIMARY KEY)", (), None),
        (insert, (1,), None),
        (insert, (1,), UniqueViolation),
        (select, (1,), None),
        (select, (5,), None),
        ("SELECT count(*) FROM item", (), None),
        (insert, (2,), None),
        (insert, (3,), None),
        (insert, (4,), None),
    ]
    await until(lambda: len(heard) >= len(expected))
    assert [(one.query, one.args, one.error and type(one.error)) for one in heard] == expected
    assert all(0 <= one.seconds < 60 for one in heard)


async def test_statements_that_come_together_are_each_told(pool: Any) -> None:
    heard: list[Any] = []
    pool.add_query_logger(heard.append)
    await asyncio.gather(*(pool.fetchval("SELECT $1 + 0", n) for n in range(50)))
    await until(lambda: len(heard) == 50)
    assert sorted(one.args[0] for one in heard) == list(range(50))


async def test_what_the_pool_asks_for_itself_is_not_told(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    heard: list[Any] = []
    pg_pool.add_query_logger(heard.append)
    async with pg_pool.acquire() as connection:
        statement = await connection.prepare("SELECT 'sad'::mood AS mood")
        assert [one.type.name for one in statement.get_attributes()] == ["mood"]
    assert await pg_pool.fetchval("SELECT 7") == 7
    await until(lambda: any(one.query == "SELECT 7" for one in heard))
    assert not [one.query for one in heard if "pg_type" in one.query]


async def test_executions_that_are_rolled_back_together_have_one_error(pool: Any) -> None:
    """None of them is told to be done."""
    insert = "INSERT INTO item VALUES ($1)"
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    heard: list[Any] = []
    pool.add_query_logger(heard.append)
    with pytest.raises(UniqueViolation):
        await pool.executemany(insert, [(1,), (2,), (1,), (3,)])
    with pytest.raises(UniqueViolation):
        await pool.fetchmany(f"{insert} RETURNING id", [(4,), (4,)])
    assert await pool.fetchval("SELECT count(*) FROM item") == 0
    await until(lambda: any("count" in one.query for one in heard))
    assert [(one.args, one.error and type(one.error)) for one in heard] == [
        ((1,), UniqueViolation),
        ((2,), UniqueViolation),
        ((1,), UniqueViolation),
        ((4,), UniqueViolation),
        ((4,), UniqueViolation),
        ((), None),
    ]


async def test_the_parts_of_a_script_are_told(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    heard: list[Any] = []
    pool.add_query_logger(heard.append)
    async with pool.acquire() as connection:
        await connection.execute("INSERT INTO item VALUES (1); INSERT INTO item VALUES (2)")
        with pytest.raises(UniqueViolation):
            await connection.execute("INSERT INTO item VALUES (3); INSERT INTO item VALUES (1); SELECT 1")
    await until(lambda: len(heard) >= 4)
    assert [(one.query[-3:], one.error and type(one.error)) for one in heard] == [
        ("(1)", None),
        ("(2)", None),
        ("(3)", None),
        ("(1)", UniqueViolation),
    ]


async def test_what_copy_and_arrow_ask_for_is_not_told(pg_pool: Any) -> None:
    pytest.importorskip("pyarrow")
    await pg_pool.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    await pg_pool.execute("CREATE TYPE pair AS (a int, b int)")
    await pg_pool.execute("CREATE TABLE moods (id int, mood mood, pair pair)")
    heard: list[Any] = []
    pg_pool.add_query_logger(heard.append)
    await pg_pool.copy_in("moods", source=[(1, "sad", (1, 2))])
    select = "SELECT mood FROM moods WHERE id = $1 AND 'x\\' <> ''"
    assert b"".join([piece async for piece in pg_pool.copy_out(select, 1)]) == b"sad\n"
    assert len(await pg_pool.fetch_arrow(select, 1)) == 1
    assert await pg_pool.fetchval("SELECT 7") == 7
    await until(lambda: any(one.query == "SELECT 7" for one in heard))
    assert [one.query for one in heard] == [
        'COPY "moods" FROM STDIN WITH (FORMAT text)',
        f"COPY ({select}\n) TO STDOUT",
        f"COPY ({select}\n) TO STDOUT WITH (FORMAT binary)",
        "SELECT 7",
    ]


async def test_calls_that_a_subclass_has_made_its_own_stay_its_own(pool: Any) -> None:
    class Doubling(type(pool)):  # type: ignore[misc]
        async def fetchval(self, sql: str, /, *args: Any, **options: Any) -> Any:
            return 2 * await super().fetchval(sql, *args, **options)

    heard: list[Any] = []
    pool.__class__ = Doubling
    pool.add_query_logger(heard.append)
    assert await pool.fetchval("SELECT 7") == 14
    await until(lambda: heard)
    assert [one.query for one in heard] == ["SELECT 7"]


async def test_a_log_that_fails_harms_nothing(open_pool: Any, backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = await open_pool(backend.dsn, slow_query_ms=0)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failures.append(context))

    class Failing(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("mine")

    monkeypatch.setattr(logging.getLogger("db_pool_rs"), "filters", [Failing()])
    assert await asyncio.wait_for(pool.fetchval("SELECT 1"), 20) == 1
    await until(lambda: bool(failures))
    if backend.name == "postgresql":
        heard: list[DatabaseError] = []
        pool.add_notice_listener(heard.append)
        await asyncio.wait_for(pool.execute(RAISE.format("WARNING", "x")), 20)
        await until(lambda: bool(heard))
    assert {str(failure["exception"]) for failure in failures} == {"mine"}
    assert await asyncio.wait_for(pool.fetchval("SELECT 2"), 20) == 2
