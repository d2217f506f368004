"""The example applications, served and asked in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

import db_pool_rs
from examples import fastapi_app, sqlmodel_app
from tests.docs.test_pages import DOCS, blocks
from tests.dropin import compliance


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
        assert (await client.put("/users/3", params={"name": "Kit, the other"})).status_code == 201
        assert (await client.get("/users.csv")).text == '1,Ada\r\n3,"Kit, the other"\r\n'
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


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_sqlmodel(
    monkeypatch: pytest.MonkeyPatch, engine: Any, pg_database: str, tmp_path: Path, database: str
) -> None:
    dsn = pg_database if database == "postgresql" else f"sqlite:///{tmp_path / 'heroes.db'}"
    monkeypatch.setenv("SQLALCHEMY_URL", compliance.url(dsn, engine.name))
    app = sqlmodel_app.app
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        made = await client.post("/heroes", json={"name": "Ada", "age": 36})
        assert (made.status_code, made.json()) == (201, {"id": 1, "name": "Ada", "age": 36})
        assert (await client.post("/heroes", json={"name": "Ada"})).status_code == 409
        assert (await client.get("/heroes/7")).status_code == 404
        shown = await asyncio.gather(*(client.get("/heroes/1") for _ in range(10)))
        assert {answer.json()["name"] for answer in shown} == {"Ada"}
        assert (await client.get("/heroes", params={"older_than": 30})).json() == ["Ada"]


@pytest.mark.usefixtures("patient")
async def test_the_streaming_response_of_the_documentation(pg_database: str) -> None:
    """docs/pool.md: a table of any size, and a client that goes away in the middle of it."""
    block = next(code for code in blocks(DOCS / "pool.md", "python") if "(StreamingResponse)" in code)
    async with db_pool_rs.create_pool(pg_database, max_size=1) as pool:
        await pool.execute(
            "CREATE TABLE users AS SELECT i AS id, 'name ' || i AS name FROM generate_series(1, 100000) AS i"
        )
        names: dict[str, Any] = {"pool": pool}
        exec(compile(block, "pool.md", "exec"), names)
        transport = httpx.ASGITransport(app=names["app"])
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/users.csv")
        assert answer.headers["content-type"].startswith("text/csv")
        assert len(answer.text.splitlines()) == 100_001
        await _leave(names["app"])
        assert await pool.fetchval("SELECT count(*) FROM users") == 100_000
        assert (pool.stats().connects, pool.stats().lost) == (1, 0)


async def _leave(app: Any) -> None:
    """Ask for the table, take its first piece, and be gone."""
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            gone.set()
            await asyncio.sleep(0)

    scope = {"type": "http", "method": "GET", "path": "/users.csv", "headers": [], "query_string": b""}
    await app({**scope, "http_version": "1.1", "asgi": {"version": "3.0", "spec_version": "2.0"}}, receive, send)
