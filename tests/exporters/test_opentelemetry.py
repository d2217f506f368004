"""Spans and metrics of every engine, as OpenTelemetry's SDK collects them."""

from __future__ import annotations

import asyncio
import inspect
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
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
from db_pool_rs.exporters._instrumentor import DatabasePoolInstrumentor
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
    tracers: TracerProvider

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
    return Seen(exporter, reader, Telemetry(tracers, meters), tracers.get_tracer("test"), tracers)


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
        assert names == ["CREATE", "BATCH", "SELECT"]
        points = seen.points()
        assert points["db.client.connection.wait_time"][0].count == 2
        assert points["db.client.connection.use_time"][0].count == 2
        assert points["db.client.connection.timeouts"][0].value == 1
        assert points["db.client.connection.max"][0].value == 1


NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25) SELECT i FROM n"


def operations(seen: Seen) -> list[tuple[str, Any, Any]]:
    """Of the spans that have ended: operation, text or table, rows or statements."""
    found = []
    for a in (dict(span.attributes or {}) for span in seen.spans() if span.kind is SpanKind.CLIENT):
        what = a.get("db.query.text", a.get("db.collection.name"))
        count = a.get("db.operation.batch.size", a.get("db.response.returned_rows"))
        found.append((str(a["db.operation.name"]), what, count))
    return found


