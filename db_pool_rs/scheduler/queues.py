"""Who waits: four queues with one order.

Statements wait where they can be served: fast READs and fast WRITEs in queues of their own, so that a group is taken
from the head of one queue; everything that needs a connection to itself in ``alone``; ``acquire`` in ``sessions``. A
ticket, given on arrival, orders all of them: whoever has the lowest ticket of the four heads is served first.

Where the database has one writer, every WRITE waits among the WRITEs, also one that needs a connection to itself: it
cannot run before those that came first, and would keep a connection from readers while it waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import cast

from ..sql import StatementClass
from .cost import Text
from .model import Statement
from .waiter import Item, Waiter

QUEUED, SENT, DONE = 0, 1, 2


class Queues:
    """The waiting statements and sessions of one pool."""

    __slots__ = ("alone", "last_ticket", "one_writer", "reads", "sessions", "waiting", "writes")

    def __init__(self, one_writer: bool) -> None:
        self.one_writer = one_writer
        self.reads: deque[Statement] = deque()
        self.writes: deque[Statement] = deque()
        self.alone: deque[Statement] = deque()
        self.sessions: deque[Waiter] = deque()
        self.waiting = 0
        self.last_ticket = 0

    def place(self, statement: Statement, now: float) -> deque[Statement]:
        """The queue where a statement belongs at `now`."""
        kind = statement.text.kind
        if may_share(statement, now):
            return self.reads if kind is StatementClass.READ else self.writes
        return self.writes if self.one_writer and kind is StatementClass.WRITE else self.alone

    def add(self, statements: Sequence[Statement], now: float) -> None:
        """New statements go to the ends of their queues."""
        ticket, text, append = self.last_ticket, None, self.alone.append
        for statement in statements:
            ticket += 1
            statement.ticket = ticket
            statement.enqueued = now
            if statement.text is not text:
                text = statement.text
                append = self.place(statement, now).append
            append(statement)
        self.last_ticket = ticket
        self.waiting += len(statements)

    def add_session(self, waiter: Waiter, now: float) -> None:
        """A new `acquire` goes to the end of the sessions."""
        self.last_ticket = waiter.ticket = self.last_ticket + 1
        waiter.enqueued = now
        self.waiting += 1
        self.sessions.append(waiter)

    def put_back(self, statements: list[Statement], now: float) -> None:
        """Statements that were sent, and must be sent again, keep their tickets and so their turn."""
        for statement in statements:
            statement.reset()
            statement.state = QUEUED
            statement.conn = None
        self.waiting += len(statements)
        for queue in self.statements():
            _merge(queue, [s for s in statements if self.place(s, now) is queue])

    def remove(self, item: Item) -> None:
        """Take a queued item out."""
        for queue in (self.reads, self.writes, self.alone, self.sessions):
            try:
                cast("deque[Item]", queue).remove(item)
            except ValueError:
                continue
            self.waiting -= 1
            item.state = DONE
            return
        raise AssertionError("bug: a queued item is in no queue")

    def rehome(self, text: Text, now: float) -> None:
        """What is known of `text` changed: its waiting statements move to the queue where they now belong."""
        for queue in self.statements():
            moving = [s for s in queue if s.text is text and self.place(s, now) is not queue]
            if moving:  # all of them to one queue: its kind's, or `alone`
                chosen = set(map(id, moving))
                kept = [s for s in queue if id(s) not in chosen]
                queue.clear()
                queue.extend(kept)
                _merge(self.place(moving[0], now), moving)

    def statements(self) -> tuple[deque[Statement], ...]:
        """The queues of statements; sessions have deadlines of their own."""
        return self.reads, self.writes, self.alone

    def heads(self) -> list[deque[Item]]:
        """The queues that are not empty, the one whose head came first in front."""
        queues = [cast("deque[Item]", queue) for queue in (self.reads, self.writes, self.alone, self.sessions) if queue]
        if len(queues) > 1:
            queues.sort(key=lambda queue: queue[0].ticket)
        return queues

    def __iter__(self) -> Iterator[Item]:
        for queue in (self.reads, self.writes, self.alone, self.sessions):
            yield from cast("deque[Item]", queue)


def may_share(statement: Statement, now: float) -> bool:
    """Whether a statement may share a connection with others at `now`."""
    text = statement.text
    return text.fast and not statement.alone and now >= text.held_until


def _merge(queue: deque[Statement], statements: list[Statement]) -> None:
    """Put `statements`, ordered by ticket, into a queue ordered by ticket; usually they belong to one of its ends."""
    if not statements:
        return
    if not queue or queue[-1].ticket < statements[0].ticket:
        queue.extend(statements)
    elif statements[-1].ticket < queue[0].ticket:
        queue.extendleft(reversed(statements))
    else:
        merged = sorted([*queue, *statements], key=lambda statement: statement.ticket)
        queue.clear()
        queue.extend(merged)
