"""Prometheus' text: what a scraper reads of it, and that the dashboard asks for nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from db_pool_rs.metrics import PoolGauges, PoolMetrics, measure
from db_pool_rs.metrics.histogram import Histogram
from db_pool_rs.metrics.prometheus import COUNTERS, GAUGES, HISTOGRAMS, STATES
from tests.meta.source import ROOT

DASHBOARD = ROOT / "docs" / "grafana" / "db_pool_rs.json"


def text_of(name: str = "main", metrics: PoolMetrics | None = None, **gauges: Any) -> str:
    stats = (metrics or PoolMetrics()).snapshot(PoolGauges(**gauges), now=0.0)
    return measure("simple", {name: stats}, 12.5).prometheus()


def samples(text: str) -> dict[tuple[str, str], float]:
    """By name and the label that tells values of one name apart."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name, sample.labels.get("le") or sample.labels.get("state") or ""] = sample.value
    return found


def test_every_figure_is_there_under_its_conventional_name() -> None:
    metrics = PoolMetrics(statements=7, errors=2)
    metrics.run.record(0.003, count=7)
    metrics.group_size.record(3)
    found = samples(text_of(metrics=metrics, idle=2, lanes=1, max_size=10, healthy=False))
    assert found["db_pool_statements_total", ""] == 7
    assert found["db_pool_connections", "idle"] == 2
    assert found["db_pool_connections", "lane"] == 1
    assert found["db_pool_healthy", ""] == 0
    assert found["db_pool_run_seconds_count", ""] == 7
    assert found["db_pool_run_seconds_sum", ""] == pytest.approx(0.021)
    assert found["db_pool_run_seconds_bucket", "0.002048"] == 0
    assert found["db_pool_run_seconds_bucket", "0.004096"] == 7
    assert found["db_pool_group_size_bucket", "2"] == 0
    assert found["db_pool_group_size_bucket", "4"] == 1
    assert found["db_pool_uptime_seconds", ""] == 12.5
    assert found["db_pool_resident_memory_bytes", ""] > 2**20


def test_names_follow_the_conventions() -> None:
    for family in text_string_to_metric_families(text_of()):
        assert re.fullmatch(r"db_pool_[a-z_]+", family.name)
        assert not family.name.endswith(("_ms", "_mb"))
        assert family.type in ("counter", "gauge", "histogram")
        assert family.documentation.endswith(".")
        for sample in family.samples:
            assert set(sample.labels) - {"le", "state", "reason"} <= {"pool", "mode"}
            assert (family.type == "counter") == sample.name.endswith("_total")


@given(st.text())
def test_any_name_of_a_pool_survives(name: str) -> None:
    labels = [s.labels for f in text_string_to_metric_families(text_of(name)) for s in f.samples if "pool" in s.labels]
    assert {label["pool"] for label in labels} == {name}


@given(st.lists(st.floats(1e-7, 100.0), max_size=40))
def test_buckets_are_cumulative_and_true(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    buckets = histogram.summary().buckets
    assert [bound for bound, _ in buckets] == sorted({bound for bound, _ in buckets})
    for bound, count in buckets:
        below = sum(value < bound * (1 - 1e-9) for value in values)
        assert below <= count <= sum(value <= bound * (1 + 1e-9) for value in values)


@given(st.lists(st.integers(1, 150), max_size=40))
def test_buckets_of_whole_numbers_are_exact(values: list[int]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    for bound, count in histogram.summary(whole=True).buckets:
        assert count == sum(value <= bound for value in values)


def test_the_dashboard_asks_for_what_there_is() -> None:
    known = {name for name, _ in samples(text_of())}
    states = {its["state"] for its in STATES.values()}
    panels = [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]
    asked: set[str] = set()
    for panel in panels:
        assert panel["title"]
        assert panel["targets"]
        for target in panel["targets"]:
            expression = target["expr"]
            names = set(re.findall(r"db_pool_\w+", expression))
            assert names
            assert names <= known, names - known
            asked |= names
            assert set(re.findall(r'state="(\w+)"', expression)) <= states
            assert set(re.findall(r"(\w+)=~?\"", expression)) <= {"pool", "mode", "state"}
            assert all(
                name.endswith("_total") or "_bucket" in name or "_sum" in name or "_count" in name
                for name in re.findall(r"rate\((db_pool_\w+)", expression)
            )
    assert {f"db_pool_{its['name']}_total" for its in COUNTERS.values()} <= asked
    assert {f"db_pool_{its['name']}_bucket" for its in HISTOGRAMS.values()} <= asked
    assert {f"db_pool_{its['name']}" for its in GAUGES.values()} <= asked


def test_the_page_names_every_figure() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    names = {re.sub(r"_(bucket|sum|count)$", "", name) for name, _ in samples(text_of())}
    assert len(names) > 20
    assert not {name for name in names if f"`{name}`" not in page}


def test_the_dashboard_has_no_panels_on_top_of_each_other() -> None:
    places = [panel["gridPos"] for panel in json.loads(DASHBOARD.read_text())["panels"]]
    taken = [(x, y) for p in places for x in range(p["x"], p["x"] + p["w"]) for y in range(p["y"], p["y"] + p["h"])]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
