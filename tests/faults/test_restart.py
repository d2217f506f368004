"""The server goes away and comes back: what callers were told is what the server holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, ConnectionLost, DatabaseError

TABLE = "CREATE TABLE IF NOT EXISTS paid (id int PRIMARY KEY)"
INSERT = "INSERT INTO paid VALUES ($1)"


async def _in_thread(function: Any, *args: Any) -> None:
    await asyncio.get_running_loop().run_in_executor(None, function, *args)


class Clients:
    """Tasks that insert ever new keys, and keep book of what they were told."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self.next = 0
        self.confirmed: set[int] = set()
        self.unknown: set[int] = set()
        self.refused: set[int] = set()
        self.running = True

    async def run(self) -> None:
        while self.running:
            self.next += 1
            key = self.next
            try:
                await self.pool.execute(INSERT, key)
            except ConnectionLost as error:
                (self.unknown if error.sent else self.refused).add(key)
            except ConnectFailed:
                self.refused.add(key)
            except DatabaseError as error:
                if error.sqlstate not in ("57P01", "57P02", "57P03"):
                    raise
                self.refused.add(key)
            else:
                self.confirmed.add(key)

    async def confirm(self, more: int) -> None:
        """Wait until `more` further keys are confirmed."""
        goal = len(self.confirmed) + more
        while len(self.confirmed) < goal:
            await asyncio.sleep(0)


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_restart_under_load(open_pool: Any, own_server: Any, mode: str) -> None:
    server = own_server(fsync=True)
    pool = await open_pool(server.dsn(), max_size=5)
    await pool.execute(TABLE)
    clients = Clients(pool)
    tasks = [asyncio.ensure_future(clients.run()) for _ in range(32)]
    await clients.confirm(500)
    await _in_thread(server.restart, mode)
    await asyncio.wait_for(clients.confirm(500), 30)  # a call that hangs never comes back, a busy machine is slow
    clients.running = False
    await asyncio.wait_for(asyncio.gather(*tasks), 20)

    there = {row[0] for row in await pool.fetch("SELECT id FROM paid")}
    assert clients.confirmed <= there, "reported as done, and missing"
    assert not clients.refused & there, "reported as not done, and there"
    assert there <= clients.confirmed | clients.unknown
    answered = len(clients.confirmed) + len(clients.unknown) + len(clients.refused)
    assert answered == clients.next, "every call is answered"


async def test_server_away_attempts_are_few_and_return_is_noticed(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    pool = await open_pool(server.dsn(), max_size=10)
    await pool.fetch("SELECT 1")
    await _in_thread(server.stop, "immediate")
    before = pool.stats().connects
    stop = time.monotonic() + 2.0
    failures = []

    async def client() -> None:
        while time.monotonic() < stop:
            try:
                await pool.fetch("SELECT 1")
            except (ConnectFailed, ConnectionLost) as error:
                failures.append(error)

    await asyncio.gather(*[client() for _ in range(100)])
    assert pool.stats().connects - before <= 20
    assert failures
    await _in_thread(server.start)
    started = time.monotonic()
    while True:
        try:
            assert await pool.fetchval("SELECT 1") == 1
            break
        except ConnectFailed:
            continue
    assert time.monotonic() - started < 1.0


# rule 6.4
async def test_idle_connections_killed_nobody_notices(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=5, max_size=5)
    await asyncio.gather(*[pool.fetch("SELECT pg_sleep(0.01)") for _ in range(5)])
    name = await pool.fetchval("SELECT current_database()")
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    await _in_thread(pg_server.sql, kill)
    started = time.monotonic()
    results = await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(20)])
    assert results == list(range(20))
    assert time.monotonic() - started < 1.0
