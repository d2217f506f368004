"""What a statement is expected to cost: what counts as fast, and how quickly opinions change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.scheduler.cost import CostLimits, Query
from db_pool_rs.sql import Lexical, StatementClass
from tests.simple.machine import OTHER, ROUND_TRIP, World

LIMITS = CostLimits()
SMALL = 100.0
times = st.floats(min_value=0.0, max_value=10.0)
sizes = st.floats(min_value=0.0, max_value=1e9)


def query(groupable: bool = True) -> Query:
    return Query("SELECT 1", Lexical(StatementClass.READ, "SELECT", False, 1), groupable)


def seen(*seconds: float, size: float = SMALL) -> Query:
    """A text that was answered so many times, each in its own group."""
    result = query()
    for each in seconds:
        result.observe(1, each, size, LIMITS)
    return result


# rule 3.4
def test_unknown_is_slow_until_it_was_seen_three_times() -> None:
    one = query()
    assert not one.fast
    flips = [one.observe(1, 0.0001, SMALL, LIMITS) for _ in range(4)]
    assert flips == [False, False, True, False]
    assert one.fast


def test_executions_of_one_group_count_each() -> None:
    one = query()
    one.observe(3, 0.0001, SMALL, LIMITS)
    assert one.fast


# rule 3.4
def test_fast_is_an_average_of_2_ms_at_most() -> None:
    assert seen(0.002, 0.002, 0.002).fast
    assert not seen(0.0021, 0.0021, 0.0021).fast


# rule 3.4
def test_fast_is_a_result_of_256_kib_at_most() -> None:
    assert seen(0.0001, 0.0001, 0.0001, size=262_144.0).fast
    assert not seen(0.0001, 0.0001, 0.0001, size=262_145.0).fast


def test_what_may_not_be_grouped_is_never_fast() -> None:
    one = query(groupable=False)
    one.observe(100, 0.0001, SMALL, LIMITS)
    assert not one.fast


# rule 3.4
def test_one_execution_that_stalled_makes_a_text_slow_for_a_while() -> None:
    one = seen(0.0001, 0.0001, 0.0001)
    one.observe(1, 0.060, SMALL, LIMITS)
    assert not one.fast
    answers = 0
    while not one.fast:
        one.observe(1, 0.0001, SMALL, LIMITS)
        answers += 1
    assert 2 <= answers <= 20


def test_a_late_answer_of_a_busy_event_loop_does_not_make_a_text_slow() -> None:
    one = seen(0.0001, 0.0001, 0.0001)
    one.observe(1, 0.020, SMALL, LIMITS)
    assert one.fast


def test_a_text_that_became_slow_is_known_after_few_samples() -> None:
    one = seen(*[0.0001] * 50)
    samples = 0
    while one.fast:
        one.observe(1, 0.010, SMALL, LIMITS)
        samples += 1
    assert samples <= 5


def test_a_text_whose_results_became_large_is_known_after_few_samples() -> None:
    one = seen(*[0.0001] * 50)
    samples = 0
    while one.fast:
        one.observe(1, 0.0001, 1_000_000.0, LIMITS)
        samples += 1
    assert samples <= 2


# rule 2.4
def test_a_failure_holds_a_text_back_and_tells_whether_it_was_grouped() -> None:
    one = seen(0.0001, 0.0001, 0.0001)
    assert one.failed(5.0, LIMITS)
    assert one.held_until == 6.0
    assert not one.failed(5.5, LIMITS), "held back already"
    assert one.failed(6.5, LIMITS)
    assert not query().failed(1.0, LIMITS), "never grouped"


@given(st.lists(st.tuples(st.integers(1, 64), times, sizes), min_size=1))
def test_expectations_stay_within_what_was_seen(samples: list[tuple[int, float, float]]) -> None:
    one = query()
    for count, seconds, size in samples:
        was = one.fast
        assert one.observe(count, seconds, size, LIMITS) == (was != one.fast)
    _, seconds_seen, sizes_seen = zip(*samples, strict=True)
    assert min(seconds_seen) - 1e-9 <= one.mean <= max(seconds_seen) + 1e-9
    assert one.peak <= max(seconds_seen)
    assert min(sizes_seen) - 1e-3 <= one.size <= max(sizes_seen) + 1e-3
    assert one.seen == sum(count for count, _, _ in samples)


@given(st.lists(times), st.floats(min_value=0.0, max_value=0.001))
def test_a_text_that_is_quick_from_now_on_becomes_fast(before: list[float], quick: float) -> None:
    one = seen(*before)
    for _ in range(100):
        one.observe(1, quick, SMALL, LIMITS)
    assert one.fast


@given(st.lists(times), st.floats(min_value=0.003, max_value=10.0))
def test_a_text_that_is_slow_from_now_on_becomes_slow(before: list[float], slow: float) -> None:
    one = seen(*before)
    for _ in range(400):
        one.observe(1, slow, SMALL, LIMITS)
    assert not one.fast


# -- what the scheduler makes of it ------------------------------------------------------------------------------------


# rule 3.4
def test_service_time_is_the_time_to_the_answer_less_the_round_trip_shared_by_the_group() -> None:
    world = World.ready(1)
    one = world.query(fast=False)
    one.observe(3, 0.0, SMALL, LIMITS)
    world.run(one, 4)
    world.finished(world.sends[0].conn, seconds=ROUND_TRIP + 0.004)
    assert one.mean == pytest.approx(0.05 * 4 * 0.001)


# rule 3.4
def test_the_round_trip_is_the_shortest_answer_of_its_connection() -> None:
    """A server that answers from further away, or from nearer, is another connection."""
    world = World.ready(1)
    one = world.query(OTHER, fast=False)
    world.run(one)
    near = world.sends[0].conn
    world.finished(near, seconds=ROUND_TRIP / 2)
    assert near.round_trip == ROUND_TRIP / 2
    world.expire()
    far = world.opened(round_trip=0.005)
    world.run(one)
    world.finished(far, seconds=0.007)
    assert far.round_trip == 0.005
    world.measured(far, 0.004)
    assert far.round_trip == 0.004


@pytest.mark.parametrize("round_trip", [ROUND_TRIP, None])
def test_a_slow_first_statement_is_no_round_trip(round_trip: float | None) -> None:
    world = World(min_size=1)
    world.start()
    conn = world.opened(round_trip=round_trip)
    slow = world.query(fast=False)
    for _ in range(3):
        world.run(slow)
        world.finished(conn, seconds=3.0)
    assert slow.mean == pytest.approx(3.0, rel=0.001)
    assert not slow.fast


def test_a_statement_that_no_caller_waited_for_is_no_round_trip() -> None:
    world = World(min_size=1)
    world.start()
    conn = world.opened(round_trip=None)
    slow = world.query(fast=False)
    (one,) = world.run(slow)
    world.cancel(one)
    world.finished(conn, ok=False, seconds=3.0)
    assert slow.mean == 3.0
