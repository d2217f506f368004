"""Measures every mode and every rival that is installed, in turn, each run in a process of its own.

    python -m db_pool_rs.tools.benchmark_modes                          # everything, on a PostgreSQL of its own
    python -m db_pool_rs.tools.benchmark_modes --dsn postgresql://... --workloads point,insert --tasks 1,64,256
    python -m db_pool_rs.tools.benchmark_modes --markdown report.md --html report.html --json report.json

What is shown for each workload: operations per second, latency (p50, p95, p99), processor time of the client for each
operation, resident memory of the client; and how many times better the first contender is than each other one, with the
lowest and highest of the rounds. Before you trust a figure, run it twice, on a machine that does nothing else.

A --dsn is a PostgreSQL database in which a schema may be made; it is dropped at the end. Without one, a server is
started for the run. --refresh-figures keeps what was measured for the choice that mode `auto` makes (see doctor).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

from .. import __version__
from ..cli.common import UsageError, positive, run_until_interrupted
from ..cli.guard import guarded
from ..cli.terminal import Progress, Terminal
from ..modes import MODES, save_figures
from ._clients import ASYNCPG, RIVALS
from ._database import Tables, postgresql, run_pgbench, sqlite_file, tables
from ._delay import delayed
from ._environment import enter
from ._files import write_file
from ._html import html
from ._markdown import markdown, write_markdown
from ._programs import PROGRAMS, why_not
from ._programs import WORKLOADS as PROGRAM_WORKLOADS
from ._results import Measurement, Report
from ._rounds import run_rounds
from ._workloads import WORKLOADS, Job

PGBENCH_CLIENTS = 16
PGBENCH_PIPELINE = 10
#: What `--refresh-figures` is made of.
REFRESHED_BY = ("point", 64)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 if every contender gave figures."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = _parser().parse_args(arguments)
    return run_until_interrupted(partial(_benchmark, options, Terminal(sys.stderr)))


def _parser() -> argparse.ArgumentParser:
    add = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.benchmark_modes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument(
        "--dsn", help="postgresql://...; leave a password to PGPASSWORD or ~/.pgpass (default: a new server)"
    )
    add.add_argument("--modes", type=_names(MODES), default=list(MODES), help="default: every mode that is installed")
    add.add_argument(
        "--rivals",
        type=_names([*RIVALS, *ASYNCPG, *PROGRAMS]),
        default=list(RIVALS),
        help=f"default: those for Python, {', '.join(RIVALS)}, where installed; "
        f"also {', '.join([*ASYNCPG, *PROGRAMS])}; none",
    )
    add.add_argument("--workloads", type=_names(WORKLOADS), default=list(WORKLOADS), help=f"of {','.join(WORKLOADS)}")
    add.add_argument("--tasks", type=_counts, help="numbers of tasks, 1,64 (default: what suits each workload)")
    add.add_argument(
        "--delay-ms", type=_delays, help="far servers: so much longer round trips, 0,1,20 (builds a proxy)"
    )
    add.add_argument("--rounds", type=_count, default=3, help="runs of each contender (default: 3)")
    add.add_argument("--seconds", type=positive, default=1.2, help="length of a run (default: 1.2)")
    add.add_argument("--pool-size", type=_count, default=10, help="connections at most (default: 10)")
    add.add_argument("--scale", type=_count, default=10, help="100,000 accounts each, as pgbench's (default: 10)")
    add.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the event loop")
    add.add_argument("--json", type=Path, metavar="FILE", help="everything that was measured")
    add.add_argument("--markdown", type=Path, metavar="FILE", help="the report; between its marks if the file has them")
    add.add_argument("--html", type=Path, metavar="FILE", help="the report with charts, in one file")
    add.add_argument("--refresh-figures", action="store_true", help="keep the figures for mode `auto`")
    add.add_argument("--no-progress", action="store_true", help="no progress bar")
    return add


def _names(known: Any) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        asked = [] if text == "none" else [name.strip() for name in text.split(",") if name.strip()]
        if wrong := [name for name in asked if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: not one of {', '.join(known)}")
        return list(dict.fromkeys(asked))

    return parse


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 100000")
    return value


def _counts(text: str) -> list[int]:
    return [_count(part) for part in text.split(",")]


def _delays(text: str) -> list[float]:
    delays = [float(part) for part in text.split(",")]
    if not all(0.0 <= delay <= 10_000.0 for delay in delays):
        raise argparse.ArgumentTypeError(f"{text}: each a number of milliseconds from 0 to 10000")
    return list(dict.fromkeys(delays))


async def _benchmark(options: argparse.Namespace, terminal: Terminal) -> int:
    if options.refresh_figures and not {"point", "start"} <= set(options.workloads):
        raise UsageError("--refresh-figures needs the workloads point and start")
    if options.refresh_figures and options.delay_ms:
        raise UsageError("--refresh-figures needs a server that is as near as it is: leave out --delay-ms")
    if options.dsn is not None and not options.dsn.startswith(("postgres://", "postgresql://")):
        raise UsageError("--dsn must be a postgresql:// URL; SQLite is measured on a file of its own")
    report = Report(_circumstances(options), _left_out(options), _versions(options))
    bench = _Benchmark(options, report, Progress(terminal, not options.no_progress))
    started = [WORKLOADS[name].database for name in options.workloads]
    if "postgresql" in started or "any" in started:
        await bench.on_postgresql()
    if "sqlite" in started:
        await bench.on_sqlite()
    _deliver(report, options, terminal)
    failed = [name for measurement in report.measurements for name in measurement.failures]
    return 1 if failed or not report.measurements else 0


class _Stopped(Exception):
    """Ends the thread of the runs after an interrupt."""


class _Benchmark:
    """Runs what was asked for, database by database."""

    def __init__(self, options: argparse.Namespace, report: Report, progress: Progress) -> None:
        self._options = options
        self._report = report
        self._progress = progress
        self._delays: list[float] = options.delay_ms or []
        self._jobs = sum(len(self._tasks(name)) * self._ways(name) for name in options.workloads)
        self._runs_of_job = 0
        self._stopped = False

    async def on_postgresql(self) -> None:
        """The workloads of PostgreSQL, and the start, on one server."""
        contenders = self._contenders("postgresql")
        # The first mode that can also makes the tables.
        modes = [name for name in contenders if name in MODES]
        if not modes:
            raise UsageError(f"PostgreSQL needs a mode that can serve it: {MODES['simple'].install}")
        with postgresql(self._options.dsn) as (dsn, origin):
            async with tables(dsn, modes[0], self._options.scale) as where:
                self._report.circumstances = {**self._report.circumstances, "server": f"{where.server}; {origin}"}
                near = Job(**self._common(), dsn=dsn, schema=where.schema, scale=where.scale)
                with delayed(dsn, self._delays) if self._delays else contextlib.nullcontext({None: dsn}) as ways:
                    jobs = [replace(near, dsn=way, delay_ms=delay) for delay, way in ways.items()]
                    await self._in_thread(self._measure, jobs, contenders, ("postgresql", "any"))
                if "point" in self._options.workloads:
                    await self._in_thread(self._pgbench, where)

    async def on_sqlite(self) -> None:
        """The workloads of SQLite, on a file."""
        with sqlite_file() as dsn:
            job = Job(**self._common(), dsn=dsn)
            await self._in_thread(self._measure, [job], self._contenders("sqlite"), ("sqlite",))

    async def _in_thread(self, function: Callable[..., None], *arguments: Any) -> None:
        """Off the loop, where the pool that made the tables lives. If this is cancelled, no further run begins."""
        try:
            await asyncio.to_thread(function, *arguments)
        except asyncio.CancelledError:
            self._stopped = True
            self._progress.clear()
            raise

    def _measure(self, templates: Sequence[Job], contenders: Sequence[str], databases: Sequence[str]) -> None:
        for name in self._options.workloads:
            if WORKLOADS[name].database not in databases:
                continue
            without = (*WORKLOADS[name].without, *(PROGRAMS if name not in PROGRAM_WORKLOADS else ()))
            who = [contender for contender in contenders if contender not in without]
            for tasks, template in product(self._tasks(name), templates):
                size = WORKLOADS[name].max_size or template.max_size
                job = replace(template, workload=name, tasks=tasks, max_size=size)
                self._runs_of_job = 0
                measurement = run_rounds(job, who, self._options.rounds, partial(self._before, job, who))
                self._report.measurements.append(measurement)
        self._progress.clear()

    def _before(self, job: Job, contenders: Sequence[str], who: str) -> None:
        if self._stopped:
            raise _Stopped
        part = self._runs_of_job / (len(contenders) * self._options.rounds)
        self._runs_of_job += 1
        self._progress.show((len(self._report.measurements) + part) / self._jobs, f"{job.workload} {job.tasks}: {who}")

    def _pgbench(self, where: Tables) -> None:
        kinds = {"": 1, f", {PGBENCH_PIPELINE} in a pipeline": PGBENCH_PIPELINE}
        rates = {said: run_pgbench(where, PGBENCH_CLIENTS, self._options.seconds, n) for said, n in kinds.items()}
        self._report.pgbench = {
            f"pgbench -M prepared -c {PGBENCH_CLIENTS} -j 1, point selects{said}": rate
            for said, rate in rates.items()
            if rate is not None
        }

    def _contenders(self, database: str) -> list[str]:
        rivals = [name for name in self._options.rivals if _database(name) == database]
        return [name for name in (*self._options.modes, *rivals) if why_not(name, database) is None]

    def _tasks(self, workload: str) -> Sequence[int]:
        own = WORKLOADS[workload].tasks
        return own if workload in ("start", "cursor") or not self._options.tasks else self._options.tasks

    def _ways(self, workload: str) -> int:
        return 1 if WORKLOADS[workload].database == "sqlite" else max(1, len(self._delays))

    def _common(self) -> dict[str, Any]:
        options = self._options
        common = {"seconds": options.seconds, "max_size": options.pool_size, "loop": options.loop}
        return {"contender": "", "workload": "", "tasks": 1, **common}


def _circumstances(options: argparse.Namespace) -> dict[str, str]:
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": f"{os.cpu_count()} processors, {platform.system()} {platform.machine()}",
        "python": f"{platform.python_version()}, event loop {options.loop}",
        "pool": f"at most {options.pool_size} connections",
        "runs": f"{options.rounds} rounds of {options.seconds:g} s, contenders in turn; medians, lowest and highest",
    }


def _left_out(options: argparse.Namespace) -> dict[str, str]:
    databases = {name: _database(name) for name in (*options.modes, *options.rivals)}
    return {name: reason for name, database in databases.items() if (reason := why_not(name, database)) is not None}


def _database(name: str) -> str:
    """The database on which a contender is measured with most workloads."""
    return RIVALS[name].database if name in RIVALS else "postgresql"


def _versions(options: argparse.Namespace) -> dict[str, str]:
    found = {"db-pool-rs": __version__}
    named = [rival for rival in options.rivals if rival in PROGRAMS and why_not(rival, "postgresql") is None]
    found.update((name, said) for name in named if (said := PROGRAMS[name].version()) is not None)
    for name in ("psycopg", *(RIVALS[rival].distribution for rival in options.rivals if rival in RIVALS)):
        with contextlib.suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def _deliver(report: Report, options: argparse.Namespace, terminal: Terminal) -> None:
    print(markdown(report))
    if options.json:
        write_file(options.json, json.dumps(report.as_dict(), indent=2, ensure_ascii=False) + "\n")
    if options.markdown:
        write_markdown(report, options.markdown)
    if options.html:
        write_file(options.html, html(report))
    if options.refresh_figures:
        source = f"benchmark of {report.circumstances['date']}, {report.circumstances['machine']}"
        file = save_figures(_figures(report.measurements), source)
        terminal.line(f"mode auto now decides by {file}")


def _figures(measurements: Sequence[Measurement]) -> dict[str, dict[str, float]]:
    """What mode `auto` compares: throughput and memory of point selects by many tasks, and the time to start."""
    points = [m for m in measurements if m.workload == REFRESHED_BY[0]]
    # With --tasks the usual number may not be there: then the nearest.
    point = min(points, key=lambda m: abs(m.tasks - REFRESHED_BY[1]))
    start = next(m for m in measurements if m.workload == "start")
    found = {}
    for name in MODES:
        if point.runs.get(name) and start.runs.get(name):
            wanted = {"qps": (point, "rate"), "memory_mb": (point, "memory_mb"), "startup_s": (start, "start_s")}
            spreads = {key: m.spread(name, figure) for key, (m, figure) in wanted.items()}
            found[name] = {key: round(spread.median, 3) for key, spread in spreads.items() if spread is not None}
    return found


if __name__ == "__main__":
    enter("db_pool_rs.tools.benchmark_modes")
    sys.exit(main())
