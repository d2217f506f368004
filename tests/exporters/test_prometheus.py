"""The collector and the endpoint, on every engine, scraped from another thread."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from db_pool_rs import DatabasePool
from db_pool_rs.exporters import prometheus
from tests.plugins.engines import Backend, EngineSpec


def by_name(text: str) -> dict[str, float]:
    return {s.name: s.value for family in text_string_to_metric_families(text) for s in family.samples}


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return str(answer.read().decode())


async def test_the_endpoint_tells_what_the_pool_counts(engine: EngineSpec, backend: Backend) -> None:
    async with DatabasePool(engine.name) as db:
        await db.create_pool("main", backend.dsn)
        for _ in range(5):
            await db.query("main", "SELECT 1 AS one")
        with pytest.raises(Exception, match="nothing"):
            await db.query("main", "SELECT nothing")
        with prometheus.serve(db, port=0) as port:
            text = await asyncio.to_thread(scrape, port)
        found = by_name(text)
        assert found["db_pool_statements_total"] >= 6
        assert found["db_pool_errors_total"] == 1
        assert found["db_pool_run_seconds_count"] >= 5
        assert found["db_pool_group_size_count"] >= 1
        assert 'pool="main"' in text
        assert f'mode="{engine.name}"' in text
        with pytest.raises(OSError, match="refused"):
            await asyncio.to_thread(scrape, port)


async def test_the_collector_says_the_same_as_the_text() -> None:
    async with DatabasePool() as db:
        await db.query("default", "SELECT 1 AS one")
        registry = CollectorRegistry()
        registry.register(prometheus.Collector(db))
        theirs = by_name(generate_latest(registry).decode())
        ours = by_name(db.get_metrics().prometheus())
        changing = {"db_pool_uptime_seconds", "db_pool_resident_memory_bytes"}
        assert {n: v for n, v in theirs.items() if n not in changing} == {
            n: v for n, v in ours.items() if n not in changing
        }
        assert changing <= set(theirs)


async def test_registering_asks_nothing() -> None:
    class Silent:
        def get_metrics(self) -> Any:
            raise AssertionError("asked")

    CollectorRegistry().register(prometheus.Collector(Silent()))
