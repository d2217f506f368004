"""What a type checker must refuse: each line that says so at its end. It is never run."""

from __future__ import annotations

import db_pool_rs
from db_pool_rs import PoolOptions
from db_pool_rs.abc import Connection, Pool
from db_pool_rs.errors import PoolTimeout, UniqueViolation

options: PoolOptions = {"max_sise": 10}  # wrong
better: PoolOptions = {"max_size": "10"}  # wrong


async def prepare(connection: str) -> None:
    """Not what `init` calls: it is given a connection."""
    print(connection)


def opening() -> None:
    """Options."""
    db_pool_rs.create_pool("sqlite://", max_connnections=4)  # wrong
    db_pool_rs.create_pool("sqlite://", max_size="4")  # wrong
    db_pool_rs.create_pool("sqlite://", mode="fast")  # wrong
    db_pool_rs.create_pool("postgresql://", pipelining="writes")  # wrong
    db_pool_rs.create_pool("postgresql://", sslmode="on")  # wrong
    db_pool_rs.create_pool("postgresql://", max_lifetime="1h")  # wrong
    db_pool_rs.create_pool("postgresql://", alone_functions="nextval")  # wrong
    db_pool_rs.create_pool("postgresql://", init=prepare)  # wrong
    db_pool_rs.create_pool(5432)  # wrong
    db_pool_rs.DatabasePool("quick")  # wrong


async def statements(pool: Pool, sql: bytes) -> None:
    """Statements and their results."""
    pool.fetch("SELECT 1").append(1)  # wrong
    await pool.fetch(sql)  # wrong
    await pool.fetch("SELECT 1", timeout="5")  # wrong
    (await pool.fetchrow("SELECT 1 AS one"))["one"]  # wrong
    (await pool.execute("DELETE FROM users")) + 1  # wrong
    await pool.executemany("INSERT INTO users VALUES ($1)", 5)  # wrong
    pool.begin()  # wrong
    await pool.stats()  # wrong
    pool.features.add("copy")  # wrong
    await pool.copy_in("users", [(1, "Ada")])  # wrong
    for row in pool.fetch("SELECT 1"):  # wrong
        print(row)


async def sessions(pool: Pool) -> None:
    """Connections, transactions and what listens."""
    pool.transaction(isolation="snapshot")  # wrong
    with pool.acquire() as connection:  # wrong
        print(connection)
    async with pool.transaction() as block:
        await block.add_listener("news", listen)  # wrong
        await block.commit()  # wrong
        async for row in block.fetch("SELECT 1"):  # wrong
            print(row)


async def listen(connection: Connection) -> None:
    """Not what a listener is called with: process, channel and payload are missing."""
    print(connection)


def told(error: PoolTimeout, other: UniqueViolation, base: db_pool_rs.Error) -> str:
    """Errors and figures."""
    print(error.waiters)  # wrong
    print(other.constraint_names)  # wrong
    return base.sqlstate  # wrong
