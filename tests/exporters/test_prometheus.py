"""The collector and the endpoint, on every engine, scraped from another thread."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from db_pool_rs import DatabasePool
from db_pool_rs.errors import InterfaceError
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


WORKER = """
import asyncio, sys
from db_pool_rs import DatabasePool
from db_pool_rs.exporters import prometheus

async def main():
    async with DatabasePool(sys.argv[1]) as db:
        await db.create_pool("main", sys.argv[2], min_size=1, max_size=1)
        with prometheus.share(db, every=0.001):
            for _ in range(int(sys.argv[3])):
                await db.query("main", "SELECT 1 AS one")
            connections = db.get_metrics().pools["main"].size
            await asyncio.sleep(0.01)  # the timer writes, too
            print(connections, flush=True)
            await asyncio.to_thread(sys.stdin.readline)

asyncio.run(main())
"""
SCRAPER = """
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
registry = CollectorRegistry()
multiprocess.MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""


async def test_workers_are_scraped_together(engine: EngineSpec, backend: Backend, tmp_path: Path) -> None:
    (folder := tmp_path / "shared").mkdir()
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(folder)}

    async def start(*arguments: str) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", *arguments), stdin=pipe, stdout=pipe, env=environment
        )

    async def together() -> dict[str, float]:
        output, _ = await (await start(SCRAPER)).communicate()
        return sums(output.decode())

    workers = [await start(WORKER, engine.name, backend.dsn, count) for count in ("30", "12")]
    sizes = [int(await worker.stdout.readline()) for worker in workers if worker.stdout]
    while (alive := await together()).get("db_pool_statements_total", 0.0) < 42:
        pass  # each worker writes its numbers down when it comes to it
    assert alive["db_pool_connections"] == sum(sizes)
    assert alive["db_pool_healthy"] == 1
    for worker in workers:
        await worker.communicate(b"\n")
    found = await together()
    assert found["db_pool_statements_total"] >= 42
    assert found["db_pool_run_seconds_count"] == found["db_pool_run_seconds_bucket+Inf"] >= 42
    assert found["db_pool_run_seconds_sum"] > 0


def sums(text: str) -> dict[str, float]:
    """The sum of each name's values; buckets by their bound."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            name = sample.name + sample.labels.get("le", "")
            found[name] = found.get(name, 0) + sample.value
    return found


FAILING = """
import asyncio
from db_pool_rs.exporters import prometheus

class Database:
    calls = 0

    def get_metrics(self):
        self.calls += 1
        raise LookupError("no metrics")

async def main():
    db = Database()
    try:
        with prometheus.share(db, every=0):
            pass
    except LookupError:
        found = db.calls
        for _ in range(10):
            await asyncio.sleep(0)
        print(db.calls - found)

asyncio.run(main())
"""


def test_what_could_not_begin_is_not_gone_on_with(tmp_path: Path) -> None:
    environment = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", FAILING], env=environment, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")


async def test_a_process_that_is_alone_shares_nothing() -> None:
    async with DatabasePool() as db:
        with pytest.raises(InterfaceError, match="PROMETHEUS_MULTIPROC_DIR"), prometheus.share(db):
            raise AssertionError("begun")
