"""Fixtures of PostgreSQL: `pg_server`, `pg_dsn`, `pg_database`, `own_server`, `proxy`.

`initdb` runs once for each run of the tests; every server is a copy. No server found is a failure, never a skip;
DB_POOL_TESTS_NO_POSTGRES=1 turns it into skips for machines that cannot have one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.plugins.installation import Installation, find_installation
from tests.plugins.proxy import FaultProxy
from tests.plugins.server import PostgresServer

OwnServer = Callable[..., PostgresServer]

# Removes the folder once this process is gone, however it went. Servers whose data directory is gone stop by
# themselves within a minute, and until then may still write into it.
WATCHDOG = 'cat >/dev/null; until rm -rf "$1" 2>/dev/null; do sleep 1; done'


class ServerFarm:
    """Makes servers from one data directory and knows them all, so that none outlives the run."""

    def __init__(self, installation: Installation, folder: Path) -> None:
        self._installation = installation
        self._folder = folder
        self._numbers = itertools.count(1)
        self._template = folder / "template"
        installation.run(
            *("initdb", "-D", str(self._template), "-U", "postgres", "--auth=trust", "--no-sync"),
            *("--encoding=UTF8", "--locale=C", "--no-instructions"),
        )

    def make(self, *, start: bool = True, **options: Any) -> PostgresServer:
        """A server of its own, started unless `start=False`; options are those of `PostgresServer`."""
        folder = self._folder / f"s{next(self._numbers)}"
        server = PostgresServer(self._installation, self._template, folder, **options)
        if start:
            server.start()
        return server


@pytest.fixture(scope="session")
def server_farm() -> Iterator[ServerFarm]:
    """The folder of all servers of this run; removed at its end, even if the run is killed."""
    if os.environ.get("DB_POOL_TESTS_NO_POSTGRES") == "1":
        pytest.skip("DB_POOL_TESTS_NO_POSTGRES=1")
    folder = Path(tempfile.mkdtemp(prefix="db-pool-"))
    watchdog = subprocess.Popen(
        ["sh", "-c", WATCHDOG, "sh", str(folder)], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield ServerFarm(find_installation(folder), folder)
    finally:
        watchdog.communicate()


@pytest.fixture(scope="session")
def pg_server(server_farm: ServerFarm) -> Iterator[PostgresServer]:
    """The server that most tests share. A test that changes or stops a server takes `own_server`."""
    server = server_farm.make()
    try:
        server.sql("CREATE DATABASE test")
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="session")
def pg_dsn(pg_server: PostgresServer) -> str:
    """URL of the database `test`, which tests share: they create temporary objects only."""
    return pg_server.dsn("test")


_database_numbers = itertools.count(1)


@pytest.fixture
def pg_database(pg_server: PostgresServer) -> Iterator[str]:
    """URL of an empty database that belongs to this test alone."""
    name = f"test_{next(_database_numbers)}"
    pg_server.sql(f"CREATE DATABASE {name} TEMPLATE template0")
    yield pg_server.dsn(name)
    pg_server.sql(f"DROP DATABASE {name} WITH (FORCE)")


#: Ends what is left of the test before, and what it made: extensions and schemas, wherever they are.
EMPTY = """
SET client_min_messages TO error; SET synchronous_commit TO off;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
SELECT pg_advisory_unlock_all();
DO $$ DECLARE made text; BEGIN
    FOR made IN SELECT extname FROM pg_extension WHERE extname <> 'plpgsql' LOOP
        EXECUTE format('DROP EXTENSION IF EXISTS %I CASCADE', made);
    END LOOP;
    FOR made IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' LOOP
        EXECUTE format('DROP SCHEMA %I CASCADE', made);
    END LOOP;
END $$;
CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public;
"""


def emptied(server: PostgresServer, name: str) -> Callable[[], str]:
    """Create a database; what is returned empties it and gives its URL, which is quicker than to make one each time."""
    server.sql(f"CREATE DATABASE {name} TEMPLATE template0")

    def make_empty() -> str:
        server.sql(EMPTY, name)
        return server.dsn(name)

    return make_empty


@pytest.fixture
def own_server(server_farm: ServerFarm) -> Iterator[OwnServer]:
    """Factory of servers that this test may stop, kill and configure: `own_server(conf={}, hba=[], fsync=True)`."""
    with contextlib.ExitStack() as stack:

        def make(**options: Any) -> PostgresServer:
            server = server_farm.make(start=False, **{k: v for k, v in options.items() if k != "start"})
            stack.callback(server.remove)
            if options.get("start", True):
                server.start()
            return server

        yield make


@pytest.fixture
async def proxy(pg_server: PostgresServer) -> AsyncIterator[FaultProxy]:
    """A link to the shared server that can be watched and disturbed."""
    async with FaultProxy("127.0.0.1", pg_server.port) as proxy:
        yield proxy
