"""SQLAlchemy on its dialects asyncpg and psycopg, and on this package's, ordinary and grouped: throughput and CPU.

    python -m db_pool_rs.tools.benchmark_sqlalchemy [--mode full] [--tasks 64] [--seconds 3] [--rounds 5] [--dsn ...]

Selects of one row by its key and inserts of one row, by Core and by the ORM, as tasks of a server make them: each takes
a connection, or a session of the ORM, for one of them. Once each statement is for itself (AUTOCOMMIT), and once in a
transaction, which is SQLAlchemy's default. Contenders take turns, each in a process of its own, with pools of equal
size. The figures are medians: operations in a second, and microseconds of the client's CPU for one.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from .. import create_pool
from ..cli.guard import guarded
from ..modes import MODES
from ._database import postgresql

_ROWS = 100_000
_SELECTED, _INSERTED = "db_pool_rs_selected", "db_pool_rs_inserted"
_MAKE = (
    f"CREATE TABLE {_SELECTED} (id int PRIMARY KEY, balance int, name text)",
    f"INSERT INTO {_SELECTED} SELECT i, i * 7, 'customer ' || i FROM generate_series(1, {_ROWS}) AS i",
    f"CREATE TABLE {_INSERTED} (id bigserial PRIMARY KEY, balance int, name text)",
    f"ANALYZE {_SELECTED}",
)
_DROP = tuple(f"DROP TABLE IF EXISTS {table}" for table in (_SELECTED, _INSERTED))
_CONTENDERS = ("asyncpg", "psycopg", "ordinary", "grouped")
_WORKLOADS = ("Core select", "ORM select", "Core insert", "ORM insert")
_WARM_UP_SECONDS = 1.0
#: Seconds that a run may take besides those that it measures.
_GRACE = 120.0
Work = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one contender; it reaches the child process as JSON."""

    contender: str
    workload: str
    isolation: str | None
    dsn: str
    mode: str
    tasks: int
    size: int
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 if each contender did its work."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    add = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.benchmark_sqlalchemy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("--dsn", help="postgresql://... (default: a new server)")
    add.add_argument("--mode", choices=MODES, default="full", help="of this package's contenders")
    add.add_argument("--tasks", type=int, default=64)
    add.add_argument("--size", type=int, default=10, help="connections of each pool")
    add.add_argument("--seconds", type=float, default=3.0, help="of each run")
    add.add_argument("--rounds", type=int, default=5)
    options = add.parse_args(arguments)
    with postgresql(options.dsn) as (dsn, server), _tables(dsn):
        said = (
            f"{options.tasks} tasks, {options.size} connections, mode {options.mode}, median of {options.rounds} rounds"
        )
        print(f"{said}, {server}", file=sys.stderr)
        for isolation, title in (("AUTOCOMMIT", "Each statement for itself"), (None, "In transactions")):
            print(f"\n{title}\n")
            given = (isolation, dsn, options.mode, options.tasks, options.size, options.seconds)
            print("\n".join(_table(_measured(options.rounds, given))), flush=True)
    return 0


@contextmanager
def _tables(dsn: str) -> Iterator[None]:
    asyncio.run(_execute(dsn, (*_DROP, *_MAKE)))
    try:
        yield
    finally:
        asyncio.run(_execute(dsn, _DROP))


async def _execute(dsn: str, statements: Sequence[str]) -> None:
    async with create_pool(dsn, max_size=1) as pool:
        for sql in statements:
            await pool.execute(sql)


def _measured(rounds: int, given: tuple[Any, ...]) -> dict[tuple[str, str], list[dict[str, float]]]:
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for workload in _WORKLOADS:
        for _ in range(rounds):
            for contender in _CONTENDERS:
                found.setdefault((contender, workload), []).append(_in_a_process(Run(contender, workload, *given)))
    return found


