"""The rules of docs/scheduling.md, part 3: one test for each, in virtual time."""

from __future__ import annotations

import pytest

from db_pool_rs.scheduler.model import Close, Lend, Open, Send, State
from db_pool_rs.sql import StatementClass
from tests.simple.machine import OTHER, QUICK, READ, ROUND_TRIP, WRITE, World


# rule 3.2
def test_calls_made_in_one_turn_are_collected() -> None:
    world = World.ready(1)
    world.submit(world.query(), 5)
    assert not world.count(Send)
    world.end_of_tick()
    assert world.sizes == [5]


# rule 3.2
def test_while_a_group_runs_what_arrives_becomes_the_next_one() -> None:
    world = World.ready(1)
    query = world.query()
    world.run(query)
    conn = world.sends[0].conn
    for _ in range(7):
        world.run(query)
        assert not world.sends
    world.finished(conn)
    assert world.sizes == [7]


# rule 3.1
def test_connections_are_in_the_states_that_the_rules_name() -> None:
    world = World.ready(3, max_size=4)
    world.run(world.query(), 2)
    world.run(world.query(OTHER))
    world.lend()
    world.lend()
    states = [conn.state for conn in world.scheduler.conns.values()]
    assert sorted(s.value for s in states) == ["alone", "lane", "opening", "session"]


# rule 3.3
@pytest.mark.parametrize(
    ("tasks", "lanes", "sizes"),
    [
        (1, 2, [1]),
        (8, 2, [8]),
        (9, 2, [8, 1]),
        (16, 2, [8, 8]),
        (40, 2, [20, 20]),
        (64, 4, [16] * 4),
        (17, 4, [8, 8, 1]),
    ],
)
def test_a_queue_is_divided_evenly_over_the_free_lanes_in_pieces_of_at_least_8(
    tasks: int, lanes: int, sizes: list[int]
) -> None:
    world = World.ready(lanes, read_lanes=lanes)
    world.run(world.query(cost=0.00001), tasks)
    assert world.sizes == sizes


# rule 3.6
def test_two_lanes_from_the_start_where_two_connections_are_allowed() -> None:
    world = World.ready(1, max_size=10)
    world.run(world.query(), 16)
    assert world.sizes == [16]
    assert len(world.last(Open)) == 1, "the second lane is on its way"
    world = World.ready(1, max_size=1)
    world.run(world.query(), 16)
    assert not world.last(Open)


def test_one_task_needs_one_connection() -> None:
    world = World.ready(1, max_size=10)
    query = world.query()
    for _ in range(20):
        world.run(query)
        world.now += ROUND_TRIP + QUICK
        world.finished(world.sends[0].conn)
    assert world.scheduler.connections.size == 1


# rule 3.7
def test_writes_start_with_one_lane() -> None:
    world = World.ready(4)
    world.run(world.query(WRITE, cost=0.00001), 64)
    assert world.sizes == [64]


# rule 3.5
def test_a_groups_expected_time_is_capped() -> None:
    world = World.ready(1)
    world.run(world.query(cost=0.0005), 20)
    assert world.sizes == [4]


# rule 3.5
def test_a_statement_that_costs_more_than_the_cap_still_goes() -> None:
    world = World.ready(1, group_time=0.0001)
    world.run(world.query(cost=0.0015), 3)
    assert world.sizes == [1]


# rule 3.4
def test_unknown_texts_count_as_slow() -> None:
    world = World.ready(2, max_size=2)
    query = world.query(fast=False)
    world.run(query, 5)
    assert world.sizes == [1, 1], "alone"
    for _ in range(2):
        world.finished(next(iter(world.running)))
        assert world.sizes == [1]
    world.finished(next(iter(world.running)))
    assert world.sizes == [1], "seen three times: the waiting one may be grouped from here on"
    world.behave()
    world.run(query, 5)
    assert world.sizes == [5]


