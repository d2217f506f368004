"""One table and one type per tenant, under one name: the same text means another table under another search path."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from db_pool_rs.errors import DatabaseError

#: By tenant: the type of `mood`, its value, and the type of `amount`, its value.
TENANTS: dict[str, tuple[str, str, str, Any]] = {
    "one": ("CREATE TYPE one.mood AS ENUM ('sad', 'glad')", "glad", "int8", 7),
    "two": ("CREATE TYPE two.mood AS ENUM ('low', 'high', 'top')", "top", "text", "much"),
    "three": ("CREATE DOMAIN three.mood AS text CHECK (value <> 'glad')", "fair", "float8", 0.5),
}
#: Of the pool's own: the schema of the role, which the role of the tests does not have, then one.
SHARED = {"search_path": '"$user", one'}
WAYS = {
    "set local": ("SET LOCAL search_path = {tenant}",),
    "set config": ("SELECT set_config('search_path', '{tenant}', true)",),
    "set config with arguments": ("SELECT set_config($1, $2, true)", "search_path", "{tenant}"),
    "set": ("SET search_path TO {tenant}",),
    "set schema": ("SET SCHEMA '{tenant}'",),
    "role": ("SET LOCAL ROLE {tenant}",),
    "authorization": ("SET SESSION AUTHORIZATION {tenant}",),
    "block": ("DO $$BEGIN PERFORM set_config('search_path', '{tenant}', true); END$$",),
}


@pytest.fixture
def tenants(pg_database: str, pg_server: Any) -> str:
    """A database with a schema for each tenant, and a role of that name whose path leads there."""
    for tenant, (mood, _, amount, _) in TENANTS.items():
        pg_server.sql(
            f"SET client_min_messages TO error; DROP SCHEMA IF EXISTS {tenant} CASCADE; CREATE SCHEMA {tenant}; {mood};"
            f" CREATE TABLE {tenant}.item (id int, mood {tenant}.mood, amount {amount});"
            f" DO $$BEGIN CREATE ROLE {tenant} SUPERUSER; EXCEPTION WHEN duplicate_object THEN NULL; END$$",
            "contract",
        )
    return pg_database


async def _work(queries: Any, tenant: str) -> None:
    """Texts that are the same for all tenants, with and without arguments, each twice."""
    _, mood, _, amount = TENANTS[tenant]
    for _ in range(2):
        row = await queries.fetchrow("INSERT INTO item VALUES ($1, $2, $3) RETURNING *", 1, mood, amount)
        assert tuple(row) == (1, mood, amount)
        assert await queries.fetchval("SELECT amount FROM item WHERE mood = $1 LIMIT 1", mood) == amount
        assert await queries.fetchval("SELECT $1::mood", mood) == mood
        assert await queries.fetchval("SELECT amount FROM item LIMIT 1") == amount
        await queries.executemany("INSERT INTO item VALUES ($1, $2, $3)", [(2, mood, amount), (3, None, amount)] * 3)
        assert await queries.execute("DELETE FROM item WHERE mood = $1 OR amount = $2", mood, amount) == "DELETE 7"


async def _cursor(connection: Any, tenant: str) -> None:
    _, mood, _, amount = TENANTS[tenant]
    await connection.execute("INSERT INTO item VALUES ($1, $2, $3)", 1, mood, amount)
    sql = "SELECT amount, mood FROM item WHERE mood = $1"
    assert [tuple(row) async for row in connection.cursor(sql, mood)] == [(amount, mood)]
    prepared = await connection.prepare(sql)
    assert [tuple(row) for row in await prepared.fetch(mood)] == [(amount, mood)]
    await connection.execute("DELETE FROM item WHERE mood = $1", mood)


@asynccontextmanager
async def _as(pool: Any, tenant: str, way: str) -> AsyncIterator[Any]:
    sql, *args = [part.replace("{tenant}", tenant) for part in WAYS[way]]
    async with pool.transaction() as connection:
        await connection.fetch(sql, *args)
        yield connection


@pytest.mark.parametrize("way", WAYS)
async def test_tenants_inside_transactions(open_pool: Any, tenants: str, way: str) -> None:
    """On connections that know the texts already, and on new ones; what the others know is left alone."""
    pool = await open_pool(tenants, max_size=2, server_settings=SHARED)
    await _work(pool, "one")
    for turn in range(3):
        for tenant in TENANTS:
            async with _as(pool, tenant, way) as connection:
                await _work(connection, tenant)
                await _cursor(connection, tenant)
        await _work(pool, "one")
        if turn == 1:
            pool.expire_connections()


async def test_tenants_on_one_held_connection(open_pool: Any, tenants: str) -> None:
    """A local change ends with its transaction, another one stays."""
    pool = await open_pool(tenants, max_size=1, server_settings=SHARED)
    async with pool.acquire() as connection:
        await _work(connection, "one")
        for tenant in ("two", "three", "one"):
            async with connection.transaction():
                await connection.execute(f"SET LOCAL search_path = {tenant}")
                await _work(connection, tenant)
                await _cursor(connection, tenant)
            await _work(connection, "one")
        for tenant in ("three", "two"):
            await connection.execute(f"SET search_path = {tenant}")
            await _work(connection, tenant)
            async with connection.transaction():
                await _work(connection, tenant)
    await _work(pool, "one")


async def test_what_fails_under_another_path_is_told_as_it_is(open_pool: Any, tenants: str) -> None:
    pool = await open_pool(tenants, max_size=1, server_settings=SHARED)
    await _work(pool, "one")
    async with pool.acquire() as connection:
        await connection.execute("BEGIN; SET LOCAL search_path = two")
        with pytest.raises(DatabaseError, match="glad") as caught:
            await connection.execute("INSERT INTO item VALUES (1, $1, $2)", "glad", "much")
        await connection.execute("ROLLBACK")
    assert caught.value.sqlstate == "22P02"
    await _work(pool, "one")


@pytest.mark.parametrize("way", ["server_settings", "init"])
async def test_one_tenant_for_each_pool(open_pool: Any, tenants: str, way: str) -> None:
    """What every connection has from its start is the pool's own: nothing is asked twice."""
    for tenant in TENANTS:

        async def init(connection: Any, tenant: str = tenant) -> None:
            await connection.execute(f"SET search_path = {tenant}")

        given: dict[str, Any] = {"init": init} if way == "init" else {"server_settings": {"search_path": tenant}}
        pool = await open_pool(tenants, max_size=2, **given)
        await _work(pool, tenant)
        async with pool.transaction() as connection:
            await _work(connection, tenant)
        pool.expire_connections()
        await _work(pool, tenant)
