"""Lanes for WRITEs gather: each waits for those whom it has answered, since each group is a commit."""

from __future__ import annotations

from db_pool_rs.scheduler.cost import Query
from db_pool_rs.scheduler.model import ConnectionState
from tests.simple.machine import WRITE, World


def writing(sizes: tuple[int, int]) -> tuple[World, Query, list[ConnectionState]]:
    """Two lanes for WRITEs, with groups of these sizes under way."""
    world = World.ready(4)
    query = world.query(WRITE)
    for lanes, size in enumerate(sizes, 1):
        world.scheduler.write_lanes.lanes = lanes
        world.run(query, size)
    assert [len(group) for group in world.running.values()] == list(sizes)
    return world, query, list(world.running)


# rule 3.7
def test_a_lane_waits_for_the_callers_that_it_has_answered() -> None:
    """Both lanes are done before a caller came back: each goes on with its own, instead of both with halves."""
    world, query, (first, second) = writing((20, 20))
    world.finished(first)
    world.finished(second)
    world.submit(query, 20)
    world.end_of_tick(unacknowledged=1)
    assert world.sizes == [20], "the callers of the second have not had their tick"
    world.submit(query, 20)
    world.end_of_tick()
    assert world.sizes == [20]


def test_what_comes_before_the_answered_had_their_turn_waits_for_them() -> None:
    world, query, (first, second) = writing((20, 20))
    world.finished(first)
    world.submit(query, 3)
    world.end_of_tick(unacknowledged=1)
    assert not world.sends, "a commit for three, and the twenty would wait for it"
    world.submit(query, 20)
    world.end_of_tick()
    assert world.sizes == [22], "an even share of the 43"
    assert len(world.running[second]) == 20


# rule 3.7
def test_no_lane_waits_for_callers_that_take_their_time() -> None:
    world, query, (first, _) = writing((20, 20))
    world.finished(first)
    world.submit(query, 3)
    world.end_of_tick(unacknowledged=1)
    world.advance(0.0051)
    assert [len(group) for group in world.running.values()] == [20, 3]


def test_no_lane_waits_for_callers_that_went_away() -> None:
    world, query, (first, _) = writing((20, 20))
    for statement in world.running[first]:
        world.cancel(statement)
    world.submit(query, 9)
    world.end_of_tick()
    world.finished(first)
    assert world.sizes == [9]


# rule 3.3
def test_groups_that_are_uneven_become_even() -> None:
    """Who was answered together comes back together, so 50 and 6 would stay so."""
    world, query, (first, second) = writing((50, 6))
    world.finished(first)
    world.run(query, 50)
    assert world.sizes == [28], "half of the 56; the others wait for the second"
    world.finished(second)
    world.run(query, 6)
    assert world.sizes == [28]
