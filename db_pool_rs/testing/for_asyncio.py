"""Fixtures for pytest-asyncio: `pytest_plugins = ["db_pool_rs.testing.for_asyncio"]` in conftest.py.

    db_pool            the pool of the run, from `db_pool_options`
    db                 the same for one test, rolled back at its end
    db_pool_options    arguments of `create_pool`, to be overridden in conftest.py; without one DATABASE_URL says where

A pool belongs to one event loop, so tests must share one: with `asyncio_default_test_loop_scope = session` in
pytest.ini, or `@pytest.mark.asyncio(loop_scope="session")`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from . import RolledBack, rolled_back

__all__ = ["db", "db_pool", "db_pool_options"]


@pytest.fixture(scope="session")
def db_pool_options() -> dict[str, Any]:
    """Arguments of `create_pool` for `db_pool`."""
    return {}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def db_pool(db_pool_options: dict[str, Any]) -> AsyncIterator[Any]:
    """The pool of the run."""
    from ..api import create_pool

    async with create_pool(**db_pool_options) as pool:
        yield pool


@pytest_asyncio.fixture(loop_scope="session")
async def db(db_pool: Any) -> AsyncIterator[RolledBack]:
    """A pool for one test, of which nothing stays."""
    async with rolled_back(db_pool) as one:
        yield one
