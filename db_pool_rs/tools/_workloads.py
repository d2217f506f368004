"""What the benchmark measures: the workloads, and one run of one of them (a `Job`).

A workload is a statement, or a short transaction, that a number of tasks ask for, mostly again and again. It knows
nothing of who serves it, nor how it is measured: see :mod:`._clients` and :mod:`._measures`.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[..., Awaitable[Any]]
#: How it is run (`fetch` or `execute`), the text, the arguments; for each statement of a transaction.
Statements = Sequence[tuple[str, str, tuple[Any, ...]]]

#: Rows that one unit of pgbench's scale means, as pgbench has them.
ACCOUNTS, TELLERS, BRANCHES = 100_000, 10, 1
SQLITE_ROWS = 10_000
# Not `SELECT pg_sleep(...)`: psqlpy cannot read a column of type void.
SLEEP = "SELECT count(*) FROM pg_sleep(0.1)"
FIRST = "SELECT 1"

LONG = "SELECT i AS id, 'name-' || i AS name, i * 1.5::float8 AS half FROM generate_series(1, 500000) AS i"
#: Workloads in which all give up while they wait for the only connection.
OVERLOAD = ("timeouts", "cancels", "acquires")
#: Workloads of point selects.
POINTS = ("point", "mixed", "long", "waiting", "cancels")
#: What runs beside the tasks of a workload: how many at a time, and of which statement.
BESIDE = {"mixed": (4, SLEEP), "long": (2, LONG)}
#: Rows that a cursor fetches at a time.
PREFETCH = 500

_RESULT = (
    "SELECT i AS id, i * 1.5::float8 AS half, 'name-' || i AS name, i % 2 = 0 AS even, now() AS seen, "
    "md5(i::text)::uuid AS token FROM generate_series(1, 10000) AS i"
)


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of load: on which database, for how many tasks by default, and what one of its operations is called.

    `figures` are those that are shown as charts; it is about the first, by which contenders are compared. Rivals that
    would tell nothing new, or cannot, are named in `without`. `max_size` is the size of its pool, if that is no matter
    of choice.
    """

    name: str
    title: str
    database: str
    tasks: tuple[int, ...]
    unit: str = "statements/s"
    figures: tuple[str, ...] = ("rate", "p99_ms")
    without: tuple[str, ...] = ()
    max_size: int | None = None


#: It differs from asyncpg in the reset after each statement, which does not count beside these.
_NORESET = ("asyncpg-noreset",)


