"""What becomes of statements and sessions when connections are lost: one test for each rule, in virtual time."""

from __future__ import annotations

import itertools

import pytest

from db_pool_rs.scheduler.model import Close, Fail, Reason, Request, State
from db_pool_rs.sql import StatementClass
from tests.simple.machine import OTHER, READ, SESSION, WRITE, World


# rule 5.5
def test_connection_lost_statements_not_yet_written_are_sent_elsewhere_unnoticed() -> None:
    world = World.ready(2, read_lanes=1)
    reads = world.run(world.query(), 5)
    world.lost(world.sends[0].conn, sent=False)
    assert [send.group for send in world.sends] == [reads]
    world.behave()
    assert world.outcome(reads) == {"delivered"}


# rule 5.5
@pytest.mark.parametrize("kind", [READ, WRITE])
def test_connection_lost_statements_written_but_unanswered_fail_with_an_unknown_outcome(kind: StatementClass) -> None:
    world = World.ready(2)
    statements = world.run(world.query(kind), 5)
    world.lost(world.sends[0].conn, sent=True)
    assert world.outcome(statements) == {"lost"}
    assert all(isinstance(a, Fail) and a.sent for a in world.answers.values())
    assert not world.sends, "nothing is repeated that may be committed"


# rule 5.5
def test_connection_lost_others_are_served_on_another() -> None:
    world = World.ready(1)
    query = world.query()
    world.run(query)
    conn = world.sends[0].conn
    others = world.run(query, 3)
    world.lost(conn)
    assert len(world.opening) == 1
    world.opened()
    assert [send.group for send in world.sends] == [others]


# rule 5.5
def test_retry_reads_is_opt_in_and_repeats_reads_once() -> None:
    world = World.ready(3, retry_reads=True, read_lanes=1)
    read, write = world.run(world.query(READ), 2), world.run(world.query(WRITE), 2)
    for conn in list(world.running):
        world.lost(conn, sent=True)
    assert world.outcome(write) == {"lost"}
    assert world.outcome(read) == {None}
    while world.opening:
        world.opened()
    assert all(len(group) == 1 for group in world.running.values())
    for conn in list(world.running):
        world.lost(conn, sent=True)
    while world.opening:
        world.opened()
    for conn in list(world.running):
        world.lost(conn, sent=True)
    assert world.outcome(read) == {"lost"}, "not for ever"


def test_what_was_sent_alone_stays_alone_when_its_connection_is_lost() -> None:
    world = World.ready(4, read_lanes=1)
    reads = world.run(world.query(), 3)
    world.finished(world.sends[0].conn, ok=False)
    for conn in list(world.running):
        world.lost(conn, sent=False)
    while world.opening:
        world.opened()
    assert [len(group) for group in world.running.values()] == [1, 1, 1]
    world.behave()
    assert world.outcome(reads) == {"delivered"}


def test_an_idle_connection_that_is_lost_is_replaced_unnoticed() -> None:
    world = World.ready(2)
    world.lost(world.scheduler.idle[0])
    assert len(world.opening) == 1
    world.run(world.query())
    assert world.sizes == [1]


def test_a_session_that_is_lost_frees_its_place() -> None:
    world = World.ready(1)
    world.lend()
    waiting = world.lend()
    world.lost(next(iter(world.lent)))
    assert len(world.opening) == 1
    world.opened()
    assert world.answer(waiting) == "delivered"


def test_a_connection_lost_while_it_is_reset_is_replaced() -> None:
    world = World.ready(1)
    (statement,) = world.run(world.query(SESSION, dirties=True))
    world.finished(world.sends[0].conn)
    world.lost(world.resets[0])
    assert world.answer(statement) == "delivered"
    assert len(world.opening) == 1


def test_an_unhealthy_session_is_closed_and_replaced() -> None:
    world = World.ready(1)
    world.lend()
    waiting = world.lend()
    world.released(next(iter(world.lent)), healthy=False)
    world.opened()
    assert world.answer(waiting) == "delivered"


# rule 5.6
def test_a_server_that_shuts_down_retires_every_connection_of_that_generation() -> None:
    world = World.ready(5)
    query, slow = world.query(), world.query(OTHER)
    world.run(query, 3)
    lost = world.sends[0].conn
    running = world.run(slow)
    busy = world.sends[0].conn
    world.lend()
    (session,) = world.lent
    start = world.now
    world.lost(lost, evict_all=True)
    assert world.count(Close, since=start) == 2, "idle ones close now"
    world.finished(busy)
    assert world.outcome(running) == {"delivered"}
    assert busy.state is State.CLOSED, "busy ones when they are free"
    world.released(session)
    assert session.state is State.CLOSED


def test_a_connection_that_was_being_opened_when_its_generation_was_retired_is_not_used() -> None:
    world = World(min_size=1)
    world.start()
    reads = world.run(world.query(), 3)
    conn = world.opening[0]
    world.expire()
    world.opened(conn)
    assert conn.state is State.CLOSED
    world.behave()
    assert world.outcome(reads) == {"delivered"}


