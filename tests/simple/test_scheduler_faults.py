"""The rules of docs/scheduling.md, part 5, but for losses: one test for each, in virtual time."""

from __future__ import annotations

import pytest

from db_pool_rs.scheduler.model import Cancel, Close, Fail, Lend, Open, Request, State
from tests.simple.machine import OTHER, SESSION, WRITE, World

# -- cancellation ------------------------------------------------------------------------------------------------------


# rule 5.1
def test_cancelled_before_it_was_sent_is_taken_out_and_costs_nothing() -> None:
    world = World.ready(1)
    query = world.query()
    first, second = world.submit(query, 2)
    world.cancel(first)
    world.end_of_tick()
    assert [send.group for send in world.sends] == [[second]]
    world.behave()
    assert not world.count(Cancel)


# rule 5.1
def test_a_waiter_cancelled_in_the_queue_is_taken_out() -> None:
    world = World.ready(1)
    world.run(world.query())
    waiter = world.lend()
    world.cancel(waiter)
    world.behave()
    assert not world.count(Lend)


# rule 5.1
def test_cancelled_after_its_result_is_dropped_and_others_never_notice() -> None:
    world = World.ready(1)
    first, second, third = world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.cancel(second)
    assert not world.cancels
    world.finished(conn)
    assert world.outcome([first, third]) == {"delivered"}


def test_a_group_that_is_sent_again_leaves_out_what_was_cancelled() -> None:
    world = World.ready(3)
    first, second, third = world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.cancel(second)
    world.finished(conn, ok=False)
    assert [send.group for send in world.sends] == [[first], [third]]


# rule 5.3
@pytest.mark.parametrize("count", [1, 5])
def test_a_group_is_cancelled_once_no_caller_waits_for_any_of_it(count: int) -> None:
    world = World.ready(1)
    reads = world.run(world.query(), count)
    conn = world.sends[0].conn
    for read in reads:
        assert not world.cancels
        world.cancel(read)
    assert world.cancels == [conn]
    world.finished(conn, ok=False)
    world.cancel_closed(conn)
    assert conn.state is State.IDLE


def test_cancelled_when_it_was_answered_already_is_nothing() -> None:
    world = World.ready(2)
    (statement,), waiter = world.run(world.query()), world.lend()
    world.finished(next(iter(world.running)))
    assert world.scheduler.cancel(statement, world.now) == []
    assert world.scheduler.cancel(waiter, world.now) == []
    late = world.submit(world.query(OTHER), timeout=0.1)
    world.end_of_tick()
    world.advance(0.11)
    assert len(world.cancels) == 1
    assert world.scheduler.cancel(late[0], world.now) == [], "it was cancelled when its time was over"


# rule 5.4
def test_a_cancelled_session_statement_is_reset_once_the_cancel_is_closed() -> None:
    world = World.ready(1)
    (statement,) = world.run(world.query(SESSION, dirties=True))
    conn = world.sends[0].conn
    world.cancel(statement)
    world.finished(conn, ok=False)
    assert not world.resets, "the cancel would hit the reset"
    world.cancel_closed(conn)
    assert world.resets == [conn]


# rule 5.4
def test_the_cancel_may_be_closed_before_the_statement_is_answered() -> None:
    world = World.ready(1)
    (statement,) = world.run(world.query(OTHER))
    conn = world.sends[0].conn
    world.cancel(statement)
    world.cancel_closed(conn)
    waiting = world.run(world.query())
    assert not world.sends, "it is still busy"
    world.finished(conn, ok=False)
    assert world.sends[0].group == waiting


# rule 5.4
def test_a_cancel_that_came_too_early_is_repeated_with_doubled_pauses() -> None:
    world = World.ready(1)
    (statement,) = world.run(world.query(OTHER))
    conn = world.sends[0].conn
    start = world.now
    world.cancel(statement)
    asked = [0.0]
    while world.now - start < 1.0:
        world.cancel_closed(conn)
        world.advance(0.001)
        while not world.cancels and world.now - start < 1.0:
            world.advance(0.001)
        asked.append(round(world.now - start, 2))
    assert asked[:5] == [0.0, 0.05, 0.1, 0.2, 0.4]
    assert conn.state is State.ALONE


