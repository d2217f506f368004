"""A server that turns read-only, as one does that was the primary: the pool goes to another one that writes."""

from __future__ import annotations

from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, ReadOnlySqlTransaction
from tests.contract.waiting import in_thread, until_async

INSERT = "INSERT INTO item VALUES ($1)"
PORT = "SELECT current_setting('port')::int"


async def _on_the_pool(pool: Any) -> None:
    await pool.execute(INSERT, 1)


async def _in_a_transaction(pool: Any) -> None:
    async with pool.transaction() as conn:
        await conn.execute(INSERT, 1)


# rule 5.6
@pytest.mark.parametrize("write", [_on_the_pool, _in_a_transaction])
async def test_a_server_that_turned_read_only_is_left(
    open_pool: Any, own_server: Any, pg_server: Any, pg_database: str, write: Any
) -> None:
    name = pg_database.rpartition("/")[2]
    first = await in_thread(own_server)
    await in_thread(first.sql, f"CREATE DATABASE {name}")
    for server in (first, pg_server):
        await in_thread(server.sql, "CREATE TABLE item (id int)", name)
    hosts = f"127.0.0.1:{first.port},127.0.0.1:{pg_server.port}"
    pool = await open_pool(f"postgresql://postgres@{hosts}/{name}?target_session_attrs=read-write", max_size=3)
    for _ in range(4):
        await write(pool)
    assert await pool.fetchval(PORT) == first.port
    first.conf["default_transaction_read_only"] = "on"
    await in_thread(first.reload)

    async def written() -> bool:
        try:
            await write(pool)
        except ReadOnlySqlTransaction:
            return False
        return bool(await pool.fetchval(PORT) == pg_server.port)

    await until_async(written)
    assert pool.stats().lost == 0


async def test_a_transaction_that_is_to_read_only_costs_no_connection(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, pipelining="off")
    await pool.execute("CREATE TABLE item (id int)")
    for _ in range(3):
        with pytest.raises(ReadOnlySqlTransaction):
            async with pool.transaction(readonly=True) as conn:
                await conn.execute(INSERT, 1)
    await pool.execute(INSERT, 1)
    assert pool.stats().connects == 1


async def test_a_pool_for_servers_that_only_read_costs_no_connection(open_pool: Any, pg_database: str) -> None:
    settings = {"default_transaction_read_only": "on"}
    dsn = f"{pg_database}?target_session_attrs=read-only"
    try:
        pool = await open_pool(dsn, max_size=1, pipelining="off", server_settings=settings)
    except ConnectFailed:
        pytest.skip("this libpq asks the server, not the session")
    for _ in range(3):
        with pytest.raises(ReadOnlySqlTransaction):
            await pool.execute("CREATE TABLE item (id int)")
    assert pool.stats().connects == 1
