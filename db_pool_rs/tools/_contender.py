"""One run of one contender, in a process of its own: a job as JSON on standard input, its figures as JSON on output.

Not for use by hand: `benchmark_modes` starts it. The job comes by standard input because it holds a connection string,
and everybody on a machine can read command lines.
"""

from __future__ import annotations

import time

_STARTED = time.perf_counter()

import asyncio  # noqa: E402 -- a start is measured with what it imports
import json  # noqa: E402
import os  # noqa: E402
import random  # noqa: E402
import sys  # noqa: E402
from collections.abc import Awaitable, Callable  # noqa: E402
from importlib import import_module  # noqa: E402
from typing import Any  # noqa: E402

from ._clients import Client, open_client  # noqa: E402
from ._workloads import FIRST, SLEEP, SLEEPERS, Job, operation  # noqa: E402

WARM_UP_SECONDS = 1.0


async def measure(job: Job) -> dict[str, float]:
    """The figures of one job, by the names of :data:`._results.FIGURES`."""
    client = await open_client(job)
    await client.fetch(FIRST)
    first = time.perf_counter() - _STARTED
    if job.workload == "start":
        return {"start_s": first, "memory_mb": _memory_mb()}
    work = operation(job, client, random.Random(7))
    await _serve(work, job.tasks, min(WARM_UP_SECONDS, job.seconds / 3))
    if job.workload != "mixed":
        return await _figures(work, job)
    quiet = await _figures(work, job)
    beside = await _figures(work, job, client)
    return {**beside, "quiet_p99_ms": quiet["p99_ms"]}


async def _figures(work: Callable[[], Awaitable[Any]], job: Job, sleeping: Client | None = None) -> dict[str, float]:
    """Throughput, latencies and the client's costs; with `sleeping`, slow statements run beside the tasks."""
    begun, cpu = time.perf_counter(), time.process_time()
    deadline = begun + job.seconds
    sleepers = [asyncio.create_task(_sleep_until(deadline, sleeping)) for _ in range(SLEEPERS) if sleeping is not None]
    latencies = await _serve(work, job.tasks, job.seconds)
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await asyncio.gather(*sleepers)
    latencies.sort()
    count = len(latencies)
    return {
        "rate": count / elapsed,
        "p50_ms": latencies[count // 2] * 1e3,
        "p95_ms": latencies[count * 95 // 100] * 1e3,
        "p99_ms": latencies[count * 99 // 100] * 1e3,
        "cpu_us": cpu / count * 1e6,
        "memory_mb": _memory_mb(),
    }


async def _serve(work: Callable[[], Awaitable[Any]], tasks: int, seconds: float) -> list[float]:
    """Let `tasks` tasks do the work for some seconds, each at least once; how long each operation took."""
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds

    async def task() -> None:
        now = time.perf_counter()
        while True:
            begun = now
            await work()
            now = time.perf_counter()
            latencies.append(now - begun)
            if now >= deadline:
                return

    await asyncio.gather(*(task() for _ in range(tasks)))
    return latencies


async def _sleep_until(deadline: float, client: Client) -> None:
    while time.perf_counter() < deadline:
        await client.fetch(SLEEP)


def _memory_mb() -> float:
    from ..metrics import resident_memory_mb

    return resident_memory_mb()


def main() -> None:
    """Read the job, measure, print."""
    job = Job(**json.load(sys.stdin))
    run = import_module("uvloop").run if job.loop == "uvloop" else asyncio.run

    async def report() -> None:
        print(json.dumps(await measure(job)), flush=True)
        # The figures are out; how a contender takes its leave is not part of them.
        os._exit(0)

    run(report())


if __name__ == "__main__":
    main()