def _in_a_process(run: Run) -> dict[str, float]:
    command = (sys.executable, "-m", __name__ if __name__ != "__main__" else __spec__.name, "--child")
    done = subprocess.run(
        command,
        input=json.dumps(asdict(run)),
        capture_output=True,
        text=True,
        timeout=_GRACE + 4 * run.seconds,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{run.contender}, {run.workload}: " + " ".join(done.stderr.strip().splitlines()[-4:]))
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _table(found: dict[tuple[str, str], list[dict[str, float]]]) -> Iterator[str]:
    yield "| | " + " | ".join(f"{workload}/s | CPU us" for workload in _WORKLOADS) + " |"
    yield "|---|" + "---:|---:|" * len(_WORKLOADS)
    for contender in _CONTENDERS:
        cells = []
        for workload in _WORKLOADS:
            runs = found[contender, workload]
            rate, cpu = (statistics.median(run[figure] for run in runs) for figure in ("rate", "cpu_us"))
            cells += [f"{rate:,.0f}", f"{cpu:,.0f}"]
        name = f"`{contender}`" if contender in ("asyncpg", "psycopg") else f"`db_pool_rs`, {contender}"
        yield f"| {name} | {' | '.join(cells)} |"


# -- the child ---------------------------------------------------------------------------------------------------------


async def _measure(run: Run) -> dict[str, float]:
    """Throughput and CPU time of one run."""
    from sqlalchemy.ext.asyncio import create_async_engine

    url = run.dsn.replace("postgresql:", f"postgresql+{_driver(run.contender)}:", 1)
    options: dict[str, Any] = {"pool_size": run.size, "max_overflow": 0, "pool_timeout": 60}
    if run.isolation is not None:
        options["isolation_level"] = run.isolation
    if _driver(run.contender) == "db_pool_rs":
        options["connect_args"], options["grouped"] = {"mode": run.mode}, run.contender == "grouped"
    engine = create_async_engine(url, **options)
    work = _work(run.workload, engine, random.Random(7))
    await _serve(work, run.tasks, min(_WARM_UP_SECONDS, run.seconds))
    begun, cpu = time.perf_counter(), time.process_time()
    count = await _serve(work, run.tasks, run.seconds)
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await engine.dispose()
    return {"rate": count / elapsed, "cpu_us": cpu / count * 1e6}


def _driver(contender: str) -> str:
    return contender if contender in ("asyncpg", "psycopg") else "db_pool_rs"


async def _serve(work: Work, tasks: int, seconds: float) -> int:
    """How often so many tasks do the work in some seconds."""
    deadline = time.perf_counter() + seconds

    async def task() -> int:
        count = 0
        while time.perf_counter() < deadline or not count:
            await work()
            count += 1
        return count

    return sum(await asyncio.gather(*(task() for _ in range(tasks))))


def _work(workload: str, engine: Any, chance: random.Random) -> Work:
    """What each task does again and again."""
    import sqlalchemy as sa

    metadata = sa.MetaData()
    selected, inserted = (
        sa.Table(
            *(name, metadata, sa.Column("id", key, primary_key=True)),
            *(sa.Column("balance", sa.Integer), sa.Column("name", sa.Text)),
        )
        for name, key in ((_SELECTED, sa.Integer), (_INSERTED, sa.BigInteger))
    )
    pair = (_by_core if workload.startswith("Core") else _by_the_orm)(engine, chance, selected, inserted)
    return pair[workload.endswith("insert")]


def _by_core(engine: Any, chance: random.Random, selected: Any, inserted: Any) -> tuple[Work, Work]:
    """A select and an insert."""
    import sqlalchemy as sa

    query, insertion = sa.select(selected).where(selected.c.id == sa.bindparam("key")), sa.insert(inserted)

    async def select() -> object:
        async with engine.connect() as connection:
            return (await connection.execute(query, {"key": chance.randint(1, _ROWS)})).one()

    async def insert() -> object:
        async with engine.begin() as connection:
            return await connection.execute(insertion, {"balance": chance.randint(1, 99_999), "name": "hello"})

    return select, insert


def _by_the_orm(engine: Any, chance: random.Random, selected: Any, inserted: Any) -> tuple[Work, Work]:
    """The same with objects."""
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import registry

    Account, Entry = type("Account", (), {}), type("Entry", (), {})
    mapped = registry()
    mapped.map_imperatively(Account, selected)
    mapped.map_imperatively(Entry, inserted)

    async def select() -> object:
        async with AsyncSession(engine) as session:
            return await session.get_one(Account, chance.randint(1, _ROWS))

    async def insert() -> object:
        async with AsyncSession(engine) as session:
            entry: Any = Entry()
            entry.balance, entry.name = chance.randint(1, 99_999), "hello"
            session.add(entry)
            await session.commit()
            return entry

    return select, insert


if __name__ == "__main__":
    if sys.argv[1:] == ["--child"]:
        print(json.dumps(asyncio.run(_measure(Run(**json.load(sys.stdin))))))
    else:
        sys.exit(main())