# -- time-outs ---------------------------------------------------------------------------------------------------------


# rule 5.2
def test_the_deadline_covers_the_queue() -> None:
    world = World.ready(1)
    world.run(world.query(OTHER))
    late = world.submit(world.query(), timeout=0.5)
    world.end_of_tick()
    world.advance(0.4999)
    assert world.outcome(late) == {None}
    world.advance(0.0002)
    assert world.outcome(late) == {"timeout"}
    assert not world.answers[id(late[0])].sent  # type: ignore[union-attr]
    world.behave()


# rule 5.2
def test_the_deadline_covers_the_connect() -> None:
    world = World()
    world.start()
    late = world.submit(world.query(), timeout=0.5)
    world.end_of_tick()
    world.advance(0.51)
    assert world.outcome(late) == {"timeout"}


# rules 5.2, 5.3
def test_the_deadline_covers_the_execution_and_the_server_is_stopped() -> None:
    world = World.ready(1)
    late = world.submit(world.query(OTHER), timeout=0.5)
    world.end_of_tick()
    conn = world.sends[0].conn
    world.advance(0.51)
    assert world.outcome(late) == {"timeout"}
    assert world.answers[id(late[0])].sent  # type: ignore[union-attr]
    assert world.cancels == [conn]
    world.finished(conn, ok=False)
    world.cancel_closed(conn)
    assert conn.state is State.IDLE


# rule 5.3
def test_a_deadline_inside_a_group_breaks_it_up() -> None:
    world = World.ready(2, read_lanes=1)
    query = world.query()
    late = world.submit(query, timeout=0.02)
    others = world.submit(query, 2)
    world.end_of_tick()
    conn = world.sends[0].conn
    world.advance(0.021)
    assert world.outcome(late) == {"timeout"}
    assert world.cancels == [conn]
    world.finished(conn, ok=False)
    assert [s.group for s in world.sends] == [others[:1]]
    world.behave()
    assert world.outcome(others) == {"delivered"}


def test_a_deadline_that_has_passed_on_arrival_is_answered_at_once() -> None:
    world = World.ready(0, max_size=1)
    late = world.submit(world.query(), timeout=0.0)
    world.end_of_tick()
    world.advance(0.0)
    assert world.outcome(late) == {"timeout"}


# rule 5.2
def test_a_statement_waits_for_acquire_timeout_at_most() -> None:
    world = World.ready(1, acquire_timeout=2.0)
    world.lend()
    early = world.run(world.query(OTHER))
    world.advance(1.0)
    later = world.run(world.query())
    world.advance(1.05)
    assert (world.outcome(early), world.outcome(later)) == ({"timeout"}, {None})
    world.advance(1.0)
    assert world.outcome(later) == {"timeout"}


def test_a_statement_that_was_sent_has_no_acquire_timeout() -> None:
    world = World.ready(1, acquire_timeout=2.0)
    statement = world.run(world.query(OTHER))
    world.advance(100.0)
    assert world.outcome(statement) == {None}


# rule 5.2
def test_acquire_times_out_on_time_and_in_order() -> None:
    world = World.ready(1)
    world.lend()
    waiters = [world.acquire(timeout) for timeout in (0.3, 0.1, 0.2)]
    world.end_of_tick()
    start = world.now
    world.advance(0.4)
    failed = [(round(at - start, 6), a.request) for at, a in world.log if isinstance(a, Fail)]
    assert failed == [(0.1, waiters[1]), (0.2, waiters[2]), (0.3, waiters[0])]


