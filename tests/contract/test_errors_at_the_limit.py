"""Errors where a module cannot be imported any more: no descriptor is left to read it by, say."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import pytest

from db_pool_rs.drivers.postgres import link
from db_pool_rs.errors import ConnectionLost, DatabaseError

#: Nothing here waits for it to pass, unless something is broken.
PATIENCE = 20.0


@pytest.mark.parametrize("module", ["_sqlstates", "excerpt"])
async def test_an_error_is_told_without_its_own_class(pool: Any, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY)")
    await pool.execute("INSERT INTO item VALUES (1)")
    monkeypatch.setitem(sys.modules, f"db_pool_rs.errors.{module}", None)
    calls = [pool.execute("INSERT INTO item VALUES (1)"), *(pool.fetchval("SELECT 1 AS one") for _ in range(8))]
    failed, *others = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE)
    assert isinstance(failed, DatabaseError)
    assert failed.sqlstate == "23505"
    assert others == [1] * 8


async def test_what_cannot_be_dealt_with_costs_the_connection_and_holds_no_call(
    pg_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the engines in Python; that of mode full closes its pool after an error of its own."""

    def fail(*_: Any) -> Any:
        raise OSError(24, "Too many open files")

    if pg_pool.mode == "full":
        pytest.skip("its connections are not Python's")
    assert await pg_pool.fetchval("SELECT 1") == 1
    with monkeypatch.context() as broken:
        broken.setattr(link, "server_error", fail)
        broken.setattr("db_pool_rs.balanced.link.server_error", fail, raising=False)
        with pytest.raises(ConnectionLost, match="Too many open files"):
            await asyncio.wait_for(pg_pool.fetchval("SELECT 1 / 0"), PATIENCE)
    assert await asyncio.wait_for(pg_pool.fetchval("SELECT 2"), PATIENCE) == 2
