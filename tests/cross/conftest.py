"""One pool of every installed engine on the same database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from db_pool_rs import create_pool
from tests.plugins.engines import ENGINES

INSTALLED = [spec.name for spec in ENGINES if spec.installed]


@pytest.fixture
async def pools(pg_database: str) -> AsyncIterator[dict[str, Any]]:
    """By engine; the first is `simple`, the specification."""
    if len(INSTALLED) < 2:
        pytest.skip("only one engine is installed")
    opened = {name: await create_pool(pg_database, mode=name, max_size=3) for name in INSTALLED}
    yield opened
    for pool in opened.values():
        await pool.close(timeout=5)