async def test_a_stream_is_one_span(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    shown = NUMBERS.replace("SELECT 1", "SELECT ?").replace("+ 1", "+ ?").replace("25", "?")
    async with instrument(create_pool(backend.dsn, mode=engine.name), seen.telemetry) as pool:
        with seen.tracer.start_as_current_span("request") as request:
            assert len([row async for row in pool.stream(NUMBERS, batch=10)]) == 25
            stream = seen.spans()[-1]
            assert stream.parent is not None
            assert stream.parent.span_id == request.get_span_context().span_id
            async with pool.stream(NUMBERS, batch=10) as batches:
                async for _ in batches:
                    assert trace.get_current_span() is request  # what the program does meanwhile is its own
                    break
        assert operations(seen)[0] == ("WITH", shown, 10)
        with pytest.raises(DatabaseError):
            async for _ in pool.stream("SELECT nothing"):
                pass
        failed = seen.spans()[-1]
        assert failed.status.status_code is StatusCode.ERROR
        count = {p.attributes.get("error.type"): p.count for p in seen.points()["db.client.operation.duration"]}
        assert count.pop(None) == 2
        assert list(count.values()) == [1]


async def test_a_cursor_is_one_span(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    async with instrument(create_pool(backend.dsn, mode=engine.name), seen.telemetry) as pool:
        async with pool.transaction() as tx:
            assert len([row async for row in tx.cursor(NUMBERS, prefetch=10)]) == 25
            assert [count for *_, count in operations(seen)] == [25]
            closed = tx.cursor(NUMBERS)
            assert len(await closed.fetch(3)) == 3
            assert await closed.fetchrow() == (4,)
            assert operations(seen) == []
            await closed.close()
            assert [count for *_, count in operations(seen)] == [4]
            outer, statement = tx.cursor(NUMBERS), await tx.prepare(NUMBERS)
            await outer.fetchrow()
            async with tx.transaction():
                await statement.cursor().fetch(2)
            assert [(name, count) for name, _, count in operations(seen)] == [("PREPARE", None), ("WITH", 2)]
        assert [count for *_, count in operations(seen)] == [1]


async def test_a_batch_is_one_span(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    async with instrument(create_pool(backend.dsn, mode=engine.name), seen.telemetry) as pool:
        await pool.execute("CREATE TABLE t (v integer PRIMARY KEY)")
        async with pool.batch() as batch:
            batch.execute("INSERT INTO t VALUES (7)")
            rows = batch.fetch("SELECT v FROM t")
        assert rows.result() == [(7,)]
        async with pool.batch() as batch:
            batch.execute("INSERT INTO t VALUES (8)")
        await pool.fetchmany("INSERT INTO t VALUES ($1) RETURNING v", [(9,), (10,)])
        found = operations(seen)
        assert found[1:] == [
            ("BATCH", "INSERT INTO t VALUES (?); SELECT v FROM t", 2),
            ("INSERT", "INSERT INTO t VALUES (?)", None),
            ("BATCH INSERT", "INSERT INTO t VALUES ($1) RETURNING v", 2),
        ]
        with pytest.raises(DatabaseError):  # noqa: PT012 -- the block is what raises
            async with pool.batch() as batch:
                batch.execute("INSERT INTO t VALUES (7)")
                batch.execute("INSERT INTO t VALUES (7)")
        failed = seen.spans()[-1]
        assert (failed.attributes or {})["db.response.status_code"] == "23505"
        async with pool.batch():
            pass
        assert seen.spans() == []


async def test_what_run_calls_is_seen(engine: EngineSpec, backend: Backend, seen: Seen) -> None:
    async with instrument(create_pool(backend.dsn, mode=engine.name), seen.telemetry) as pool:

        async def work(connection: Any, value: int) -> Any:
            assert connection.attempt == 1
            prepared = await connection.prepare("SELECT CAST($1 AS integer)")
            assert await prepared.fetchval(value) == value
            return (await connection.fetch_result("SELECT 1 UNION ALL SELECT 2")).rows

        assert await pool.run(work, 5) == [(1,), (2,)]
        assert [(name, count) for name, _, count in operations(seen)] == [
            ("PREPARE", None),
            ("SELECT", None),
            ("SELECT", 2),
        ]
        assert seen.points()["db.client.connection.use_time"][0].count == 1


async def test_copy_is_one_span(engine: EngineSpec, pg_database: str, seen: Seen) -> None:
    async with instrument(create_pool(pg_database, mode=engine.name), seen.telemetry) as pool:
        await pool.execute("CREATE TABLE t (v integer)")
        await pool.copy_in("t", source=[(1,), (2,)])
        assert b"".join([piece async for piece in pool.copy_out("t")]) == b"1\n2\n"
        async with aclosing(pool.copy_out("SELECT generate_series(1, 10000000)")) as pieces:
            await pieces.__anext__()
        output = io.BytesIO()
        async with pool.acquire() as connection:
            await connection.copy_records_to_table("t", records=[(3,)])
            await connection.copy_to_table("t", source=io.BytesIO(b"4\n"))
            await connection.copy_from_table("t", output=output)
            await connection.copy_from_query("SELECT 5", output=output)
        assert output.getvalue() == b"1\n2\n3\n4\n5\n"
        assert [(name, what) for name, what, _ in operations(seen)[1:]] == [
            ("COPY", "t"),
            ("COPY", "t"),
            ("COPY", "SELECT generate_series(?, ?)"),
            ("COPY", "t"),
            ("COPY", "t"),
            ("COPY", "t"),
            ("COPY", "SELECT ?"),
        ]


async def test_texts_in_double_quotes_may_be_values_of_sqlite(engine: EngineSpec, tmp_path: Path, seen: Seen) -> None:
    async with instrument(create_pool(f"sqlite:///{tmp_path}/a.db", mode=engine.name), seen.telemetry) as pool:
        await pool.execute('CREATE TABLE "people" ([it\'s] text, name text)')
        await pool.fetch('SELECT [it\'s], name FROM "people" WHERE name = "hidden-word" OR name = \'hidden-word\'')
        assert operations(seen)[1:] == [
            ("SELECT", 'SELECT [it\'s], name FROM "people" WHERE name = ? OR name = ?', 0),
        ]


WRONG = (
    "fetch",
    "fetchrow",
    "fetchval",
    "execute",
    "fetch_result",
    "fetch_arrow",
    "stream",
    "stream_arrow",
    "copy_out",
)


@pytest.mark.parametrize("wrong", [None, 5, b"SELECT 1"])
async def test_what_is_no_text_has_the_error_of_the_pool(
    engine: EngineSpec, backend: Backend, seen: Seen, wrong: Any
) -> None:
    async def raised(call: Callable[[], Any]) -> str:
        try:
            made = call()
            await made if inspect.isawaitable(made) else [item async for item in made]
        except Exception as error:
            return repr(error)
        return "nothing"

    async with create_pool(backend.dsn, mode=engine.name) as pool:
        observed = instrument(pool, seen.telemetry)
        for name in WRONG:
            told = [await raised(partial(getattr(one, name), wrong)) for one in (pool, observed)]
            assert told[0].startswith("InterfaceError"), name
            assert told == [told[0]] * 2, name
        for name in ("executemany", "fetchmany"):
            for args in ((wrong, [(1,)]), ("SELECT 1", None)):
                told = [await raised(partial(getattr(one, name), *args)) for one in (pool, observed)]
                assert told[0] == told[1], (name, args)
        async with pool.acquire() as connection, observed.acquire() as seen_connection:
            told = [await raised(partial(one.prepare, wrong)) for one in (connection, seen_connection)]
            assert told[0] == told[1]


async def test_listening_is_seen(engine: EngineSpec, pg_database: str, seen: Seen) -> None:
    async with instrument(create_pool(pg_database, mode=engine.name), seen.telemetry) as pool:
        async with pool.listen("jobs", "news") as events:
            await pool.execute("NOTIFY jobs, 'one'")
            assert (await events.__anext__()).payload == "one"
        async with pool.acquire() as connection:

            def heard(*_: object) -> None:
                pass

            await connection.add_listener("jobs", heard)
            await connection.remove_listener("jobs", heard)
        assert operations(seen) == [
            ("BATCH LISTEN", 'LISTEN "jobs"; LISTEN "news"', 2),
            ("NOTIFY", "NOTIFY jobs, ?", None),
            ("LISTEN", 'LISTEN "jobs"', None),
            ("UNLISTEN", 'UNLISTEN "jobs"', None),
        ]


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


PROGRAM = """
import asyncio
from db_pool_rs import DatabasePool, create_pool
from opentelemetry import trace

async def main():
    async with create_pool("sqlite://", mode="simple") as pool:
        await pool.fetchval("SELECT 'hidden-word'")
    async with DatabasePool("simple") as db:
        await db.query("default", "SELECT 2 AS two")
    trace.get_tracer_provider().force_flush()

asyncio.run(main())
"""


def test_a_program_that_knows_nothing_of_it(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    exporters = {f"OTEL_{kind}_EXPORTER": "none" for kind in ("METRICS", "LOGS")} | {"OTEL_TRACES_EXPORTER": "console"}
    command = [Path(sys.executable).with_name("opentelemetry-instrument"), sys.executable, program]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **exporters}, check=True
    )
    assert done.stdout.count('"name": "SELECT :memory:"') == 2, done.stdout + done.stderr
    assert "hidden" not in done.stdout


async def test_the_instrumentor(seen: Seen) -> None:
    instrumentor = DatabasePoolInstrumentor()
    instrumentor.instrument(tracer_provider=seen.tracers)
    try:
        async with create_pool("sqlite://") as pool:
            await pool.execute("SELECT 1")
        async with instrument(create_pool("sqlite://"), seen.telemetry) as pool:
            await pool.execute("SELECT 2")
        assert len(seen.spans()) == 2  # and none twice
    finally:
        instrumentor.uninstrument()
    async with create_pool("sqlite://") as pool:
        await pool.execute("SELECT 3")
    assert seen.spans() == []
