"""How a pool ends, in virtual time: shut down drains, terminate does not wait."""

from __future__ import annotations

from db_pool_rs.scheduler.model import Close, Open, Request
from tests.simple.machine import OTHER, SESSION, World


def test_shut_down_refuses_new_work_and_finishes_what_is_there() -> None:
    world = World.ready(2, min_size=1)
    running = world.run(world.query(OTHER))
    world.lend()
    waiting: list[Request] = [
        *world.submit(world.query(), 3),
        *world.submit(world.query(SESSION, dirties=True)),
        world.acquire(),
    ]
    world.shut_down()
    refused: list[Request] = [*world.submit(world.query()), world.acquire()]
    assert world.outcome(refused) == {"closed"}
    world.behave()
    assert world.outcome([*running, *waiting]) == {"delivered"}
    assert world.scheduler.drained


def test_shut_down_serves_with_the_connections_that_there_are() -> None:
    world = World.ready(2)
    start = world.now
    call = world.submit(world.query())
    world.shut_down()
    assert world.sizes == [1]
    assert world.count(Close, since=start) == 1, "what is not needed closes"
    world.behave()
    assert world.outcome(call) == {"delivered"}
    assert not world.count(Open, since=start + 0.001)


def test_shut_down_keeps_free_connections_while_a_request_may_need_them() -> None:
    world = World.ready(4)
    query = world.query()
    world.run(query, 16)
    world.run(query, 3)
    world.shut_down()
    assert len(world.scheduler.idle) == 2
    world.advance(0.01)
    assert len(world.running) == 3, "the lanes are overdue"
    assert not world.scheduler.idle


def test_shut_down_of_an_idle_pool_closes_everything() -> None:
    world = World.ready(3)
    world.shut_down()
    assert world.scheduler.drained


def test_shut_down_gives_up_connections_that_no_request_needs() -> None:
    world = World(min_size=2)
    world.start()
    (call,) = world.run(world.query())
    world.shut_down()
    assert len(world.opening) == 2
    world.opened()
    assert len(world.running) == 1
    assert not world.opening
    world.behave()
    assert world.outcome([call]) == {"delivered"}


def test_shut_down_gives_up_connections_once_the_last_waiter_has_gone() -> None:
    world = World(min_size=1)
    world.start()
    (last,) = world.run(world.query())
    world.shut_down()
    world.cancel(last)
    assert not world.opening
    world.behave()
    assert world.scheduler.drained


def test_shut_down_ends_when_the_last_waiter_goes_away() -> None:
    world = World.ready(3)
    query = world.query()
    world.run(query, 16)
    (last,) = world.run(query)
    world.shut_down()
    world.cancel(last)
    while world.running:
        world.finished(next(iter(world.running)))
    assert world.scheduler.drained


def test_shut_down_while_the_server_is_away_answers_every_request() -> None:
    world = World(min_size=1)
    world.start()
    calls = world.run(world.query(), 3)
    world.shut_down()
    world.open_failed()
    assert world.outcome(calls) == {"connect_failed"}
    assert world.scheduler.drained


def test_shut_down_replaces_a_connection_that_the_waiters_still_need() -> None:
    world = World.ready(1)
    world.run(world.query(OTHER))
    waiting = world.run(world.query())
    world.shut_down()
    world.lost(next(iter(world.running)))
    assert len(world.opening) == 1
    world.behave()
    assert world.outcome(waiting) == {"delivered"}


def test_terminate_answers_every_request_and_closes_everything_now() -> None:
    world = World.ready(4, max_size=5)
    running = world.run(world.query(), 9)
    world.lend()
    world.run(world.query(SESSION, dirties=True))
    world.finished(world.sends[0].conn)
    waiting: list[Request] = [world.lend(), *world.submit(world.query(OTHER), 3)]
    world.end_of_tick()
    assert world.opening
    world.terminate()
    assert world.outcome([*running, *waiting]) == {"closed"}
    assert world.scheduler.drained
    assert world.outcome([*world.submit(world.query()), world.acquire()]) == {"closed"}


def test_a_connection_that_opens_after_terminate_is_closed() -> None:
    world = World(min_size=1)
    world.start()
    conn = world.opening[0]
    world.terminate()
    actions = world.scheduler.opened(conn, world.now, 3600.0, None)
    assert actions == [Close(conn)]
    assert [type(action) for action in actions] == [Close]  # tuples of one content are equal
    assert world.scheduler.closed(conn, world.now) == []
    assert world.scheduler.open_failed(conn, world.now, False, 0.5) == []
    assert world.scheduler.drained
