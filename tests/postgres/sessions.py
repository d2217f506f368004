"""What the tests of connecting share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from psycopg import pq
from psycopg.pq.abc import PGconn

from db_pool_rs.conninfo import ConnectConfig
from db_pool_rs.drivers.postgres.connect import connect
from db_pool_rs.errors import ConnectFailed

Config = Callable[..., ConnectConfig]
REQUIRE_AUTH = pytest.mark.skipif(pq.version() < 160000, reason="require_auth came with libpq 16")


@asynccontextmanager
async def session(config: ConnectConfig, **options: Any) -> AsyncIterator[PGconn]:
    connection = await connect(config, **options)
    try:
        yield connection
    finally:
        connection.finish()


async def failure(config: ConnectConfig, **options: Any) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught:
        async with session(config, **options):
            pass
    assert "s3cret" not in str(caught.value)
    return caught.value


def ask(connection: PGconn, query: str) -> str:
    value = connection.exec_(query.encode()).get_value(0, 0)
    assert value is not None
    return value.decode()
