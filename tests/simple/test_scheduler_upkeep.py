"""The scheduler's upkeep in virtual time: connecting, sizes, ageing, closing. One test for each rule."""

from __future__ import annotations

import pytest

from db_pool_rs.scheduler.model import Close, Lend, Open, Request, State
from tests.simple.machine import OTHER, World

# -- connecting --------------------------------------------------------------------------------------------------------


def test_start_opens_min_size_two_at_a_time() -> None:
    world = World(min_size=5)
    world.start()
    assert len(world.opening) == 2
    world.opened()
    world.opened()
    assert len(world.opening) == 2
    while world.opening:
        world.opened()
    assert world.scheduler.connections.size == 5


# rule 3.11
def test_a_request_waits_and_there_is_room_a_connect_is_under_way() -> None:
    world = World(min_size=0, max_size=2)
    world.start()
    assert not world.opening
    world.lend()
    assert len(world.opening) == 1
    world.lend()
    assert len(world.opening) == 2
    world.lend()
    assert len(world.opening) == 2


def test_many_waiters_open_connections_in_doubled_steps() -> None:
    world = World(min_size=0, max_size=10)
    world.start()
    for _ in range(20):
        world.acquire()
    world.end_of_tick()
    sizes = []
    while world.opening:
        sizes.append(len(world.opening))
        for conn in list(world.opening):
            world.opened(conn)
    assert sizes[0] == 2
    assert world.scheduler.connections.size == 10
    assert world.count(Lend) == 10


def test_the_first_request_gets_the_connection_that_is_opened_first() -> None:
    world = World(min_size=0, max_size=2)
    waiters = [world.acquire() for _ in range(2)]
    world.end_of_tick()
    world.opened(world.opening[1])
    assert [world.answer(w) for w in waiters] == ["delivered", None]


# rule 5.7
def test_refill_with_backoff_and_jitter_40_attempts_in_4_s_at_most() -> None:
    world = World(min_size=0, max_size=10, acquire_timeout=30.0)
    world.start()
    end, queries = world.now + 4.0, world.query()
    for number in range(100):
        world.submit(queries)
        if number % 2:
            world.acquire(timeout=30.0)
    world.end_of_tick()
    while world.now < end:
        while world.opening:
            world.open_failed(jitter=(world.now * 7919) % 1.0)
            missing = 100 - len(world.unanswered)
            world.run(queries, missing)
        world.advance(0.01)
    assert 10 <= world.count(Open) <= 40


# rule 5.7
@pytest.mark.parametrize("jitter", [0.0, 0.5, 1.0])
def test_the_next_attempt_follows_at_most_0_42_s_after_however_many_failed(jitter: float) -> None:
    world = World(min_size=1)
    world.start()
    pauses = []
    while world.count(Open) < 12:
        for conn in list(world.opening):
            world.open_failed(conn, jitter=jitter)
        failed = world.now
        while not world.opening:
            world.advance(0.001)
        pauses.append(world.now - failed)
    assert pauses[0] <= 0.35 * 1.2
    assert pauses == sorted(pauses)
    assert 0.35 * 0.8 <= pauses[-1] <= 0.35 * 1.2 + 0.001


#: Seconds until a connect is refused, until one succeeds, and between two looks at that.
REFUSED, CONNECT, STEP = 0.001, 0.03, 0.01


def _away(world: World, until: float) -> None:
    """Whatever the pool opens until then is refused; who was told of it asks again."""
    while world.now < until:
        for conn in [conn for conn in world.opening if world.now - conn.began >= REFUSED]:
            world.open_failed(conn, jitter=(world.now * 7919) % 1.0)
        world.run(world.queries[0], 100 - len(world.unanswered))
        world.advance(STEP)


# rule 5.7
@pytest.mark.parametrize("phase", [0.0, 0.07, 0.14, 0.21, 0.28])
def test_half_a_second_after_the_return_of_the_server_calls_are_answered(phase: float) -> None:
    world = World(min_size=0, max_size=10)
    world.start()
    world.queries.append(world.query())
    _away(world, world.now + 4.0 + phase)
    back, opened, waiting = world.now, 0, world.unanswered
    assert len(waiting) == 100
    while not world.running:
        for conn in list(world.opening):
            if conn.began >= back and world.now - conn.began >= CONNECT:
                world.opened(conn)
                opened += 1
            elif conn.began < back and world.now - conn.began >= REFUSED:  # it was under way
                world.open_failed(conn, jitter=1.0)
        world.advance(STEP)
    assert world.now - back <= 0.5
    world.behave()
    assert world.outcome(world.items[-1:]) == {"delivered"}


