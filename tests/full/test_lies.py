"""Servers that break the protocol: a call gives rows or an error, and the pool works on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cext.lies import lies, outcome, tables

pytest.importorskip("db_pool_rs_full")


@given(table=tables(), lie=lies(), tasks=st.integers(1, 3), known=st.booleans())
async def test_a_lie_does_no_harm(table: Any, lie: Any, tasks: int, known: bool) -> None:
    await outcome("full", table, lie, tasks, known)
