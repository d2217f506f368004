"""What time does: deadlines, groups that stall, servers that take no notice of a cancel. The scheduler's timers.

Each reason to be woken has a :class:`Timer`; :meth:`Timeouts.arm` is the only place where a moment is noted. A timer
that was armed for something that no longer matters goes off for nothing: `handle` looks at everything that waits, and
arms anew what still does.
"""

from __future__ import annotations

import enum
import heapq
from collections.abc import Iterable, Iterator

from .connections import Connections
from .model import (
    DONE,
    NEVER,
    QUEUED,
    SENT,
    Action,
    Cancel,
    ConnectionState,
    Fail,
    Limits,
    Reason,
    Request,
    StatementRequest,
)
from .queues import FEW, Queues


class Timer(enum.Enum):
    """Why the scheduler is to be woken."""

    #: The deadline of a request (rule 5.2).
    DEADLINE = "deadline"
    #: A statement without a deadline has waited for its turn as long as it may.
    QUEUE = "queue"
    #: The head of a queue has waited too long for the lanes that run (rule 3.6).
    LANE = "lane"
    #: A lane for WRITEs has waited long enough for the callers that it answered (rule 3.7).
    GATHER = "gather"
    #: A group runs too long (rule 2.5).
    STALL = "stall"
    #: A server was asked to stop a group, and takes no notice (rule 5.4).
    CANCEL = "cancel"
    #: The next connect may be tried (rule 5.7).
    CONNECT = "connect"
    #: A connection was idle for long enough, or is old enough (rule 6.5).
    AGE = "age"