# rule 5.7
def test_after_a_failure_one_connect_at_a_time() -> None:
    world = World(min_size=0, max_size=10)
    for _ in range(10):
        world.acquire()
    world.end_of_tick()
    assert len(world.opening) == 2
    world.open_failed()
    world.advance(10.0)
    assert len(world.opening) == 1
    world.open_failed()
    for _ in range(5):
        world.acquire()
    world.end_of_tick()
    world.advance(1.0)
    assert len(world.opening) == 1


def test_after_a_success_there_is_no_backoff_any_more() -> None:
    world = World(min_size=1, max_size=10)
    world.start()
    for _ in range(5):
        world.open_failed()
        world.advance(0.5)
    for _ in range(4):
        world.acquire()
    world.end_of_tick()
    world.opened()
    assert len(world.opening) == 2


# rule 5.7
def test_a_failed_connect_answers_requests_from_before_it_began_if_there_is_no_connection_to_wait_for() -> None:
    world = World(min_size=0, max_size=1)
    before: list[Request] = [*world.submit(world.query()), world.acquire()]
    world.end_of_tick()
    world.advance(0.001)
    after: list[Request] = [*world.run(world.query()), world.lend()]
    world.open_failed()
    assert world.outcome(before) == {"connect_failed"}
    assert world.outcome(after) == {None}, "a call waits for one attempt that began after it did"
    world.advance(1.0)
    world.open_failed()
    assert world.outcome(after) == {"connect_failed"}


def test_a_failed_connect_answers_no_request_while_another_is_under_way() -> None:
    world = World(min_size=0, max_size=2)
    waiters = [world.lend(), world.lend()]
    world.open_failed()
    assert world.outcome(waiters) == {None}
    world.opened()
    assert world.answer(waiters[0]) == "delivered"


def test_a_failed_connect_answers_no_request_while_there_is_a_connection_to_wait_for() -> None:
    """The server has no slots left for more: all requests are served by those that there are."""
    world = World.ready(1, max_size=5)
    calls = [world.run(world.query(OTHER))[0] for _ in range(20)]
    for _ in range(30):
        while world.opening:
            world.open_failed()
        world.finished(next(iter(world.running))) if world.running else None
        world.advance(0.1)
    assert world.outcome(calls) == {"delivered"}


# rule 5.7
def test_a_permanent_failure_is_told_to_every_request_at_once() -> None:
    world = World(min_size=0, max_size=1)
    before = world.run(world.query(), 3)
    world.advance(0.001)
    after = [world.lend()]
    world.open_failed(permanent=True)
    assert world.outcome([*before, *after]) == {"connect_failed"}
    assert world.count(Open) == 1


def test_after_a_permanent_failure_nothing_is_tried_until_the_next_request() -> None:
    world = World(min_size=2)
    world.start()
    for conn in list(world.opening):
        world.open_failed(conn, permanent=True)
    world.advance(60.0)
    assert world.count(Open) == 2, "a wrong password is not repeated for ever"
    call = world.run(world.query())
    assert len(world.opening) == 1
    world.opened()
    world.behave()
    assert world.outcome(call) == {"delivered"}
    assert world.scheduler.connections.size == 2, "and then min_size is kept again"


# -- sizes and ageing --------------------------------------------------------------------------------------------------


def test_min_size_is_kept_when_connections_are_lost() -> None:
    world = World.ready(3, max_size=5)
    for conn in list(world.scheduler.idle):
        world.lost(conn)
    while world.opening:
        world.opened()
    assert len(world.scheduler.idle) == 3


# rule 6.5
def test_idle_connections_above_min_size_are_closed_after_idle_timeout() -> None:
    world = World.ready(5, min_size=2, idle_timeout=10.0)
    world.advance(8.9)
    assert world.scheduler.connections.size == 5
    world.advance(0.2)
    assert world.scheduler.connections.size == 2
    world.advance(100.0)
    assert world.scheduler.connections.size == 2
    assert world.count(Open) == 5, "none is closed only to be opened again"


