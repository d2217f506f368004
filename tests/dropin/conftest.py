"""Programs made for other libraries, and for tests of their own: on one database, emptied before each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from sqlalchemy.dialects import registry
from sqlalchemy.ext.asyncio import create_async_engine

from tests.dropin import compliance
from tests.plugins.postgresql import emptied

for name, cls in (("postgresql", "PostgresDialect"), ("sqlite", "SqliteDialect")):  # also where it is not installed
    registry.register(f"{name}.db_pool_rs", f"db_pool_rs.sqlalchemy.{name}", cls)


@pytest.fixture(scope="session")
def empty_database(pg_server: Any) -> Callable[[], str]:
    """Empties the database of these tests, and gives its URL."""
    return emptied(pg_server, "dropin")


@pytest.fixture
def pg_database(empty_database: Callable[[], str]) -> str:
    """URL of an empty database that only this test uses."""
    return empty_database()


@pytest.fixture
async def pool(open_pool: Any, backend: Any) -> Any:
    """A pool on an empty database, once of each kind."""
    return await open_pool(backend.dsn, max_size=3)


@pytest.fixture
async def make(engine: Any) -> AsyncIterator[Any]:
    """Factory of engines of SQLAlchemy's; all are disposed at the end."""
    made: list[Any] = []

    def create(dsn: str, **options: Any) -> Any:
        made.append(create_async_engine(compliance.url(dsn, engine.name), **options))
        return made[-1]

    yield create
    for one in made:
        await one.dispose()
