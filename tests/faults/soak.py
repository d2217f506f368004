"""A mixed load that keeps book of what it was told, and the faults to put it through."""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

from db_pool_rs.errors import ConnectFailed, ConnectionLost, DatabaseError, PoolTimeout, StatementTimeout
from tests.contract.waiting import until
from tests.plugins.proxy import BOTH, FaultProxy

#: The index is not unique: a row that is there twice is to be seen in the table, not to be refused.
TABLES = ("CREATE TABLE ledger (id int, note text)", "CREATE INDEX ON ledger (id)")
INSERT = "INSERT INTO ledger VALUES ($1, $2)"
#: Seconds in which a fault is noticed, on however busy a machine.
LONG = 60.0
#: The server is shutting down, or an administrator ended the session: rolled back, and said so.
LEAVING = ("57P01", "57P02", "57P03")


class Load:
    """Callers of one pool: reads, writes, transactions, sessions, failures and cancellations, in random order.

    Every answer is checked where it comes. Keys that were written are in `confirmed`, those whose outcome is unknown in
    `unknown`, those that were certainly not written in `refused`.
    """

    def __init__(self, pool: Any, seed: int) -> None:
        self.pool = pool
        self.answers = 0
        #: Errors that a fault explains, by their names.
        self.failures: Counter[str] = Counter()
        #: Seconds of the longest call, a transaction as a whole.
        self.longest = 0.0
        self.confirmed: set[int] = set()
        self.unknown: set[int] = set()
        self.refused: set[int] = set()
        self.running = True
        self._random = random.Random(seed)
        self._next = 0
        self._progress = asyncio.Event()

    async def caller(self) -> None:
        """Call until told to stop. An answer that is wrong, or an error that no fault explains, ends it."""
        calls = (self._read, self._write, self._transact, self._session, self._fail, self._cancel, self._big)
        while self.running:
            began = time.monotonic()
            try:
                await self._random.choice(calls)()
            except (ConnectFailed, ConnectionLost, PoolTimeout, StatementTimeout) as error:
                self.failures[type(error).__name__] += 1
                await asyncio.sleep(0)
            except DatabaseError as error:
                if error.sqlstate not in LEAVING:
                    raise
                self.failures[str(error.sqlstate)] += 1
            else:
                self.answers += 1
                self._progress.set()
            self.longest = max(self.longest, time.monotonic() - began)

    async def more(self, count: int) -> None:
        """Wait for `count` further answers."""
        goal = self.answers + count
        while self.answers < goal:
            self._progress.clear()
            await self._progress.wait()

    def memory_mb(self) -> float:
        """What is kept here for the report: it grows with every answer, and is none of the pool's."""
        kept = (self.confirmed, self.unknown, self.refused)
        return sum(sys.getsizeof(keys) + len(keys) * sys.getsizeof(1 << 20) for keys in kept) / (1 << 20)

    def report(self, there: Collection[int]) -> str:
        """What callers were told, beside the keys that are there."""
        found = sum(1 for key in self.unknown if key in there)
        failures = ", ".join(f"{count} {name}" for name, count in sorted(self.failures.items()))
        told = f"confirmed {len(self.confirmed)}, not done {len(self.refused)}, unknown {len(self.unknown)}"
        return (
            f"{self.answers} answers ({failures or 'no failures'}); writes: {told} ({found} there); "
            f"longest call {self.longest:.1f} s"
        )

    async def _read(self) -> None:
        number = self._random.randrange(1_000_000)
        assert await self.pool.fetchval("SELECT $1::int", number) == number, "another caller's answer"

    async def _write(self) -> None:
        await self._keep(lambda key: self.pool.execute(INSERT, key, "alone"))

    async def _transact(self) -> None:
        async def transaction(key: int) -> None:
            async with self.pool.transaction() as tx:
                await tx.execute(INSERT, key, "in a transaction")
                assert await tx.fetchval("SELECT note FROM ledger WHERE id = $1", key)

        await self._keep(transaction)

    async def _session(self) -> None:
        async with self.pool.acquire() as connection:
            await connection.execute("SET application_name = 'soak'")
            assert await connection.fetchval("SHOW application_name") == "soak"

    async def _fail(self) -> None:
        try:
            await self.pool.fetchval("SELECT 1 / $1::int", 0)
        except DatabaseError as error:
            if error.sqlstate != "22012":
                raise
        else:
            raise AssertionError("a division by zero has a result")

    async def _cancel(self) -> None:
        call = asyncio.ensure_future(self.pool.fetchval("SELECT pg_sleep(60)"))
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)

    async def _big(self) -> None:
        count = self._random.randrange(2_000)
        rows = await self.pool.fetch("SELECT i, 'row ' || i FROM generate_series(1, $1::int) i", count)
        assert len(rows) == count
        assert not rows or tuple(rows[-1]) == (count, f"row {count}")

    async def _keep(self, write: Callable[[int], Awaitable[Any]]) -> None:
        self._next += 1
        key = self._next
        try:
            await write(key)
        except BaseException as error:
            (self.refused if _certainly_not_done(error) else self.unknown).add(key)
            raise
        self.confirmed.add(key)


