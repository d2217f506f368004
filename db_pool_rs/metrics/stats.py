"""What a pool measures about itself, and how it tells.

    PoolMetrics   mutable counters and histograms that one pool holds and updates as it works
    PoolGauges    how things stand at this moment (sizes, queues), filled in by the pool
    PoolStats     gauges + counters + histogram summaries: the frozen answer of `pool.stats()`
    Metrics       the answer of `DatabasePool.get_metrics()`: process figures and the PoolStats of every pool

The frozen ones work as attributes and as mappings (`stats.wait_ms.p99`, `stats["wait_ms"]["p99"]`), and `to_dict()`
gives plain dicts. Every number is measured, none is estimated. Times are milliseconds where a name ends in `_ms`,
seconds elsewhere; memory is in MiB (2 ** 20 bytes) and is what the process holds resident, the interpreter included.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .fields import Fields
from .histogram import HistogramSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolGauges(Fields):
    """How a pool stands at one moment.

    size: connections, those being opened or closed included (what the server may see). idle, lanes (running groups),
    alone (one statement to itself), sessions (held by a caller), opening: connections by state; busy = lanes + alone +
    sessions. waiting: callers in the queue; in_flight: statements sent and unanswered. healthy: False after a failed
    connect until one succeeds. last_error: its text, without secrets. generation: grows when connections are expired.
    """

    size: int = 0
    idle: int = 0
    busy: int = 0
    opening: int = 0
    lanes: int = 0
    alone: int = 0
    sessions: int = 0
    waiting: int = 0
    in_flight: int = 0
    min_size: int = 0
    max_size: int = 0
    healthy: bool = True
    last_error: str | None = None
    generation: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStats(PoolGauges):
    """A frozen snapshot of a pool: its gauges, what it has counted since it was opened, and its latencies.

    statements: answered, with or without success; errors: answered with an error. groups: sent as one, those of a
    single statement included; group_size: statements per group; broken_up: groups rolled back and re-sent alone;
    resent: their statements. ran_alone: statements that ran on a connection of their own, by the reason: class
    (SESSION and other statements), settings (of the pool or the database), catalogue (it was not read yet, or
    cannot be), guard (what `pool.explain` tells), cost (slow, unknown, or failed lately). cancelled: calls given up
    by the caller; timeouts: by a deadline. connects, connect_failures, lost: connections. acquired: sessions lent.
    wait_ms: from the call until sent (or lent); run_ms: from sent until answered; hold_ms: how long sessions were
    held. queries_per_second: over the last ten seconds.
    """

    statements: int
    errors: int
    groups: int
    broken_up: int
    resent: int
    cancelled: int
    timeouts: int
    connects: int
    connect_failures: int
    lost: int
    acquired: int
    ran_alone: Mapping[str, int]
    queries_per_second: float
    group_size: HistogramSummary
    wait_ms: HistogramSummary
    run_ms: HistogramSummary
    hold_ms: HistogramSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics(Fields):
    """The figures of a DatabasePool: its mode, statements per second over all pools, resident MiB, age in seconds."""

    deployment_mode: str
    queries_per_second: float
    memory_usage_mb: float
    uptime_seconds: float
    pools: Mapping[str, PoolStats]

    def prometheus(self) -> str:
        """Everything in Prometheus' text format, with the labels `pool` and `mode`; see docs/metrics.md."""
        from .prometheus import exposition

        return exposition(self)


def measure(deployment_mode: str, pools: Mapping[str, PoolStats], uptime_seconds: float) -> Metrics:
    """Metrics of this process and of these pools; the rate is the sum of theirs.

    `DatabasePool.get_metrics` makes them of its own pools; this is for one that `create_pool` made:
    `measure("simple", {"main": pool.stats()}, uptime).prometheus()`.
    """
    return Metrics(
        deployment_mode=deployment_mode,
        queries_per_second=sum(stats.queries_per_second for stats in pools.values()),
        memory_usage_mb=resident_memory_mb(),
        uptime_seconds=uptime_seconds,
        pools=dict(pools),
    )


def resident_memory_mb() -> float:
    """Resident memory of this process in MiB.

    Read from /proc where there is one, from psapi on Windows; elsewhere (macOS, BSD) the kernel tells only the peak.
    """
    return _resident_bytes() / 2**20


def peak_to_bytes(ru_maxrss: int, platform: str) -> int:
    """`getrusage` counts in bytes on macOS and in KiB everywhere else."""
    return ru_maxrss if platform == "darwin" else ru_maxrss * 1024


if sys.platform == "win32":

    def _resident_bytes() -> int:
        import ctypes
        from ctypes import wintypes

        class Counters(ctypes.Structure):
            _fields_ = (
                ("cb", wintypes.DWORD),
                ("PageFaultCount", wintypes.DWORD),
                ("PeakWorkingSetSize", ctypes.c_size_t),
                ("WorkingSetSize", ctypes.c_size_t),
                ("unused", ctypes.c_size_t * 6),
            )

        counters = Counters(cb=ctypes.sizeof(Counters))
        process = ctypes.c_void_p(-1)  # the pseudo handle of the current process
        ctypes.WinDLL("psapi").GetProcessMemoryInfo(process, ctypes.byref(counters), counters.cb)
        return int(counters.WorkingSetSize)

else:

    def _resident_bytes(statm: str = "/proc/self/statm") -> int:
        import resource

        try:
            with open(statm, "rb") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        except OSError:
            return peak_to_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, sys.platform)
