"""What can happen to a pool, as moves that a random walk and Hypothesis make in a :class:`~.machine.World`.

A move takes its choices from a `Chooser`: a seeded `random.Random` for traces that are the same every time, drawn data
for Hypothesis, which shrinks them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from db_pool_rs.scheduler.cost import Query
from tests.simple.machine import OTHER, QUICK, READ, ROUND_TRIP, SESSION, WRITE, World

T = TypeVar("T")
#: Times that a group may take: most are quick, some too slow for a group, some stall.
TIMES = (ROUND_TRIP, 0.0003, 0.003, 0.06, 0.7) + (ROUND_TRIP + QUICK,) * 15
SIZES = (5000.0, 400_000.0) + (100.0,) * 15
PASSES = (0.0, 0.0002, 0.0002, 0.0007, 0.0007, 0.002, 0.002, 0.006, 0.03, 0.051, 0.3, 1.6)
JUMPS = (0.01, 0.2, 0.2, 2.0, 31.0, 700.0)
TIMEOUTS = (None, None, None, None, None, None, None, 0.0, 0.005, 0.04, 0.5, 5.0)


class Chooser(Protocol):
    """Where choices come from."""

    def pick(self, things: Sequence[T]) -> T:
        """One of `things`."""

    def number(self, low: int, high: int) -> int:
        """A whole number, both bounds included."""


class Dice:
    """Choices by a seeded generator; whole numbers only, so that they are the same with every version of Python."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def number(self, low: int, high: int) -> int:
        return low + int(self._random.random() * (high - low + 1))

    def pick(self, things: Sequence[T]) -> T:
        return things[self.number(0, len(things) - 1)]


def texts_of(world: World, fast: bool) -> list[Query]:
    """Statement texts of every kind, those that may be grouped in front; `fast`: known to be so from the start."""
    return [
        *(world.query(READ, fast=fast) for _ in range(4)),
        *(world.query(WRITE, fast=fast) for _ in range(3)),
        world.query(READ, fast=False, groupable=False),
        world.query(SESSION, fast=False, dirties=True),
        world.query(OTHER, fast=False),
    ]


@dataclass(frozen=True)
class Move:
    """Something that may happen when it is `possible`; `weight`: how often in a walk."""

    weight: int
    possible: Callable[[World], Any]
    make: Callable[[World, Chooser], None]


def _submit(world: World, choose: Chooser) -> None:
    query = choose.pick(world.queries)
    world.submit(query, choose.pick((1, 1, 2, 4, 9, 20)) if query.groupable else 1, timeout=choose.pick(TIMEOUTS))
    if choose.pick((True, False)):
        world.end_of_tick()


def _acquire(world: World, choose: Chooser) -> None:
    world.acquire(timeout=choose.pick(TIMEOUTS))


def _finish(world: World, choose: Chooser) -> None:
    ok = choose.pick((True,) * 9 + (False,))
    world.finished(choose.pick(list(world.running)), ok, choose.pick(TIMES), choose.pick(SIZES))


def _stop(world: World, choose: Chooser) -> None:
    """The server does what a cancel asked for."""
    cancelled = [conn for conn in world.cancels if conn in world.running]
    if cancelled:
        world.finished(choose.pick(cancelled), False, 0.06, 0.0)


def _lose(world: World, choose: Chooser) -> None:
    conns = sorted(world.open, key=lambda conn: conn.id)
    sent, evict_all, jitter = choose.pick((True, False)), choose.pick((False, False, True)), choose.number(0, 16) / 16
    world.lost(choose.pick(conns), sent=sent, evict_all=evict_all, jitter=jitter)


def _open(world: World, choose: Chooser) -> None:
    round_trip = choose.pick((None, 0.00005, ROUND_TRIP, ROUND_TRIP, 0.0004, 0.012))
    world.opened(choose.pick(world.opening), lifetime=choose.pick((5.0, 1000.0, 3600.0)), round_trip=round_trip)


def _measure(world: World, choose: Chooser) -> None:
    conn = choose.pick(sorted(world.open, key=lambda conn: conn.id))
    world.measured(conn, choose.pick((0.00005, ROUND_TRIP, 0.0004)))