def _certainly_not_done(error: BaseException) -> bool:
    return bool(getattr(error, "safe_to_retry", False))


class Faults:
    """What goes wrong, one thing at a time. Each is over when its method returns."""

    def __init__(self, server: Any, proxy: FaultProxy, load: Load) -> None:
        self.server, self.proxy, self.load = server, proxy, load
        self._random = random.Random(11)
        self.all = (self.closed, self.reset, self.refused, self.silent, self.terminated, self.restarted, self.crashed)
        #: Those that take as long as callers have patience.
        self.slow = (self.cut, self.all_silent, self.hanging, self.killed, self.away)

    def by_chance(self) -> Callable[[], Awaitable[None]]:
        """Any of them."""
        return self._random.choice((*self.all, *self.slow))

    async def closed(self) -> None:
        """Every link ends."""
        await self.proxy.drop()

    async def reset(self) -> None:
        """Every link is reset."""
        await self.proxy.drop(reset=True)

    async def refused(self) -> None:
        """Every link ends, and for a while no server listens."""
        connects = self.load.pool.stats().connect_failures
        await self.proxy.refuse()
        await self.proxy.drop()
        while self.load.pool.stats().connect_failures == connects:
            await asyncio.sleep(0)
        await self.proxy.allow()

    async def silent(self) -> None:
        """Every link that is there falls silent, long enough for new ones to take over."""
        self.proxy.stall(links="live")
        await self.load.more(200)
        self.proxy.resume(links="live")

    async def terminated(self) -> None:
        """An administrator ends the sessions."""
        sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'soak'"
        await asyncio.to_thread(self.server.sql, sql)

    async def restarted(self) -> None:
        """The server is restarted, and says so."""
        await asyncio.to_thread(self.server.restart, "fast")

    async def crashed(self) -> None:
        """The server is restarted, and had no time to say so."""
        await asyncio.to_thread(self.server.restart, "immediate")

    async def cut(self) -> None:
        """Every link that is there ends after some more bytes, in the middle of a message as well."""
        for direction in BOTH:
            after, reset = self._random.randrange(5_000), self._random.random() < 0.5
            self.proxy.truncate(after, direction, reset=reset, links="live")
        lost = self.load.pool.stats().lost
        await until(lambda: self.load.pool.stats().lost > lost, LONG)

    async def all_silent(self) -> None:
        """Old links are silent and so are new ones, until a caller gives up."""
        self.proxy.stall()
        await self._failures()
        self.proxy.resume()

    async def hanging(self) -> None:
        """The server's processes stand still, until a caller gives up."""
        await asyncio.to_thread(self.server.pause)
        try:
            await self._failures()
        finally:
            await asyncio.to_thread(self.server.resume)

    async def killed(self) -> None:
        """The server's processes are killed, and it recovers."""
        await asyncio.to_thread(self.server.kill)
        await asyncio.to_thread(self.server.start)

    async def away(self) -> None:
        """The server is away for some attempts to connect."""
        attempts = self.load.pool.stats().connect_failures + 3
        await asyncio.to_thread(self.server.stop, "fast")
        await until(lambda: self.load.pool.stats().connect_failures >= attempts, LONG)
        await asyncio.to_thread(self.server.start)

    async def _failures(self) -> None:
        """Wait until a call has failed."""
        before = self.load.failures.total()
        await until(lambda: self.load.failures.total() > before, LONG)
