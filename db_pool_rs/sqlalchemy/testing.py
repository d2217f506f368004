"""For the tests of programs that use SQLAlchemy: a session of which nothing stays.

    @pytest_asyncio.fixture(loop_scope="session")
    async def session(engine):
        async with rolled_back_session(engine) as session:
            yield session

All that it does happens in one transaction, which is rolled back at the end. Its own commits and rollbacks are those of
savepoints in there, so an error that a test expects undoes what came since the last commit, and spoils nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession


@asynccontextmanager
async def rolled_back_session(engine: AsyncEngine, **options: Any) -> AsyncIterator[AsyncSession]:
    """A session for one test; `options` are those of `AsyncSession`."""
    async with engine.connect() as connection:
        transaction = await connection.begin()
        try:
            async with AsyncSession(connection, join_transaction_mode="create_savepoint", **options) as session:
                yield session
        finally:
            await transaction.rollback()
