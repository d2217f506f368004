"""Requests that wait: four queues with one order.

Statements wait where they can be served: fast READs and fast WRITEs in queues of their own, so that a group is taken
from the head of one queue; everything that needs a connection to itself in ``alone``; ``acquire`` in ``sessions``. A
ticket, given on arrival, orders all of them: the head with the lowest ticket of the four is served first.

Where the database has one writer, every WRITE waits among the WRITEs, also one that needs a connection to itself: it
cannot run before those that came first, and would keep a connection from readers while it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import TypeVar, cast

from ..sql import StatementClass
from .cost import Query
from .model import DONE, QUEUED, AcquireRequest, Request, StatementRequest

#: So many that were taken out may stay in a queue, however short it is.
FEW = 64

Waiting = TypeVar("Waiting", StatementRequest, AcquireRequest, Request)


class Queue(deque[Waiting]):
    """One queue, in order of tickets.

    An item that is taken out stays in the queue until the head has come so far, or until half of the queue is gone: so
    it costs the same wherever it stands. The head always waits, so that in an empty queue nothing waits.
    """

    __slots__ = ("gone",)

    def __init__(self) -> None:
        super().__init__()
        self.gone = 0

    @property
    def length(self) -> int:
        """How many wait."""
        return len(self) - self.gone

    def waiting(self) -> Iterator[Waiting]:
        """The requests that wait."""
        return (request for request in self if request.state == QUEUED) if self.gone else iter(self)

    def take_out(self, request: Waiting) -> None:
        """`request` no longer waits."""
        request.state = DONE
        self.gone += 1
        if 2 * self.gone > len(self) + FEW:
            self.refill(list(self.waiting()))
        else:
            self.trim()

    def trim(self) -> None:
        """The head has left, or was taken out: the next one is an item that waits."""
        while self and self[0].state != QUEUED:
            self.popleft()
            self.gone -= 1

    def refill(self, requests: list[Waiting]) -> None:
        """These are all the requests that wait."""
        self.clear()
        self.extend(requests)
        self.gone = 0


class Queues:
    """The waiting statements and sessions of one pool."""

    __slots__ = ("alone", "first_ticket", "last_ticket", "one_writer", "reads", "sessions", "waiting", "writes")

    def __init__(self, one_writer: bool) -> None:
        self.one_writer = one_writer
        self.reads: Queue[StatementRequest] = Queue()
        self.writes: Queue[StatementRequest] = Queue()
        self.alone: Queue[StatementRequest] = Queue()
        self.sessions: Queue[AcquireRequest] = Queue()
        self.waiting = 0
        #: The next one is below the first, for what is urgent, or above the last: no two requests have the same.
        self.first_ticket = self.last_ticket = 0

    def place(self, statement: StatementRequest, now: float) -> Queue[StatementRequest]:
        """The queue where a statement belongs at `now`."""
        kind = statement.query.kind
        if may_share(statement, now):
            return self.reads if kind is StatementClass.READ else self.writes
        return self.writes if self.one_writer and kind is StatementClass.WRITE else self.alone

    def add(self, statements: Sequence[StatementRequest], now: float) -> None:
        """New statements go to the ends of their queues, urgent ones to the front."""
        ticket, query, queue, urgent = self.last_ticket, None, self.alone, False
        for statement in statements:
            ticket += 1
            statement.ticket = ticket
            statement.enqueued = now
            if statement.query is not query:
                query = statement.query
                queue, urgent = self.place(statement, now), query.urgent
            statement.queue = queue
            if urgent:
                self.first_ticket = statement.ticket = self.first_ticket - 1
                queue.appendleft(statement)
            else:
                queue.append(statement)
        self.last_ticket = ticket
        self.waiting += len(statements)

    def add_session(self, waiter: AcquireRequest, now: float) -> None:
        """A new `acquire` goes to the end of the sessions."""
        self.last_ticket = waiter.ticket = self.last_ticket + 1
        waiter.enqueued, waiter.queue = now, self.sessions
        self.waiting += 1
        self.sessions.append(waiter)

    def put_back(self, statements: list[StatementRequest], now: float) -> None:
        """Statements that were sent, and must be sent again, keep their tickets and so their turn."""
        for statement in statements:
            statement.reset()
            statement.state = QUEUED
            statement.conn = None
        self.waiting += len(statements)
        for queue in self.statements():
            _merge(queue, [s for s in statements if self.place(s, now) is queue])

    def remove(self, request: Request) -> None:
        """Take a queued item out."""
        request.queue.take_out(request)
        self.waiting -= 1

    def rehome(self, query: Query, now: float) -> None:
        """What is known of `query` changed: its waiting statements move to the queue where they now belong."""
        for queue in self.statements():
            moving = [s for s in queue.waiting() if s.query is query and self.place(s, now) is not queue]
            if moving:  # all of them to one queue: its kind's, or `alone`
                chosen = set(map(id, moving))
                queue.refill([s for s in queue.waiting() if id(s) not in chosen])
                _merge(self.place(moving[0], now), moving)

    def statements(self) -> tuple[Queue[StatementRequest], ...]:
        """The queues of statements; sessions have deadlines of their own."""
        return self.reads, self.writes, self.alone

    def heads(self) -> list[Queue[Request]]:
        """The queues that are not empty, the one whose head came first in front."""
        queues = [
            cast("Queue[Request]", queue) for queue in (self.reads, self.writes, self.alone, self.sessions) if queue
        ]
        if len(queues) > 1:
            queues.sort(key=lambda queue: queue[0].ticket)
        return queues

    def __iter__(self) -> Iterator[Request]:
        for queue in (self.reads, self.writes, self.alone, self.sessions):
            yield from cast("Queue[Request]", queue).waiting()


def may_share(statement: StatementRequest, now: float) -> bool:
    """Whether a statement may share a connection with others at `now`."""
    query = statement.query
    return query.fast and not statement.alone and now >= query.held_until


def _merge(queue: Queue[StatementRequest], statements: list[StatementRequest]) -> None:
    """Put `statements`, ordered by ticket, into a queue ordered by ticket; usually they belong to one of its ends."""
    for statement in statements:
        statement.queue = queue
    if not statements:
        return
    if not queue or queue[-1].ticket < statements[0].ticket:
        queue.extend(statements)
    elif statements[-1].ticket < queue[0].ticket:
        queue.extendleft(reversed(statements))
    else:
        queue.refill(sorted([*queue.waiting(), *statements], key=lambda statement: statement.ticket))