#: Every workload by name, in the order in which they are run and reported.
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("point", "Point select by key", "postgresql", (1, 64, 256)),
        Workload("insert", "Durable auto-commit insert", "postgresql", (64,)),
        Workload("keyed", "Durable insert with a foreign key", "postgresql", (64,), without=_NORESET),
        Workload("deferred", "Durable insert with a deferred foreign key", "postgresql", (64,), without=_NORESET),
        Workload("tx", "Transaction of three statements", "postgresql", (16,), "transactions/s"),
        Workload(
            "together", "Transaction of three statements that leave together", "postgresql", (16,), "transactions/s"
        ),
        Workload("batch", "Transaction of three statements as a batch", "postgresql", (16,), "transactions/s"),
        Workload("mixed", "Point selects beside sleeping statements", "postgresql", (60,)),
        Workload(
            *("long", "Point selects beside two long results", "postgresql", (8,)),
            figures=("p99_ms", "rate"),
            without=_NORESET,
        ),
        Workload(
            *("waiting", "Point selects that all wait at once", "postgresql", (20_000,)),
            figures=("all_s", "waiting_kb"),
            without=_NORESET,
        ),
        Workload(
            *("timeouts", "Calls that wait for one connection time out together", "postgresql", (20_000,)),
            figures=("all_s", "held_ms"),
            without=(*_NORESET, "psqlpy"),
            max_size=1,
        ),
        Workload(
            *("cancels", "Calls that wait for one connection are cancelled, the last first", "postgresql", (22_000,)),
            figures=("all_s", "held_ms"),
            without=(*_NORESET, "psqlpy"),
            max_size=1,
        ),
        Workload(
            *("acquires", "Acquires that wait for one connection are cancelled", "postgresql", (22_000,)),
            figures=("all_s", "held_ms"),
            without=(*_NORESET, "psqlpy"),
            max_size=1,
        ),
        Workload("rows", "Result of 10,000 rows and 6 columns", "postgresql", (4,), "results/s"),
        Workload(
            *("cursor", f"Cursor over a table, {PREFETCH} rows at a time", "postgresql", (1,), "rows/s"),
            figures=("rate", "growth_mb"),
            without=_NORESET,
        ),
        Workload("sqlite-read", "SQLite: point select by key", "sqlite", (64,)),
        Workload("sqlite-write", "SQLite: durable auto-commit insert", "sqlite", (64,)),
        Workload("start", "From import to the first answer", "any", (1,), "starts/s", ("start_s",)),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One run of one contender; it reaches the child process as JSON.

    `dsn` is a PostgreSQL URL, or `sqlite:` and the path of a file; `schema` is where the tables are (PostgreSQL).
    `delay_ms` says how much longer a round trip was made; None where there is no proxy in between.
    """

    contender: str
    workload: str
    tasks: int
    seconds: float
    dsn: str
    schema: str = ""
    scale: int = 1
    max_size: int = 10
    loop: str = "asyncio"
    delay_ms: float | None = None

    @property
    def sqlite_path(self) -> str | None:
        """The SQLite file; None if this is PostgreSQL."""
        return self.dsn.removeprefix("sqlite:///") if self.dsn.startswith("sqlite:") else None


def accounts(job: Job) -> str:
    """A query for a whole table, for a cursor."""
    return f"SELECT aid, bid, abalance FROM {job.schema}.pgbench_accounts"


def operation(job: Job, client: Any, chance: random.Random) -> Callable[[], Awaitable[Any]]:
    """What each task of the job does, again and again: a function that starts one operation."""
    schema, last = job.schema, ACCOUNTS * job.scale
    point = f"SELECT abalance FROM {schema}.pgbench_accounts WHERE aid = $1"
    insert = f"INSERT INTO {schema}.{'inserted' if job.workload == 'insert' else job.workload} (k, v) VALUES ($1, $2)"
    operations: dict[str, Callable[[], Awaitable[Any]]] = {
        **dict.fromkeys(
            ("point", "mixed", "long", "waiting", "cancels"), lambda: client.fetch(point, chance.randint(1, last))
        ),
        **dict.fromkeys(
            ("insert", "keyed", "deferred"), lambda: client.execute(insert, chance.randint(1, 99_999), "hello")
        ),
        "rows": lambda: client.fetch(_RESULT),
        "tx": lambda: client.transaction(in_order(_transfer(job, chance))),
        "together": lambda: client.together(_transfer(job, chance)),
        "batch": lambda: client.batch(_transfer(job, chance)),
        "sqlite-read": lambda: client.fetch("SELECT v FROM t WHERE id = $1", chance.randint(1, SQLITE_ROWS)),
        "sqlite-write": lambda: client.execute("INSERT INTO t (v) VALUES ($1)", 1),
        "start": lambda: client.fetch(FIRST),
        **dict.fromkeys(("timeouts", "acquires"), lambda: client.fetch(FIRST)),
    }
    return operations[job.workload]


def _transfer(job: Job, chance: random.Random) -> Statements:
    """One transaction much like pgbench's, on an account by chance: update, read, note."""
    account = chance.randint(1, ACCOUNTS * job.scale)
    teller = chance.randint(1, TELLERS * job.scale)
    branch = chance.randint(1, BRANCHES * job.scale)
    delta = chance.randint(-5000, 5000)
    accounts, history = f"{job.schema}.pgbench_accounts", f"{job.schema}.pgbench_history"
    note = f"INSERT INTO {history} (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, now())"
    return (
        ("execute", f"UPDATE {accounts} SET abalance = abalance + $1 WHERE aid = $2", (delta, account)),
        ("fetch", f"SELECT abalance FROM {accounts} WHERE aid = $1", (account,)),
        ("execute", note, (teller, branch, account, delta)),
    )


def in_order(statements: Statements) -> Callable[[Run, Run], Awaitable[None]]:
    """The body of a transaction that waits for each answer before it sends the next statement."""

    async def body(fetch: Run, execute: Run) -> None:
        for how, sql, args in statements:
            await (fetch if how == "fetch" else execute)(sql, *args)

    return body
