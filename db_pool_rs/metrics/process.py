"""The figures of a process and of all its pools together."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from .stats import Fields, PoolStats


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

        return exposition(self.deployment_mode, self.uptime_seconds, self.memory_usage_mb, self.pools)


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

    def _resident_bytes() -> int:  # pyright: ignore[reportRedeclaration]  # of the two, one is there
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