def test_a_session_that_was_lent_in_time_does_not_time_out() -> None:
    world = World.ready(1)
    waiter = world.acquire(timeout=1.0)
    world.end_of_tick()
    world.advance(10.0)
    assert world.answer(waiter) == "delivered"


def test_answered_statements_are_not_kept_until_their_deadline() -> None:
    world = World.ready(1)
    query = world.query()
    for _ in range(100):
        world.submit(query, 50, timeout=60.0)
        world.end_of_tick()
        world.finished(world.sends[0].conn)
    assert len(world.scheduler.timeouts.deadlines) <= 1050


def test_deadlines_of_requests_that_wait_outlive_the_many_that_were_answered() -> None:
    world = World.ready(2)
    world.lend()
    sent = world.submit(world.query(OTHER), timeout=0.3)
    queued: list[Request] = [world.acquire(timeout=0.2), *world.submit(world.query(), timeout=0.2)]
    world.end_of_tick()
    query = world.query()
    for _ in range(150):
        for gone in world.submit(query, 10, timeout=60.0):
            world.cancel(gone)
    assert len(world.scheduler.timeouts.deadlines) <= 1010
    world.advance(0.21)
    assert world.outcome(queued) == {"timeout"}
    assert world.outcome(sent) == {None}
    world.advance(0.1)
    assert world.outcome(sent) == {"timeout"}


# -- silence -----------------------------------------------------------------------------------------------------------


# rule 5.4
def test_a_connection_that_takes_no_notice_of_a_cancel_counts_as_dead() -> None:
    world = World.ready(3, read_lanes=1)
    reads = world.run(world.query(), 3)
    conn = world.sends[0].conn
    start = world.now
    world.advance(1.54)
    assert world.outcome(reads) == {None}
    world.advance(0.02)
    assert world.outcome(reads) == {"lost"}
    assert all(world.answers[id(r)].sent for r in reads)  # type: ignore[union-attr]
    assert conn.state is State.CLOSED
    assert world.count(Close, since=start) == 3, "those that idle may be as dead"
    assert world.count(Open, since=start) == 2, "and are replaced"


# rule 5.8
def test_silence_is_noticed_even_if_the_cancel_itself_was_closed() -> None:
    """Pooled connections are silent, new ones fine: the cancel's own connection is a new one."""
    world = World.ready(1)
    reads = world.run(world.query(), 3)
    conn = world.sends[0].conn
    for _ in range(100):
        world.advance(0.02)
        if world.cancels:
            world.cancel_closed(conn)
    assert world.outcome(reads) == {"lost"}
    later = world.run(world.query(), 3)
    world.behave()
    assert world.outcome(later) == {"delivered"}


def test_a_silent_connection_is_noticed_when_a_caller_gives_up() -> None:
    world = World.ready(1)
    (read,) = world.run(world.query())
    conn = world.sends[0].conn
    world.advance(1.0)
    world.cancel(read)
    world.advance(1.6)
    assert conn.state is State.CLOSED
    world.behave()


# rule 2.5
def test_a_database_in_this_process_is_asked_to_stop_but_never_given_up() -> None:
    """A group waits for its turn to write; one of its callers has no more time, the others have."""
    world = World.ready(1, breaks_stalls=False)
    query = world.query(WRITE)
    late, others = world.submit(query, timeout=0.1), world.submit(query, 2)
    world.end_of_tick()
    (conn,) = world.running
    for _ in range(1000):
        world.advance(0.01)
        if world.cancels:
            world.cancel_closed(conn)
    assert world.outcome(late) == {"timeout"}
    assert world.outcome(others) == {None}
    assert world.count(Cancel) <= 10
    world.finished(conn)
    assert world.outcome(others) == {"delivered"}


def test_a_cancel_that_ends_after_its_connection_was_given_up_does_nothing() -> None:
    world = World.ready(1)
    world.run(world.query(), 3)
    conn = world.sends[0].conn
    world.advance(2.0)
    world.cancel_closed(conn)
    assert conn.state is State.CLOSED
    world.behave()
