"""Spans and metrics of every engine, as OpenTelemetry's SDK collects them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from db_pool_rs import DatabasePool, create_pool
from db_pool_rs.errors import DatabaseError, PoolTimeout
from db_pool_rs.exporters.opentelemetry import Telemetry, instrument
from tests.meta.source import ROOT
from tests.plugins.engines import Backend, EngineSpec


@dataclass
class Seen:
    """An SDK that keeps what it gets."""

    spans_: InMemorySpanExporter
    reader: InMemoryMetricReader
    telemetry: Telemetry
    tracer: trace.Tracer

    def spans(self) -> list[ReadableSpan]:
        found = list(self.spans_.get_finished_spans())
        self.spans_.clear()
        return found

    def points(self) -> dict[str, list[Any]]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [m for r in data.resource_metrics for scope in r.scope_metrics for m in scope.metrics]
        return {metric.name: list(metric.data.data_points) for metric in metrics}


@pytest.fixture
def seen() -> Seen:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(), MeterProvider([reader])
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    return Seen(exporter, reader, Telemetry(tracers, meters), tracers.get_tracer("test"))


async def test_a_call_is_a_span_of_its_callers(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    pool = instrument(create_pool(backend.dsn, mode=engine.name, name="shop"), seen.telemetry)
    async with pool:
        with seen.tracer.start_as_current_span("request"):
            assert await pool.fetchval("SELECT $1 || 'hidden-word'", "also-hidden") == "also-hiddenhidden-word"
            await pool.fetch("SELECT 1 AS one UNION ALL SELECT 2")
        value, rows, request = seen.spans()
        assert value.kind is SpanKind.CLIENT
        assert value.parent is not None
        assert request.context is not None
        assert value.parent.span_id == request.context.span_id
        attributes = dict(value.attributes or {})
        assert attributes["db.system.name"] == backend.name
        assert attributes["db.operation.name"] == "SELECT"
        assert attributes["db.query.text"] == "SELECT $1 || ?"
        assert attributes["db.client.connection.pool.name"] == "shop"
        assert value.name == f"SELECT {attributes['db.namespace']}"
        assert "hidden" not in value.to_json()
        assert (rows.attributes or {})["db.response.returned_rows"] == 2
        assert value.status.status_code is StatusCode.UNSET


async def test_an_error_has_its_code_and_no_values(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    async with instrument(create_pool(backend.dsn, mode=engine.name), seen.telemetry) as pool:
        await pool.execute("CREATE TABLE t (v text PRIMARY KEY)")
        await pool.execute("INSERT INTO t VALUES ('hidden-word')")
        with pytest.raises(DatabaseError):
            await pool.execute("INSERT INTO t VALUES ($1)", "hidden-word")
        failed = seen.spans()[-1]
        assert failed.status.status_code is StatusCode.ERROR
        assert (
            dict(failed.attributes or {}).items()
            >= {
                "error.type": "UniqueViolation",
                "db.response.status_code": "23505",
            }.items()
        )
        assert "hidden" not in failed.to_json()
        durations = seen.points()["db.client.operation.duration"]
        assert {
            p.attributes.get("error.type"): p.count for p in durations if p.attributes["db.operation.name"] == "INSERT"
        } == {
            None: 1,
            "UniqueViolation": 1,
        }


async def test_sessions_and_transactions(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    async with instrument(create_pool(backend.dsn, mode=engine.name, max_size=1), seen.telemetry) as pool:
        async with pool.transaction() as tx:
            await tx.execute("CREATE TABLE t (v integer)")
            async with tx.transaction() as inner:
                await inner.executemany("INSERT INTO t VALUES ($1)", ((i,) for i in range(3)))
            assert await tx.fetchrow("SELECT sum(v) AS v FROM t") == (3,)
            points = seen.points()
            states = {p.attributes["db.client.connection.state"]: p.value for p in points["db.client.connection.count"]}
            assert states == {"idle": 0, "used": 1}
            with pytest.raises(PoolTimeout):
                async with pool.acquire(timeout=0.01):
                    pass
        connection = await pool.acquire()
        assert not connection.is_in_transaction()
        await pool.release(connection)
        names = [span.name.split()[0] for span in seen.spans()]
        assert names == ["CREATE", "INSERT", "SELECT"]
        points = seen.points()
        assert points["db.client.connection.wait_time"][0].count == 2
        assert points["db.client.connection.use_time"][0].count == 2
        assert points["db.client.connection.timeouts"][0].value == 1
        assert points["db.client.connection.max"][0].value == 1


async def test_sizes_are_told_to_another_thread(seen: Seen) -> None:
    async with instrument(create_pool("sqlite://", name="one"), seen.telemetry) as pool:
        await pool.fetchval("SELECT 1")
        points = await asyncio.to_thread(seen.points)
        assert {p.attributes["db.client.connection.pool.name"] for p in points["db.client.connection.max"]} == {"one"}
    assert "db.client.connection.max" not in await asyncio.to_thread(seen.points)


async def test_pools_by_name(seen: Seen) -> None:
    async with DatabasePool(instrument=lambda pool: instrument(pool, seen.telemetry)) as db:
        assert await db.query("default", "SELECT 1 AS one") == [(1,)]
        async with db.transaction("default") as tx:
            await tx.fetchval("SELECT 2")
        assert [span.name for span in seen.spans()] == ["SELECT :memory:"] * 2
        assert (await db.get_pool_status("default")).statements >= 2


def test_nothing_is_imported_unless_asked_for() -> None:
    code = "import db_pool_rs, sys; print([m for m in sys.modules if 'telemetry' in m or 'prometheus' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"
