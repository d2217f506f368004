"""The example application, served and asked in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from examples import fastapi_app


async def ask(app: Any) -> None:
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        assert (await client.put("/users/1", params={"name": "Ada"})).status_code == 201
        assert (await client.put("/users/1", params={"name": "Ada"})).status_code == 409
        assert (await client.get("/users/2")).status_code == 404
        visits = await asyncio.gather(*(client.get("/users/1") for _ in range(10)))
        assert sorted(answer.json()["visits"] for answer in visits) == list(range(1, 11))
        health = await client.get("/health")
        assert (health.status_code, health.json()["ready"]) == (200, True)
    with pytest.raises(Exception, match="closed"):
        await app.state.pool.fetch("SELECT 1")


async def test_on_sqlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    await ask(fastapi_app.app)


async def test_on_postgresql(monkeypatch: pytest.MonkeyPatch, pg_database: str) -> None:
    monkeypatch.setenv("DATABASE_URL", pg_database)
    await ask(fastapi_app.app)
