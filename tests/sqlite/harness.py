"""Links without a pool: groups are what a test says they are."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from db_pool_rs.config import pool_config
from db_pool_rs.drivers.base import ROWS, STATUS, ServerConnection
from db_pool_rs.drivers.sqlite.driver import SqliteDriver, SqliteLink
from db_pool_rs.scheduler.cost import Query
from db_pool_rs.scheduler.model import StatementRequest
from db_pool_rs.sql import classify

#: A statement that never ends by itself.
ENDLESS = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"

Call = tuple[Any, ...]  # the text, then the arguments


class Listener:
    """Remembers what a link reports."""

    def __init__(self) -> None:
        self.lost: list[Exception] = []
        self.notices: list[Exception] = []

    def on_lost(self, link: ServerConnection, error: Exception, sent: bool, evict_all: bool) -> None:
        self.lost.append(error)

    def on_round_trip(self, link: ServerConnection, seconds: float) -> None:
        raise AssertionError("there is no round trip without work")

    def on_notice(self, link: ServerConnection, error: Exception) -> None:
        self.notices.append(error)


class Group:
    """A group on a link: its statements, and a future of whether all of it counts."""

    def __init__(self, link: SqliteLink, statements: Sequence[StatementRequest]) -> None:
        self.statements = statements
        self.ok: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        link.start(statements, lambda ok, seconds, size: self.ok.set_result(ok))

    async def outcomes(self) -> list[Any]:
        """For each statement its value or its error."""
        await self.ok
        return [statement.error or statement.value for statement in self.statements]


class Harness:
    """One driver and its links."""

    def __init__(self, dsn: str, **options: Any) -> None:
        self.driver = SqliteDriver(pool_config(dsn, **options))
        self.listener = Listener()

    async def connect(self) -> SqliteLink:
        return await self.driver.connect(self.listener)

    def statement(self, call: Call, *, want: bool = STATUS, session: bool = False) -> StatementRequest:
        """A statement as the pool makes it: of a caller of its own, or of a session."""
        sql, *args = call
        text = Query(sql, classify(sql, "sqlite"), groupable=True)
        future = None if session else asyncio.get_running_loop().create_future()
        statement = StatementRequest(text, tuple(args), want, future)
        self.driver.describe(text)
        statement.params = text.description.encode(statement.args)
        statement.described = text.description
        return statement

    def pool(self, link: SqliteLink, *calls: Call, want: bool = STATUS) -> Group:
        """Start a group of the pool."""
        return Group(link, [self.statement(call, want=want) for call in calls])

    def session(self, link: SqliteLink, *calls: Call, want: bool = STATUS) -> Group:
        """Start a group of a session."""
        return Group(link, [self.statement(call, want=want, session=True) for call in calls])

    async def do(self, link: SqliteLink, *texts: str) -> Any:
        """Run statements on a session; the value of the last. Raises the first error."""
        outcomes = await self.session(link, *[(text,) for text in texts]).outcomes()
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return outcomes[-1]

    async def fetch(self, link: SqliteLink, sql: str, *args: Any) -> Any:
        """The rows of a statement on a session, as plain tuples."""
        (outcome,) = await self.session(link, (sql, *args), want=ROWS).outcomes()
        if isinstance(outcome, Exception):
            raise outcome
        return [tuple(row) for row in outcome]


@asynccontextmanager
async def harness(dsn: str, **options: Any) -> AsyncIterator[Harness]:
    """A driver that is closed at the end; nothing must have been lost."""
    made = Harness(dsn, **options)
    try:
        yield made
    finally:
        await made.driver.close()
    assert made.listener.lost == []


def outside(path: Path, script: str) -> None:
    """What another program does to the file."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(script)
    connection.close()


def by_number(args: Sequence[Any]) -> dict[str, Any]:
    """Arguments for `?1, ?2, ...` in a form that every version of sqlite3 takes without a warning."""
    return {str(number): value for number, value in enumerate(args, 1)}


def running(link: SqliteLink) -> asyncio.Event:
    """An event that SQL sets by calling `running()`: then the statement has begun."""
    event, loop = asyncio.Event(), asyncio.get_running_loop()

    def begun() -> int:
        loop.call_soon_threadsafe(event.set)
        return 1

    link._database.connection.create_function("running", 0, begun)
    return event
