"""A small web application: the pool is opened when the application starts, and closed when it ends.

    pip install "db-pool-rs[simple]" fastapi uvicorn
    uvicorn examples.fastapi_app:app

Without DATABASE_URL it serves from a SQLite database in memory. Each request calls the pool itself, so that requests
that arrive together share round trips and commits; what belongs together is a transaction.
"""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncGenerator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.types import Send

import db_pool_rs
from db_pool_rs.abc import Pool
from db_pool_rs.errors import UniqueViolation

SCHEMA = "CREATE TABLE IF NOT EXISTS users (id integer PRIMARY KEY, name text NOT NULL, visits integer NOT NULL)"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Open the pool; the application serves while it is open."""
    async with db_pool_rs.create_pool(max_size=10, command_timeout=5) as pool:
        await pool.execute(SCHEMA)
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


def pool_of(request: Request) -> Pool:
    """The pool of the application that a request came to."""
    pool: Pool = request.app.state.pool
    return pool


@app.put("/users/{id}", status_code=201)
async def create(id: int, name: str, request: Request) -> dict[str, Any]:
    """Create a user."""
    try:
        await pool_of(request).execute("INSERT INTO users VALUES ($1, $2, 0)", id, name)
    except UniqueViolation:
        raise HTTPException(409, f"there is a user {id} already") from None
    return {"id": id, "name": name}


@app.get("/users/{id}")
async def visit(id: int, request: Request) -> dict[str, Any]:
    """Show a user, and count the visit in the same transaction."""
    async with pool_of(request).transaction() as connection:
        await connection.execute("UPDATE users SET visits = visits + 1 WHERE id = $1", id)
        row = await connection.fetchrow("SELECT id, name, visits FROM users WHERE id = $1", id)
    if row is None:
        raise HTTPException(404, f"there is no user {id}")
    return dict(row)


@app.get("/users.csv")
async def export(request: Request) -> StreamingResponse:
    """Every user, however many there are: a batch is read when the client has taken the one before."""
    return ClosingResponse(lines(pool_of(request)), media_type="text/csv")


class ClosingResponse(StreamingResponse):
    """Closes what it streams, also when the client goes away in the middle of it: the connection is free at once."""

    def __init__(self, pieces: AsyncGenerator[str, None], media_type: str) -> None:
        super().__init__(pieces, media_type=media_type)
        self._pieces = pieces

    async def stream_response(self, send: Send) -> None:
        """Send the pieces."""
        async with aclosing(self._pieces):
            await super().stream_response(send)


async def lines(pool: Pool) -> AsyncGenerator[str, None]:
    """The users as CSV."""
    async with pool.stream("SELECT id, name FROM users ORDER BY id", batch=1000) as batches:
        async for rows in batches:
            text = io.StringIO()
            csv.writer(text).writerows(rows)
            yield text.getvalue()


@app.get("/health")
async def health(request: Request) -> JSONResponse:
    """Whether the pool can serve, for a readiness probe: 503 if not."""
    found = await pool_of(request).health()
    return JSONResponse(found.to_dict(), 200 if found else 503)


@app.exception_handler(db_pool_rs.Error)
async def unavailable(request: Request, error: db_pool_rs.Error) -> JSONResponse:
    """503 where trying again may help, 500 for the rest; what happened is for the log, not for the visitor."""
    return JSONResponse({"detail": "the database is not available"}, 503 if error.safe_to_retry else 500)
