"""What was measured, and what follows from it: medians, and ratios with their spread.

Contenders run in turn, A B C A B C, so that what changes on the machine changes for all of them. A ratio is made of two
runs of the same round, and then the median is taken: what slowed both down drops out. The spread is the lowest and the
highest of the rounds; where it is wide, the figure says little.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ._workloads import WORKLOADS

#: Figures of a run by name: title, unit, and whether more is better.
FIGURES: dict[str, tuple[str, str, bool]] = {
    "rate": ("throughput", "/s", True),
    "p50_ms": ("p50", "ms", False),
    "p95_ms": ("p95", "ms", False),
    "p99_ms": ("p99", "ms", False),
    "all_s": ("until all are answered", "s", False),
    "held_ms": ("event loop held", "ms", False),
    "beside_s": ("a long result", "s", False),
    "waiting_kb": ("memory of each that waits", "KiB", False),
    "growth_mb": ("growth of memory", "MiB", False),
    "quiet_p99_ms": ("p99 without the sleepers", "ms", False),
    "cpu_us": ("client CPU each", "µs", False),
    "memory_mb": ("memory", "MiB", False),
    "start_s": ("start", "s", False),
}


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of several measurements, and the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """The spread of one or more values."""
        return cls(statistics.median(values), min(values), max(values))


@dataclass(slots=True)
class Measurement:
    """One workload with one number of tasks: the runs of every contender, one for each round."""

    workload: str
    tasks: int
    runs: dict[str, list[dict[str, float]]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    delay_ms: float | None = None

    @property
    def title(self) -> str:
        """What was measured, with how many tasks, and how far away the server was made."""
        tasks = "" if self.workload == "start" else f", {self.tasks:,} task{'s'[: self.tasks != 1]}"
        delay = "" if self.delay_ms is None else f", round trip {self.delay_ms:g} ms longer"
        return f"{WORKLOADS[self.workload].title}{tasks}{delay}"

    @property
    def key(self) -> str:
        """The figure that the workload is about."""
        return WORKLOADS[self.workload].figures[0]

    def contenders(self) -> list[str]:
        """Who has figures here, in the order of the runs."""
        return [name for name, runs in self.runs.items() if runs]

    def spread(self, contender: str, figure: str) -> Spread | None:
        """A figure of a contender over the rounds; None if it was not measured."""
        values = [run[figure] for run in self.runs[contender] if figure in run]
        return Spread.of(values) if values else None

    def ratio(self, first: str, second: str, figure: str | None = None) -> Spread | None:
        """How many times better `first` is than `second`, round by round: above 1 is better, whatever the figure."""
        name = figure or self.key
        more_is_better = FIGURES[name][2]
        pairs = [
            (a[name], b[name])
            for a, b in zip(self.runs[first], self.runs[second], strict=False)
            if name in a and name in b
        ]
        ratios = [a / b if more_is_better else b / a for a, b in pairs if a > 0 and b > 0]
        return Spread.of(ratios) if ratios else None

    def as_dict(self) -> dict[str, Any]:
        """Runs, medians and ratios for a JSON report."""
        named = self.contenders()
        return {
            "workload": self.workload,
            "tasks": self.tasks,
            "delay_ms": self.delay_ms,
            "runs": self.runs,
            "failures": self.failures,
            "medians": {
                name: {f: spread.median for f in FIGURES if (spread := self.spread(name, f)) is not None}
                for name in named
            },
            "ratios": {
                f"{a}/{b}": {"median": ratio.median, "low": ratio.low, "high": ratio.high}
                for a in named[:1]
                for b in named[1:]
                if (ratio := self.ratio(a, b)) is not None
            },
        }


@dataclass(slots=True)
class Report:
    """A whole benchmark: the circumstances, what was left out and why, and the measurements."""

    circumstances: Mapping[str, str]
    left_out: Mapping[str, str]
    versions: Mapping[str, str]
    measurements: list[Measurement] = field(default_factory=list)
    pgbench: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Everything, for a JSON report."""
        return {
            "circumstances": dict(self.circumstances),
            "versions": dict(self.versions),
            "left_out": dict(self.left_out),
            "pgbench": dict(self.pgbench),
            "measurements": [measurement.as_dict() for measurement in self.measurements],
        }


def show(value: float) -> str:
    """A figure with three digits or so, for people."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
