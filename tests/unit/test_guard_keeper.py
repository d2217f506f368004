"""When the guard begins to read the catalogue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from db_pool_rs.config import pool_config
from db_pool_rs.guard import keeper
from db_pool_rs.guard.verdicts import Verdicts


async def _waited(monkeypatch: pytest.MonkeyPatch, busy: list[bool], held: list[bool]) -> float:
    """Seconds for which a free connection is waited for, where the pool answers so, one look after the other."""
    config, slept = pool_config("postgresql://h/d"), list[float]()
    guard: Any = keeper.Keeper(config, Verdicts(config, has_catalog=True))
    guard.attach(SimpleNamespace(is_busy=lambda: busy.pop(0), is_held=lambda: held.pop(0)))

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(keeper, "asyncio", SimpleNamespace(sleep=sleep))
    await guard._free_connection()
    return sum(slept)


async def test_a_free_connection_is_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await _waited(monkeypatch, [False], [False]) == pytest.approx(0.005)


async def test_a_busy_pool_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps it busy may be that nothing is grouped yet."""
    assert await _waited(monkeypatch, [True] * 5, [False] * 5) == pytest.approx(0.025)


async def test_connections_that_callers_hold_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await _waited(monkeypatch, [True] * 7, [True] * 6 + [False]) == pytest.approx(0.225)
