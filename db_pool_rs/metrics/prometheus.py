"""Metrics in Prometheus' text format (version 0.0.4): names, help and units by its conventions.

Counters end in `_total`, times are seconds, memory is bytes. Labels are `pool` and `mode`, for connections `state`, for
statements that ran alone `reason`.
:func:`families` says the same as data, for exporters that have a format of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from . import Metrics, PoolStats
    from .histogram import HistogramSummary

#: What Content-Type says.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: Field of PoolStats: name without prefix and `_total`, help.
COUNTERS = {
    "statements": ("statements", "Statements that were answered, with or without success."),
    "errors": ("errors", "Statements that were answered with an error."),
    "groups": ("groups", "Groups of statements that were sent."),
    "broken_up": ("broken_up_groups", "Groups that were rolled back and sent again statement by statement."),
    "resent": ("resent_statements", "Statements of groups that were broken up."),
    "cancelled": ("cancelled_calls", "Calls that their callers gave up."),
    "timeouts": ("timeouts", "Calls that a deadline ended."),
    "connects": ("connects", "Connections that were opened."),
    "connect_failures": ("connect_failures", "Attempts to connect that failed."),
    "lost": ("lost_connections", "Connections that ended while they were in use."),
    "acquired": ("acquired_sessions", "Sessions that were lent."),
}
GAUGES = {
    "waiting": ("waiting_calls", "Calls in the queue."),
    "in_flight": ("statements_in_flight", "Statements that were sent and are not answered."),
    "min_size": ("connections_min", "Connections kept open when nothing is going on."),
    "max_size": ("connections_max", "The most connections that the server ever sees."),
    "healthy": ("healthy", "0 after a failed connect until one succeeds, else 1."),
}
#: States of a connection: of each, how many there are. Together they are the pool's size, but for those being closed.
STATES = {"idle": "idle", "lanes": "lane", "alone": "alone", "sessions": "session", "opening": "opening"}
#: Name, help, and what its values have to be divided by to be in the unit that the name says.
HISTOGRAMS = {
    "wait_ms": ("wait_seconds", "From the call until the statement was sent, or the session was lent.", 1000.0),
    "run_ms": ("run_seconds", "From sending a statement until its answer.", 1000.0),
    "hold_ms": ("hold_seconds", "How long sessions were held.", 1000.0),
    "group_size": ("group_size", "Statements in a group.", 1.0),
}


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


def exposition(metrics: Metrics) -> str:
    """The text of a scrape; it ends with a newline."""
    return "".join(f"{line}\n" for family in families(metrics) for line in _lines(family))


def families(metrics: Metrics) -> Iterator[Family]:
    """Every family, those of the process first."""
    mode = {"mode": metrics.deployment_mode}
    uptime, memory = metrics.uptime_seconds, metrics.memory_usage_mb * 2**20
    yield Family("db_pool_uptime_seconds", "gauge", "Age of the DatabasePool.", [Sample("", mode, uptime)])
    yield Family("db_pool_resident_memory_bytes", "gauge", "Of the process.", [Sample("", mode, memory)])
    labelled = [({"pool": name, **mode}, stats) for name, stats in metrics.pools.items()]
    for field, (name, doc) in COUNTERS.items():
        yield Family(f"db_pool_{name}_total", "counter", doc, [Sample("", of, s[field]) for of, s in labelled])
    for field, (name, doc) in GAUGES.items():
        yield Family(f"db_pool_{name}", "gauge", doc, [Sample("", of, float(s[field])) for of, s in labelled])
    alone = [sample for of, stats in labelled for sample in _by_reason(of, stats)]
    doc = "Statements that ran on a connection of their own, by the reason."
    yield Family("db_pool_ran_alone_total", "counter", doc, alone)
    states = [sample for of, stats in labelled for sample in _by_state(of, stats)]
    yield Family("db_pool_connections", "gauge", "Connections by what they are doing.", states)
    for field, (name, doc, divisor) in HISTOGRAMS.items():
        values = [sample for of, stats in labelled for sample in _buckets(of, stats[field], divisor)]
        yield Family(f"db_pool_{name}", "histogram", doc, values)


def _by_state(labels: dict[str, str], stats: PoolStats) -> Iterator[Sample]:
    for field, state in STATES.items():
        yield Sample("", {**labels, "state": state}, stats[field])


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
