"""A program typed for asyncpg with asyncpg-stubs, of which one import is changed. It is never run."""

from __future__ import annotations

import asyncio

import db_pool_rs.asyncpg as asyncpg


class User(asyncpg.Record):
    """Rows with attributes."""

    def __getattr__(self, name: str) -> object:
        return self[name]


async def init(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Called for each connection."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=str, decoder=str)


class Repository:
    """Statements on a pool."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def names(self, above: int) -> list[str]:
        """Rows and their values."""
        rows: list[asyncpg.Record] = await self._pool.fetch("SELECT name FROM users WHERE id > $1", above, timeout=5)
        row: asyncpg.Record | None = await self._pool.fetchrow("SELECT name FROM users")
        users = await self._pool.fetch("SELECT name FROM users", record_class=User)
        print(users[0].name, None if row is None else row["name"], await self._pool.fetchval("SELECT 1"))
        return [row["name"] for row in rows]

    async def rename(self, user: int, name: str) -> str:
        """A transaction, prepared statements, cursors."""
        async with self._pool.acquire() as connection, connection.transaction(isolation="serializable"):
            statement = await connection.prepare("SELECT * FROM users WHERE id = $1")
            found = await statement.fetchrow(user)
            async for row in connection.cursor("SELECT * FROM users"):
                print(row["id"], found)
            cursor = await connection.cursor("SELECT * FROM users")
            print(len(await cursor.fetch(5)), await cursor.forward(1))
            try:
                return await connection.execute("UPDATE users SET name = $1 WHERE id = $2", name, user)
            except asyncpg.UniqueViolationError as error:
                print(error.constraint_name)
            except asyncpg.PostgresError as error:
                print(error.sqlstate, error.detail)
        return ""


async def main() -> None:
    """A pool and a connection."""
    async with asyncpg.create_pool("postgresql://", min_size=1, max_size=5, init=init) as pool:
        await Repository(pool).names(1)
    connection = await asyncpg.connect("postgresql://", timeout=5)
    await connection.close()


asyncio.run(main())
