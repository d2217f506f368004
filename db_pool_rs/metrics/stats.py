"""What a pool measures about itself, and how it tells: each figure is declared here, once.

    PoolMetrics   mutable counters and histograms that one pool holds and updates as it works
    PoolGauges    how things stand at this moment (sizes, queues), filled in by the pool
    PoolStats     gauges + counters + histogram summaries: the frozen answer of `pool.stats()`
    Metrics       the answer of `DatabasePool.get_metrics()`: process figures and the PoolStats of every pool

The metadata of a field say what exporters call it, and make the snapshots; PoolMetrics has a field of the same name.
The frozen ones work as attributes and as mappings (`stats.wait_ms.p99`, `stats["wait_ms"]["p99"]`), and `to_dict()`
gives plain dicts. Every number is measured, none is estimated. Times are milliseconds where a name ends in `_ms`,
seconds elsewhere; memory is in MiB (2 ** 20 bytes) and is what the process holds resident, the interpreter included.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


class Fields(Mapping[str, Any]):
    """Mix-in for a frozen dataclass: its fields, in the order of declaration, as a read-only mapping.

    `stats.size` and `stats["size"]` are the same: people read attributes, exporters walk over whatever there is.
    """

    __slots__ = ()
    __dataclass_fields__: dict[str, Any]

    def __getitem__(self, name: str) -> Any:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dataclass_fields__)

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts all the way down, ready for `json.dumps`."""
        return {name: _plain(value) for name, value in self.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class HistogramSummary(Fields):
    """What a histogram says, as plain numbers: count, mean, p50, p95, p99, max (all zero when nothing was recorded).

    `buckets` are for exporters: pairs of a bound and how many values are not above it.
    """

    count: int
    mean: float
    p50: float
    p95: float
    p99: float
    max: float
    buckets: tuple[tuple[float, int], ...] = field(default=(), repr=False)


def _counter(name: str, help: str) -> Any:
    """A figure that only grows; `name` as exporters have it, without prefix and `_total`."""
    return field(metadata={"kind": "counter", "name": name, "help": help})


def _gauge(default: Any, name: str, help: str) -> Any:
    """How something stands."""
    return field(default=default, metadata={"kind": "gauge", "name": name, "help": help})


def _state(state: str) -> Any:
    """How many connections are in a state; together they are the pool's size, but for those being closed."""
    return field(default=0, metadata={"kind": "state", "state": state})


def _histogram(of: str, name: str, help: str, divisor: float) -> Any:
    """The summary of PoolMetrics' histogram `of`; divided by `divisor` its values are in the unit that `name` says."""
    return field(metadata={"kind": "histogram", "of": of, "name": name, "help": help, "divisor": divisor})


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolGauges(Fields):
    """How a pool stands at one moment.

    size: connections, those being opened or closed included (what the server may see). idle, lanes (running groups),
    alone (one statement to itself), sessions (held by a caller), opening: connections by state; busy = lanes + alone +
    sessions. waiting: callers in the queue; in_flight: statements sent and unanswered. healthy: False after a failed
    connect until one succeeds. last_error: its text, without secrets. generation: grows when connections are expired.
    """

    size: int = 0
    idle: int = _state("idle")
    busy: int = 0
    opening: int = _state("opening")
    lanes: int = _state("lane")
    alone: int = _state("alone")
    sessions: int = _state("session")
    waiting: int = _gauge(0, "waiting_calls", "Calls in the queue.")
    in_flight: int = _gauge(0, "statements_in_flight", "Statements that were sent and are not answered.")
    min_size: int = _gauge(0, "connections_min", "Connections kept open when nothing is going on.")
    max_size: int = _gauge(0, "connections_max", "The most connections that the server ever sees.")
    healthy: bool = _gauge(True, "healthy", "0 after a failed connect until one succeeds, else 1.")
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

    statements: int = _counter("statements", "Statements that were answered, with or without success.")
    errors: int = _counter("errors", "Statements that were answered with an error.")
    groups: int = _counter("groups", "Groups of statements that were sent.")
    broken_up: int = _counter("broken_up_groups", "Groups that were rolled back and sent again statement by statement.")
    resent: int = _counter("resent_statements", "Statements of groups that were broken up.")
    cancelled: int = _counter("cancelled_calls", "Calls that their callers gave up.")
    timeouts: int = _counter("timeouts", "Calls that a deadline ended.")
    connects: int = _counter("connects", "Connections that were opened.")
    connect_failures: int = _counter("connect_failures", "Attempts to connect that failed.")
    lost: int = _counter("lost_connections", "Connections that ended while they were in use.")
    acquired: int = _counter("acquired_sessions", "Sessions that were lent.")
    ran_alone: Mapping[str, int]
    queries_per_second: float
    group_size: HistogramSummary = _histogram("group_size", "group_size", "Statements in a group.", 1.0)  # noqa: RUF009
    wait_ms: HistogramSummary = _histogram(  # noqa: RUF009 -- a dataclass field, as above and below
        "wait", "wait_seconds", "From the call until the statement was sent, or the session was lent.", 1000.0
    )
    run_ms: HistogramSummary = _histogram(  # noqa: RUF009
        "run", "run_seconds", "From sending a statement until its answer.", 1000.0
    )
    hold_ms: HistogramSummary = _histogram("hold", "hold_seconds", "How long sessions were held.", 1000.0)  # noqa: RUF009
