"""A group on one link: committed as a whole or not at all, whatever must be asked for or prepared in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from db_pool_rs.config import pool_config
from db_pool_rs.drivers.base import ROWS, STATUS
from db_pool_rs.drivers.postgres.driver import PostgresDriver
from db_pool_rs.drivers.postgres.link import PostgresConnection
from db_pool_rs.scheduler.cost import Query
from db_pool_rs.scheduler.model import StatementRequest
from db_pool_rs.sql import classify


class Listener:
    """Hears of no loss, or fails."""

    def __init__(self) -> None:
        self.lost: list[Exception] = []

    def on_lost(self, link: Any, error: Exception, sent: bool, evict_all: bool) -> None:
        self.lost.append(error)

    def on_round_trip(self, link: Any, seconds: float) -> None:
        pass

    def on_notice(self, link: Any, error: Exception) -> None:
        pass


class Client:
    """One link, and the texts that its pool would know."""

    def __init__(self, driver: PostgresDriver, link: PostgresConnection) -> None:
        self.driver = driver
        self.link = link
        self.texts: dict[str, Query] = {}

    async def run(self, *calls: tuple[Any, ...], want: bool = ROWS) -> tuple[bool, list[StatementRequest]]:
        """Run calls as one group: whether it succeeded, and the statements."""
        group = []
        for sql, *args in calls:
            text = self.texts.setdefault(sql, Query(sql, classify(sql), groupable=True))
            statement = StatementRequest(text, tuple(args), want, None)
            statement.conn = self.link  # as the pool marks its own, which are not a session's
            group.append(statement)
        answered: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self.link.start(group, lambda ok, seconds, size: answered.set_result(ok))
        return await answered, group


@pytest.fixture
async def client(pg_database: str) -> AsyncIterator[Client]:
    driver = PostgresDriver(pool_config(pg_database, max_statements=4))
    listener = Listener()
    link = await driver.connect(listener)
    yield Client(driver, link)
    link.close()
    assert not listener.lost


@pytest.fixture
def database(pg_database: str) -> Any:
    with psycopg.connect(pg_database, autocommit=True) as connection:
        connection.execute("CREATE TABLE item (id int PRIMARY KEY)")
        yield connection


INSERT = "INSERT INTO item VALUES ($1)"
OTHER = "INSERT INTO item VALUES ($1 + 100)"


@pytest.mark.parametrize("unknown", [0, 1, 2, 3])
async def test_a_group_with_an_unknown_text_is_undone_as_a_whole(client: Client, database: Any, unknown: int) -> None:
    """The others of the group are sent again by the scheduler: what they did here must not stay."""
    await client.run((INSERT, 0), want=STATUS)
    calls: list[tuple[Any, ...]] = [(INSERT, 1), (INSERT, 2), (INSERT, 0)]
    calls.insert(unknown, (OTHER, 5))
    ok, group = await client.run(*calls, want=STATUS)
    assert not ok
    assert [statement.error is not None for statement in group].count(True) == 1
    assert database.execute("SELECT id FROM item").fetchall() == [(0,)]


async def test_a_group_whose_argument_does_not_fit_after_all_is_not_sent(client: Client, database: Any) -> None:
    ok, group = await client.run((INSERT, 1), (INSERT, 2), (OTHER, "x"), (INSERT, 3), want=STATUS)
    assert not ok
    assert [type(statement.error).__name__ for statement in group] == [
        "NoneType",
        "NoneType",
        "ArgumentError",
        "NoneType",
    ]
    assert database.execute("SELECT id FROM item").fetchall() == []
    ok, _ = await client.run((INSERT, 1), (OTHER, 2), (INSERT, 3), want=STATUS)
    assert ok
    assert database.execute("SELECT id FROM item ORDER BY id").fetchall() == [(1,), (3,), (102,)]


async def test_texts_that_alternate_are_prepared_once(client: Client, database: Any) -> None:
    texts = [f"SELECT $1::int + {i}" for i in range(3)]
    for sql in texts:
        await client.run((sql, 0))
    client.link._prepared.clear()
    await client.run(("DEALLOCATE ALL",), want=STATUS)
    calls = [(texts[i % 3], i) for i in range(12)]
    ok, group = await client.run(*calls)
    assert ok
    assert [statement.value for statement in group] == [[(i + i % 3,)] for i in range(12)]


async def test_more_texts_in_a_group_than_may_be_kept(client: Client, database: Any) -> None:
    texts = [f"SELECT $1::int + {i}" for i in range(12)]
    for sql in texts:
        await client.run((sql, 0))
    for turn in range(3):
        ok, group = await client.run(*[(texts[i % 12], i) for i in range(turn, 30)])
        assert ok
        assert [statement.value for statement in group] == [[(i + i % 12,)] for i in range(turn, 30)]
        _, (kept,) = await client.run(("SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'dbp%'",))
        assert kept.value[0][0] <= 4


@pytest.mark.parametrize("at", [0, 3, 8])
async def test_what_was_not_prepared_since_the_group_failed_is_known(client: Client, database: Any, at: int) -> None:
    """Names are told apart from what the server has, also where an error kept it from hearing of some."""
    texts = [f"SELECT $1::int + {i}" for i in range(9)]
    for sql in (*texts, "SELECT 1 / $1::int"):
        await client.run((sql, 1))
    calls: list[tuple[Any, ...]] = [(sql, 1) for sql in texts]
    calls.insert(at, ("SELECT 1 / $1::int", 0))
    for _ in range(4):
        ok, group = await client.run(*calls)
        assert not ok
        assert group[at].error is not None
        ok, group = await client.run(*[(sql, 1) for sql in reversed(texts)])
        assert ok
        assert [statement.value[0][0] for statement in group] == [9 - i for i in range(9)]
    assert client.driver.named
