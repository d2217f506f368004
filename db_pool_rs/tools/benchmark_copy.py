"""What large COPYs and streams take: this package, asyncpg and psql.

    python -m db_pool_rs.tools.benchmark_copy [--mb 1000] [--records 1000000] [--rows 10000000] [--rounds 3] [--dsn ...]

A file is copied into a table and out of it, records are copied into a table, and the rows of a query are streamed. Each
run is a process of its own and contenders take turns. The figures are medians of wall time, of the client's CPU time in
seconds, and by how many MiB its process has grown at most (psql: all that it has). What is not installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from .. import create_pool
from ..cli.guard import guarded
from ..modes import MODES, unavailable
from ._database import postgresql

_TABLE = "db_pool_rs_copy"
_LAYOUT = "(id int8, name text, at timestamptz, score float8)"
_ROWS = (
    "SELECT i AS id, 'customer ' || i AS name, '2026-01-01'::timestamptz + i * '1 second'::interval AS at, "
    "i * 0.37::float8 AS score FROM generate_series(1, {}) AS i"
)
_BEGIN = datetime(2026, 1, 1, tzinfo=timezone.utc)
#: Bytes of a row in a file, about.
_WIDTH = 62
_BATCH = 1000


class Job(NamedTuple):
    """One run of one contender, a mode, "asyncpg" or "psql"; it reaches the child process as JSON. `size`: rows."""

    contender: Any
    work: str
    dsn: str
    path: str
    size: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 if each contender moved every row."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    add = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.benchmark_copy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("--dsn", help="postgresql://... (default: a new server)")
    add.add_argument("--mb", type=int, default=1000, help="megabytes of the file")
    add.add_argument("--records", type=int, default=1_000_000)
    add.add_argument("--rows", type=int, default=10_000_000, help="rows that are streamed")
    add.add_argument("--rounds", type=int, default=3)
    add.add_argument("--job", help=argparse.SUPPRESS)
    options = add.parse_args(arguments)
    if options.job is not None:
        _print_measured(Job(*json.loads(options.job)))
        return 0
    sizes = {"in": options.mb * 1_000_000 // _WIDTH, "records": options.records, "stream": options.rows}
    sizes["out"] = sizes["in"]
    with postgresql(options.dsn) as (dsn, server), tempfile.TemporaryDirectory() as folder:
        print(f"medians of {options.rounds} rounds, {server}", file=sys.stderr)
        asyncio.run(_write_file(dsn, Path(folder, "data"), sizes["in"]))
        for work in ("in", "out", "records", "stream"):
            found = defaultdict(list)
            for _ in range(options.rounds):
                for contender in _contenders(work):
                    path = Path(folder, "data" if work == "in" else "out")
                    found[contender].append(_in_process(Job(contender, work, dsn, str(path), sizes[work])))
            _report(work, sizes[work], found)
    return 0


def _contenders(work: str) -> list[str]:
    names = [mode for mode in MODES if unavailable(mode) is None]
    names += ["asyncpg"] * (importlib.util.find_spec("asyncpg") is not None)
    return names + ["psql"] * (work in ("in", "out") and shutil.which("psql") is not None)


def _in_process(job: Job) -> dict[str, float]:
    command = [sys.executable, "-m", "db_pool_rs.tools.benchmark_copy", "--job", json.dumps(job)]
    measured: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return measured


def _report(work: str, size: int, found: dict[str, list[dict[str, float]]]) -> None:
    print(f"\n{_WORKS[work][0]}, {size:,} rows\n\n| | wall s | CPU s | MiB more |\n|---|---:|---:|---:|")
    for name, runs in found.items():
        wall, cpu, memory = (statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "memory"))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {memory:.0f} |")


async def _write_file(dsn: str, path: Path, rows: int) -> None:
    async with create_pool(dsn, max_size=1) as pool, pool.acquire() as connection:
        await connection.copy_from_query(_ROWS.format(rows), output=path)


# -- in the child process --------------------------------------------------------------------------------------------


def _print_measured(job: Job) -> None:
    for step in (f"DROP TABLE IF EXISTS {_TABLE}", f"CREATE UNLOGGED TABLE {_TABLE} {_LAYOUT}"):
        if job.work in ("in", "records"):
            asyncio.run(_execute(job.dsn, step))
    work = partial(_psql, job) if job.contender == "psql" else partial(asyncio.run, _opened(job))
    whose = resource.RUSAGE_CHILDREN if job.contender == "psql" else resource.RUSAGE_SELF
    memory, before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, _cpu(whose), time.perf_counter()
    work()
    wall, cpu = time.perf_counter() - began, _cpu(whose) - before
    grown = resource.getrusage(whose).ru_maxrss - (0 if job.contender == "psql" else memory)
    if job.work in ("in", "records"):
        asyncio.run(_execute(job.dsn, f"DO $$ BEGIN ASSERT (SELECT count(*) FROM {_TABLE}) = {job.size}; END $$"))
        asyncio.run(_execute(job.dsn, f"DROP TABLE {_TABLE}"))
    print(json.dumps({"wall": wall, "cpu": cpu, "memory": grown / 1024}))


async def _execute(dsn: str, sql: str) -> None:
    async with create_pool(dsn, max_size=1, mode="simple") as pool:
        await pool.execute(sql)


def _cpu(whose: int) -> float:
    used = resource.getrusage(whose)
    return used.ru_utime + used.ru_stime


def _psql(job: Job) -> None:
    rows = f"({_ROWS.format(job.size)})"
    what = f"{_TABLE} FROM '{job.path}'" if job.work == "in" else f"{rows} TO '{job.path}'"
    command = ["psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", "--command", f"\\copy {what}", job.dsn]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def _opened(job: Job) -> None:
    """Do the work on an open connection, or pool."""
    work = _WORKS[job.work]
    if job.contender != "asyncpg":
        async with create_pool(job.dsn, mode=job.contender, max_size=1) as pool:
            await work[1](pool, job)
        return
    import asyncpg

    connection = await asyncpg.connect(job.dsn)
    try:
        await work[2](connection, job)
    finally:
        with suppress(Exception):
            await connection.close()


def _records(size: int) -> Any:
    second = timedelta(seconds=1)
    return ((number, f"customer {number}", _BEGIN + number * second, number * 0.37) for number in range(size))


async def _copy_in(pool: Any, job: Job) -> None:
    async with pool.acquire() as connection:
        await connection.copy_to_table(_TABLE, source=job.path)


async def _asyncpg_in(connection: Any, job: Job) -> None:
    await connection.copy_to_table(_TABLE, source=job.path)


async def _copy_out(pool: Any, job: Job) -> None:
    async with pool.acquire() as connection:
        await connection.copy_from_query(_ROWS.format(job.size), output=job.path)


async def _asyncpg_out(connection: Any, job: Job) -> None:
    await connection.copy_from_query(_ROWS.format(job.size), output=job.path)


async def _copy_records(pool: Any, job: Job) -> None:
    async with pool.acquire() as connection:
        await connection.copy_records_to_table(_TABLE, records=_records(job.size))


async def _asyncpg_records(connection: Any, job: Job) -> None:
    await connection.copy_records_to_table(_TABLE, records=_records(job.size))


async def _stream(pool: Any, job: Job) -> None:
    count = 0
    async with pool.stream(_ROWS.format(job.size), batch=_BATCH) as batches:
        async for rows in batches:
            count += len(rows)
    _expect(count, job)


async def _asyncpg_stream(connection: Any, job: Job) -> None:
    count = 0
    async with connection.transaction():
        cursor = await connection.cursor(_ROWS.format(job.size))
        while rows := await cursor.fetch(_BATCH):
            count += len(rows)
    _expect(count, job)


def _expect(count: int, job: Job) -> None:
    if count != job.size:
        raise RuntimeError(f"{job.contender} gave {count} rows where {job.size} are expected")


_Work = Callable[[Any, Job], Awaitable[None]]
#: By name: what it is, and how a pool of this package and a connection of asyncpg do it.
_WORKS: dict[str, tuple[str, _Work, _Work]] = {
    "in": ("COPY of a file into a table", _copy_in, _asyncpg_in),
    "out": ("COPY of a query into a file", _copy_out, _asyncpg_out),
    "records": ("COPY of records into a table", _copy_records, _asyncpg_records),
    "stream": (f"Stream of rows, {_BATCH} at a time", _stream, _asyncpg_stream),
}


if __name__ == "__main__":
    sys.exit(main())