def test_idle_timeout_closes_the_longest_idle_and_spares_what_is_used() -> None:
    world = World.ready(3, min_size=0, idle_timeout=10.0)
    query = world.query()
    for _ in range(30):
        world.run(query)
        used = world.sends[0].conn
        world.finished(used)
        world.advance(1.0)
    assert world.scheduler.idle == [used]


def test_idle_timeout_leaves_min_size_even_while_closing_takes_time() -> None:
    world = World.ready(3, min_size=1, idle_timeout=10.0)
    world.slow_close = True
    world.advance(11.0)
    assert len(world.closing) == 2
    assert len(world.scheduler.idle) == 1


# rule 6.5
def test_a_connection_that_reached_its_lifetime_is_replaced() -> None:
    world = World(min_size=1)
    world.start()
    old = world.opened(lifetime=100.0)
    world.advance(99.0)
    assert old.state is State.IDLE
    world.advance(2.0)
    assert old not in world.open
    assert len(world.opening) == 1


def test_a_busy_connection_is_replaced_when_it_is_free() -> None:
    world = World(min_size=1)
    world.start()
    old = world.opened(lifetime=100.0)
    world.lend()
    world.advance(200.0)
    assert old.state is State.SESSION
    world.released(old)
    assert old not in world.open


def test_expire_replaces_every_connection_as_soon_as_it_is_free() -> None:
    world = World.ready(3)
    world.lend()
    (session,) = world.lent
    world.expire()
    assert world.scheduler.connections.generation == 1
    assert [conn.state for conn in world.scheduler.conns.values()] == [State.SESSION, State.OPENING, State.OPENING]
    world.released(session)
    assert session.state is State.CLOSED
    world.behave()
    assert len(world.scheduler.idle) == 3


def test_a_smaller_max_size_closes_surplus_idle_connections_now_and_no_more() -> None:
    world = World.ready(6, min_size=0)
    world.slow_close = True
    world.resize(0, 4)
    assert len(world.closing) == 2
    world.resize(0, 4)
    assert len(world.closing) == 2


def test_a_smaller_max_size_closes_busy_connections_when_they_are_free() -> None:
    world = World.ready(3, min_size=0)
    for _ in range(3):
        world.lend()
    world.resize(0, 1)
    assert not world.count(Close)
    while world.lent:
        world.released(next(iter(world.lent)))
    assert world.scheduler.connections.size == 1


def test_a_larger_max_size_serves_requests_that_wait() -> None:
    world = World.ready(1)
    world.lend()
    waiter = world.lend()
    assert not world.opening
    world.resize(1, 2)
    world.opened()
    assert world.answer(waiter) == "delivered"


def test_another_min_size_is_reached() -> None:
    world = World.ready(1, max_size=4)
    world.resize(4, 4)
    while world.opening:
        world.opened()
    assert world.scheduler.connections.size == 4
    world.advance(world.scheduler.limits.idle_timeout + 1.0)
    world.resize(2, 4)
    assert world.scheduler.connections.size == 2, "they have idled long enough"


def test_a_pool_at_rest_needs_no_clock() -> None:
    world = World.ready(2, min_size=2)
    world.advance(1000.0)
    ticks = []
    world.recorder = lambda name, now, arguments, actions: ticks.append(name)
    world.advance(1000.0)
    assert len(ticks) <= 1


def test_waiting_for_a_connect_needs_no_clock() -> None:
    world = World(min_size=0)
    world.run(world.query(), 50)
    ticks = []
    world.recorder = lambda name, now, arguments, actions: ticks.append(name)
    world.advance(20.0)
    assert len(ticks) <= 1


@pytest.mark.parametrize("since", [10306.28, 0.1, 1e6 + 0.3])
def test_idle_timeout_survives_the_rounding_of_times(since: float) -> None:
    """`now - since` may round below the time-out at the very moment that `since + timeout` was waited for."""
    world = World.ready(4, min_size=1, idle_timeout=0.05)
    world.now = since
    waiters = [world.acquire() for _ in range(4)]
    world.end_of_tick()
    for conn in list(world.lent):
        world.released(conn)
    assert waiters
    world.advance(0.06)
    assert world.scheduler.connections.alive == 1
