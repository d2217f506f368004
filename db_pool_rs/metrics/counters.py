"""What a pool counts as it works. What it tells of that is in :mod:`.stats`, which is imported when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Protocol

from .histogram import Histogram, SlidingRate

if TYPE_CHECKING:
    from .stats import PoolGauges, PoolStats


class Arrived(Protocol):
    """What waits to be sent, since it was `enqueued`."""

    enqueued: float


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class PoolMetrics:
    """The counters of one pool, updated in place (`metrics.errors += 1`, `metrics.wait.record(seconds)`).

    Field names and meanings are those of PoolStats; the histograms `wait`, `run` and `hold` take seconds.
    """

    statements: int = 0
    errors: int = 0
    groups: int = 0
    broken_up: int = 0
    resent: int = 0
    cancelled: int = 0
    timeouts: int = 0
    connects: int = 0
    connect_failures: int = 0
    lost: int = 0
    acquired: int = 0
    alone: dict[str, int] = field(default_factory=dict)
    group_size: Histogram = field(default_factory=Histogram)
    wait: Histogram = field(default_factory=Histogram)
    run: Histogram = field(default_factory=Histogram)
    hold: Histogram = field(default_factory=Histogram)
    rate: SlidingRate = field(default_factory=SlidingRate)

    def record_waits(self, group: Sequence[Arrived], now: float) -> None:
        """A group is sent. Statements of one tick share their arrival time: one entry for each run of equal ones."""
        arrived, count = group[0].enqueued, 0
        for statement in group:
            if statement.enqueued == arrived:
                count += 1
            else:
                self.wait.record(now - arrived, count)
                arrived, count = statement.enqueued, 1
        self.wait.record(now - arrived, count)

    def snapshot(self, gauges: PoolGauges, now: float) -> PoolStats:
        """Everything at this moment; `now` is the clock that was passed to `rate.add`."""
        from ..guard.verdicts import REASONS
        from .stats import PoolStats

        figures: dict[str, Any] = {}
        for one in fields(PoolStats):
            kind = one.metadata.get("kind")
            if kind == "counter":
                figures[one.name] = getattr(self, one.name)
            elif kind == "histogram":
                divisor = one.metadata["divisor"]
                measured: Histogram = getattr(self, one.metadata["of"])
                figures[one.name] = measured.summary(scale=divisor, whole=divisor == 1.0)
        return PoolStats(
            **gauges,
            **figures,
            ran_alone={reason: self.alone.get(reason, 0) for reason in REASONS},
            queries_per_second=self.rate.rate(now),
        )
