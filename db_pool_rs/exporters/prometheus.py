"""Prometheus through its own client library: a collector, and an HTTP endpoint. Needs the extra `metrics`.

    async with DatabasePool() as db:
        with prometheus.serve(db, port=9464):      # http://127.0.0.1:9464/metrics
            ...

A program that has a registry of prometheus_client already adds the collector to it:

    REGISTRY.register(prometheus.Collector(db))

Names and labels are those of `Metrics.prometheus()`, which needs no library.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector as ClientCollector

from ..metrics.prometheus import Family, families
from ._threads import on_loop

if TYPE_CHECKING:
    from ..metrics import Metrics

__all__ = ["Collector", "serve"]


class Collector(ClientCollector):
    """What a DatabasePool (anything with `get_metrics()`) measures, for a registry of prometheus_client.

    Made where the event loop of its pools runs; it may be scraped from any thread.
    """

    def __init__(self, db: Any) -> None:
        self._loop = asyncio.get_running_loop()
        self._ask: Callable[[], Metrics] = db.get_metrics

    def collect(self) -> Iterator[Metric]:
        """Every family at this moment."""
        now = on_loop(self._loop, self._ask)
        found = families(now.deployment_mode, now.uptime_seconds, now.memory_usage_mb, now.pools)
        yield from map(_metric, found)

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


def _metric(family: Family) -> Metric:
    kind = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}[family.kind]
    metric: Metric = kind(family.name, family.help)
    for suffix, labels, value in family.samples:
        metric.add_sample(family.name + suffix, labels, value)
    return metric
