"""scheduling.md, "Cancellation, time-outs, loss": taking a waiter out is O(1). Counted in steps, not in time."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from db_pool_rs.scheduler.model import AcquireRequest
from db_pool_rs.scheduler.scheduler import Scheduler
from tests.simple.machine import World

MANY = 1000

#: In which order waiters are taken out.
ORDERS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "head first": list,
    "tail first": lambda requests: requests[::-1],
    "at random": lambda requests: random.Random(7).sample(requests, len(requests)),
    "tail first, all but one": lambda requests: requests[:0:-1],
}


class _Compared(AcquireRequest):
    """A waiter that counts how often it is compared with another one."""

    __slots__ = ()
    comparisons = 0

    def __eq__(self, other: object) -> bool:
        _Compared.comparisons += 1
        return self is other

    __hash__ = object.__hash__


def _steps(work: Callable[[], None]) -> int:
    """Lines of Python that run in `work`, and comparisons of waiters."""
    steps, before = 0, _Compared.comparisons

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal steps
        steps += event == "line"
        return trace

    others = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(others)
    return steps + _Compared.comparisons - before


def _waiting(count: int, timeout: float) -> tuple[Scheduler, list[AcquireRequest]]:
    """A scheduler whose only connection is lent, and as many who wait."""
    world = World.ready(1, max_waiting=count + 1)
    world.lend()
    waiters: list[AcquireRequest] = [_Compared(None, world.now + timeout) for _ in range(count)]
    for waiter in waiters:
        world.scheduler.acquire(waiter, world.now)
    return world.scheduler, waiters


@pytest.mark.parametrize("order", ORDERS)
def test_steps_of_cancelling_grow_with_the_number_of_waiters(order: str) -> None:
    def cancel(count: int) -> int:
        scheduler, waiters = _waiting(count, timeout=60.0)

        def work() -> None:
            for waiter in ORDERS[order](waiters):
                scheduler.cancel(waiter, 101.0)

        return _steps(work)

    assert cancel(2 * MANY) < 2.5 * cancel(MANY)


@pytest.mark.parametrize("end", ["handle_timeout", "terminate"])
def test_steps_of_failing_all_grow_with_the_number_of_waiters(end: str) -> None:
    def fail(count: int) -> int:
        scheduler, _ = _waiting(count, timeout=1.0)
        actions: list[Any] = []

        def work() -> None:
            actions.extend(scheduler.handle_timeout(200.0) if end == "handle_timeout" else scheduler.terminate())

        steps = _steps(work)
        assert len(actions) >= count
        return steps

    assert fail(2 * MANY) < 2.5 * fail(MANY)


def test_requests_that_were_taken_out_are_not_kept() -> None:
    """Neither in the queue, behind one who still waits, nor until their deadline."""
    scheduler, waiters = _waiting(MANY, timeout=60.0)
    for waiter in waiters[1:]:
        scheduler.cancel(waiter, 101.0)
    assert scheduler.queues.sessions.length == scheduler.queues.waiting == 1
    assert len(scheduler.queues.sessions) <= 70
    assert len(scheduler.timeouts.deadlines) <= 70
