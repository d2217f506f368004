"""The scheduler's upkeep: opening, closing, ageing and time-outs. The rules of :mod:`.scheduler` build on it."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

from .actions import Action, Cancel, Close, Fail, Open
from .limits import Limits
from .model import Conn, State, Statement
from .queues import DONE, FEW, QUEUED, SENT, Queues
from .waiter import Item, Reason
from .write_lanes import WriteLanes

NEVER = float("inf")


class Upkeep:
    """Connections and waiters of one pool, and what time does to them."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.queues = Queues(one_writer=limits.max_write_lanes == 1)
        self.write_lanes = WriteLanes(limits.max_write_lanes)
        self.conns: dict[int, Conn] = {}
        #: Free connections, the longest idle first; the most recently used one is taken.
        self.idle: list[Conn] = []
        #: Connections that run a group.
        self.lanes: list[Conn] = []
        self.generation = 0
        self.shutting_down = False
        self._ticking = False
        #: How often answers were delivered.
        self.delivered = 0
        #: Lanes for WRITEs that wait for those whom they have answered: with which Deliver, and how many they are.
        self.gathering: deque[tuple[int, int]] = deque()
        #: When `tick` is next needed, at the latest.
        self.wake = NEVER
        #: How many connections the waiters miss, as the last dispatch found.
        self.shortage = 0
        self._closing = 0
        self.connect_failures = 0
        #: The last connect was refused for good: no further attempt unless somebody waits.
        self.refused = False
        self.retry_at = 0.0
        self.broken_up = 0
        #: Statements that ran alone, by the reason.
        self.alone: dict[str, int] = {}
        self.resent = 0
        self._last_id = 0
        self._deadlines: list[tuple[float, int, Item]] = []
        self._deadlines_most = 1000
        #: Of how many among them nobody waits any more, since they were last looked through.
        self._deadlines_over = 0
        self._actions: list[Action] = []

    # -- events --------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Action]:
        """Open the first `min_size` connections."""
        self._grow(now)
        return self._take_actions()

    def opened(self, conn: Conn, now: float, lifetime: float, round_trip: float | None) -> list[Action]:
        """A connection is ready; it is to be replaced after `lifetime` seconds.

        `round_trip` is what a first round trip took, in which the server had next to nothing to do; None if there was
        none.
        """
        if conn.state is not State.OPENING:  # the pool was terminated meanwhile
            return [Close(conn)]
        conn.failures, self.connect_failures = self.connect_failures, 0
        conn.unproven = now + self.limits.backoff_max  # then no pause is missed, however often it happens
        self.refused = False
        conn.expires = now + lifetime
        if round_trip is not None:
            conn.round_trip = round_trip
        self._free(conn, now)
        self._dispatch_late(now)
        return self._take_actions()

    def open_failed(self, conn: Conn, now: float, permanent: bool, jitter: float) -> list[Action]:
        """A connect failed. Without any connection to wait for, waiters hear the cause now.

        That is: all if trying again cannot help (`permanent`), else those who came before this attempt began: a call
        waits for at most one attempt that began after it did. `jitter` in 0..1 spreads the next attempt.
        """
        if conn.state is not State.OPENING:
            return self.closed(conn, now)
        self._forget(conn)
        self.refused = permanent
        self._pause_connects(self.connect_failures + 1, now, jitter)
        if not self.alive:
            self._tell_cause(self.queues, NEVER if permanent else conn.began)
        self._dispatch(now)
        return self._take_actions()

    def closed(self, conn: Conn, now: float) -> list[Action]:
        """A connection that was to be closed is closed: its place is free."""
        self._forget(conn)
        self._dispatch(now)
        return self._take_actions()

    def resize(self, now: float, min_size: int, max_size: int) -> list[Action]:
        """Other bounds: surplus idle connections close now, busy ones when they are free."""
        self.limits = replace(self.limits, min_size=min_size, max_size=max_size)
        while self.alive > max_size and self.idle:
            self._close(self.idle[0])
        self._age(now)
        self._dispatch(now)
        return self._take_actions()

    def expire(self, now: float) -> list[Action]:
        """Replace every connection as soon as it is free."""
        self.retire()
        self._dispatch(now)
        return self._take_actions()

    def shut_down(self, now: float) -> list[Action]:
        """Take no new work; finish what is there; close connections as they become free."""
        self.shutting_down = True
        self._dispatch(now)
        return self._take_actions()

    def terminate(self) -> list[Action]:
        """Answer every waiter with CLOSED and close every connection now."""
        self.shutting_down = True
        for item in list(self.queues):
            self._take_out(item)
            self._actions.append(Fail(item, Reason.CLOSED))
        for conn in list(self.conns.values()):
            self._fail_group(conn, Reason.CLOSED)
            if conn.state is not State.CLOSING:
                self._close(conn)
        return self._take_actions()

    def tick(self, now: float) -> list[Action]:
        """Time has passed: deadlines, stalls, silence, ageing, retries."""
        self.wake = NEVER
        self.gathering.clear()
        self._expire_waiters(now)
        for conn in list(self.lanes):
            if len(conn.group) > 1 and self.limits.breaks_stalls:
                self._due(conn.started + self.limits.stall, now, conn)
        for conn in [c for c in self.conns.values() if c.cancel_at != NEVER]:
            self._press(conn, now)
        self._age(now)
        self._dispatch_late(now)
        return self._take_actions()

    # -- what others ask -----------------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """Connections that exist for the server: opening and closing ones included."""
        return len(self.conns)

    @property
    def alive(self) -> int:
        """Connections that are not on their way out."""
        return len(self.conns) - self._closing

    @property
    def drained(self) -> bool:
        """Nobody waits and nothing runs."""
        return not self.queues.waiting and not self.conns

    def counts(self) -> dict[State, int]:
        """How many connections are in each state."""
        found = dict.fromkeys(State, 0)
        for conn in self.conns.values():
            found[conn.state] += 1
        return found

    def retire(self) -> None:
        """No connection opened until now is used again: idle ones close, busy ones when they are free."""
        self.generation += 1
        self._close_idle()

    # -- inner workings ------------------------------------------------------------------------------------------

    def _dispatch(self, now: float) -> None:
        raise NotImplementedError

    def _dispatch_late(self, now: float) -> None:
        """Dispatch at a moment when a head that has waited too long may have another lane."""
        self._ticking = True
        self._dispatch(now)
        self._ticking = False

    def _take_actions(self) -> list[Action]:
        actions = self._actions
        if actions:
            self._actions = []
        return actions

    def _room(self) -> int:
        """How many more may wait (rule 5.10)."""
        return 0 if self.shutting_down else max(self.limits.max_waiting - self.queues.waiting, 0)

    def _refuse(self, item: Item) -> Action:
        item.state = DONE
        return Fail(item, Reason.CLOSED if self.shutting_down else Reason.OVERLOADED)

    def _remember_deadline(self, item: Item) -> None:
        assert item.deadline is not None
        if len(self._deadlines) >= self._deadlines_most:
            self._forget_deadlines()
        heapq.heappush(self._deadlines, (item.deadline, item.ticket, item))
        self.wake = min(self.wake, item.deadline)

    def _take_out(self, item: Item) -> None:
        """`item` waits no longer, though its deadline has not come."""
        self.queues.remove(item)
        if item.deadline is not None:
            self._deadlines_over += 1
            if 2 * self._deadlines_over > len(self._deadlines) + FEW:
                self._forget_deadlines()

    def _forget_deadlines(self) -> None:
        """Keep nothing that was answered long before its deadline."""
        self._deadlines = [entry for entry in self._deadlines if _is_pending(entry[2])]
        heapq.heapify(self._deadlines)
        self._deadlines_most = 1000 + 2 * len(self._deadlines)
        self._deadlines_over = 0

    def _grow(self, now: float) -> None:
        """Open what is missing: for those who wait, and to keep `min_size`."""
        if self.queues.waiting:
            self._remember_queues(now)
        kept = 0 if self.shutting_down or self.refused else self.limits.min_size
        if not self.shortage and self.alive >= kept:
            return
        opening = sum(1 for c in self.conns.values() if c.state is State.OPENING)
        wanted = max(self.shortage - opening, kept - self.alive)
        wanted = min(wanted, self.limits.max_size - self.size, max(2, self.alive - opening) - opening)
        if wanted > 0 and self.connect_failures:  # after a failure: one attempt at a time, after a pause
            if now < self.retry_at:
                self.wake = min(self.wake, self.retry_at)
                wanted = 0
            else:
                wanted = 0 if opening else 1
        for _ in range(wanted):
            self._last_id += 1
            conn = self.conns[self._last_id] = Conn(self._last_id, self.generation, now)
            self._actions.append(Open(conn))

    def _pause_connects(self, failures: int, now: float, jitter: float) -> None:
        """So many attempts in a row came to nothing: the next one is made after a growing, random pause (rule 5.7)."""
        self.connect_failures = failures
        pause = min(self.limits.backoff * 2.0 ** min(failures - 1, 16), self.limits.backoff_max)
        self.retry_at = now + pause * (0.8 + 0.4 * jitter)

    def _tell_cause(self, waiting: Iterable[Item], began: float) -> None:
        """An attempt that `began` then came to nothing: who waited already hears the cause."""
        for item in [one for one in waiting if one.enqueued <= began]:
            self._take_out(item)
            self._actions.append(Fail(item, Reason.CONNECT_FAILED))

    def _remember_queues(self, now: float) -> None:
        """While somebody waits: his time-out, and whether he should get a lane after all."""
        for queue in self.queues.statements():
            if queue:
                self.wake = min(self.wake, queue[0].enqueued + self.limits.acquire_timeout)
        room = self.idle or self.size < self.limits.max_size
        if room and self.lanes:
            waits = (self.queues.reads, self.limits.lane_wait), (self.queues.writes, self.limits.write_lane_wait)
            for queue, patience in waits:
                if queue:
                    over = queue[0].enqueued + patience
                    self.wake = min(self.wake, over if over > now else now + patience)

    def _free(self, conn: Conn, now: float) -> None:
        """A connection has nothing to do: it is idle, unless it is too old or too many."""
        if conn.generation != self.generation or now >= conn.expires or self.alive > self.limits.max_size:
            self._close(conn)
            return
        conn.state = State.IDLE
        conn.since = now
        self.idle.append(conn)
        self.wake = min(self.wake, now + self.limits.idle_timeout, conn.expires)

    def _close(self, conn: Conn) -> None:
        self._withdraw(conn)
        conn.state = State.CLOSING
        self._closing += 1
        self._actions.append(Close(conn))

    def _close_idle(self) -> None:
        for conn in list(self.idle):
            self._close(conn)

    def _forget(self, conn: Conn) -> None:
        self._withdraw(conn)
        if conn.state is State.CLOSING:
            self._closing -= 1
        conn.state = State.CLOSED
        self.conns.pop(conn.id, None)

    def _withdraw(self, conn: Conn) -> None:
        """It is neither free nor a lane any more."""
        if conn.state is State.IDLE:
            self.idle.remove(conn)
        elif conn in self.lanes:  # a lane that waits for its cancel to close has left before
            self.lanes.remove(conn)

    def _expire_waiters(self, now: float) -> None:
        for item in self._overdue(now):
            if item.state == QUEUED:
                self.queues.remove(item)
                self._actions.append(Fail(item, Reason.TIMEOUT))
            elif item.state == SENT and isinstance(item, Statement):
                item.state = DONE
                self._actions.append(Fail(item, Reason.TIMEOUT, sent=True))
                self._cancel(item.conn, now)  # alone: stop it; in a group: break the group up

    def _overdue(self, now: float) -> Iterator[Item]:
        while self._deadlines and self._deadlines[0][0] <= now:
            yield heapq.heappop(self._deadlines)[2]
        if self._deadlines:
            self.wake = min(self.wake, self._deadlines[0][0])
        for queue in self.queues.statements():
            while queue and queue[0].enqueued + self.limits.acquire_timeout <= now:
                yield queue[0]

    def _due(self, at: float, now: float, conn: Conn) -> None:
        if now >= at:
            self._cancel(conn, now)  # breaks the group up: the server rolls it back, each goes alone
        else:
            self.wake = min(self.wake, at)

    def _cancel(self, conn: Conn, now: float) -> None:
        """Ask the server to stop what runs on `conn`, unless it was asked before."""
        if conn.cancel_at == NEVER:
            conn.cancel_at = conn.ask_at = now
            self._press(conn, now)

    def _press(self, conn: Conn, now: float) -> None:
        """The server was asked to stop the group: ask again where it took no notice, give up in the end (rule 5.4)."""
        until = conn.cancel_at + self.limits.cancel_grace if self.limits.breaks_stalls else NEVER
        if now >= until:
            self._declare_dead(conn)
            return
        if until != NEVER and conn.generation == self.generation:
            if now >= conn.cancel_at + self.limits.suspect:
                self.retire()  # a link that is slow to react may be silent, and so may those that idle
            else:
                until = conn.cancel_at + self.limits.suspect
        if not conn.cancelling:
            if now >= conn.ask_at:
                conn.ask_at = now + max(self.limits.cancel_pause, now - conn.cancel_at)
                conn.cancelling = True
                self._actions.append(Cancel(conn))
            else:
                until = min(until, conn.ask_at)
        self.wake = min(self.wake, until)

    def _declare_dead(self, conn: Conn) -> None:
        """It does not even react to a cancel: the link is silent. Others that idle may be as dead."""
        self._fail_group(conn, Reason.LOST)
        self._close(conn)
        self.retire()

    def _fail_group(self, conn: Conn, reason: Reason) -> None:
        for statement in conn.group:
            if statement.state == SENT:
                statement.state = DONE
                self._actions.append(Fail(statement, reason, sent=True))
        conn.group = []
        conn.cancel_at = NEVER

    def _age(self, now: float) -> None:
        """Close what is idle for too long, above `min_size`, and what has reached its lifetime."""
        for conn in list(self.idle):
            until = conn.since + self.limits.idle_timeout  # compared as it is waited for: no rounding in between
            if now >= conn.expires or (now >= until and self.alive > self.limits.min_size):
                self._close(conn)
            else:
                self.wake = min(self.wake, conn.expires, until if until > now else NEVER)


def _is_pending(item: Item) -> bool:
    """Whether its deadline still matters: not once it was answered, or lent a connection."""
    return item.state == QUEUED or (item.state == SENT and isinstance(item, Statement))
