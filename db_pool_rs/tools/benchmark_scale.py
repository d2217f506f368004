"""What it costs to have much of something: idle connections, pools in one process, distinct texts, waiting calls.

    python -m db_pool_rs.tools.benchmark_scale [--dsn postgresql://...] [--html scale.html] [--rounds 3]
    python -m db_pool_rs.tools.benchmark_scale --modes simple,full --only texts,waiting

Each measure is taken at several sizes, each time in a process of its own, modes in turn: what stays the same from size
to size costs nothing more where there is more. Without --dsn a server is started for the run. The table goes to the
standard output, and --html writes it as charts. Trust figures of a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from .. import create_pool
from ..abc import Pool
from ..cli.common import UsageError, count, positive
from ..cli.guard import guarded
from ..metrics import resident_memory_mb as memory_mb
from ..modes import MODES, unavailable
from ._database import postgresql
from ._files import write_file
from ._html import bar, page
from ._results import Spread, show

#: Calls under way at once where the number of calls is not what is measured.
TASKS = 64
#: Calls that are measured at least, where a size is smaller.
CALLS = 2_000


@dataclass(frozen=True, slots=True)
class Measure:
    """One measure: its title, its sizes, its figures by title and unit, and how they are taken."""

    title: str
    sizes: tuple[int, ...]
    figures: tuple[str, ...]
    take: Callable[[str, str, int, float], Awaitable[Sequence[float]]]


async def idle(mode: str, dsn: str, size: int, seconds: float) -> Sequence[float]:
    """CPU of a pool whose connections are all open, and that is asked nothing."""
    async with _pool(mode, dsn, min_size=size, max_size=size) as pool:
        while pool.stats().idle + pool.stats().lanes < size:
            await asyncio.sleep(0.05)
        before = _cpu()
        await asyncio.sleep(seconds)
        return [1000 * (_cpu() - before) / seconds]


async def pools(mode: str, dsn: str, size: int, seconds: float) -> Sequence[float]:
    """Time and memory of each pool that is opened without a connection."""
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_pool(mode, dsn))  # what is imported once is not a pool's
        began, memory = time.perf_counter(), memory_mb()
        for _ in range(size):
            await stack.enter_async_context(_pool(mode, dsn, min_size=0))
        return [1000 * (time.perf_counter() - began) / size, 1024 * (memory_mb() - memory) / size]


async def texts(mode: str, dsn: str, size: int, seconds: float) -> Sequence[float]:
    """Client CPU of a call when so many distinct texts take turns, each used before, and the memory of each text."""
    statements = [f"SELECT $1::int4 + {number} AS n" for number in range(size)]
    async with _pool(mode, dsn, max_size=4) as pool:
        await pool.fetch("SELECT $1::int4 AS n", 1)
        memory = memory_mb()
        await _call(pool, statements)
        kept = 1024 * (memory_mb() - memory) / size
        before = _cpu()
        repeats = -(-CALLS // size)
        await _call(pool, statements * repeats)
        return [1e6 * (_cpu() - before) / (size * repeats), kept]


async def waiting(mode: str, dsn: str, size: int, seconds: float) -> Sequence[float]:
    """Client CPU and memory of each of so many calls that are made at once."""
    async with _pool(mode, dsn, max_size=4) as pool:
        sql = "SELECT $1::int4 AS n"
        await _call(pool, [sql] * TASKS)
        before, memory = _cpu(), memory_mb()
        await asyncio.gather(*(pool.fetch(sql, number) for number in range(size)))
        return [1e6 * (_cpu() - before) / size, 1024 * (memory_mb() - memory) / size]


MEASURES = {
    "idle": Measure("Idle connections of a pool", (1, 10, 50), ("CPU ms each second",), idle),
    "pools": Measure("Pools in one process", (10, 100, 1_000), ("start ms each", "memory KiB each"), pools),
    "texts": Measure("Distinct texts", (10, 100, 1_000, 10_000), ("client CPU µs a call", "memory KiB each"), texts),
    "waiting": Measure(
        "Calls made at once", (100, 1_000, 5_000, 20_000), ("client CPU µs each", "memory KiB each"), waiting
    ),
}
#: What was measured: by measure, size and mode, the figures of each round.
Found = dict[tuple[str, int, str], list[Sequence[float]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and write the table and the charts."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.benchmark_scale",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--dsn", help="postgresql://... (default: a new server)")
    parser.add_argument("--modes", help="with commas (default: those installed)")
    parser.add_argument("--only", help=f"of {', '.join(MEASURES)}, with commas (default: all)")
    parser.add_argument("--sizes", help="instead of each measure's own, with commas")
    parser.add_argument("--seconds", type=positive, default=10.0, help="how long a pool idles (default: 10)")
    parser.add_argument("--rounds", type=count, default=3)
    parser.add_argument("--html", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    modes = _chosen(options.modes, [mode for mode in MODES if unavailable(mode) is None], MODES)
    names = _chosen(options.only, list(MEASURES), MEASURES)
    found: Found = {}
    with postgresql(options.dsn) as (dsn, server):
        for name in names:
            for size in map(int, options.sizes.split(",")) if options.sizes else MEASURES[name].sizes:
                for _ in range(options.rounds):
                    for mode in modes:
                        taken = _elsewhere(name, mode, dsn, size, options.seconds)
                        found.setdefault((name, size, mode), []).append(taken)
    print("\n".join(_table(found)))
    if options.html:
        write_file(options.html, page("scale", _charts(found, server, options.rounds)))
    return 0


def _chosen(given: str | None, default: list[str], known: Iterable[str]) -> list[str]:
    chosen = given.split(",") if given else default
    if unknown := [name for name in chosen if name not in known]:
        raise UsageError(f"unknown: {', '.join(unknown)}; known: {', '.join(known)}")
    return chosen


def _elsewhere(name: str, mode: str, dsn: str, size: int, seconds: float) -> Sequence[float]:
    """Take a measure in a new process, which inherits nothing of this one's memory."""
    with multiprocessing.get_context("spawn").Pool(1) as workers:
        return workers.apply(_here, (name, mode, dsn, size, seconds))


