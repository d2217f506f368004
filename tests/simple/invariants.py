"""What must hold of a scheduler after every event: rule 3.11 of docs/scheduling.md.

`check_structure` holds at any time; `check_served` after every event that ends with a dispatch: not after `submit` and
`acquire`, whose waiters are served by the `end_of_tick` that follows, nor after `cancel`, which may come in between.
That each statement is answered exactly once, and that no connection is used twice at a time, is asserted by the world
that carries the actions out (:mod:`.machine`).
"""

from __future__ import annotations

from collections import Counter

from db_pool_rs.scheduler.model import QUEUED, AcquireRequest, ConnectionState, Request, State
from db_pool_rs.scheduler.queues import FEW
from db_pool_rs.scheduler.scheduler import Scheduler
from db_pool_rs.sql import StatementClass

NEVER = float("inf")
#: Times are sums of floating-point numbers.
EPSILON = 1e-9


def check_structure(scheduler: Scheduler) -> None:
    """Every waiter is in one place, every connection in one state."""
    _check_queues(scheduler)
    _check_connections(scheduler)


def check_served(scheduler: Scheduler, now: float) -> None:
    """Nothing was left undone that could be done at `now`, and the scheduler will be woken for what comes later."""
    _check_nobody_waits_beside_a_free_connection(scheduler)
    _check_connects(scheduler, now)
    _check_closing(scheduler)
    _check_wake(scheduler, now)


def _check_queues(scheduler: Scheduler) -> None:
    queues = scheduler.queues
    requests = list(queues)
    assert queues.waiting == len(requests)
    running = [s for conn in scheduler.conns.values() for s in conn.group]
    assert max(Counter(map(id, [*requests, *running])).values(), default=1) == 1, "in two places"
    for queue in (queues.reads, queues.writes, queues.alone, queues.sessions):
        tickets = [request.ticket for request in queue]
        assert tickets == sorted(tickets), "not first come, first served"
        assert queue.length == sum(1 for request in queue if request.state == QUEUED)
        assert not queue or queue[0].state == QUEUED
        assert 2 * queue.gone <= len(queue) + FEW, "what was taken out is kept"
        assert all(request.queue is queue for request in queue)
    assert all(request.state == QUEUED for request in requests)
    assert all(isinstance(request, AcquireRequest) for request in queues.sessions)
    for queue, kind in ((queues.reads, StatementClass.READ), (queues.writes, StatementClass.WRITE)):
        assert all(statement.query.kind is kind for statement in queue.waiting())
        if queue is queues.writes and queues.one_writer:
            continue
        for statement in queue.waiting():
            assert statement.query.fast
            assert statement.query.groupable
            assert not statement.alone
    if queues.one_writer:
        assert all(statement.query.kind is not StatementClass.WRITE for statement in queues.alone.waiting())


def _check_connections(scheduler: Scheduler) -> None:
    for ident, conn in scheduler.conns.items():
        assert conn.id == ident
        assert conn.state is not State.CLOSED
        assert (conn in scheduler.idle) == (conn.state is State.IDLE)
        assert (conn in scheduler.lanes) == (conn.state is State.LANE and bool(conn.group))
        if conn.state in (State.OPENING, State.IDLE, State.SESSION, State.CLOSING):
            assert not conn.group
        if conn.state is State.IDLE:
            assert [conn.cancelling, conn.resetting, conn.unclean] == [False] * 3
        if conn.resetting:
            assert conn.state in (State.ALONE, State.CLOSING)
            assert not conn.group
        assert all(s.state != QUEUED and s.conn is conn for s in conn.group)
    writing = sum(1 for conn in scheduler.lanes if conn.kind is StatementClass.WRITE)
    assert writing <= scheduler.limits.max_write_lanes
    for conns in (scheduler.idle, scheduler.lanes):
        assert len(set(map(id, conns))) == len(conns)
        assert all(conn.id in scheduler.conns for conn in conns)
    closing = scheduler.connections.counts()[State.CLOSING]
    assert scheduler.connections.alive == scheduler.connections.size - closing


