"""A small web application on SQLModel (FastAPI and SQLAlchemy): with another URL it is one for asyncpg or aiosqlite.

    pip install "db-pool-rs[sqlalchemy,full]" sqlmodel fastapi uvicorn
    uvicorn examples.sqlmodel_app:app

Without SQLALCHEMY_URL it serves from a file of SQLite's. With `grouped=True` a session of the ORM holds a connection
for the length of its transactions only. What only reads is outside of one (AUTOCOMMIT): it goes to the pool, and
requests that arrive together share round trips.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession


class Hero(SQLModel, table=True):
    """A row of the table, and what a request brings."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(index=True, unique=True)
    age: int | None = None


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    """Make the engine and the table; the application serves until it is disposed."""
    url = os.environ.get("SQLALCHEMY_URL", "sqlite+db_pool_rs:///heroes.db")
    app.state.engine = engine = create_async_engine(url, grouped=True)
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


async def writing(request: Request) -> AsyncGenerator[AsyncSession, None]:
    """A session whose work is a transaction."""
    async with AsyncSession(request.app.state.engine, expire_on_commit=False) as session:
        yield session


async def reading(request: Request) -> AsyncGenerator[AsyncSession, None]:
    """A session whose statements are each for itself."""
    engine = request.app.state.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with AsyncSession(engine) as session:
        yield session


@app.post("/heroes", status_code=201)
async def create(hero: Hero, session: Annotated[AsyncSession, Depends(writing)]) -> Hero:
    """Add a hero."""
    made = Hero(name=hero.name, age=hero.age)
    session.add(made)
    try:
        await session.commit()
    except IntegrityError:
        raise HTTPException(409, f"there is a {hero.name} already") from None
    return made


@app.get("/heroes/{id}")
async def show(id: int, session: Annotated[AsyncSession, Depends(reading)]) -> Hero:
    """Show a hero."""
    hero = await session.get(Hero, id)
    if hero is None:
        raise HTTPException(404)
    return hero


@app.get("/heroes")
async def found(session: Annotated[AsyncSession, Depends(reading)], older_than: int = 0) -> list[Any]:
    """Heroes by their age."""
    return list((await session.exec(select(Hero.name).where(col(Hero.age) > older_than).order_by(Hero.name))).all())
