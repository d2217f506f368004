"""The server goes away and comes back: what callers were told is what the server holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, ConnectionLost, DatabaseError
from tests.contract.guarding import at_rest
from tests.contract.waiting import until

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


#: The shortest pauses after failed attempts (0.05 s, doubled up to 0.35 s, less a fifth); all later ones are alike.
PAUSES = (0.04, 0.08, 0.16)
LATER = 0.28


async def test_server_away_attempts_are_few(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    pool = await open_pool(server.dsn(), max_size=10)
    await pool.fetch("SELECT 1")
    await _in_thread(server.stop, "immediate")
    before, began = pool.stats().connect_failures, time.monotonic()
    failures: list[Exception] = []

    async def client() -> None:
        while time.monotonic() < began + 2.0:
            try:
                await pool.fetch("SELECT 1")
            except (ConnectFailed, ConnectionLost) as error:
                failures.append(error)

    await asyncio.gather(*[client() for _ in range(100)])
    attempts, elapsed = pool.stats().connect_failures - before, time.monotonic() - began
    assert failures
    # However long it took: there may be two at first, and each pause is that long at least.
    assert 1 <= attempts <= 2 + len(PAUSES) + max(0.0, elapsed - sum(PAUSES)) / LATER


async def test_the_return_of_the_server_is_noticed(open_pool: Any, own_server: Any) -> None:
    server = own_server()
    pool = await open_pool(server.dsn(), max_size=10)
    await pool.fetch("SELECT 1")
    await _in_thread(server.stop, "immediate")
    clients = [asyncio.ensure_future(_persistent(pool)) for _ in range(100)]
    await until(lambda: pool.stats().connect_failures >= 6)  # its pauses are as long as they get
    await _in_thread(server.start)
    failures, began = pool.stats().connect_failures, time.monotonic()
    slowest = 0.0  # of new pools meanwhile: what a connection costs on this machine, as busy as it is
    while not slowest or not any(client.done() for client in clients):
        fresh = time.monotonic()
        other = await open_pool(server.dsn(), max_size=1)
        await other.fetch("SELECT 1")
        slowest = max(slowest, time.monotonic() - fresh)
        await other.close()
    assert await asyncio.gather(*clients) == [1] * 100
    assert pool.stats().connect_failures - failures <= 1, "one may have been under way"
    assert time.monotonic() - began <= 0.5 + 5 * slowest


async def _persistent(pool: Any) -> Any:
    """The answer, as soon as there is a server."""
    while True:
        try:
            return await pool.fetchval("SELECT 1")
        except (ConnectFailed, ConnectionLost):
            continue


# rule 6.4
async def test_idle_connections_killed_no_caller_notices(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, min_size=5, max_size=5)
    await asyncio.gather(*[pool.fetch("SELECT pg_sleep(0.01)") for _ in range(5)])
    name = await pool.fetchval("SELECT current_database()")
    kill = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    await at_rest(pool)
    await _in_thread(pg_server.sql, kill)
    await until(lambda: pool.stats().lost)  # the server says why: then none of the others is used any more
    assert await asyncio.gather(*[pool.fetchval("SELECT $1::int", i) for i in range(20)]) == list(range(20))
    assert pool.stats().errors == 0
