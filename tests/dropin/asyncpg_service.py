"""A service made for asyncpg: accounts, and a queue of jobs that workers take. `test_asyncpg_service.py` runs it.

Only the line that imports asyncpg is another one where it runs on `db_pool_rs.asyncpg`.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import asyncpg

MIGRATIONS = (
    """
    CREATE TYPE job_state AS ENUM ('waiting', 'done', 'failed');
    CREATE TYPE money_of AS (amount numeric, currency text);
    CREATE TABLE accounts (
        id int PRIMARY KEY, owner text NOT NULL UNIQUE, balance numeric NOT NULL CHECK (balance >= 0), tags text[]
    );
    """,
    """
    CREATE TABLE jobs (
        id bigserial PRIMARY KEY, kind text NOT NULL, payload jsonb NOT NULL,
        state job_state NOT NULL DEFAULT 'waiting',
        attempts int NOT NULL DEFAULT 0, due timestamptz NOT NULL DEFAULT '2026-01-01', answer jsonb, price money_of
    );
    CREATE INDEX jobs_waiting ON jobs (due, id) WHERE state = 'waiting';
    """,
    """
    CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_notify('jobs', NEW.kind); RETURN NULL; END $$;
    CREATE TRIGGER tell AFTER INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION tell();
    """,
)
CLAIM = """
UPDATE jobs SET attempts = attempts + 1 WHERE id = (
    SELECT id FROM jobs WHERE state = 'waiting' AND due <= $1 ORDER BY due, id FOR UPDATE SKIP LOCKED LIMIT 1
) RETURNING id, kind, payload, attempts, price
"""
NOW = datetime(2026, 6, 1, tzinfo=timezone.utc)
MOST_ATTEMPTS = 3


class JobState(enum.Enum):
    """What became of a job."""

    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Price:
    """An amount of a currency."""

    amount: Decimal
    currency: str


class Row(asyncpg.Record):
    """Rows whose columns are attributes."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass
