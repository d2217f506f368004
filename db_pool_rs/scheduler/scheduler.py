"""How statements reach the server: the rules of docs/scheduling.md as a pure state machine.

No input or output happens here and no clock is read: every event comes with the time at which it happened, and returns
the actions that the pool is to carry out. Randomness comes in with the events too. So a trace of events gives the same
actions every time, in this implementation and in any other.

Read it from the top: the events that callers, connections, the pool and time cause, then how requests are served.
Groups and lanes are in :mod:`.lanes`, opening and closing in :mod:`.connections`, time in :mod:`.timeouts`. The
invariants of rule 3.11 are asserted by tests/simple/invariants.py after every event of random traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from ..sql import StatementClass
from .connections import Connections
from .cost import Query
from .lanes import break_up, lanes_wanted, learn, learn_failure, share, take_group
from .model import (
    DONE,
    NEVER,
    QUEUED,
    SENT,
    AcquireRequest,
    Action,
    Close,
    ConnectionState,
    Deliver,
    Fail,
    Lend,
    Limits,
    Reason,
    Request,
    Send,
    State,
    StatementRequest,
)
from .queues import Queue, Queues
from .timeouts import Timeouts, Timer
from .write_lanes import WriteLanes

# Members of enums that every group needs: looked up once, since that takes longer than comparing them.
READ, WRITE = StatementClass.READ, StatementClass.WRITE
LANE, AGE = State.LANE, Timer.AGE


class Scheduler:
    """The pool's policy. Methods named after events return the actions to carry out, in order."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.queues = Queues(one_writer=limits.max_write_lanes == 1)
        self.write_lanes = WriteLanes(limits.max_write_lanes)
        self._actions: list[Action] = []
        self.connections = Connections(limits, self._actions)
        self.timeouts = Timeouts(limits, self.queues, self.connections, self._actions)
        self.conns = self.connections.all
        self.idle, self.lanes = self.connections.idle, self.connections.lanes
        self.shutting_down = False
        #: How often answers were delivered.
        self.delivered = 0
        #: How many connections the requests that wait miss, as the last dispatch found.
        self.missing_connections = 0
        #: Groups that were rolled back and sent again, statement by statement; the statements of those groups.
        self.broken_up = 0
        self.resent = 0
        #: Statements that ran alone, by the reason.
        self.alone: dict[str, int] = {}
        self._may_add_lane = False

    @property
    def drained(self) -> bool:
        """No request waits and no connection is left."""
        return not self.queues.waiting and not self.conns

    # -- events from callers -------------------------------------------------------------------------------------

    def submit(self, statements: Sequence[StatementRequest], now: float) -> list[Action]:
        """Statements arrive, in this order. They are sent by the `end_of_tick` of this tick of the event loop."""
        refused: list[Action] = []
        if len(statements) > (room := self._room()):
            statements, late = statements[:room], statements[room:]
            refused = [self._refuse(statement) for statement in late]
        self.queues.add(statements, now)
        for statement in statements:
            if statement.deadline is not None:
                self.timeouts.remember(statement, statement.deadline)
        return refused

    def acquire(self, waiter: AcquireRequest, now: float) -> list[Action]:
        """A caller wants a connection of its own (rule 6.1)."""
        if not self._room():
            return [self._refuse(waiter)]
        self.queues.add_session(waiter, now)
        if waiter.deadline is not None:
            self.timeouts.remember(waiter, waiter.deadline)
        return []

    def end_of_tick(self, now: float, acknowledged: int) -> list[Action]:
        """The event loop's tick ends: what was collected in it is sent (rule 3.2).

        Comes after a tick with calls, and after each Deliver: the callers of the first `acknowledged` have run.
        """
        self.write_lanes.returned(acknowledged)
        self._dispatch(now)
        return self._take_actions()

    def cancel(self, request: Request, now: float) -> list[Action]:
        """The caller no longer waits (rule 5.1). Queued: taken out. Sent: its answer is dropped."""
        if request.state == QUEUED:
            self.timeouts.take_out(request)
            if self.shutting_down:  # it may have been the last one that needed a connection
                self._dispatch(now)
        elif request.state == SENT and isinstance(request, StatementRequest):
            request.state = DONE
            conn = cast(ConnectionState, request.conn)
            if all(s.state == DONE for s in conn.group):
                self.timeouts.cancel(conn, now)
        return self._take_actions()

    def regroup(self, query: Query, kind: StatementClass, groupable: bool, now: float) -> list[Action]:
        """A text is of another class than it seemed, or may be grouped, or no longer: the guard says so."""
        if query.permit(kind, groupable, self.limits.cost):
            self.queues.rehome(query, now)
            self._dispatch(now)
        return self._take_actions()

    # -- events from connections ---------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """Open the first `min_size` connections."""
        self._grow(now)
        return self._take_actions()

    def opened(self, conn: ConnectionState, now: float, lifetime: float, round_trip: float | None) -> list[Action]:
        """A connection is ready: see `Connections.opened`."""
        if conn.state is not State.OPENING:  # the pool was terminated meanwhile
            return [Close(conn)]
        self.connections.opened(conn, now, lifetime, round_trip)
        self.timeouts.arm(AGE, self.connections.release_if_idle(conn, now))
        self._dispatch_late(now)
        return self._take_actions()

    def open_failed(self, conn: ConnectionState, now: float, permanent: bool, jitter: float) -> list[Action]:
        """A connect failed. Without any connection to wait for, requests are answered with the cause now (rule 5.7).

        All are, if trying again cannot help (`permanent`), else those from before this attempt. `jitter`: 0..1.
        """
        if conn.state is not State.OPENING:
            return self.closed(conn, now)
        self.connections.forget(conn)
        self.connections.refused = permanent
        self.connections.pause(self.connections.failures + 1, now, jitter)
        if not self.connections.alive:
            self.timeouts.connect_failed(self.queues, NEVER if permanent else conn.began)
        self._dispatch(now)
        return self._take_actions()

    def closed(self, conn: ConnectionState, now: float) -> list[Action]:
        """A connection that was to be closed is closed: its place is free."""
        self.connections.forget(conn)
        self._dispatch(now)
        return self._take_actions()

    def finished(self, conn: ConnectionState, ok: bool, now: float, seconds: float, size: float) -> list[Action]:
        """ReadyForQuery came for the group of `conn`: all of it is committed, or all of it is rolled back (rule 2.2).

        `seconds` is the time from sending to the answer, `size` the largest result in bytes.
        """
        group = conn.group
        stalled = conn.cancel_at != NEVER
        conn.group = []
        conn.cancel_at = NEVER
        conn.probation_until = -NEVER
        self.connections.remove_from_pool(conn)
        final = ok or len(group) == 1
        awaited = [statement for statement in group if statement.state == SENT] if final else []
        if ok and conn.state is LANE:
            self.connections.served(conn, seconds)
            if conn.kind is WRITE:
                self._written(len(group), len(awaited), seconds, now)
        if ok:
            learn(group, conn, seconds, size, now, self.queues, self.limits.cost)
        elif final:
            learn_failure(group[0], conn, seconds, now, self.queues, self.limits.cost)
        else:
            self.broken_up += 1
            self.resent += break_up(group, stalled, now, self.queues, self.limits.cost)
        self.timeouts.arm(AGE, self.connections.release_if_idle(conn, now))
        self._dispatch(now)  # the server gets its next group before the answers of this one are handed out
        if awaited:
            for statement in awaited:
                statement.state = DONE
            self.delivered += 1
            self._actions.append(Deliver(awaited))
        return self._take_actions()

    def _written(self, count: int, awaited: int, seconds: float, now: float) -> None:
        """WRITEs are committed: their lane may have to wait for their callers, until their `end_of_tick` (rule 3.7)."""
        self.write_lanes.carried(count, seconds, now)
        if awaited and self.write_lanes.gathers and self.queues.writes.length < self.limits.group_max:
            self.write_lanes.awaiting_resubmit.append((self.delivered + 1, awaited))
            self.timeouts.arm(Timer.GATHER, now + self.limits.write_lane_wait)  # should the callers take their time

    def measured(self, conn: ConnectionState, seconds: float) -> None:
        """A round trip in which the server had next to nothing to do took `seconds`."""
        conn.round_trip = min(conn.round_trip, seconds)

    def cancel_closed(self, conn: ConnectionState, now: float) -> list[Action]:
        """The server closed the CancelRequest's connection: it can no longer hit a later statement."""
        conn.cancelling = False
        if conn.group:
            self.timeouts.arm(Timer.CANCEL, conn.ask_at)
        self.timeouts.arm(AGE, self.connections.release_if_idle(conn, now))
        self._dispatch(now)
        return self._take_actions()

    def reset_done(self, conn: ConnectionState, now: float) -> list[Action]:
        """The session is clean again."""
        conn.resetting = False
        self.timeouts.arm(AGE, self.connections.release_if_idle(conn, now))
        self._dispatch(now)
        return self._take_actions()

    def released(self, conn: ConnectionState, now: float, healthy: bool) -> list[Action]:
        """A session was given back, already clean; `healthy` is False if it must not be used again."""
        assert conn.state is State.SESSION, f"bug: {conn!r} released"
        if healthy:
            conn.probation_until = -NEVER
            self.timeouts.arm(AGE, self.connections.release_if_idle(conn, now))
        else:
            self.connections.close(conn)
        self._dispatch(now)
        return self._take_actions()

    def lost(self, conn: ConnectionState, now: float, sent: bool, evict_all: bool, jitter: float) -> list[Action]:
        """The connection is gone (rule 5.5). What was not executed for certain is sent elsewhere, unnoticed.

        The rest fails, its outcome unknown: nothing is repeated that may be committed. If the connection was lost as
        soon as it was opened, that is one more attempt to open one that came to nothing (see `open_failed`).
        """
        group = [s for s in conn.group if s.state != DONE]
        used = sent or conn.state is State.SESSION
        self.connections.forget(conn)
        if evict_all:
            self.connections.evict_all()
        again = [s for s in group if not sent or (self.limits.retry_reads and s.query.kind is READ and not s.alone)]
        for statement in again:
            statement.alone = statement.alone or sent
        self.queues.put_back(again, now)
        self.connections.fail_group(conn, Reason.LOST)
        if now < conn.probation_until:
            self.connections.pause(max(self.connections.failures, conn.failures + 1), now, jitter)
            if not used:  # else its user may be the cause
                self.timeouts.connect_failed(again if self.connections.alive else self.queues, conn.began)
        self._dispatch(now)
        return self._take_actions()

    # -- events from the pool and from time ----------------------------------------------------------------------

    def resize(self, now: float, min_size: int, max_size: int) -> list[Action]:
        """Other bounds: surplus idle connections close now, busy ones when they are free."""
        self.limits = replace(self.limits, min_size=min_size, max_size=max_size)
        self.connections.resize(self.limits)
        self.timeouts.arm(AGE, self.connections.age(now))
        self._dispatch(now)
        return self._take_actions()

    def expire(self, now: float) -> list[Action]:
        """Replace every connection as soon as it is free."""
        self.connections.evict_all()
        self._dispatch(now)
        return self._take_actions()

    def shut_down(self, now: float) -> list[Action]:
        """Take no new work; finish what is there; close connections as they become free."""
        self.shutting_down = True
        self._dispatch(now)
        return self._take_actions()

    def terminate(self) -> list[Action]:
        """Answer every request with CLOSED and close every connection now."""
        self.shutting_down = True
        self.timeouts.fail(list(self.queues), Reason.CLOSED)
        for conn in list(self.conns.values()):
            self.connections.fail_group(conn, Reason.CLOSED)
            if conn.state is not State.CLOSING:
                self.connections.close(conn)
        return self._take_actions()

    def handle_timeout(self, now: float) -> list[Action]:
        """Time has passed: deadlines, stalls, silence, ageing, retries."""
        self.write_lanes.awaiting_resubmit.clear()
        self.timeouts.handle(now)
        self.timeouts.arm(AGE, self.connections.age(now))
        self._dispatch_late(now)
        return self._take_actions()

    # -- serving -------------------------------------------------------------------------------------------------

    def _dispatch(self, now: float) -> None:
        """Give connections to waiters, first come, first served (rule 3.9), and open what is missing."""
        self.missing_connections = 0
        served = self.queues.waiting > 0
        while served:
            served = False
            for queue in self.queues.heads():
                if self._serve(queue, now):
                    served = True  # another head may now be the oldest: look again
                    break
        if self.shutting_down and not self.queues.waiting:
            self.connections.close_unneeded()
        self._grow(now)

    def _serve(self, queue: Queue[Request], now: float) -> bool:
        """Serve the head of `queue` if a connection is there for it."""
        head = queue[0]
        if isinstance(head, StatementRequest) and queue is not cast("Queue[Request]", self.queues.alone):
            return self._feed_lane(cast("Queue[StatementRequest]", queue), head.query.kind, now)
        if not self.idle:
            self.missing_connections += queue.length
            return False
        queue.popleft()
        queue.trim()
        self.queues.waiting -= 1
        conn = self.idle.pop()
        if isinstance(head, StatementRequest):
            conn.state = State.ALONE
            why = "cost" if head.query.groupable else head.query.why
            self.alone[why] = self.alone.get(why, 0) + 1
            conn.unclean = head.query.dirties
            self._send(conn, [head], now)
        else:
            head.state = SENT
            conn.state = State.SESSION
            self._actions.append(Lend(conn, head))
        return True

    def _feed_lane(self, queue: Queue[StatementRequest], kind: StatementClass, now: float) -> bool:
        """Start the next lane for `kind`: an even share of the queue, of `piece_min` or more (rule 3.3)."""
        pieces = -(-queue.length // self.limits.piece_min)
        wanted = min(lanes_wanted(queue[0], self.connections, self.write_lanes, now, self._may_add_lane), pieces)
        lanes = min(wanted, len(self.idle))
        if not lanes:
            self.missing_connections += wanted
            return False
        size = max(share(kind, queue.length, lanes, self.lanes, self.write_lanes), self.limits.piece_min)
        mixed = self.queues.one_writer and kind is WRITE
        group = take_group(queue, min(size, self.limits.group_max), self.limits.group_time, now, mixed)
        self.queues.waiting -= len(group)
        conn = self.idle.pop()
        conn.state, conn.kind = LANE, kind
        self.lanes.append(conn)
        self._send(conn, group, now)
        if not queue:  # served with fewer lanes than it should have: the next time there are enough
            self.missing_connections += wanted - lanes
        return True

    def _send(self, conn: ConnectionState, group: list[StatementRequest], now: float) -> None:
        for statement in group:
            statement.state = SENT
            statement.conn = conn
        conn.group = group
        conn.started = now
        conn.concurrency = len(self.conns) - len(self.idle)
        if len(group) > 1 and self.limits.breaks_stalls:
            self.timeouts.watch_group(conn, now)
        self._actions.append(Send(conn, group))

    # -- inner workings ------------------------------------------------------------------------------------------

    def _dispatch_late(self, now: float) -> None:
        """Dispatch at a moment when a head that has waited too long may have another lane (rule 3.6)."""
        self._may_add_lane = True
        self._dispatch(now)
        self._may_add_lane = False

    def _grow(self, now: float) -> None:
        """Open what is missing: for requests that wait, and to keep `min_size` (rules 3.8, 3.11)."""
        if self.queues.waiting:
            self.timeouts.watch_queues(now)
        kept = 0 if self.shutting_down or self.connections.refused else self.limits.min_size
        if self.missing_connections or self.connections.alive < kept:
            self.timeouts.arm(Timer.CONNECT, self.connections.grow(self.missing_connections, kept, now))

    def _take_actions(self) -> list[Action]:
        actions = self._actions.copy()
        self._actions.clear()
        return actions

    def _room(self) -> int:
        """How many more requests may wait (rule 5.10)."""
        return 0 if self.shutting_down else max(self.limits.max_waiting - self.queues.waiting, 0)

    def _refuse(self, request: Request) -> Action:
        request.state = DONE
        return Fail(request, Reason.CLOSED if self.shutting_down else Reason.OVERLOADED)
