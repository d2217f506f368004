"""Metrics in Prometheus' text format (version 0.0.4): names, help and units by its conventions.

Counters end in `_total`, times are seconds, memory is bytes. Labels are `pool` and `mode`, for connections `state`, for
statements that ran alone `reason`.
:func:`families` says the same as data, for exporters that have a format of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from .stats import PoolStats

if TYPE_CHECKING:
    from .stats import HistogramSummary


def _of_kind(kind: str) -> dict[str, Mapping[str, Any]]:
    """The fields of PoolStats of a kind, with what they are called outside, their help and their divisor."""
    return {one.name: one.metadata for one in fields(PoolStats) if one.metadata.get("kind") == kind}


COUNTERS = _of_kind("counter")
GAUGES = _of_kind("gauge")
HISTOGRAMS = _of_kind("histogram")
STATES = _of_kind("state")


class Sample(NamedTuple):
    """One value of a family; `suffix` is `_bucket`, `_sum` or `_count` for those of a histogram."""

    suffix: str
    labels: dict[str, str]
    value: float


class Family(NamedTuple):
    """Every value of one name: `kind` is counter, gauge or histogram; a counter's name ends in `_total`."""

    name: str
    kind: str
    help: str
    samples: list[Sample]


def exposition(mode: str, uptime_seconds: float, memory_mb: float, pools: Mapping[str, PoolStats]) -> str:
    """The text of a scrape; it ends with a newline."""
    found = families(mode, uptime_seconds, memory_mb, pools)
    return "".join(f"{line}\n" for family in found for line in _lines(family))


def families(mode: str, uptime_seconds: float, memory_mb: float, pools: Mapping[str, PoolStats]) -> Iterator[Family]:
    """Every family, those of the process first."""
    of = {"mode": mode}
    yield Family("db_pool_uptime_seconds", "gauge", "Age of the DatabasePool.", [Sample("", of, uptime_seconds)])
    yield Family("db_pool_resident_memory_bytes", "gauge", "Of the process.", [Sample("", of, memory_mb * 2**20)])
    labelled = [({"pool": name, **of}, stats) for name, stats in pools.items()]
    for field, its in COUNTERS.items():
        samples = [Sample("", labels, stats[field]) for labels, stats in labelled]
        yield Family(f"db_pool_{its['name']}_total", "counter", its["help"], samples)
    for field, its in GAUGES.items():
        samples = [Sample("", labels, float(stats[field])) for labels, stats in labelled]
        yield Family(f"db_pool_{its['name']}", "gauge", its["help"], samples)
    alone = [sample for labels, stats in labelled for sample in _by_reason(labels, stats)]
    doc = "Statements that ran on a connection of their own, by the reason."
    yield Family("db_pool_ran_alone_total", "counter", doc, alone)
    states = [sample for labels, stats in labelled for sample in _by_state(labels, stats)]
    yield Family("db_pool_connections", "gauge", "Connections by what they are doing.", states)
    for field, its in HISTOGRAMS.items():
        samples = [s for labels, stats in labelled for s in _buckets(labels, stats[field], its["divisor"])]
        yield Family(f"db_pool_{its['name']}", "histogram", its["help"], samples)


def _by_state(labels: dict[str, str], stats: PoolStats) -> Iterator[Sample]:
    for field, its in STATES.items():
        yield Sample("", {**labels, "state": its["state"]}, stats[field])


def _by_reason(labels: dict[str, str], stats: PoolStats) -> Iterator[Sample]:
    for reason, count in stats.ran_alone.items():
        yield Sample("", {**labels, "reason": reason}, count)


def _buckets(labels: dict[str, str], summary: HistogramSummary, divisor: float) -> Iterator[Sample]:
    for bound, count in summary.buckets:
        yield Sample("_bucket", {**labels, "le": f"{bound / divisor:.9g}"}, count)
    yield Sample("_bucket", {**labels, "le": "+Inf"}, summary.count)
    yield Sample("_sum", labels, summary.mean * summary.count / divisor)
    yield Sample("_count", labels, summary.count)


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.help}"
    yield f"# TYPE {family.name} {family.kind}"
    for suffix, labels, value in family.samples:
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        shown = f"{value:.0f}" if value == int(value) else repr(value)
        yield f"{family.name}{suffix}{{{pairs}}} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