class Service:
    """All of it; `seen` are the hooks of the pool that were called."""

    pool: Any
    seen: set[str] = field(default_factory=set)

    async def migrate(self) -> int:
        """Bring the schema up to date, one process at a time; how many steps there were."""
        async with self.pool.acquire() as connection:
            await connection.execute("SELECT pg_advisory_lock(7)")
            try:
                await connection.execute("CREATE TABLE IF NOT EXISTS migrations (step int PRIMARY KEY)")
                last = await connection.fetchval("SELECT coalesce(max(step), 0) FROM migrations")
                for step, script in enumerate(MIGRATIONS[last:], last + 1):
                    async with connection.transaction():
                        await connection.execute(script)
                        await connection.execute("INSERT INTO migrations VALUES ($1)", step)
                await connection.reload_schema_state()
            finally:
                await connection.execute("SELECT pg_advisory_unlock(7)")
        return len(MIGRATIONS) - int(last)

    async def load_accounts(self, text: bytes, more: list[tuple[Any, ...]]) -> list[str]:
        """Accounts of a CSV file and of records."""
        columns = ["id", "owner", "balance", "tags"]
        async with self.pool.acquire() as connection, connection.transaction():
            first = await connection.copy_to_table(
                "accounts", source=io.BytesIO(text), columns=columns, format="csv", header=True
            )
            return [first, await connection.copy_records_to_table("accounts", records=more, columns=columns)]

    async def transfer(self, source: int, target: int, amount: Decimal) -> str:
        """Move an amount, again if others were in between; what became of it."""
        while True:
            try:
                async with self.pool.acquire() as connection, connection.transaction(isolation="serializable"):
                    for account, change in ((source, -amount), (target, amount)):
                        sql = "UPDATE accounts SET balance = balance + $2 WHERE id = $1 RETURNING balance"
                        if await connection.fetchrow(sql, account, change) is None:
                            raise LookupError(f"account {account} is not there")
                    await self.enqueue(connection, "receipt", {"from": source, "to": target}, Price(amount, "EUR"))
                return "moved"
            except (asyncpg.SerializationError, asyncpg.DeadlockDetectedError):
                continue
            except asyncpg.CheckViolationError as error:
                return f"refused by {error.constraint_name}"
            except LookupError as error:
                return str(error)

    @staticmethod
    async def enqueue(connection: Any, kind: str, payload: Any, price: Price | None = None) -> int:
        """Add a job, as a part of the caller's transaction; workers hear of it when that is committed."""
        sql = "INSERT INTO jobs (kind, payload, price) VALUES ($1, $2, $3) RETURNING id"
        return int(await connection.fetchval(sql, kind, payload, price))

    async def work(self, handlers: dict[str, Callable[[Any, Row], Awaitable[Any]]], expected: int) -> list[str]:
        """A worker: takes jobs until `expected` of all are finished; the kinds that it was told of."""
        heard: list[str] = []
        wake = asyncio.Event()

        def told(connection: Any, pid: int, channel: str, payload: str) -> None:
            heard.append(payload)
            wake.set()

        async with self.pool.acquire() as connection:
            await connection.add_listener("jobs", told)
            try:
                while await self.finished() < expected:
                    wake.clear()
                    if not await self.step(connection, handlers) and await self.finished() < expected:
                        with contextlib.suppress(asyncio.TimeoutError):
                            await asyncio.wait_for(wake.wait(), 0.05)
            finally:
                await connection.remove_listener("jobs", told)
        return heard

    async def finished(self) -> int:
        """How many jobs are finished."""
        return int(await self.pool.fetchval("SELECT count(*) FROM jobs WHERE state <> $1", JobState.WAITING))

    @staticmethod
    async def step(connection: Any, handlers: dict[str, Callable[[Any, Row], Awaitable[Any]]]) -> bool:
        """Take one job: what its handler did is undone if it fails, what is written of it is not."""
        async with connection.transaction():
            job = await connection.fetchrow(CLAIM, NOW, record_class=Row)
            if job is None:
                return False
            try:
                async with connection.transaction():
                    answer, state = await handlers[job.kind](connection, job), JobState.DONE
            except (asyncpg.PostgresError, LookupError) as error:
                last = job.attempts >= MOST_ATTEMPTS
                answer = {"error": error.sqlstate if isinstance(error, asyncpg.PostgresError) else str(error)}
                state = JobState.FAILED if last else JobState.WAITING
            await connection.execute("UPDATE jobs SET state = $2, answer = $3 WHERE id = $1", job.id, state, answer)
            return True

    async def totals(self) -> AsyncIterator[tuple[str, Decimal]]:
        """Accounts and what they hold, a few at a time."""
        async with self.pool.acquire() as connection, connection.transaction(readonly=True):
            statement = await connection.prepare(
                "SELECT owner, balance FROM accounts WHERE balance > $1 ORDER BY owner"
            )
            async for owner, balance in statement.cursor(Decimal(0), prefetch=2):
                yield owner, balance

    async def page(self, skip: int, count: int) -> list[str]:
        """Some owners, by a cursor that is moved."""
        async with self.pool.acquire() as connection, connection.transaction():
            cursor = await connection.cursor("SELECT owner FROM accounts ORDER BY owner")
            await cursor.forward(skip)
            return [row["owner"] for row in await cursor.fetch(count)]

    async def export(self) -> bytes:
        """Finished jobs as CSV."""
        output = io.BytesIO()
        sql = (
            "SELECT kind, state, attempts, (price).amount FROM jobs WHERE attempts < $1 ORDER BY kind, attempts, 4, id"
        )
        await self.pool.copy_from_query(sql, 100, output=output, format="csv", header=True)
        return output.getvalue()


