"""What is measured of calls, by OpenTelemetry's semantic conventions for databases: one span and one duration each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from .. import __version__
from ..conninfo import SqliteConfig
from ..errors import Error, PoolTimeout
from ..sql import classify
from ..sql.without_values import without_values
from ._threads import on_loop

if TYPE_CHECKING:
    from ..abc import Pool
    from ..config import PoolConfig
    from ..metrics import PoolStats

Attributes = dict[str, Any]
#: The boundaries that the conventions ask for, in seconds.
DURATIONS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0]
#: Of each observed instrument: unit, meaning, and the values with what tells them apart.
OBSERVED: dict[str, tuple[str, str, Callable[[PoolStats], Iterable[tuple[float, Attributes]]]]] = {
    "db.client.connection.count": (
        "{connection}",
        "Connections by state.",
        lambda s: [
            (s.idle, {"db.client.connection.state": "idle"}),
            (s.busy, {"db.client.connection.state": "used"}),
        ],
    ),
    "db.client.connection.idle.min": ("{connection}", "The least idle connections.", lambda s: [(s.min_size, {})]),
    "db.client.connection.max": ("{connection}", "The most connections allowed.", lambda s: [(s.max_size, {})]),
    "db.client.connection.pending_requests": ("{request}", "Calls in the queue.", lambda s: [(s.waiting, {})]),
}


class Telemetry:
    """The instruments of one tracer and one meter, and the pools that they observe."""

    def __init__(self, tracer_provider: Any = None, meter_provider: Any = None) -> None:
        self._tracer = trace.get_tracer("db_pool_rs", __version__, tracer_provider)
        meter = metrics.get_meter("db_pool_rs", __version__, meter_provider)
        self._duration, self._wait, self._use = (
            meter.create_histogram(name, "s", text, explicit_bucket_boundaries_advisory=DURATIONS)
            for name, text in (
                ("db.client.operation.duration", "Duration of a call."),
                ("db.client.connection.wait_time", "From the call until a session was lent."),
                ("db.client.connection.use_time", "From lending a session until its release."),
            )
        )
        self._timeouts = meter.create_counter(
            "db.client.connection.timeouts", "{timeout}", "Calls that got no connection in time."
        )
        self._pools: WeakSet[Watched] = WeakSet()
        for name, (unit, text, values) in OBSERVED.items():
            meter.create_observable_up_down_counter(name, [self._observer(values)], unit, text)

    def watch(self, pool: Pool) -> Watched:
        """What belongs to a pool; its sizes are observed for as long as this is referred to."""
        watched = Watched(self, pool)
        self._pools.add(watched)
        return watched

    def begin(self, watched: Watched, what: What) -> Operation:
        """A call begins: its span is made, and is not the current one."""
        name, attributes = what.attributes(watched.system)
        target = attributes.get("db.collection.name", watched.namespace)
        span = self._tracer.start_span(
            f"{name} {target}",
            kind=SpanKind.CLIENT,
            attributes={**watched.server, "db.operation.name": name, **watched.pool_name, **attributes},
        )
        return Operation(self, watched, span, name)

    @contextmanager
    def call(self, watched: Watched, what: str | What) -> Iterator[Span]:
        """Around one call: its span, its duration, its error."""
        operation = self.begin(watched, what if isinstance(what, What) else What(what))
        with operation.current():
            try:
                yield operation.span
            except BaseException as error:
                operation.end(error)
                raise
        operation.end()

    def ended(self, watched: Watched, seconds: float, attributes: Attributes, timed_out: bool) -> None:
        """A call has taken so long."""
        self._duration.record(seconds, attributes)
        if timed_out:
            self._timeouts.add(1, watched.pool_name)

    def waited(self, watched: Watched, begun: float, timed_out: bool) -> None:
        """A session was lent, or not in time, to a caller that asked at `begun`."""
        if timed_out:
            self._timeouts.add(1, watched.pool_name)
        else:
            self._wait.record(time.perf_counter() - begun, watched.pool_name)

    def used(self, watched: Watched, since: float) -> None:
        """A session came back that was lent at `since`."""
        self._use.record(time.perf_counter() - since, watched.pool_name)

    def _observer(
        self, values: Callable[[PoolStats], Iterable[tuple[float, Attributes]]]
    ) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(options: CallbackOptions) -> Iterator[Observation]:
            for watched in list(self._pools):
                stats = watched.stats()
                if stats is not None:
                    for value, attributes in values(stats):
                        yield Observation(value, {**watched.pool_name, **attributes})

        return observe


@dataclass(frozen=True)
class What:
    """What a call does: a text, or a `command` of the pool's own on it or on a table (`collection`)."""

    sql: str | None = None
    command: str | None = None
    collection: str | None = None
    #: Statements that are sent by this call.
    size: int = 1

    def attributes(self, system: str) -> tuple[str, Attributes]:
        """The name of the operation, and the attributes that say more of it."""
        sql = self.sql if isinstance(self.sql, str) else None  # what is no text is refused by the call itself
        name = self.command or classify(sql or "", system).command or "EMPTY"
        found: Attributes = {}
        if sql is not None:
            found["db.query.text"] = without_values(sql, system)
        if self.collection is not None:
            found["db.collection.name"] = self.collection
        if self.size > 1:
            name = "BATCH" if name == "BATCH" else f"BATCH {name}"
            found["db.operation.batch.size"] = self.size
        return name, found