def test_waiting_statements_are_grouped_once_their_text_is_known_to_be_fast() -> None:
    world = World.ready(1)
    query = world.query(fast=False)
    world.run(query, 9)
    for _ in range(2):
        world.finished(next(iter(world.running)))
    world.finished(next(iter(world.running)))
    assert world.sizes == [6]


# rule 3.8
def test_slow_texts_take_a_connection_to_themselves() -> None:
    world = World.ready(3)
    slow, quick = world.query(cost=0.5), world.query()
    world.run(slow, 2)
    world.run(quick, 5)
    assert {conn.state for conn in world.running} == {State.ALONE, State.LANE}
    assert sorted(map(len, world.running.values())) == [1, 1, 5]


# rule 3.8
def test_slow_texts_take_a_new_connection_where_none_is_idle_else_wait() -> None:
    world = World.ready(1, max_size=2)
    slow = world.run(world.query(cost=0.5), 3)
    assert world.sizes == [1]
    assert len(world.opening) == 1
    world.opened()
    assert world.sizes == [1]
    assert not world.opening
    assert world.scheduler.queues.waiting == 1
    world.behave()
    assert world.outcome(slow) == {"delivered"}


# rule 3.4
def test_a_large_result_is_not_fast() -> None:
    world = World.ready(2)
    query = world.query()
    for _ in range(6):
        world.run(query)
        world.finished(world.sends[0].conn, size=1_000_000.0)
    world.run(query, 2)
    assert world.sizes == [1, 1]


# rule 3.6
@pytest.mark.parametrize(("kind", "wait"), [(READ, 0.001), (WRITE, 0.005)])
def test_another_lane_when_the_head_would_wait_longer_than_lane_wait(kind: StatementClass, wait: float) -> None:
    world = World.ready(4)
    query = world.query(kind)
    world.run(query, 16)
    lanes = len(world.running)
    world.run(query, 3)
    assert not world.sends, "the lanes are expected to be free in time"
    world.advance(wait * 0.9)
    assert len(world.running) == lanes
    world.advance(wait * 2.1)
    assert len(world.running) == lanes + 1, "they are overdue"


# rule 3.6
def test_a_long_queue_of_writes_gets_no_further_lane_as_long_as_one_takes_from_it() -> None:
    world = World.ready(4)
    world.run(world.query(WRITE), 2000)
    for _ in range(5):
        world.advance(0.004)
        (conn,) = world.running
        world.finished(conn, seconds=0.004)
        world.end_of_tick()
    assert len(world.running) == 1
    world.advance(0.007)
    assert len(world.running) == 1, "it takes a little longer than the last"
    world.advance(0.008)
    assert len(world.running) == 2, "it is stuck"


def test_another_lane_opens_a_connection_where_none_is_idle() -> None:
    world = World.ready(2, max_size=3)
    query = world.query()
    world.run(query, 16)
    world.run(query, 3)
    assert not world.opening
    world.advance(0.005)
    assert len(world.opening) == 1
    world.opened()
    assert world.sizes == [3]


# rule 3.7
def test_no_more_write_lanes_than_the_driver_allows() -> None:
    world = World.ready(4, max_write_lanes=1)
    query = world.query(WRITE)
    world.run(query, 8)
    world.run(query, 8)
    world.advance(0.04)
    assert len(world.running) == 1


# rule 7.2
@pytest.mark.parametrize("fast", [True, False])
def test_where_there_is_one_writer_writes_that_wait_leave_the_connections_to_others(fast: bool) -> None:
    world = World.ready(4, max_write_lanes=1)
    writes = [world.run(world.query(WRITE, fast=fast))[0] for _ in range(20)]
    assert len(world.running) == 1
    (writer,) = world.running
    reads = world.run(world.query(READ, fast=False), 3)
    assert world.sizes == [1, 1, 1]
    world.advance(0.04)
    assert world.outcome(writes) == {None}
    while world.scheduler.queues.waiting:
        world.finished(writer)
        assert world.sends[0].conn is writer, "one after the other"
    world.behave()
    assert world.outcome([*writes, *reads]) == {"delivered"}


