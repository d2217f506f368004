"""Lanes and groups: how many lanes a kind of statement may have, what the next one carries, what its answer teaches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..sql import StatementClass
from .connections import Connections
from .cost import CostLimits, Query
from .model import DONE, NEVER, SENT, ConnectionState, StatementRequest
from .queues import Queue, Queues, may_share
from .write_lanes import WriteLanes


def lanes_wanted(
    head: StatementRequest, connections: Connections, write_lanes: WriteLanes, now: float, may_add_lane: bool
) -> int:
    """How many more lanes may carry statements of the kind of `head`, the first in their queue (rules 3.6, 3.7).

    A few lanes from the start, where the server is far all connections (rule 3.12); one more when `head` has waited
    too long for those that run. (A long queue of WRITEs is no reason as long as lanes take from it, at the pace of the
    disk: more commits would only make it longer.) Whether `head` has waited too long is asked if `may_add_lane`: in
    `handle_timeout`, and when a connection was opened for it. Before that, every answer that has arrived was taken in,
    so a busy event loop does not look like slow lanes.
    """
    limits, kind = connections.limits, head.query.kind
    running = [lane for lane in connections.lanes if lane.kind is kind]
    if kind is StatementClass.READ:
        base, most, patience = limits.read_lanes, limits.max_size, limits.lane_wait
        awaiting_resubmit = 0
    else:
        awaiting_resubmit = len(write_lanes.awaiting_resubmit)
        base, most, patience = write_lanes.lanes, limits.max_write_lanes, limits.write_lane_wait
    if connections.far(kind):
        base = min(most, limits.max_size)
    if len(running) + awaiting_resubmit < base:
        return base - len(running) - awaiting_resubmit
    if awaiting_resubmit or len(running) >= most:
        return 0
    late = head.enqueued + patience
    if kind is StatementClass.WRITE:
        late = max(late, max(lane.started for lane in running) + max(patience, 2.0 * write_lanes.took))
    return 1 if may_add_lane and now >= late else 0


def share(
    kind: StatementClass, queued: int, free: int, lanes: Iterable[ConnectionState], write_lanes: WriteLanes
) -> int:
    """How many of the `queued` statements of `kind` one of the `free` lanes takes (rule 3.3).

    Of WRITEs it is an even share of all, those included that other lanes carry or wait for: else groups that
    were once uneven would stay so, since callers that were answered together come back together.
    """
    others: list[int] = []
    if kind is StatementClass.WRITE:
        others += [len(lane.group) for lane in lanes if lane.kind is StatementClass.WRITE]
        others += [answered for _, answered in write_lanes.awaiting_resubmit]
    return -(-(queued + sum(others)) // (free + len(others)))


def take_group(
    queue: Queue[StatementRequest], size: int, most: float, now: float, mixed: bool
) -> list[StatementRequest]:
    """Take the next group from the head of `queue`: at most `size` statements, `most` seconds expected (rule 3.5).

    A `mixed` queue (WRITEs where there is one writer) also holds statements that must not share a connection: each is a
    group to itself.
    """
    group: list[StatementRequest] = []
    expected = 0.0
    while queue and len(group) < size:
        cost = NEVER if mixed and not may_share(queue[0], now) else queue[0].query.mean
        if group and expected + cost > most:
            break
        expected += cost
        group.append(queue.popleft())
        if queue.gone:
            queue.trim()
    return group


def learn(
    group: Sequence[StatementRequest],
    conn: ConnectionState,
    seconds: float,
    size: float,
    now: float,
    queues: Queues,
    limits: CostLimits,
) -> None:
    """A group was answered: each statement's share of the service time goes to its text (rule 3.4).

    A commit with its fsync is paid once, however many share it, so a WRITE is spared the time of one. The `concurrency`
    connections that worked at the same time shared the server: on a busy machine all look slow that are not.
    """
    common = conn.network_time(seconds) + (limits.commit_time if group[0].query.kind is StatementClass.WRITE else 0.0)
    each = max(seconds - common, 0.0) / (len(group) * conn.concurrency)
    counts: dict[Query, int] = {}
    for statement in group:
        counts[statement.query] = counts.get(statement.query, 0) + 1
    for query, count in counts.items():
        if query.observe(count, each, size, limits):
            queues.rehome(query, now)


def learn_failure(
    statement: StatementRequest, conn: ConnectionState, seconds: float, now: float, queues: Queues, limits: CostLimits
) -> None:
    """A statement failed by itself (rule 2.4). One that was stopped since nothing waited for it counts as slow."""
    query = statement.query
    if statement.state == SENT:
        if query.failed(now, limits):
            queues.rehome(query, now)
    elif seconds - conn.network_time(seconds) > query.mean * conn.concurrency:  # it would have taken at least as long
        learn([statement], conn, seconds, query.size, now, queues, limits)


def break_up(group: Sequence[StatementRequest], stalled: bool, now: float, queues: Queues, limits: CostLimits) -> int:
    """A group was rolled back: each of its statements is sent again alone (rule 2.3). Returns how many.

    If it was broken up since it stalled, its texts count as failed: they are not grouped for a while (rule 2.4).
    """
    again = [statement for statement in group if statement.state != DONE]
    for statement in again:
        statement.alone = True
    for query in dict.fromkeys(statement.query for statement in group) if stalled else ():
        if query.stalled(now, limits):
            queues.rehome(query, now)
    queues.put_back(again, now)
    return len(again)
