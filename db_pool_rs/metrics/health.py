"""Whether a pool can serve: the answer of `pool.health()`, made for readiness probes."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import Error
from .stats import Fields, PoolGauges

#: Why a pool that is not open serves nothing.
_UNUSABLE = {
    "new": "the pool is not opened",
    "closing": "the pool is closing",
    "closed": "the pool is closed",
    "forked": "the pool was opened before this process was forked",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Fields):
    """Whether a pool can serve calls now, and why not; true where it is `ready`, and a mapping as well.

    ready: the pool is open, and it has connections or connecting works, and the server has answered if it was asked.
    state: "new", "open", "closing", "closed", or "forked" in a child process. reason: why it is not ready, else "".
    connections: those that can serve, idle or busy; waiting: callers in the queue. last_error: the last failure to
    connect or loss since a connection was opened, without secrets. round_trip_ms: how long the server took to answer,
    waiting for a connection included; None if it was not asked.
    """

    ready: bool
    state: str
    reason: str = ""
    connections: int = 0
    waiting: int = 0
    last_error: str | None = None
    round_trip_ms: float | None = None

    def __bool__(self) -> bool:
        return self.ready


async def examine(state: str, gauges: PoolGauges | None, ask: Callable[[], Awaitable[Any]] | None) -> Health:
    """The health of a pool by its state and gauges (None before it was opened); `ask` sends something to the server."""
    if state != "open" or gauges is None:
        return Health(ready=False, state=state, reason=_UNUSABLE.get(state, state))
    serving = gauges.idle + gauges.busy
    ready = gauges.healthy or serving > 0
    found = Health(
        ready=ready,
        state=state,
        reason="" if ready else f"there is no connection, and connecting fails: {gauges.last_error}",
        connections=serving,
        waiting=gauges.waiting,
        last_error=gauges.last_error,
    )
    return found if ask is None or not ready else await _asked(found, ask)


async def _asked(found: Health, ask: Callable[[], Awaitable[Any]]) -> Health:
    started = time.perf_counter()
    try:
        await ask()
    except Error as error:
        first_line, *_ = str(error).splitlines() or [type(error).__name__]
        return replace(found, ready=False, reason=f"the server was asked: {first_line}")
    return replace(found, round_trip_ms=(time.perf_counter() - started) * 1000)
