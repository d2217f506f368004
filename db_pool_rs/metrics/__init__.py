"""What a pool measures: counters and histograms while it works (:mod:`.counters`), snapshots of them (:mod:`.stats`).

:mod:`.health` judges whether a pool can serve, :mod:`.process` adds the figures of the process, :mod:`.prometheus`
writes all of them for a scraper.

Names are imported when they are first used: a pool that is never asked for figures does not load the snapshots.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .counters import PoolMetrics
    from .health import Health
    from .histogram import Histogram, SlidingRate
    from .process import Metrics, measure, resident_memory_mb
    from .stats import HistogramSummary, PoolGauges, PoolStats

__all__ = [
    "Health",
    "Histogram",
    "HistogramSummary",
    "Metrics",
    "PoolGauges",
    "PoolMetrics",
    "PoolStats",
    "SlidingRate",
    "measure",
    "resident_memory_mb",
]

#: Where the names live; the others are snapshots.
_HOMES = {
    "Health": "health",
    "Histogram": "histogram",
    "Metrics": "process",
    "measure": "process",
    "resident_memory_mb": "process",
    "PoolMetrics": "counters",
    "SlidingRate": "histogram",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES.get(name, 'stats')}", __name__), name)
    globals()[name] = value
    return value
