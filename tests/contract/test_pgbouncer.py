"""Behind PgBouncer in transaction mode, where every transaction may meet another server connection."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg import pq

from db_pool_rs.errors import DuplicatePreparedStatement, UniqueViolation
from tests.plugins.server import free_port

BINARY = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
pytestmark = pytest.mark.skipif(BINARY is None, reason="pgbouncer is not installed (Debian: apt-get install pgbouncer)")

CONFIG = """
[databases]
contract = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 4
server_round_robin = 1
"""


@pytest.fixture
def bouncer(pg_server: Any, pg_database: str, tmp_path_factory: Any) -> Iterator[str]:
    """URL of the database through a PgBouncer that deals its server connections out in turn."""
    folder: Path = pg_server.folder
    port = free_port()
    config = folder / "pgbouncer.ini"
    config.write_text(CONFIG.format(server=pg_server.port, port=port))
    config.chmod(0o644)
    process = pg_server.installation.popen(BINARY, str(config), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    dsn = f"postgresql://postgres@127.0.0.1:{port}/contract"
    try:
        deadline = time.monotonic() + 10
        while pq.PGconn.ping(dsn.encode()) != pq.Ping.OK:
            assert process.poll() is None, "pgbouncer ended"
            assert time.monotonic() < deadline, "pgbouncer does not answer"
        yield dsn
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


@pytest.mark.parametrize("max_statements", [0, 256])
async def test_every_call_is_right(open_pool: Any, bouncer: str, max_statements: int) -> None:
    pool = await open_pool(bouncer, max_size=4, max_statements=max_statements)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    expected = [*(i + i % 3 for i in range(10)), *["INSERT 0 1"] * 10, *[None] * 5, *["x"] * 5]
    refused: list[int] = []
    for turn in range(5):
        calls = [pool.fetchval(f"SELECT $1::int + {i % 3}", i) for i in range(10)]
        calls += [pool.execute("INSERT INTO item VALUES ($1, $2)", turn * 10 + i, "x") for i in range(10)]
        calls += [pool.fetchval("SELECT name FROM item WHERE id = $1", -1) for _ in range(5)]
        calls += [_transaction(pool, 1000 + turn * 10 + i) for i in range(5)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        # Inside a transaction a name that is taken is reported, until the pool knows that names mean nothing here.
        for i in range(25, 30):
            if isinstance(results[i], DuplicatePreparedStatement):
                refused.append(turn)
                results[i] = "x"
        assert results == expected
    assert len(set(refused)) <= 1
    assert await pool.fetchval("SELECT count(*) FROM item") == 75 - len(refused)


async def _transaction(pool: Any, key: int) -> Any:
    async with pool.transaction() as conn:
        await conn.execute("INSERT INTO item VALUES ($1, $2)", key, "x")
        return await conn.fetchval("SELECT name FROM item WHERE id = $1", key)


async def test_errors_are_those_of_the_statements(open_pool: Any, bouncer: str) -> None:
    pool = await open_pool(bouncer, max_size=4)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    for _ in range(5):
        calls = [pool.execute("INSERT INTO item VALUES ($1, 'x')", i % 5) for i in range(20)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert all(result == "INSERT 0 1" or isinstance(result, UniqueViolation) for result in results)
    assert await pool.fetchval("SELECT count(*) FROM item") == 5


async def test_executemany_and_large_results(open_pool: Any, bouncer: str) -> None:
    pool = await open_pool(bouncer, max_size=4)
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    inserted = refused = 0
    for turn in range(3):
        try:
            await pool.executemany("INSERT INTO item VALUES ($1, $2)", [(turn * 1000 + i, "x") for i in range(700)])
            inserted += 700
        except DuplicatePreparedStatement:  # so many are a transaction: see above
            refused += 1
        assert len(await pool.fetch("SELECT * FROM item")) == inserted
    assert refused <= 1
