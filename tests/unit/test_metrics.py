"""Histogram and rate against their exact counterparts; snapshots as attributes, mappings and plain dicts."""

from __future__ import annotations

import json
from math import ceil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.metrics import Histogram, PoolGauges, PoolMetrics, PoolStats, SlidingRate, measure
from db_pool_rs.metrics import process as metrics
from db_pool_rs.metrics.histogram import HIGHEST, LOWEST, RESOLUTION

SECONDS = st.floats(min_value=LOWEST, max_value=HIGHEST)
VALUES = st.lists(SECONDS, min_size=1, max_size=200)


def filled(values: list[float]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def nearest_rank(values: list[float], percent: float) -> float:
    return sorted(values)[max(1, ceil(len(values) * percent / 100)) - 1]


class TestHistogram:
    @given(VALUES, st.floats(min_value=0, max_value=100))
    def test_a_percentile_is_right_within_the_resolution(self, values: list[float], percent: float) -> None:
        exact = nearest_rank(values, percent)
        assert exact / RESOLUTION <= filled(values).percentile(percent) <= exact * RESOLUTION

    @given(VALUES)
    def test_count_total_mean_and_maximum_are_exact(self, values: list[float]) -> None:
        histogram = filled(values)
        assert histogram.count == len(values)
        assert histogram.total == pytest.approx(sum(values))
        assert histogram.mean == pytest.approx(sum(values) / len(values))
        assert histogram.maximum == max(values)
        assert histogram.percentile(100) <= max(values)

    @given(VALUES, VALUES)
    def test_merged_histograms_say_what_one_would_have_said(self, left: list[float], right: list[float]) -> None:
        merged, other = filled(left), filled(right)
        merged.merge(other)
        both = filled(left + right)
        assert merged.total == pytest.approx(both.total)
        assert [merged.percentile(p) for p in range(101)] == [both.percentile(p) for p in range(101)]
        assert other.count == len(right)

    @given(SECONDS, st.integers(min_value=1, max_value=100))
    def test_a_count_stands_for_as_many_records(self, value: float, count: int) -> None:
        at_once = Histogram()
        at_once.record(value, count)
        assert at_once.summary().p95 == filled([value] * count).summary().p95
        assert at_once.count == count
        assert at_once.total == pytest.approx(value * count)

    @pytest.mark.parametrize("value", [0.0, -1e-9, 1e-9, LOWEST])
    def test_values_up_to_the_lowest_share_a_bucket(self, value: float) -> None:
        histogram = filled([value])
        assert histogram.count == 1
        assert histogram.percentile(50) <= LOWEST

    @pytest.mark.parametrize("value", [HIGHEST * 1.1, 1e9])
    def test_values_above_the_highest_keep_their_maximum(self, value: float) -> None:
        assert filled([1.0, value]).percentile(99) == value

    def test_nothing_recorded_reads_as_zero(self) -> None:
        summary = Histogram().summary()
        assert {value for name, value in summary.items() if name != "buckets"} == {0}
        assert {count for _, count in summary.buckets} == {0}

    @pytest.mark.parametrize("percent", [-1, 100.1, float("nan")])
    def test_a_percentile_outside_its_range_is_refused(self, percent: float) -> None:
        with pytest.raises(ValueError, match="between 0 and 100"):
            Histogram().percentile(percent)

    def test_a_summary_is_scaled(self) -> None:
        summary = filled([0.002]).summary(scale=1000.0)
        assert summary.max == summary.mean == 2.0
        assert summary["p50"] == pytest.approx(2.0, rel=0.03)
        assert summary.count == 1

    @given(st.lists(st.integers(1, 16), min_size=1))
    def test_percentiles_of_small_whole_numbers_are_exact(self, values: list[int]) -> None:
        summary = filled([float(value) for value in values]).summary(whole=True)
        exact = [nearest_rank([float(value) for value in values], percent) for percent in (50, 95, 99)]
        assert [summary.p50, summary.p95, summary.p99] == exact

    def test_repr_is_one_line(self) -> None:
        assert repr(filled([1.0, 3.0])) == "<Histogram count=2 mean=2 max=3>"


class TestSlidingRate:
    def test_a_steady_load_reads_as_what_it_is_from_the_first_second_on(self) -> None:
        rate = SlidingRate()
        readings = []
        for tick in range(1, 3000):  # 100 events a second in hundredths, for half a minute
            rate.add(1, 1000.0 + tick / 100)
            if tick % 100 == 50 and tick > 100:
                readings.append(rate.rate(1000.0 + tick / 100))
        assert readings == [pytest.approx(100, rel=0.01)] * len(readings)

    def test_events_leave_the_window(self) -> None:
        rate = SlidingRate(started=0.0)
        rate.add(600, 5.0)
        assert rate.rate(6.0) == 100
        assert rate.rate(14.9) == pytest.approx(600 / 9.9)
        assert rate.rate(15.0) == 0
        assert rate.rate(1e6) == 0

    def test_no_event_is_no_rate(self) -> None:
        assert SlidingRate().rate(5.0) == 0

    def test_a_burst_in_the_first_moment_is_not_blown_up(self) -> None:
        rate = SlidingRate()
        rate.add(10, 7.0)
        assert rate.rate(7.001) == 10

    @given(st.lists(st.tuples(st.integers(1, 50), st.floats(0, 8)), max_size=60), st.integers(1, 12))
    def test_the_rate_is_the_exact_count_of_its_seconds(self, steps: list[tuple[int, float]], window: int) -> None:
        rate, now, events = SlidingRate(started=100.0, window=window), 100.0, []
        for count, pause in steps:
            now += pause
            rate.add(count, now)
            events.append((count, now))
        first = int(now) - window + 1
        span = max(now - max(first, 100.0), 1.0)
        assert rate.rate(now) == pytest.approx(sum(n for n, at in events if at >= first) / span)


class TestSnapshots:
    @pytest.fixture
    def stats(self) -> PoolStats:
        mutable = PoolMetrics(statements=7, errors=2)
        mutable.run.record(0.25, 4)
        mutable.group_size.record(64)
        mutable.rate.add(20, 50.0)
        return mutable.snapshot(PoolGauges(size=3, idle=1, last_error="refused"), now=52.0)

    def test_fields_are_attributes_and_items(self, stats: PoolStats) -> None:
        assert stats.size == stats["size"] == 3
        assert stats.statements == stats["statements"] == 7
        assert stats.run_ms.max == stats["run_ms"]["max"] == 250.0
        assert stats.group_size.p50 == pytest.approx(64, rel=0.03)
        assert stats.queries_per_second == 10.0
        assert dict(**stats)["last_error"] == "refused"
        assert len(stats) == len(list(stats))

    def test_an_unknown_item_is_a_key_error(self, stats: PoolStats) -> None:
        for name in ("nothing", "to_dict", "__class__"):
            with pytest.raises(KeyError, match=name):
                stats[name]
        assert "nothing" not in stats

    def test_a_snapshot_is_frozen(self, stats: PoolStats) -> None:
        with pytest.raises(AttributeError):
            stats.size = 5  # type: ignore[misc]

    def test_a_snapshot_does_not_move_with_its_counters(self) -> None:
        mutable = PoolMetrics()
        before = mutable.snapshot(PoolGauges(), now=0.0)
        mutable.run.record(1.0)
        mutable.statements += 1
        assert (before.statements, before.run_ms.count) == (0, 0)

    def test_metrics_sum_up_their_pools_and_survive_json(self, stats: PoolStats) -> None:
        collected = measure("simple", {"a": stats, "b": stats}, uptime_seconds=3.5)
        assert collected.queries_per_second == collected["queries_per_second"] == 20.0
        assert collected.deployment_mode == "simple"
        assert collected.uptime_seconds == 3.5
        assert collected.pools["a"] is stats
        decoded: dict[str, Any] = json.loads(json.dumps(collected.to_dict()))
        assert decoded["pools"]["b"]["wait_ms"]["p99"] == 0.0


class TestMemory:
    def test_resident_memory_is_that_of_a_python_process(self) -> None:
        assert 5 < metrics.resident_memory_mb() < 10_000

    def test_resident_memory_follows_an_allocation(self) -> None:
        before = metrics.resident_memory_mb()
        held = bytearray(b"x") * (64 * 2**20)
        assert metrics.resident_memory_mb() - before > 32
        del held

    def test_without_proc_the_peak_is_told(self) -> None:
        assert 5 * 2**20 < metrics._resident_bytes("/nonexistent") < 10**10

    @pytest.mark.parametrize(("platform", "expected"), [("darwin", 2048), ("linux", 2048 * 1024), ("freebsd13", 2**21)])
    def test_units_of_the_peak(self, platform: str, expected: int) -> None:
        assert metrics.peak_to_bytes(2048, platform) == expected