class Operation:
    """One call under way. Its span ends once, however often `end` is called."""

    def __init__(self, telemetry: Telemetry, watched: Watched, span: Span, name: str) -> None:
        self.span = span
        self._telemetry = telemetry
        self._watched = watched
        self._attributes = {**watched.server, "db.operation.name": name}
        self._begun = time.perf_counter()
        self._ended = False

    def current(self) -> AbstractContextManager[Span]:
        """Make its span the current one for a block."""
        return trace.use_span(self.span, record_exception=False, set_status_on_exception=False)

    def end(self, error: BaseException | None = None) -> None:
        """It has ended, with an error or without."""
        if self._ended:
            return
        self._ended = True
        if error is not None:
            self._attributes.update(_of_error(error))
            self.span.set_attributes(_of_error(error))
            # The message may quote values, so it is left out.
            self.span.set_status(Status(StatusCode.ERROR, type(error).__name__))
        self.span.end()
        seconds = time.perf_counter() - self._begun
        self._telemetry.ended(self._watched, seconds, self._attributes, isinstance(error, PoolTimeout))


class Watched:
    """A pool as its figures name it: the server's attributes, and those of the pool."""

    def __init__(self, telemetry: Telemetry, pool: Pool) -> None:
        self.telemetry = telemetry
        self.pool = pool
        self.loop: asyncio.AbstractEventLoop | None = None
        self.system, self.namespace, self.server = _server(pool.config)
        self.pool_name = {"db.client.connection.pool.name": pool.config.name}

    def stats(self) -> PoolStats | None:
        """The pool's figures, from whatever thread; None if it is not open or its loop does not answer."""
        if self.loop is None or self.loop.is_closed() or self.pool.closed:
            return None
        try:
            return on_loop(self.loop, self.pool.stats)
        except (TimeoutError, RuntimeError):
            return None


def _server(config: PoolConfig) -> tuple[str, str, Attributes]:
    target = config.target
    if isinstance(target, SqliteConfig):
        namespace = target.path or ":memory:"
        return "sqlite", namespace, {"db.system.name": "sqlite", "db.namespace": namespace}
    host = target.hosts[0]
    server: Attributes = {"db.system.name": "postgresql", "db.namespace": target.dbname}
    server["server.address"] = host.host or host.hostaddr or ""
    if not host.is_unix:
        server["server.port"] = host.port
    return "postgresql", target.dbname, server


def _of_error(error: BaseException) -> Attributes:
    sqlstate = error.sqlstate if isinstance(error, Error) else None
    return {"error.type": type(error).__name__, **({"db.response.status_code": sqlstate} if sqlstate else {})}
