"""Fixtures of the contract suite: a pool on each kind of database.

`pg_database` is one database for all tests here, emptied before each: to create and drop one for each would take longer
than the tests themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.plugins.postgresql import emptied


@pytest.fixture(scope="session")
def empty_database(pg_server: Any) -> Callable[[], str]:
    """Empties the database of the contract suite, and gives its URL."""
    return emptied(pg_server, "contract")


@pytest.fixture
def pg_database(empty_database: Callable[[], str]) -> str:
    """URL of an empty database that only this test uses."""
    return empty_database()


@pytest.fixture
async def pool(open_pool: Any, backend: Any) -> Any:
    """A pool of two connections on an empty database, once for each kind."""
    return await open_pool(backend.dsn, max_size=2)


@pytest.fixture
async def pg_pool(open_pool: Any, pg_database: str) -> Any:
    """A pool of two connections on an empty PostgreSQL database."""
    return await open_pool(pg_database, max_size=2)