def lanes_suffice(scheduler: Scheduler, kind: StatementClass) -> bool:
    """Whether the rules let statements of `kind` wait for the lanes that run."""
    limits = scheduler.limits
    running = sum(1 for conn in scheduler.lanes if conn.kind is kind)
    if kind is StatementClass.READ:
        base, most = limits.read_lanes, limits.max_size
    else:
        base, most = scheduler.write_lanes.lanes, limits.max_write_lanes
    nearest = min((conn.round_trip for conn in scheduler.conns.values()), default=NEVER)
    if max(limits.far, scheduler.connections.server_time[kind]) < nearest < NEVER:
        base = min(most, limits.max_size)
    awaiting_resubmit = len(scheduler.write_lanes.awaiting_resubmit) if kind is StatementClass.WRITE else 0
    return running >= most or running + awaiting_resubmit >= base


def _check_nobody_waits_beside_a_free_connection(scheduler: Scheduler) -> None:
    if scheduler.idle:
        assert not scheduler.queues.alone
        assert not scheduler.queues.sessions
        for queue in (scheduler.queues.reads, scheduler.queues.writes):
            assert not queue or lanes_suffice(scheduler, queue[0].query.kind)
            assert not queue or scheduler.timeouts.next_timeout() < NEVER
    if scheduler.shutting_down and not scheduler.queues.waiting:
        assert not scheduler.idle
        assert not scheduler.connections.counts()[State.OPENING]


def _missing(scheduler: Scheduler) -> int:
    """Connections that are needed for certain: those who wait, or to keep `min_size`."""
    queues, limits = scheduler.queues, scheduler.limits
    needed = queues.alone.length + queues.sessions.length
    for queue in (queues.reads, queues.writes):
        if queue and not lanes_suffice(scheduler, queue[0].query.kind):
            needed += 1
    opening = scheduler.connections.counts()[State.OPENING]
    kept = (
        0 if scheduler.shutting_down or scheduler.connections.refused else limits.min_size - scheduler.connections.alive
    )
    return max(needed - opening, kept)


def _check_connects(scheduler: Scheduler, now: float) -> None:
    """A request needs a connection and there is room: a connect is under way, or its retry is due."""
    missing = _missing(scheduler)
    if missing <= 0 or scheduler.connections.size >= scheduler.limits.max_size:
        return
    opening = scheduler.connections.counts()[State.OPENING]
    if scheduler.connections.failures:
        assert opening or now < scheduler.connections.retry_at, "no retry under way"
        assert opening or scheduler.timeouts.next_timeout() <= scheduler.connections.retry_at, (
            "no timer wakes for the retry"
        )
    else:
        assert opening >= max(2, scheduler.connections.alive - opening), "more connects could be under way"


def _check_closing(scheduler: Scheduler) -> None:
    """While the pool closes no connection is kept, nor opened, that no request waits for (rule 5.9)."""
    if scheduler.shutting_down and not scheduler.queues.waiting:
        states = scheduler.connections.counts()
        assert states[State.OPENING] + states[State.IDLE] == 0, "a connection that no request needs"


def _check_wake(scheduler: Scheduler, now: float) -> None:
    """Whatever only time can bring about has a time."""
    wake, limits = scheduler.timeouts.next_timeout() - EPSILON, scheduler.limits
    for queue in scheduler.queues.statements():
        assert all(wake <= statement.enqueued + limits.acquire_timeout for statement in queue.waiting())
    waiting: list[Request] = list(scheduler.queues)
    running: list[Request] = [s for conn in scheduler.conns.values() for s in conn.group if s.state == 1]
    assert all(wake <= request.deadline for request in [*waiting, *running] if request.deadline is not None)
    for conn in scheduler.conns.values():
        assert wake <= _cancel_if_due(scheduler, conn)
    queues = scheduler.queues
    if (queues.reads or queues.writes) and scheduler.idle:
        assert wake <= now + max(limits.lane_wait, limits.write_lane_wait)


def _cancel_if_due(scheduler: Scheduler, conn: ConnectionState) -> float:
    """When time does something to `conn`."""
    limits = scheduler.limits
    if conn.state is State.IDLE:
        surplus = scheduler.connections.alive > limits.min_size
        return min(conn.expires, conn.since + limits.idle_timeout if surplus else NEVER)
    if not conn.group:
        return NEVER
    if conn.cancel_at != NEVER:
        until = conn.cancel_at + limits.cancel_grace if limits.breaks_stalls else NEVER
        return min(until, NEVER if conn.cancelling else conn.ask_at)
    return conn.started + limits.stall if len(conn.group) > 1 and limits.breaks_stalls else NEVER
