"""What a type checker must accept, in its strictest mode: the public interface as programs use it. It is never run."""

from __future__ import annotations

import asyncio
import os

import db_pool_rs
from db_pool_rs import DatabasePoolInterface, PoolOptions, Record, Status
from db_pool_rs.abc import Connection, Pool
from db_pool_rs.errors import ConnectionLost, PoolTimeout, UniqueViolation
from db_pool_rs.options import ModeName

options: PoolOptions = {"max_size": 20, "command_timeout": 5, "alone_functions": {"set_limit"}}
mode: ModeName = "simple"


async def prepare(connection: Connection) -> None:
    """What `init` calls."""
    await connection.execute("SET search_path = app")


async def password() -> str:
    """Asked for each connection."""
    return os.environ["TOKEN"]


def news(connection: Connection, pid: int, channel: str, payload: str) -> None:
    """A listener."""
    print(connection.is_in_transaction(), pid + 1, channel + payload)


async def lost(connection: Connection) -> None:
    """Another."""
    print(connection)


async def statements(pool: Pool) -> list[str]:
    """Statements and their results."""
    rows: list[Record] = await pool.fetch("SELECT id, name FROM users WHERE id > $1", 7, timeout=1)
    first: Record | None = await pool.fetchrow("SELECT 1 AS one")
    status: Status = await pool.execute("DELETE FROM users")
    await pool.executemany("INSERT INTO users VALUES ($1, $2)", [(1, "Ada"), (2, "Grace")])
    print(first and first["one"], status.rows + 1, await pool.fetchval("SELECT 1"))
    print(pool.stats().waiting, pool.config.max_size, pool.explain("SELECT 1"))
    return [f"{row['name']}{row[0]}" for row in rows]


async def sessions(pool: Pool) -> None:
    """Connections, transactions, cursors and listeners."""
    async with pool.acquire(timeout=5) as connection:
        await connection.add_listener("news", news)
        connection.add_termination_listener(lost)
        statement = await connection.prepare("SELECT $1::int")
        print((await statement.fetchrow(1)) is not None)
    async with pool.transaction(isolation="serializable", readonly=True) as block:
        async for row in block.cursor("SELECT 1 AS one", prefetch=10):
            print(dict(row), row["one"], len(row))
        async with block.transaction():
            await block.copy_records_to_table("users", records=[(1, "Ada")], columns=["id", "name"])
    borrowed = await pool.acquire()
    await pool.release(borrowed)


async def named(db: DatabasePoolInterface) -> None:
    """What every mode's DatabasePool is."""
    print(db.mode, await db.query("main", "SELECT 1"), await db.health(probe=True))
    async with db.transaction("main", readonly=True) as block:
        await block.execute("SELECT 1")


async def main() -> None:
    """Opening, in every way."""
    async with db_pool_rs.create_pool("sqlite://", mode=mode, **options) as pool:
        await statements(pool)
        print("copy" in pool.features, pool.features - {"arrow"})
    opened = await db_pool_rs.create_pool(
        host=["one", "two"], port=5432, password=password, ssl="require", server_settings={"jit": False}, init=prepare
    )
    try:
        await sessions(opened)
    except (UniqueViolation, ConnectionLost) as error:
        print(error.sqlstate, error.safe_to_retry)
    except PoolTimeout as error:
        print(error.holders)
    finally:
        await opened.close(5)
    async with db_pool_rs.DatabasePool("auto", config={"pools": {"default": {"dsn": "sqlite://"}}}) as db:
        await db.create_pool("main", "sqlite://", max_size=4)
        await named(db)
    async with db_pool_rs.create_database_pool("full") as other:
        await named(other)
    async with db_pool_rs.DatabasePool() as db:
        print(await db.query("main", "SELECT 1"), await db.execute("main", "DELETE FROM users") + 1)
        print((await db.get_pool_status("main")).healthy, db.get_metrics().pools)


asyncio.run(main())