class Timeouts:
    """The timers of one pool, and what happens when they go off. Actions are added to `actions`."""

    def __init__(self, limits: Limits, queues: Queues, connections: Connections, actions: list[Action]) -> None:
        self.limits = limits
        self.queues = queues
        self.connections = connections
        #: The timer that goes off first, and when.
        self.timer: Timer | None = None
        self._next = NEVER
        #: A heap of deadlines, those of answered requests included.
        self.deadlines: list[tuple[float, int, Request]] = []
        self._deadlines_most = 1000
        #: How many of them are of requests that were taken out, since they were last looked through.
        self._deadlines_over = 0
        self._actions = actions

    def arm(self, timer: Timer, at: float) -> None:
        """`handle` is needed at `at` for the reason `timer`, unless another timer goes off earlier."""
        if at < self._next:
            self.timer, self._next = timer, at

    def next_timeout(self) -> float:
        """When `handle` is next needed, at the latest."""
        return self._next

    def handle(self, now: float) -> None:
        """Answer requests whose time is over, break up groups that stall, press servers that take no notice."""
        self.timer, self._next = None, NEVER
        for request in self._overdue(now):
            self._expire(request, now)
        if self.limits.breaks_stalls:
            for conn in list(self.connections.lanes):
                if len(conn.group) > 1:
                    self._stall(conn, now)
        for conn in [c for c in self.connections.all.values() if c.cancel_at != NEVER]:
            self._escalate_cancel(conn, now)

    # -- requests ------------------------------------------------------------------------------------------------

    def remember(self, request: Request, deadline: float) -> None:
        """`request` must be answered at `deadline`."""
        if len(self.deadlines) >= self._deadlines_most:
            self._forget_answered()
        heapq.heappush(self.deadlines, (deadline, request.ticket, request))
        self.arm(Timer.DEADLINE, deadline)

    def take_out(self, request: Request) -> None:
        """`request` is queued, and waits no longer, though its deadline has not come."""
        self.queues.remove(request)
        if request.deadline is not None:
            self._deadlines_over += 1
            if 2 * self._deadlines_over > len(self.deadlines) + FEW:
                self._forget_answered()

    def fail(self, requests: Iterable[Request], reason: Reason) -> None:
        """These queued requests are answered with `reason`."""
        for request in requests:
            self.take_out(request)
            self._actions.append(Fail(request, reason))

    def connect_failed(self, waiting: Iterable[Request], began: float) -> None:
        """An attempt that `began` then came to nothing: requests that waited already get the cause (rule 5.7)."""
        self.fail([request for request in waiting if request.enqueued <= began], Reason.CONNECT_FAILED)

    def _forget_answered(self) -> None:
        """Keep nothing that was answered long before its deadline."""
        self.deadlines = [entry for entry in self.deadlines if _is_pending(entry[2])]
        heapq.heapify(self.deadlines)
        self._deadlines_most = 1000 + 2 * len(self.deadlines)
        self._deadlines_over = 0

    def watch_queues(self, now: float) -> None:
        """While statements wait: their time in the queue, and whether they should get a lane after all."""
        for queue in self.queues.statements():
            if queue:
                self.arm(Timer.QUEUE, queue[0].enqueued + self.limits.acquire_timeout)
        room = self.connections.idle or self.connections.size < self.connections.limits.max_size
        if room and self.connections.lanes:
            waits = (self.queues.reads, self.limits.lane_wait), (self.queues.writes, self.limits.write_lane_wait)
            for queue, patience in waits:
                if queue:
                    over = queue[0].enqueued + patience
                    self.arm(Timer.LANE, over if over > now else now + patience)

    def _overdue(self, now: float) -> Iterator[Request]:
        while self.deadlines and self.deadlines[0][0] <= now:
            yield heapq.heappop(self.deadlines)[2]
        if self.deadlines:
            self.arm(Timer.DEADLINE, self.deadlines[0][0])
        for queue in self.queues.statements():
            while queue and queue[0].enqueued + self.limits.acquire_timeout <= now:
                yield queue[0]

    def _expire(self, request: Request, now: float) -> None:
        if request.state == QUEUED:
            self.queues.remove(request)
            self._actions.append(Fail(request, Reason.TIMEOUT))
        elif request.state == SENT and isinstance(request, StatementRequest):
            request.state = DONE
            self._actions.append(Fail(request, Reason.TIMEOUT, sent=True))
            self.cancel(request.conn, now)  # alone: stop it; in a group: break the group up (rule 5.3)

    # -- groups --------------------------------------------------------------------------------------------------

    def _stall(self, conn: ConnectionState, now: float) -> None:
        """Break the group up if it has run too long: the server rolls it back, each statement goes alone (rule 2.5)."""
        at = conn.started + self.limits.stall
        if now >= at:
            self.cancel(conn, now)
        else:
            self.arm(Timer.STALL, at)

    def cancel(self, conn: ConnectionState, now: float) -> None:
        """Ask the server to stop what runs on `conn`, unless it was asked before."""
        if conn.cancel_at == NEVER:
            conn.cancel_at = conn.ask_at = now
            self._escalate_cancel(conn, now)

    def _escalate_cancel(self, conn: ConnectionState, now: float) -> None:
        """The server was asked to stop the group: ask again where it took no notice, give up in the end (rule 5.4)."""
        until = conn.cancel_at + self.limits.cancel_grace if self.limits.breaks_stalls else NEVER
        if now >= until:
            self._declare_dead(conn)
            return
        if until != NEVER and conn.generation == self.connections.generation:
            if now >= conn.cancel_at + self.limits.suspect:
                self.connections.evict_all()  # the link may be silent, and so may those that idle (rule 5.8)
            else:
                until = conn.cancel_at + self.limits.suspect
        if not conn.cancelling:
            if now >= conn.ask_at:
                conn.ask_at = now + max(self.limits.cancel_pause, now - conn.cancel_at)
                conn.cancelling = True
                self._actions.append(Cancel(conn))
            else:
                until = min(until, conn.ask_at)
        self.arm(Timer.CANCEL, until)

    def _declare_dead(self, conn: ConnectionState) -> None:
        """The server does not even react to a cancel: the link is silent. Others that idle may be as dead."""
        self.connections.fail_group(conn, Reason.LOST)
        self.connections.close(conn)
        self.connections.evict_all()


def _is_pending(request: Request) -> bool:
    """Whether the deadline of `request` still matters: not once it was answered, or got a connection."""
    return request.state == QUEUED or (request.state == SENT and isinstance(request, StatementRequest))
