"""How a workload is measured on one client; the figures have the names of :data:`._results.FIGURES`."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

from ._clients import Client, open_client
from ._workloads import BESIDE, FIRST, OVERLOAD, PREFETCH, Job, accounts, operation

WARM_UP_SECONDS = 1.0
#: Tasks that warm up for those that all wait at once.
WARM_UP_TASKS = 64
#: What runs beside most workloads.
NOTHING = (0, "")

Work = Callable[[], Awaitable[Any]]


async def measure(job: Job, started: float) -> dict[str, float]:
    """The figures of one job; `started` is when its process began."""
    client = await open_client(job)
    await client.fetch(FIRST)
    if job.workload == "start":
        return {"start_s": time.perf_counter() - started, "memory_mb": _memory_mb()}
    warm_up = min(WARM_UP_SECONDS, job.seconds / 3)
    if job.workload == "cursor":
        await _read(client, job, warm_up)
        return await _cursor(client, job)
    work = operation(job, client, random.Random(7))
    several = job.workload in ("waiting", *OVERLOAD)
    await _serve(work, min(job.tasks, WARM_UP_TASKS) if several else job.tasks, warm_up)
    if job.workload in OVERLOAD:
        return await _overload(work, job, client)
    if job.workload == "waiting":
        return await _waiting(work, job.tasks)
    if job.workload == "mixed":
        quiet = await _repeated(work, job, client, NOTHING)
        return {**await _repeated(work, job, client, BESIDE["mixed"]), "quiet_p99_ms": quiet["p99_ms"]}
    return await _repeated(work, job, client, BESIDE.get(job.workload, NOTHING))


async def _repeated(work: Work, job: Job, client: Client, besides: tuple[int, str]) -> dict[str, float]:
    """Throughput, latencies and the client's costs, while so many others ask for another statement."""
    begun, cpu = time.perf_counter(), time.process_time()
    beside: list[list[float]] = [[] for _ in range(besides[0])]
    others = [asyncio.create_task(_again(client, besides[1], begun + job.seconds, mine)) for mine in beside]
    latencies = await _serve(work, job.tasks, job.seconds, lambda: all(beside) or any(one.done() for one in others))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    await asyncio.gather(*(one for one in others if one.done()))  # what still runs ends with the process
    latencies.sort()
    count = len(latencies)
    figures = {
        "rate": count / elapsed,
        "p50_ms": latencies[count // 2] * 1e3,
        "p95_ms": latencies[count * 95 // 100] * 1e3,
        "p99_ms": latencies[count * 99 // 100] * 1e3,
        "cpu_us": cpu / count * 1e6,
        "memory_mb": _memory_mb(),
    }
    if job.workload == "long":
        figures["beside_s"] = sum(map(sum, beside)) / sum(map(len, beside))
        del figures["cpu_us"]  # most of it is for the long results
    return figures


async def _serve(work: Work, tasks: int, seconds: float, enough: Callable[[], bool] = lambda: True) -> list[float]:
    """The latencies of tasks that do the work for some seconds, each at least once, and until it is `enough`."""
    latencies: list[float] = []
    deadline = time.perf_counter() + seconds

    async def task() -> None:
        now = time.perf_counter()
        while True:
            begun = now
            await work()
            now = time.perf_counter()
            latencies.append(now - begun)
            if now >= deadline and enough():
                return

    await asyncio.gather(*(task() for _ in range(tasks)))
    return latencies


async def _again(client: Client, sql: str, deadline: float, latencies: list[float]) -> None:
    """Ask the same again and again, at least once."""
    while not latencies or time.perf_counter() < deadline:
        begun = time.perf_counter()
        await client.fetch(sql)
        latencies.append(time.perf_counter() - begun)


async def _waiting(work: Work, tasks: int) -> dict[str, float]:
    """All tasks ask once, at the same moment: how long until all are answered, and what it costs that they wait."""
    before, waiting = _memory_mb(), 0.0

    async def task() -> None:
        nonlocal waiting
        await work()
        waiting = waiting or _memory_mb()  # at the first answer nearly all of them wait

    begun, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(task() for _ in range(tasks)))
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    after = _memory_mb()
    return {
        "all_s": elapsed,
        "waiting_kb": max(0.0, waiting - before, after - before) * 1024 / tasks,
        "cpu_us": cpu / tasks * 1e6,
        "memory_mb": after,
    }


async def _overload(work: Work, job: Job, client: Client) -> dict[str, float]:
    """All tasks wait for the only connection, and give up together."""
    from ._overload import acquire, cancel, time_out  # no other workload needs it

    before, cpu = _memory_mb(), time.process_time()
    if job.workload == "timeouts":
        figures = await time_out(client, job.tasks)
    else:
        figures = await cancel(client, partial(acquire, client) if job.workload == "acquires" else work, job.tasks)
    cpu, after = time.process_time() - cpu, _memory_mb()
    costs = {"cpu_us": cpu / job.tasks * 1e6, "memory_mb": after, "growth_mb": max(0.0, after - before)}
    return {**figures, **costs}


async def _cursor(client: Client, job: Job) -> dict[str, float]:
    """Rows of a cursor for some seconds, and by how much memory has grown at the end."""
    before, begun, cpu = _memory_mb(), time.perf_counter(), time.process_time()
    count = await _read(client, job, job.seconds)
    elapsed, cpu = time.perf_counter() - begun, time.process_time() - cpu
    after = _memory_mb()
    return {
        "rate": count / elapsed,
        "cpu_us": cpu / count * 1e6,
        "memory_mb": after,
        "growth_mb": max(0.0, after - before),
    }


async def _read(client: Client, job: Job, seconds: float) -> int:
    """Read a table for some seconds, from the beginning again where it ends; how many rows that were."""
    assert client.stream is not None, "bug: a contender without cursors"
    count, deadline = 0, time.perf_counter() + seconds
    while True:
        async with aclosing(client.stream(accounts(job))) as rows:
            async for _ in rows:
                count += 1
                if count % PREFETCH == 0 and time.perf_counter() >= deadline:
                    return count


def _memory_mb() -> float:
    from ..metrics import resident_memory_mb

    return resident_memory_mb()
