"""The load of the demonstration: a small shop, served to many tasks at once, with its books checked at the end.

Tables `customers` and `orders` are made for the run and dropped after it, on PostgreSQL in a schema of their own. Each
task does, again and again and by chance, one of `KINDS`; one more task asks for a report every tenth of a second. The
failing statement fails on purpose: its neighbours in the same group must not notice.

What callers were told is compared with what the database holds afterwards: every select gave the row that was asked
for, every insert reported as done is there and no other, no money was made or lost by transfers.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..errors import Error, UniqueViolation
from ..metrics import Histogram, PoolStats
from .common import database_of, one_line

if TYPE_CHECKING:
    from ..abc import Pool
    from ..record import Record

CUSTOMERS = 1_000
FIRST_ORDERS = 5_000
REPORT_EVERY = 0.1
PAUSE_AFTER_ERROR = 0.05

POINT, INSERT, TRANSFER, FAILING, REPORT = "point select", "insert", "transaction", "failing insert", "report"
#: What the tasks do, and how often in 100; and how many statements each is.
KINDS = {POINT: 80, INSERT: 15, TRANSFER: 4, FAILING: 1}
STATEMENTS = {POINT: 1, INSERT: 1, TRANSFER: 2, FAILING: 1, REPORT: 1}

_CITIES = ("Bergen", "Ghent", "Kyoto", "Lima", "Oulu", "Porto", "Quito", "Turin")
_NAMES = ("Ada", "Boris", "Chen", "Dara", "Emil", "Fatima", "Goran", "Hana", "Ines", "Jun")

_CREATE = {
    "postgresql": """
        CREATE SCHEMA {schema};
        CREATE TABLE {customers} (id int PRIMARY KEY, name text NOT NULL, city text NOT NULL, balance bigint NOT NULL);
        CREATE TABLE {orders} (id bigint PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
                               customer int NOT NULL REFERENCES {customers}, amount bigint NOT NULL)
    """,
    "sqlite": """
        CREATE TABLE {customers} (id INTEGER PRIMARY KEY, name TEXT NOT NULL, city TEXT NOT NULL, balance INT NOT NULL);
        CREATE TABLE {orders} (id INTEGER PRIMARY KEY,
                               customer INT NOT NULL REFERENCES {customers}, amount INT NOT NULL)
    """,
}
_DROP = {
    "postgresql": "DROP SCHEMA IF EXISTS {schema} CASCADE",
    "sqlite": "DROP TABLE IF EXISTS {orders}; DROP TABLE IF EXISTS {customers}",
}


class Workload:
    """One run on an open pool: `create`, `serve`, `check`, `drop`."""

    def __init__(self, pool: Pool, tasks: int, seconds: float) -> None:
        self._pool = pool
        self._tasks = tasks
        self._seconds = seconds
        self._database = database_of(pool)
        self._chance = random.Random(4)
        schema = f"db_pool_rs_demo_{secrets.token_hex(4)}"
        dot = "." if self._database == "postgresql" else "_"
        self._names = {"schema": schema, "customers": f"{schema}{dot}customers", "orders": f"{schema}{dot}orders"}
        self._work: dict[str, Callable[[], Awaitable[None]]] = {
            POINT: self._point,
            INSERT: self._insert,
            TRANSFER: self._transfer,
            FAILING: self._failing,
            REPORT: self._report,
        }
        self._sql = {
            POINT: "SELECT id, name, city, balance FROM {customers} WHERE id = $1",
            INSERT: "INSERT INTO {orders} (customer, amount) VALUES ($1, $2)",
            TRANSFER: "UPDATE {customers} SET balance = balance + $2 WHERE id = $1",
            FAILING: "INSERT INTO {customers} (id, name, city, balance) VALUES ($1, 'twice', 'nowhere', 0)",
            REPORT: "SELECT city, count(*) AS orders, sum(amount) AS turnover FROM {orders} JOIN {customers} "
            "ON {customers}.id = {orders}.customer GROUP BY city ORDER BY turnover DESC, city LIMIT 5",
        }
        self._sql = {kind: sql.format(**self._names) for kind, sql in self._sql.items()}
        self.latencies = {kind: Histogram() for kind in STATEMENTS}
        self.expected_errors = 0
        self.unexpected: list[str] = []
        self.wrong_answers = 0
        self.elapsed = 0.0
        self.most_lanes = 0
        self.most_connections = 0

    @property
    def statements(self) -> int:
        """Statements that were answered, BEGIN and COMMIT not counted."""
        return sum(STATEMENTS[kind] * latency.count for kind, latency in self.latencies.items())

    async def create(self) -> None:
        """Make the tables and fill them."""
        chance = self._chance
        async with self._pool.acquire() as connection:
            await connection.execute(_CREATE[self._database].format(**self._names))
            await connection.executemany(
                "INSERT INTO {customers} (id, name, city, balance) VALUES ($1, $2, $3, $4)".format(**self._names),
                [(n, chance.choice(_NAMES), chance.choice(_CITIES), 10_000) for n in range(1, CUSTOMERS + 1)],
            )
            await connection.executemany(self._sql[INSERT], [self._new_order() for _ in range(FIRST_ORDERS)])

    async def drop(self) -> None:
        """Remove the tables; nothing happens where there are none."""
        async with self._pool.acquire() as connection:
            await connection.execute(_DROP[self._database].format(**self._names))

    async def serve(self, progress: Callable[[float, int], None]) -> None:
        """Run the tasks for the given time; `progress` hears of the seconds gone and the statements answered."""
        started = time.perf_counter()
        deadline = started + self._seconds
        tasks = [asyncio.create_task(self._serve_one(deadline)) for _ in range(self._tasks)]
        tasks += [asyncio.create_task(self._ask_for_reports(deadline))]
        watcher = asyncio.create_task(self._watch(started, progress))
        try:
            await asyncio.gather(*tasks)
            self.elapsed = time.perf_counter() - started
        finally:
            for task in (*tasks, watcher):
                task.cancel()
            await asyncio.gather(*tasks, watcher, return_exceptions=True)

    async def check(self) -> dict[str, bool]:
        """Compare what callers were told with what the database holds."""
        orders = await self._pool.fetchval("SELECT count(*) FROM {orders}".format(**self._names))
        balance = await self._pool.fetchval("SELECT sum(balance) FROM {customers}".format(**self._names))
        told = self.latencies[INSERT].count
        return {
            f"every select gave the row that was asked for ({self.latencies[POINT].count:,})": self.wrong_answers == 0,
            f"inserts reported as done: {told:,}, found: {orders - FIRST_ORDERS:,}": orders - FIRST_ORDERS == told,
            "transfers neither made nor lost money": int(balance) == CUSTOMERS * 10_000,
            f"failing statements failed, and nothing else did ({self.expected_errors:,})": not self.unexpected,
        }

    async def report(self) -> list[Record]:
        """The report that was asked for all the time."""
        return await self._pool.fetch(self._sql[REPORT])

    # -- the tasks -----------------------------------------------------------------------------------------------

    async def _serve_one(self, deadline: float) -> None:
        kinds = self._chance.choices(list(KINDS), list(KINDS.values()), k=997)
        for kind in itertools.cycle(kinds):
            if time.perf_counter() >= deadline:
                return
            await self._do(kind)

    async def _ask_for_reports(self, deadline: float) -> None:
        while (left := deadline - time.perf_counter()) > 0:
            await self._do(REPORT)
            await asyncio.sleep(min(REPORT_EVERY, left))

    async def _watch(self, started: float, progress: Callable[[float, int], None]) -> None:
        while True:
            stats: PoolStats = self._pool.stats()
            self.most_lanes = max(self.most_lanes, stats.lanes)
            self.most_connections = max(self.most_connections, stats.size)
            progress(time.perf_counter() - started, self.statements)
            await asyncio.sleep(0.05)

    async def _do(self, kind: str) -> None:
        started = time.perf_counter()
        try:
            await self._work[kind]()
        except Error as error:
            self.unexpected.append(one_line(error))
            # The server may be away: no hurry then.
            await asyncio.sleep(PAUSE_AFTER_ERROR)
        else:
            self.latencies[kind].record(time.perf_counter() - started)

    async def _point(self) -> None:
        wanted = self._some_customer()
        row = await self._pool.fetchrow(self._sql[POINT], wanted)
        if row is None or row["id"] != wanted:
            self.wrong_answers += 1

    async def _insert(self) -> None:
        await self._pool.execute(self._sql[INSERT], *self._new_order())

    async def _transfer(self) -> None:
        # In the order of their ids, so that two transfers cannot block each other.
        giver, taker = sorted(self._chance.sample(range(1, CUSTOMERS + 1), 2))
        async with self._pool.transaction() as connection:
            await connection.execute(self._sql[TRANSFER], giver, -5)
            await connection.execute(self._sql[TRANSFER], taker, 5)

    async def _failing(self) -> None:
        try:
            await self._pool.execute(self._sql[FAILING], self._some_customer())
        except UniqueViolation:
            self.expected_errors += 1
        else:
            self.unexpected.append("an insert with a key that was taken did not fail")

    async def _report(self) -> None:
        await self._pool.fetch(self._sql[REPORT])

    def _some_customer(self) -> int:
        return self._chance.randint(1, CUSTOMERS)

    def _new_order(self) -> tuple[Any, ...]:
        return self._some_customer(), self._chance.randint(100, 50_000)
