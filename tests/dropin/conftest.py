"""Programs made for other libraries, and for tests of their own: on one database, emptied before each test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

EMPTY = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid();
DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public;
"""


@pytest.fixture(scope="session")
def empty_database(pg_server: Any) -> Callable[[], str]:
    """Empties the database of these tests, and gives its URL."""
    pg_server.sql("CREATE DATABASE dropin TEMPLATE template0")

    def make_empty() -> str:
        pg_server.sql("SET client_min_messages TO error; SET synchronous_commit TO off;" + EMPTY, "dropin")
        return str(pg_server.dsn("dropin"))

    return make_empty


@pytest.fixture
def pg_database(empty_database: Callable[[], str]) -> str:
    """URL of an empty database that only this test uses."""
    return empty_database()


@pytest.fixture
async def pool(open_pool: Any, backend: Any) -> Any:
    """A pool on an empty database, once of each kind."""
    return await open_pool(backend.dsn, max_size=3)
