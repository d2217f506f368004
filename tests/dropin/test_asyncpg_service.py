"""A service made for asyncpg has the same to show on `db_pool_rs.asyncpg`, in every mode, with one import changed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SOURCE = Path(__file__).with_name("asyncpg_service.py")


def service(source: str) -> ModuleType:
    """The module of a text."""
    module = sys.modules["service_of_the_test"] = ModuleType("service_of_the_test")
    exec(compile(source, str(SOURCE), "exec"), vars(module))
    return module


async def test_the_service_has_the_same_to_show(
    engine: Any, empty_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count("\nimport asyncpg\n") == 1
    expected = await service(source).main(empty_database())
    monkeypatch.setenv("DB_POOL_MODE", engine.name)
    ours = service(source.replace("\nimport asyncpg\n", "\nimport db_pool_rs.asyncpg as asyncpg\n"))
    assert ours.asyncpg.__name__ == "db_pool_rs.asyncpg"
    shown = await ours.main(empty_database())
    assert repr(shown) == repr(expected)
    assert len(expected) == 10
