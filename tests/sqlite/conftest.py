"""What a pool does with SQLite, it does on every engine: tests that need no more than a pool take `create_pool`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import db_pool_rs
from tests.plugins.engines import EngineSpec


@pytest.fixture
def create_pool(engine: EngineSpec) -> Callable[..., Any]:
    """`db_pool_rs.create_pool` for the engine under test."""
    return partial(db_pool_rs.create_pool, mode=engine.name)
