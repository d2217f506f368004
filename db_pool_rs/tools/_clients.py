"""Who is measured: the modes of this package and the pools of others, behind one small interface.

Each rival is used as its documentation advises for speed: a pool of `max_size` connections that are all open before the
clock starts (ours opens one and grows), prepared statements, binary results where there is a choice. Rivals are
imported by name, when they are used: none is a dependency. Nor is this package imported for a rival, whose memory and
start would have to bear it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from ._workloads import PREFETCH, Job, Run, Statements, in_order

if TYPE_CHECKING:
    from ..options import ModeName

Body = Callable[[Run, Run], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Client:
    """An open pool: `fetch(sql, *args)`, `execute(sql, *args)`, `transaction(body)`, `close()`.

    `stream(sql)` gives the rows of a cursor of the database, `borrow(timeout)` a connection for a block. `at_once` are
    the ways to send the statements of a transaction without waiting for each answer, by the name of their workload.
    """

    fetch: Run
    execute: Run
    transaction: Callable[[Body], Awaitable[None]]
    close: Run
    stream: Callable[[str], AsyncGenerator[Any, None]] | None = None
    borrow: Callable[[float], AbstractAsyncContextManager[Any]] | None = None
    at_once: Mapping[str, Callable[[Statements], Awaitable[None]]] = field(default_factory=dict)

    async def together(self, statements: Statements) -> None:
        """A transaction whose statements leave together, one after the other where the pool cannot."""
        await self._at_once("together", statements)

    async def batch(self, statements: Statements) -> None:
        """A transaction of which all is known before it begins."""
        await self._at_once("batch", statements)

    async def _at_once(self, name: str, statements: Statements) -> None:
        if way := self.at_once.get(name):
            await way(statements)
        else:
            await self.transaction(in_order(statements))


@dataclass(frozen=True, slots=True)
class Rival:
    """Another pool: the module that it needs, the distribution with its version, what it serves, how it is opened."""

    name: str
    module: str
    distribution: str
    database: str
    open: Callable[[Job], Awaitable[Client]]


async def open_client(job: Job) -> Client:
    """Open the contender of the job, a mode of ours or a rival by name."""
    rival = {**RIVALS, **ASYNCPG}.get(job.contender)
    return await (rival.open(job) if rival is not None else _ours(job))


def why_not(contender: str, database: str) -> str | None:
    """Why a contender cannot be measured on that database here; None if it can."""
    rival = {**RIVALS, **ASYNCPG}.get(contender)
    if rival is None:
        from ..modes import unavailable

        return unavailable(contender, database)
    return None if find_spec(rival.module) else f"{rival.distribution} is not installed"


async def _ours(job: Job) -> Client:
    from .. import create_pool

    pool = await create_pool(
        job.dsn, mode=cast("ModeName", job.contender), config={}, min_size=1, max_size=job.max_size
    )

    async def transaction(body: Body) -> None:
        async with pool.transaction() as connection:
            await body(connection.fetch, connection.execute)

    async def stream(sql: str) -> AsyncGenerator[Any, None]:
        async with pool.transaction() as connection:
            async for row in connection.cursor(sql, prefetch=PREFETCH):
                yield row

    async def together(statements: Statements) -> None:
        async with pool.transaction() as connection:
            await asyncio.gather(*(getattr(connection, how)(sql, *args) for how, sql, args in statements))

    async def batch(statements: Statements) -> None:
        async with pool.batch(atomic=True) as written:
            for how, sql, args in statements:
                getattr(written, how)(sql, *args)

    return Client(
        *(pool.fetch, pool.execute, transaction, pool.close, stream),
        borrow=lambda timeout: pool.acquire(timeout=timeout),
        at_once={"together": together, "batch": batch},
    )


async def _asyncpg(job: Job) -> Client:
    return await _asyncpg_pool(job)


async def _asyncpg_without_reset(job: Job) -> Client:
    async def leave_as_it_is(connection: Any) -> None:
        pass

    return await _asyncpg_pool(job, reset=leave_as_it_is)


async def _asyncpg_of_ours(job: Job) -> Client:
    """`db_pool_rs.asyncpg` in the mode that its name ends with."""
    return await _asyncpg_pool(job, "db_pool_rs.asyncpg", mode=job.contender.rpartition("-")[2])


async def _asyncpg_pool(job: Job, module: str = "asyncpg", **options: Any) -> Client:
    pool = await import_module(module).create_pool(job.dsn, **_sizes(job), **options)

    async def transaction(body: Body) -> None:
        async with pool.acquire() as connection, connection.transaction():
            await body(connection.fetch, connection.execute)

    async def stream(sql: str) -> AsyncGenerator[Any, None]:
        async with pool.acquire() as connection, connection.transaction():
            async for row in connection.cursor(sql, prefetch=PREFETCH):
                yield row

    return Client(
        pool.fetch, pool.execute, transaction, pool.close, stream, lambda timeout: pool.acquire(timeout=timeout)
    )


async def _psycopg(job: Job) -> Client:
    # prepare_threshold=0: every statement is prepared when it is first seen.
    options = {"autocommit": True, "prepare_threshold": 0}
    pool = import_module("psycopg_pool").AsyncConnectionPool(job.dsn, **_sizes(job), open=False, kwargs=options)
    await pool.open(wait=True)

    async def rows(connection: Any, sql: str, args: tuple[Any, ...]) -> Any:
        cursor = await connection.execute(_percent_s(sql), args or None, binary=True)
        return await cursor.fetchall()

    async def fetch(sql: str, *args: Any) -> Any:
        async with pool.connection() as connection:
            return await rows(connection, sql, args)

    async def execute(sql: str, *args: Any) -> None:
        async with pool.connection() as connection:
            await connection.execute(_percent_s(sql), args or None)

    async def transaction(body: Body) -> None:
        async with pool.connection() as connection, connection.transaction():
            await body(
                lambda sql, *args: rows(connection, sql, args),
                lambda sql, *args: connection.execute(_percent_s(sql), args or None),
            )

    async def stream(sql: str) -> AsyncGenerator[Any, None]:
        async with pool.connection() as connection, connection.transaction(), connection.cursor("rows") as cursor:
            cursor.itersize = PREFETCH
            await cursor.execute(sql, binary=True)
            async for row in cursor:
                yield row

    return Client(
        *(fetch, execute, transaction, pool.close, stream),
        borrow=lambda timeout: pool.connection(timeout=timeout),
        at_once=dict.fromkeys(("together", "batch"), partial(_psycopg_pipeline, pool)),
    )


async def _psycopg_pipeline(pool: Any, statements: Statements) -> None:
    async with pool.connection() as connection, connection.pipeline(), connection.transaction():
        cursors = [await connection.execute(_percent_s(sql), args, binary=True) for _, sql, args in statements]
        for (how, _, _), cursor in zip(statements, cursors, strict=True):
            if how == "fetch":
                await cursor.fetchall()


async def _psqlpy(job: Job) -> Client:
    pool = import_module("psqlpy").ConnectionPool(dsn=job.dsn, max_db_pool_size=job.max_size)

    @asynccontextmanager
    async def borrowed() -> AsyncGenerator[Any, None]:
        connection = await pool.connection()
        try:
            yield connection
        finally:
            connection.close()

    async def fetch(sql: str, *args: Any) -> Any:
        async with borrowed() as connection:
            return (await connection.fetch(sql, list(args))).result()

    async def execute(sql: str, *args: Any) -> None:
        async with borrowed() as connection:
            await connection.execute(sql, list(args))

    async def transaction(body: Body) -> None:
        async with borrowed() as connection, connection.transaction() as inside:
            await body(
                lambda sql, *args: inside.fetch(sql, list(args)),
                lambda sql, *args: inside.execute(sql, list(args)),
            )

    async def stream(sql: str) -> AsyncGenerator[Any, None]:
        options = {"array_size": PREFETCH}
        async with borrowed() as held, held.transaction() as inside, inside.cursor(sql, **options) as cursor:
            async for part in cursor:
                for row in part.result():
                    yield row

    async def close() -> None:
        pool.close()

    return Client(fetch, execute, transaction, close, stream)


async def _aiosqlite(job: Job) -> Client:
    # It has no pool: one connection, on a thread of its own.
    database = await import_module("aiosqlite").connect(job.sqlite_path, isolation_level=None)
    for pragma in ("journal_mode = wal", "synchronous = full"):
        await database.execute(f"PRAGMA {pragma}")

    async def fetch(sql: str, *args: Any) -> Any:
        async with database.execute(sql, args) as cursor:
            return await cursor.fetchall()

    async def transaction(body: Body) -> None:
        raise NotImplementedError("one connection cannot hold several transactions")

    return Client(
        lambda sql, *args: fetch(_question_mark(sql), *args),
        lambda sql, *args: database.execute(_question_mark(sql), args),
        transaction,
        database.close,
    )


def _sizes(job: Job) -> dict[str, int]:
    """A start is measured with one connection for all tasks, all else with all of them open."""
    return {"min_size": 1 if job.workload == "start" else job.max_size, "max_size": job.max_size}


@cache
def _percent_s(sql: str) -> str:
    return re.sub(r"\$\d+", "%s", sql.replace("%", "%%")) if "$" in sql else sql


@cache
def _question_mark(sql: str) -> str:
    return re.sub(r"\$\d+", "?", sql)


#: `db_pool_rs.asyncpg` beside asyncpg, by name: measured when it is asked for.
ASYNCPG = {
    name: Rival(name, module, f"db-pool-rs{ending}", "postgresql", _asyncpg_of_ours)
    for name, module, ending in (
        ("asyncpg-simple", "db_pool_rs", ""),
        ("asyncpg-balanced", "db_pool_rs_balanced", "-balanced"),
        ("asyncpg-full", "db_pool_rs_full", "-full"),
    )
}
#: Every rival by name.
RIVALS = {
    rival.name: rival
    for rival in (
        Rival("asyncpg", "asyncpg", "asyncpg", "postgresql", _asyncpg),
        Rival("asyncpg-noreset", "asyncpg", "asyncpg", "postgresql", _asyncpg_without_reset),
        Rival("psycopg", "psycopg_pool", "psycopg-pool", "postgresql", _psycopg),
        Rival("psqlpy", "psqlpy", "psqlpy", "postgresql", _psqlpy),
        Rival("aiosqlite", "aiosqlite", "aiosqlite", "sqlite", _aiosqlite),
    )
}