# rule 7.2
def test_where_there_is_one_writer_no_write_overtakes_another() -> None:
    world = World.ready(4, max_write_lanes=1)
    fast, unknown = world.query(WRITE), world.query(WRITE, fast=False)
    before, alone, after = world.submit(fast, 2), world.submit(unknown, 2), world.submit(fast, 2)
    world.end_of_tick()
    sent = [world.sends[0].group]
    while world.running:
        world.finished(next(iter(world.running)))
        sent += [send.group for send in world.sends]
    assert sent == [before, alone[:1], alone[1:], after]


def test_where_there_is_one_writer_what_failed_in_a_group_keeps_its_turn() -> None:
    world = World.ready(4, max_write_lanes=1)
    query = world.query(WRITE)
    group, later = world.run(query, 3), world.run(query, 2)
    sent = []
    world.finished(next(iter(world.running)), ok=False)
    while world.running:
        sent += [send.group for send in world.sends]
        world.finished(next(iter(world.running)))
    assert sent == [*([one] for one in group), later]


def test_missing_read_lanes_are_opened_even_if_writes_miss_none() -> None:
    world = World.ready(2, max_size=4)
    world.run(world.query(WRITE), 4)
    world.lend()
    world.submit(world.query(READ), 4)
    world.submit(world.query(WRITE), 4)
    world.end_of_tick()
    assert len(world.opening) == 1


# rule 3.9
def test_waiters_are_served_first_come_first_served_across_both_kinds() -> None:
    world = World.ready(1)
    query = world.query()
    world.run(query)
    conn = world.sends[0].conn
    before, waiter, after = world.submit(query), world.acquire(), world.submit(query)
    world.end_of_tick()
    world.finished(conn)
    assert [s.group for s in world.sends] == [[*before, *after]], "the group is taken from the head of its queue"
    world.finished(conn)
    assert world.last(Lend)[0].waiter is waiter
    world.run(query)
    world.released(conn)
    assert world.sizes == [1]


# rule 3.9
def test_a_session_that_has_waited_longer_gets_the_lane_that_finishes() -> None:
    world = World.ready(1)
    query = world.query()
    world.run(query)
    conn = world.sends[0].conn
    waiter = world.lend()
    world.run(query, 20)
    world.finished(conn)
    assert world.last(Lend)[0].waiter is waiter


def test_a_division_over_lanes_does_not_overtake_a_session() -> None:
    world = World.ready(2)
    query = world.query()
    world.submit(query)
    waiter = world.acquire()
    world.submit(query, 30)
    world.end_of_tick()
    assert world.last(Lend)[0].waiter is waiter


# rule 3.10
def test_surplus_lanes_go_back_to_idle() -> None:
    world = World.ready(4, read_lanes=4)
    world.run(world.query(cost=0.000001), 250)
    assert len(world.running) == 4
    while world.running:
        world.finished(next(iter(world.running)))
    assert [conn.state for conn in world.scheduler.conns.values()] == [State.IDLE] * 4
    world.run(world.query())
    assert len(world.running) == 1


# rule 3.10
def test_the_most_recently_used_connection_is_taken() -> None:
    world = World.ready(3)
    query = world.query()
    world.run(query)
    first = world.sends[0].conn
    world.finished(first)
    world.run(query)
    assert world.sends[0].conn is first


# rule 3.11
def test_size_counts_opening_and_closing_connections() -> None:
    world = World.ready(2, min_size=0, max_size=3)
    world.slow_close = True
    world.expire()
    assert len(world.last(Close)) == 2
    world.run(world.query(OTHER), 3)
    assert len(world.opening) == 1, "the server would see more than max_size"
    world.closed(world.closing[0])
    world.closed(world.closing[0])
    assert len(world.opening) == 2, "at first two at a time"
    world.opened()
    assert len(world.opening) == 2