def _fail_to_open(world: World, choose: Chooser) -> None:
    permanent = choose.pick((False, False, False, True))
    world.open_failed(choose.pick(world.opening), permanent=permanent, jitter=choose.number(0, 16) / 16)


def _jump(world: World, choose: Chooser) -> None:
    """The event loop was held up: time passes, and all that was due comes late."""
    world.now += choose.pick(JUMPS)
    world.handle_timeout()


def _resize(world: World, choose: Chooser) -> None:
    high = choose.number(1, 5)
    world.resize(choose.number(0, min(high, 3)), high)


def _end_of_tick(world: World, choose: Chooser) -> None:
    world.end_of_tick(unacknowledged=choose.pick((0, 0, 1, 2)))


def _evict_all(world: World, choose: Chooser) -> None:
    choose.pick((world.expire, world.expire, world.handle_timeout))()


#: All that may happen while a pool is open.
MOVES: dict[str, Move] = {
    "submit": Move(20, lambda world: len(world.items) < 5000, _submit),
    "acquire": Move(6, lambda world: True, _acquire),
    "end_of_tick": Move(10, lambda world: True, _end_of_tick),
    "cancel": Move(5, lambda world: world.unanswered, lambda w, c: w.cancel(c.pick(w.unanswered))),
    "finish": Move(50, lambda world: world.running, _finish),
    "stop": Move(20, lambda world: world.cancels, _stop),
    "lose": Move(1, lambda world: world.open, _lose),
    "open": Move(20, lambda world: world.opening, _open),
    "measure": Move(1, lambda world: world.open, _measure),
    "fail_to_open": Move(3, lambda world: world.opening, _fail_to_open),
    "close": Move(20, lambda world: world.closing, lambda w, c: w.closed(c.pick(w.closing))),
    "cancel_closed": Move(15, lambda world: world.cancels, lambda w, c: w.cancel_closed(c.pick(w.cancels))),
    "reset_done": Move(15, lambda world: world.resets, lambda w, c: w.reset_done(c.pick(w.resets))),
    "release": Move(
        15, lambda world: world.lent, lambda w, c: w.released(c.pick(list(w.lent)), c.pick((True, True, False)))
    ),
    "pass_time": Move(15, lambda world: True, lambda w, c: w.advance(c.pick(PASSES))),
    "jump": Move(1, lambda world: True, _jump),
    "resize": Move(1, lambda world: True, _resize),
    "evict_all": Move(1, lambda world: True, _evict_all),
}


def _give_up_while_closing(world: World) -> None:
    """The pool is to close, and then its callers go away one after the other."""
    world.shut_down()
    for request in world.unanswered:
        world.cancel(request)


#: How it ends. After these, only what is there goes on.
ENDS: dict[str, Callable[[World], None]] = {
    "all goes well": lambda world: None,
    "shut_down": World.shut_down,
    "shut_down and given up": _give_up_while_closing,
    "terminate": World.terminate,
}


def walk(world: World, dice: Dice, steps: int, moves: dict[str, Move] = MOVES) -> None:
    """So many random moves, each as often as its weight says among those that are possible."""
    for _ in range(steps):
        possible = [move for move in moves.values() if move.possible(world)]
        point = dice.number(1, sum(move.weight for move in possible))
        for move in possible:
            point -= move.weight
            if point <= 0:
                move.make(world, dice)
                break


def random_limits(choose: Chooser) -> dict[str, Any]:
    """Limits small enough that everything is scarce."""
    high = choose.pick((1, 2, 3, 4, 6))
    return {
        "min_size": min(choose.number(0, 3), high),
        "max_size": high,
        "max_waiting": choose.pick((20, 100_000, 100_000)),
        "group_max": choose.pick((3, 16, 64, 64)),
        "piece_min": choose.pick((2, 8)),
        "read_lanes": min(choose.pick((1, 2, 2, 3)), high),
        "max_write_lanes": choose.pick((1, high)),
        "breaks_stalls": choose.pick((True, True, True, False)),
        "retry_reads": choose.pick((False, True)),
        "idle_timeout": choose.pick((1.0, 600.0)),
    }
