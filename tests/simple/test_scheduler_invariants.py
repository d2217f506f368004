"""Random traces: the invariants hold after every event, and when all goes well every request is answered.

What is asserted: :mod:`.invariants` (the scheduler's state) and :mod:`.machine` (its actions, and who was answered).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.simple.machine import World
from tests.simple.moves import ENDS, MOVES, Dice, Move, T, random_limits, texts_of, walk


class Drawn:
    """Choices by Hypothesis."""

    def __init__(self, data: st.DataObject) -> None:
        self._data = data

    def number(self, low: int, high: int) -> int:
        return self._data.draw(st.integers(low, high))

    def pick(self, things: Sequence[T]) -> T:
        return things[self._data.draw(st.integers(0, len(things) - 1))]


class PoolMachine(RuleBasedStateMachine):
    """One pool and all that may happen to it; its rules are MOVES and ENDS."""

    @initialize(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        choose = Drawn(data)
        self.world = World(slow_close=choose.pick((False, True)), **random_limits(choose))
        self.world.queries = texts_of(self.world, fast=choose.pick((True, False)))
        self.may_end = choose.pick((False, False, True))
        self.world.start()

    @precondition(lambda self: self.may_end)
    @rule(how=st.sampled_from(sorted(ENDS)))
    def end(self, how: str) -> None:
        ENDS[how](self.world)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.end_of_tick()
            self.world.behave()
            assert not self.world.unanswered


def _rule(name: str, move: Move) -> Callable[..., None]:
    def make(self: PoolMachine, data: st.DataObject) -> None:
        move.make(self.world, Drawn(data))

    make.__name__ = name
    decorated: Callable[..., None] = precondition(lambda self: bool(move.possible(self.world)))(
        rule(data=st.data())(make)
    )
    return decorated


for _name, _move in MOVES.items():
    setattr(PoolMachine, _name, _rule(_name, _move))

TestPool: Any = pytest.mark.timeout(600)(PoolMachine.TestCase)
TestPool.settings = settings(
    max_examples=3 * settings().max_examples,
    stateful_step_count=80,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)


@pytest.mark.parametrize("end", sorted(ENDS))
def test_long_random_walks(end: str) -> None:
    for seed in range(60):
        dice = Dice(seed)
        world = World(slow_close=dice.pick((True, False)), **random_limits(dice))
        world.queries = texts_of(world, fast=dice.pick((True, False)))
        world.start()
        walk(world, dice, 300)
        ENDS[end](world)
        walk(world, dice, 10)
        world.end_of_tick()
        world.behave()
        assert not world.unanswered
