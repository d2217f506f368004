"""Measuring instruments that cost almost nothing, a latency histogram and a sliding rate, and what is said of them.

Both hold preallocated integers only, so a pool that answers 100,000 statements a second neither allocates nor
sorts to know its percentiles. Neither reads a clock: the time is passed in, and tests run in virtual time. They are
not locked: a pool belongs to one event loop.

`Histogram` divides each octave into twelve buckets of equal ratio, 2 ** (1/12), so values more than 6 % apart fall into
different buckets and a percentile is at most 3 % off. Values up to 1 us share the first bucket, values above an hour
the last one; count, total and maximum are exact for both.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate
from math import ceil, floor, log2
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .stats import HistogramSummary

LOWEST = 1e-6
HIGHEST = 3600.0
RESOLUTION = 2.0 ** (1 / 12)

_PER_OCTAVE = 12.0
_OFFSET = 1.0 - log2(LOWEST) * _PER_OCTAVE  # LOWEST falls on the lower edge of bucket 1; bucket 0 holds what is below
_LAST = int(log2(HIGHEST) * _PER_OCTAVE + _OFFSET) + 1
#: Where buckets 0 to _LAST - 1 end.
_EDGES = [LOWEST, *(2.0 ** ((index - _OFFSET) / _PER_OCTAVE) for index in range(2, _LAST + 1))]


class Histogram:
    """Counts of values by size; made for seconds from 1 us to 1 h, good for any positive numbers in that range."""

    __slots__ = ("_counts", "maximum", "total")

    def __init__(self) -> None:
        self._counts = [0] * (_LAST + 1)
        self.total = 0.0
        self.maximum = 0.0

    @classmethod
    def of(cls, counts: list[int], total: float, maximum: float) -> Histogram:
        """What was recorded elsewhere, into the same buckets."""
        histogram = cls()
        assert len(counts) == len(histogram._counts), "bug: other buckets"
        histogram._counts, histogram.total, histogram.maximum = counts, total, maximum
        return histogram

    def record(self, seconds: float, count: int = 1) -> None:
        """Add `count` values of `seconds` each."""
        self._counts[bisect_left(_EDGES, seconds)] += count
        self.total += seconds * count
        if seconds > self.maximum:
            self.maximum = seconds

    @property
    def count(self) -> int:
        """How many values were recorded (added up on demand, which keeps `record` cheap)."""
        return sum(self._counts)

    @property
    def mean(self) -> float:
        """The exact arithmetic mean; 0.0 when nothing was recorded."""
        return self.total / (self.count or 1)

    def percentile(self, percent: float) -> float:
        """The value that `percent` (0..100) of the recorded values do not exceed (nearest rank), within 3 %.

        0.0 when nothing was recorded. ValueError when `percent` lies outside 0..100.
        """
        if not 0.0 <= percent <= 100.0:
            raise ValueError(f"percent must lie between 0 and 100, not {percent!r}")
        rank = max(1, ceil(self.count * percent / 100.0))
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                return min(_middle(index), self.maximum)
        return 0.0

    def merge(self, other: Histogram) -> None:
        """Add everything that `other` has recorded; `other` is left as it is."""
        self._counts = [mine + theirs for mine, theirs in zip(self._counts, other._counts, strict=True)]
        self.total += other.total
        self.maximum = max(self.maximum, other.maximum)

    def summary(self, scale: float = 1.0, whole: bool = False) -> HistogramSummary:
        """The figures of this moment, each value multiplied by `scale` (1000 turns seconds into milliseconds).

        `whole` is for values that are whole numbers: percentiles are rounded, which makes them exact up to 16.
        """
        p50, p95, p99 = (self.percentile(percent) * scale for percent in (50, 95, 99))
        if whole:
            p50, p95, p99 = float(round(p50)), float(round(p95)), float(round(p99))
        from .stats import HistogramSummary  # not needed before

        return HistogramSummary(
            count=self.count,
            mean=self.mean * scale,
            p50=p50,
            p95=p95,
            p99=p99,
            max=self.maximum * scale,
            buckets=tuple(self._cumulative(scale, whole)),
        )

    def _cumulative(self, scale: float, whole: bool) -> Iterator[tuple[float, int]]:
        """At the edges of our own buckets, so that the counts are true: one each octave, from 64 us to 17 s."""
        upto = list(accumulate(self._counts))
        if not whole:
            yield from ((LOWEST * 2**octave * scale, upto[octave * 12]) for octave in range(6, 25))
            return
        for power in range(8):
            # The bucket of 1, 2, 4, ... and the largest whole number that falls into it.
            index = int(log2(2**power) * _PER_OCTAVE + _OFFSET)
            yield float(floor(2.0 ** ((index + 1 - _OFFSET) / _PER_OCTAVE))), upto[index]

    def __repr__(self) -> str:
        return f"<Histogram count={self.count} mean={self.mean:.6g} max={self.maximum:.6g}>"


def _middle(index: int) -> float:
    """The geometric middle of a bucket; the open ones stand for their inner edge, bounded by the maximum."""
    if index == 0:
        return LOWEST
    if index == _LAST:
        return float("inf")
    return float(2.0 ** ((index + 0.5 - _OFFSET) / _PER_OCTAVE))


class SlidingRate:
    """Events per second over the last `window` seconds, from one integer for each of them.

    `now` is any monotonic clock in seconds. The rate is what was counted in the current second and the `window - 1`
    before it, divided by exactly that span; so it neither dips at the turn of a second nor reads low at the start.
    """

    __slots__ = ("_at", "_counts", "_second", "_started")

    def __init__(self, started: float | None = None, window: int = 10) -> None:
        self._counts = [0] * window
        self._started = started
        #: The second that is counted at the moment, from its first event on, and the place where.
        self._second = -1 if started is None else int(started)
        self._at = self._second % window

    def add(self, n: int, now: float) -> None:
        """Count `n` events at `now`."""
        second = int(now)
        if second != self._second:
            self._advance(second)
            if self._started is None:
                self._started = now
        self._counts[self._at] += n

    def rate(self, now: float) -> float:
        """Events per second at `now`; in the first second the span counts as one whole second."""
        if self._started is None:
            return 0.0
        second = int(now)
        if second != self._second:
            self._advance(second)
        span = now - max(self._started, second - len(self._counts) + 1)
        return sum(self._counts) / max(span, 1.0)

    def _advance(self, second: int) -> None:
        """Empty the buckets of the seconds that have passed since the last call."""
        window = len(self._counts)
        for passed in range(max(self._second + 1, second - window + 1), second + 1):
            self._counts[passed % window] = 0
        self._second, self._at = second, second % window