# -- connections that are lost as soon as they are opened --------------------------------------------------------------


def dying(world: World, seconds: float) -> list[float]:
    """Whatever is opened is lost at once; when attempts began."""
    end, began = world.now + seconds, []
    while world.now < end:
        for conn in list(world.opening):
            began.append(conn.began)
            world.opened(conn)
            world.lost(conn, sent=False)
        world.advance(0.001)
    return began


# rule 5.7
def test_connections_that_die_at_once_are_opened_after_growing_pauses() -> None:
    world = World(min_size=1, max_size=10)
    world.start()
    began = dying(world, 4.0)
    pauses = [later - earlier for earlier, later in itertools.pairwise(began)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.05)
    assert pauses[-1] == pytest.approx(0.35)


def test_a_connection_that_has_answered_is_replaced_without_a_pause() -> None:
    world = World(min_size=1)
    world.start()
    read = world.query(OTHER)
    world.opened()
    for _ in range(5):
        world.run(read)
        conn = world.sends[0].conn
        world.finished(conn)
        world.lost(conn)
        assert len(world.opening) == 1
        world.opened()


def test_a_connection_that_has_idled_for_a_while_is_replaced_without_a_pause() -> None:
    world = World(min_size=1)
    world.start()
    for _ in range(5):
        conn = world.opened()
        world.advance(0.36)
        world.lost(conn)
        assert len(world.opening) == 1


def test_many_that_are_lost_together_are_one_failure() -> None:
    world = World(min_size=8, max_size=8)
    world.start()
    while world.opening:
        world.opened()
    for conn in sorted(world.open, key=lambda conn: conn.id):
        world.lost(conn)
    assert world.scheduler.connections.failures == 1
    world.advance(0.051)
    assert len(world.opening) == 1


def test_a_statement_is_not_sent_for_ever_to_connections_that_die_under_it() -> None:
    """It waits for at most one attempt to open a connection that began after it came."""
    world = World.ready(1)
    (read,) = world.run(world.query())
    world.lost(world.sends[0].conn, sent=False)
    assert world.answer(read) is None
    world.opened()
    world.lost(world.sends[0].conn, sent=False)
    assert world.answer(read) == "connect_failed"
    assert not world.answers[id(read)].sent  # type: ignore[union-attr]


# rule 5.7
def test_requests_that_wait_are_told_why_a_connection_died_at_once() -> None:
    world = World(min_size=0, max_size=1)
    before: list[Request] = [*world.submit(world.query(OTHER), 3), world.acquire()]
    world.end_of_tick()
    world.advance(0.001)
    after = world.run(world.query(OTHER))
    conn = world.opened()
    world.lost(conn, sent=False)
    assert world.outcome(before) == {"connect_failed"}
    assert world.outcome(after) == {None}
    world.behave()
    assert world.outcome(after) == {"delivered"}


def test_requests_that_wait_for_another_connection_are_not_told_of_it() -> None:
    world = World.ready(1, max_size=2)
    world.lend()
    victim = world.run(world.query(OTHER))
    waiting = [world.run(world.query(OTHER))[0], world.lend()]
    world.advance(0.001)
    world.opened()
    world.lost(world.sends[0].conn, sent=False)
    assert world.outcome(victim) == {"connect_failed"}
    assert world.outcome(waiting) == {None}
    world.behave()
    assert world.outcome(waiting) == {"delivered"}


@pytest.mark.parametrize("session", [True, False])
def test_what_a_caller_may_have_caused_is_told_to_no_other(session: bool) -> None:
    world = World(min_size=0, max_size=1)
    first: Request = world.acquire() if session else world.submit(world.query(OTHER))[0]
    others = world.submit(world.query(OTHER), 3)
    world.end_of_tick()
    conn = world.opened()
    world.lost(conn, sent=not session)
    assert world.answer(first) == ("delivered" if session else "lost")
    assert world.outcome(others) == {None}
    assert not world.opening, "there is a pause all the same"
    world.behave()
    assert world.outcome(others) == {"delivered"}


# -- refusals ----------------------------------------------------------------------------------------------------------


# rule 5.10
def test_more_than_max_waiting_are_refused_at_once() -> None:
    world = World.ready(1, max_waiting=3)
    world.lend()
    waiting = world.submit(world.query(), 2)
    waiter = world.acquire()
    refused: list[Request] = [*world.submit(world.query()), world.acquire()]
    assert world.outcome([*waiting, waiter]) == {None}
    assert [world.answer(request) for request in refused] == [Reason.OVERLOADED.value] * 2
    assert world.scheduler.queues.waiting == 3
    assert [world.scheduler.cancel(request, world.now) for request in refused] == [[], []], "they were answered"
