"""Prometheus through its own client library: a collector, and an HTTP endpoint. Needs the extra `metrics`.

    async with DatabasePool() as db:
        with prometheus.serve(db, port=9464):      # http://127.0.0.1:9464/metrics
            ...

A program that has a registry of prometheus_client already adds the collector to it:

    REGISTRY.register(prometheus.Collector(db))

A server of several worker processes answers a scrape from any one of them; in prometheus_client's multiprocess mode
each worker writes what it counts into files, and those of all workers are read:

    with prometheus.share(db):                     # in each worker, as long as its pools live
        ...

Names and labels are those of `Metrics.prometheus()`, which needs no library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, start_http_server, values
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as ClientCollector

from ..errors import InterfaceError
from ..metrics.prometheus import Family, families
from ._threads import on_loop

if TYPE_CHECKING:
    from ..metrics import Metrics

__all__ = ["Collector", "serve", "share"]

#: What a gauge of several workers says together, where it is not the sum of those that live.
TOGETHER = {"db_pool_healthy": "livemin", "db_pool_uptime_seconds": "livemax"}


class Collector(ClientCollector):
    """What a DatabasePool (anything with `get_metrics()`) measures, for a registry of prometheus_client.

    Made where the event loop of its pools runs; it may be scraped from any thread.
    """

    def __init__(self, db: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask: Callable[[], Metrics] = db.get_metrics

    def collect(self) -> Iterator[Metric]:
        """Every family at this moment."""
        yield from map(_metric, _families(on_loop(self._loop, self._ask)))

    def describe(self) -> Iterator[Metric]:
        """Nothing, so that to register a collector asks no pool."""
        return iter(())


@contextmanager
def serve(db: Any, port: int = 9464, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve the metrics of `db` over HTTP, in a thread, for the length of the block; gives the port (0: a free one)."""
    registry = CollectorRegistry()
    registry.register(Collector(db))
    server, thread = start_http_server(port, addr=host, registry=registry)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def share(db: Any, every: float = 5.0) -> Iterator[None]:
    """Write the metrics of `db` for the scrapes that other workers answer, for the length of the block.

    They are written at the beginning, every so many seconds, and at the end. InterfaceError where prometheus_client is
    not in multiprocess mode. Counters and histograms of workers are added up, and so are gauges of those that live;
    `db_pool_healthy` is that of the worst, `db_pool_uptime_seconds` that of the oldest.
    """
    if not values.ValueClass._multiprocess:
        raise InterfaceError(
            "share: PROMETHEUS_MULTIPROC_DIR is to name a folder before prometheus_client is imported; "
            "a process that is alone uses serve() or a Collector"
        )
    files = _Files(db, every)
    try:
        files.write_again()
        yield
    finally:
        files.end()


class _Files:
    """The values of this worker in the files of prometheus_client."""

    def __init__(self, db: Any, every: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask: Callable[[], Metrics] = db.get_metrics
        self._every = every
        self._timer: asyncio.TimerHandle | None = None
        self._values: dict[tuple[str, ...], Any] = {}

    def write_again(self) -> None:
        """Write now and, until `end`, regularly."""
        self._timer = self._loop.call_later(self._every, self.write_again)
        self._write()

    def end(self) -> None:
        """Write for the last time."""
        if self._timer is not None:
            self._timer.cancel()
        self._write()

    def _write(self) -> None:
        for family in _families(self._ask()):
            below = 0.0
            for suffix, labels, value in family.samples:
                written = value
                if suffix == "_bucket":  # prometheus_client adds up the buckets below, which also gives it the count
                    written -= below
                    below = 0.0 if labels["le"] == "+Inf" else value
                if suffix != "_count":
                    self._value(family, suffix, labels).set(written)

    def _value(self, family: Family, suffix: str, labels: dict[str, str]) -> Any:
        key = (family.name + suffix, *labels.values())
        known = self._values.get(key)
        if known is None:
            known = self._values[key] = values.ValueClass(
                *(family.kind, family.name.removesuffix("_total"), family.name + suffix),
                *(tuple(labels), tuple(labels.values()), family.help),
                multiprocess_mode=TOGETHER.get(family.name, "livesum"),
            )
        return known


def _families(now: Metrics) -> Iterator[Family]:
    return families(now.deployment_mode, now.uptime_seconds, now.memory_usage_mb, now.pools)


def _metric(family: Family) -> Metric:
    kind = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}[family.kind]
    metric: Metric = kind(family.name, family.help)
    for suffix, labels, value in family.samples:
        metric.add_sample(family.name + suffix, labels, value)
    return metric
