"""A server falls silent at any byte that it sends: no call is held for longer than its deadline, nor is the pool.

One life of a pool is measured first: login, the pool's question, `init`, statements, COPY both ways, a reset and the
end. Then many pools live it at once, and each one's server falls silent after another number of bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from db_pool_rs.errors import ConnectFailed, Error
from db_pool_rs.guard.keeper import Keeper
from tests.plugins.proxy import TO_CLIENT, FaultProxy

#: The deadline of every step, in seconds; and what counts as held for ever, below every default of 30 s.
DEADLINE = 1.0
HELD = 28.0
#: How long a busy machine may take to let many pools serve again that have so short a deadline.
AGAIN = 120.0
#: How many places there are to fall silent at.
PLACES = 40

Step = Callable[[], Awaitable[Any]]


class Life:
    """A pool, and what is asked of it, step by step, each of which may take `deadline` seconds."""

    def __init__(self, open_pool: Any, dsn: str, init: Any, deadline: float) -> None:
        self._init = init
        self._open_pool = open_pool
        self._deadline = deadline
        self._dsn = f"{dsn}?connect_timeout={deadline}"
        self.pool: Any = None
        self.errors: list[Error] = []

    async def run(self) -> None:
        """Open the pool and ask for everything; errors are kept."""
        for step in (self._open, self._statement, self._session, self._copy_out, self._copy_in):
            await self._in_time(step)

    async def end(self) -> None:
        """Close the pool."""
        await self._in_time(lambda: self.pool.close(timeout=self._deadline))

    async def serves(self) -> None:
        """The pool serves, now that the server answers again."""

        async def answered() -> None:
            assert await self.pool.fetchval("SELECT $1::int", 7) == 7

        end = time.monotonic() + AGAIN
        while not await self._in_time(answered):
            assert time.monotonic() < end, self.errors[-1]

    async def _in_time(self, step: Step) -> bool:
        """Whether it succeeded: it may fail, but it is not held."""
        task = asyncio.ensure_future(step())
        done, _ = await asyncio.wait((task,), timeout=HELD)
        assert done, f"{step.__name__} is held"
        try:
            task.result()
        except Error as error:
            self.errors.append(error)
            return False
        return True

    async def _open(self) -> None:
        options = {"min_size": 0, "max_size": 1, "command_timeout": self._deadline, "init": self._init}
        self.pool = await self._open_pool(self._dsn, **options)

    async def _statement(self) -> None:
        for number in range(2):
            assert await self.pool.fetchval("SELECT $1::int", number) == number
        await self.pool.execute("SELECT set_config('application_name', 'x', false)")  # there is something to reset

    async def _session(self) -> None:
        async with self.pool.transaction(timeout=self._deadline) as conn:
            await conn.execute("SET statement_timeout = 10000")  # there is something to reset

    async def _copy_out(self) -> None:
        async def take(data: bytes) -> None:
            pass

        async with self.pool.acquire(timeout=self._deadline) as conn:
            query = "SELECT generate_series(1, 20)"
            await conn.copy_from_query(query, output=take)

    async def _copy_in(self) -> None:
        async def rows() -> AsyncIterator[bytes]:
            yield b"1\n"

        async with self.pool.acquire(timeout=self._deadline) as conn:
            await conn.copy_to_table("numbers", source=rows())


async def _prepare(conn: Any) -> None:
    await conn.execute("SELECT 'prepared by init'")


@pytest.mark.timeout(400)
@pytest.mark.parametrize("init", [None, _prepare])
async def test_a_server_that_falls_silent_at_any_byte_holds_nothing(
    open_pool: Any, pg_server: Any, pg_database: str, init: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The guard's reading would come in between at any time, and lives must be alike.
    monkeypatch.setattr(Keeper, "want", lambda self: None)
    pg_server.sql("CREATE TABLE numbers (n int)", pg_database.rpartition("/")[2])
    async with FaultProxy("127.0.0.1", pg_server.port) as proxy:
        life = Life(open_pool, proxy.dsn(pg_database), init, HELD)  # of a server that answers, however long it takes
        await life.run()
        await life.serves()
        await life.end()
        assert not life.errors
        spoken = proxy.bytes_to_client

    async def lived(silent_after: int) -> bool:
        async with FaultProxy("127.0.0.1", pg_server.port) as proxy:
            proxy.silence(silent_after, TO_CLIENT, links="new")
            life = Life(open_pool, proxy.dsn(pg_database), init, DEADLINE)
            await life.run()
            told = bool(life.errors)
            proxy.silence(None, links="new")
            proxy.resume(links="new")
            await life.serves()
            await life.end()
            return told

    places = range(1, spoken, max(1, spoken // PLACES))
    results = await asyncio.gather(*map(lived, places), return_exceptions=True)
    held = [
        f"silent after {place} bytes: {result}"
        for place, result in zip(places, results, strict=True)
        if isinstance(result, BaseException)
    ]
    assert not held, "\n".join(held)
    assert sum(map(bool, results)) > len(places) // 2, "the silence was noticed"


async def test_a_server_that_lets_in_and_says_nothing(
    open_pool: Any, proxy: FaultProxy, pg_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Keeper, "want", lambda self: None)  # what the guard reads is not of the login
    pool = await open_pool(proxy.dsn(pg_database), min_size=0, max_size=1, init=_nothing)
    await pool.fetchval("SELECT 1")
    [link] = proxy.links
    login = link.bytes[TO_CLIENT]
    await pool.close()

    async with FaultProxy(*proxy.target) as silent:
        silent.silence(login // 2, TO_CLIENT)
        with pytest.raises(ConnectFailed) as caught:
            await asyncio.wait_for(open_pool(f"{silent.dsn(pg_database)}?connect_timeout=0.5", min_size=1), HELD)
    assert not caught.value.permanent


async def _nothing(conn: Any) -> None:
    pass


async def test_an_init_that_never_ends(open_pool: Any, pg_database: str) -> None:
    async def init(conn: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(ConnectFailed, match="connect_timeout"):
        await asyncio.wait_for(open_pool(f"{pg_database}?connect_timeout=0.5", min_size=1, init=init), HELD)


async def test_a_reset_that_never_ends(open_pool: Any, pg_database: str) -> None:
    async def reset(conn: Any) -> None:
        await asyncio.Event().wait()

    pool = await open_pool(f"{pg_database}?connect_timeout=3", min_size=1, max_size=1, reset=reset)
    async with pool.acquire() as conn:
        await conn.execute("SET statement_timeout = 10000")
    assert await asyncio.wait_for(pool.fetchval("SELECT 1"), HELD) == 1


async def test_an_init_that_fails_without_a_word(open_pool: Any, backend: Any) -> None:
    async def init(conn: Any) -> None:
        raise LookupError

    with pytest.raises(ConnectFailed, match="LookupError"):
        await open_pool(backend.dsn, min_size=1, init=init)
