"""The dialects of SQLAlchemy: what ends badly, and what is given back all the same."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.util import greenlet_spawn

from db_pool_rs.sqlalchemy.pools import SharedPools
from tests.contract.waiting import until
from tests.plugins.proxy import TO_CLIENT, FaultProxy


async def answer(db: Any) -> Any:
    """What the database answers to a connection that is made for it."""
    async with db.connect() as connection:
        return (await connection.execute(sa.text("SELECT 7"))).scalar()


async def test_a_pool_that_could_not_be_opened_needs_no_closing(make: Any) -> None:
    db = make("postgresql://127.0.0.1:1/x")
    with pytest.raises(exc.DBAPIError):
        await answer(db)
    await db.dispose()


async def test_a_login_that_is_refused(make: Any, pg_database: str) -> None:
    """The program is not at fault: it may try again, or with others."""
    db = make(sa.make_url(pg_database).set(username="nobody_at_all").render_as_string(hide_password=False))
    with pytest.raises(exc.OperationalError) as caught:
        await answer(db)
    assert caught.value.orig.sqlstate.startswith("28")


async def opening(db: Any, proxy: FaultProxy) -> asyncio.Task[Any]:
    """A first connection of an engine, to which the server's answer is held up."""
    proxy.stall(TO_CLIENT)
    first = asyncio.ensure_future(answer(db))
    await proxy.wait_held(TO_CLIENT)
    return first


async def test_a_closing_that_is_cancelled_leaves_the_opening_alone(
    make: Any, proxy: FaultProxy, pg_database: str
) -> None:
    db = make(proxy.dsn(pg_database))
    first = await opening(db, proxy)
    closing = asyncio.ensure_future(db.dispose())
    await until(lambda: not db.pool.shared._open)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    proxy.resume()
    with pytest.raises(exc.DBAPIError):  # its pool is closed, as was asked for: not cancelled, which it was not
        await first
    await proxy.wait_closed()
    assert await answer(db) == 7


async def test_a_pool_that_is_being_opened_is_closed_then(make: Any, proxy: FaultProxy, pg_database: str) -> None:
    db = make(proxy.dsn(pg_database))
    first = await opening(db, proxy)
    db.sync_engine.dispose()
    proxy.resume()
    with pytest.raises(exc.DBAPIError):
        await first
    await proxy.wait_closed()
    assert await answer(db) == 7


async def test_each_pool_is_closed_whatever_becomes_of_the_others() -> None:
    closed: list[int] = []

    class Stubborn:
        def __init__(self, number: int) -> None:
            self.number = number

        def terminate(self) -> None:
            closed.append(self.number)
            raise RuntimeError(f"pool {self.number}")

    pools = SharedPools()
    loops = [asyncio.new_event_loop() for _ in range(3)]
    for number, loop in enumerate(loops):
        pools._open[loop] = done = loop.create_future()  # type: ignore[assignment]
        done.set_result(Stubborn(number))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="pool"):
        pools.terminate()
    assert sorted(closed) == [0, 1, 2]
    assert not pools._open
    for loop in loops:
        loop.close()


class Failing:
    """A transaction that cannot be rolled back, or whose rollback lasts."""

    def __init__(self, lasts: bool) -> None:
        self.lasts, self.begun = lasts, asyncio.Event()

    async def rollback(self) -> None:
        """Fail, or wait for ever."""
        self.begun.set()
        if self.lasts:
            await asyncio.Event().wait()
        raise RuntimeError("no rollback")


@pytest.mark.parametrize("lasts", [False, True], ids=["fails", "is cancelled"])
async def test_a_session_is_given_back_whatever_becomes_of_the_rollback(make: Any, backend: Any, lasts: bool) -> None:
    db = make(backend.dsn, pool_size=1, max_overflow=0)
    raw = await db.raw_connection()
    adapted, failing = raw.dbapi_connection, Failing(lasts)
    adapted._transaction = failing
    closing = asyncio.ensure_future(greenlet_spawn(adapted.close))
    if lasts:
        await failing.begun.wait()
        closing.cancel()
    with pytest.raises(asyncio.CancelledError if lasts else RuntimeError):
        await closing
    assert await answer(db) == 7  # on the only connection there is
    raw.invalidate()
