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

from db_pool_rs.errors import DatabaseError, UniqueViolation
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
    results: list[Any] = []
    for turn in range(5):
        calls = [pool.fetchval(f"SELECT $1::int + {i % 3}", i) for i in range(10)]
        calls += [pool.execute("INSERT INTO item VALUES ($1, $2)", turn * 10 + i, "x") for i in range(10)]
        calls += [pool.fetchval("SELECT name FROM item WHERE id = $1", -1) for _ in range(5)]
        calls += [_transaction(pool, 1000 + turn * 10 + i) for i in range(5)]
        results += await asyncio.gather(*calls, return_exceptions=True)
    expected = [*(i + i % 3 for i in range(10)), *["INSERT 0 1"] * 10, *[None] * 5, *["x"] * 5]
    assert len(results) == 150
    assert results == expected * 5
    assert await pool.fetchval("SELECT count(*) FROM item") == 75


async def _transaction(pool: Any, key: int) -> Any:
    """Inside a transaction a name that another client has taken is reported, not healed: the caller begins anew."""
    for _ in range(3):
        try:
            async with pool.transaction() as conn:
                await conn.execute("INSERT INTO item VALUES ($1, $2)", key, "x")
                return await conn.fetchval("SELECT name FROM item WHERE id = $1", key)
        except DatabaseError as error:
            if error.sqlstate not in ("42P05", "26000"):
                raise
            reported = error
    return reported


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
    for turn in range(3):
        await pool.executemany("INSERT INTO item VALUES ($1, $2)", [(turn * 1000 + i, "x") for i in range(700)])
        assert len(await pool.fetch("SELECT * FROM item")) == 700 * (turn + 1)