def _here(name: str, mode: str, dsn: str, size: int, seconds: float) -> Sequence[float]:
    async def take() -> Sequence[float]:
        return await MEASURES[name].take(mode, dsn, size, seconds)

    return asyncio.run(take())


def _pool(mode: Any, dsn: str, min_size: int = 1, max_size: int = 10) -> Pool:
    return create_pool(dsn, mode=mode, min_size=min_size, max_size=max_size)


async def _call(pool: Pool, statements: Sequence[str]) -> None:
    """Execute each, TASKS at a time."""
    left = iter(statements)

    async def task() -> None:
        for sql in left:
            await pool.fetch(sql, 1)

    await asyncio.gather(*(task() for _ in range(TASKS)))


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


# -- reports ---------------------------------------------------------------------------------------------------------


def _spreads(found: Found, name: str, number: int) -> dict[str, Spread]:
    """One figure of a measure, by "size, mode"."""
    return {
        f"{size:,} {mode}": Spread.of([one[number] for one in rounds])
        for (measure, size, mode), rounds in found.items()
        if measure == name
    }


def _table(found: Found) -> Iterator[str]:
    for name in dict.fromkeys(measure for measure, _, _ in found):
        figures = MEASURES[name].figures
        columns = [_spreads(found, name, number) for number in range(len(figures))]
        yield f"\n| {MEASURES[name].title} | {' | '.join(figures)} |\n|---|{'---:|' * len(figures)}"
        for row in columns[0]:
            yield f"| {row} | {' | '.join(show(column[row].median) for column in columns)} |"


def _charts(found: Found, server: str, rounds: int) -> Iterator[str]:
    yield "<h1>What it costs to have much of something</h1>"
    yield f"<p>{escape(server)}; median of {rounds}, the thin line goes from the lowest to the highest.</p>"
    for name in dict.fromkeys(measure for measure, _, _ in found):
        yield f'<h2>{escape(MEASURES[name].title)}</h2>\n<div class="charts">'
        for number, title in enumerate(MEASURES[name].figures):
            spreads = _spreads(found, name, number)
            longest = max(spread.high for spread in spreads.values()) or 1.0
            bars = "".join(bar(row, spread, longest, ours=True) for row, spread in spreads.items())
            yield f"<div><h3>{escape(title)}</h3>{bars}</div>"
        yield "</div>"


if __name__ == "__main__":
    sys.exit(main())