async def init(connection: Any) -> None:
    """Codecs of a new connection, as far as its types are there yet."""
    await connection.set_type_codec("jsonb", schema="pg_catalog", encoder=json.dumps, decoder=json.loads)
    if await connection.fetchval("SELECT to_regtype('job_state') IS NOT NULL"):
        await connection.set_type_codec("job_state", encoder=lambda state: state.value, decoder=JobState)
        await connection.set_type_codec(
            "money_of", encoder=lambda one: (one.amount, one.currency), decoder=lambda two: Price(*two), format="tuple"
        )


@contextlib.asynccontextmanager
async def serving(dsn: str) -> AsyncIterator[Service]:
    """The service: its schema first, then a pool whose connections know its types."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=1, init=init) as first:
        steps = [await Service(first).migrate() for _ in range(2)]
    seen: set[str] = {f"migrations {steps}"}

    async def setup(connection: Any) -> None:
        seen.add("setup")
        await connection.execute("SET application_name = 'service'")

    async def reset(connection: Any) -> None:
        seen.add("reset")
        await connection.reset()

    options = {"init": init, "setup": setup, "reset": reset, "command_timeout": 60}
    async with asyncpg.create_pool(dsn, min_size=2, max_size=4, **options) as pool:
        yield Service(pool, seen)


async def receipt(connection: Any, job: Row) -> Any:
    """Write who has paid whom."""
    sql = "SELECT string_agg(owner, ' to ' ORDER BY id = $2) FROM accounts WHERE id IN ($1, $2)"
    people = await connection.fetchval(sql, job.payload["from"], job.payload["to"])
    return {"text": f"{people}: {job.price.amount} {job.price.currency}"}


async def broken(connection: Any, job: Row) -> Any:
    """Fails after it has written something."""
    await connection.execute("UPDATE accounts SET balance = 0")
    await connection.execute(f"INSERT INTO accounts VALUES (1, 'again', {job.payload})")


async def flaky(connection: Any, job: Row) -> Any:
    """Fails at first."""
    if job.attempts < 2:
        raise LookupError("not yet")
    return await connection.fetchval("SELECT $1::interval * 2", timedelta(hours=job.attempts)) == timedelta(hours=4)


async def main(dsn: str) -> list[Any]:
    """A day of the service; what it has to show."""
    out: list[Any] = []
    async with serving(dsn) as service:
        csv = b'id,owner,balance,tags\n1,Ada,100.50,"{a,b}"\n2,Grace,20,\n3,"Edsger ""E""",0,{}\n'
        out.append(
            await service.load_accounts(csv, [(4, "Tony", Decimal("7.25"), ["x", None]), (5, "Ünal", Decimal(1), None)])
        )
        worker_count, expected = 2, 13
        handlers = {"receipt": receipt, "broken": broken, "flaky": flaky}
        workers = [asyncio.ensure_future(service.work(handlers, expected)) for _ in range(worker_count)]
        moves = [service.transfer(1, 2, Decimal("1.5")) for _ in range(8)] + [service.transfer(2, 3, Decimal("0.25"))]
        out.append(sorted(await asyncio.gather(*moves)))
        out.append([await service.transfer(*move) for move in ((3, 1, Decimal(1000)), (1, 9, Decimal(1)))])
        async with service.pool.acquire() as connection:
            async with connection.transaction():
                await service.enqueue(connection, "broken", 5)
                await service.enqueue(connection, "flaky", {"x": [1, None]})
                await service.enqueue(connection, "unknown", {})
            await service.enqueue(connection, "flaky", {})
            undone = connection.transaction()
            await undone.start()
            await service.enqueue(connection, "broken", 6)
            await undone.rollback()
        heard = await asyncio.gather(*workers)
        out.append([{*one} <= {"receipt", "broken", "flaky", "unknown"} for one in heard])
        out.append([pair async for pair in service.totals()])
        out.append(await service.page(1, 2))
        out.append(await service.export())
        rows = await service.pool.fetch(
            "SELECT kind, state, attempts, answer, price FROM jobs ORDER BY kind, answer::text"
        )
        out.append([tuple(row) for row in rows])
        out.append(await service.pool.fetchval("SELECT current_setting('application_name')"))
        out.append(sorted(service.seen))
    return out
