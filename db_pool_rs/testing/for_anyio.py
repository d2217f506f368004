"""Fixtures for anyio's plugin of pytest: `pytest_plugins = ["db_pool_rs.testing.for_anyio"]` in conftest.py.

They are those of :mod:`.for_asyncio`, for tests that are marked with `anyio`. anyio needs a fixture `anyio_backend` of
the whole run then; it is here, with asyncio.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from . import RolledBack, rolled_back

__all__ = ["anyio_backend", "db", "db_pool", "db_pool_options"]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for the run: pools are for asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def db_pool_options() -> dict[str, Any]:
    """Arguments of `create_pool` for `db_pool`."""
    return {}


@pytest.fixture(scope="session")
async def db_pool(anyio_backend: str, db_pool_options: dict[str, Any]) -> AsyncIterator[Any]:
    """The pool of the run."""
    from ..api import create_pool

    async with create_pool(**db_pool_options) as pool:
        yield pool


@pytest.fixture
async def db(anyio_backend: str, db_pool: Any) -> AsyncIterator[RolledBack]:
    """A pool for one test, of which nothing stays."""
    async with rolled_back(db_pool) as one:
        yield one
