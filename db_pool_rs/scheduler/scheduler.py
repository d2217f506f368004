"""How statements reach the server: the rules of docs/scheduling.md as a pure state machine.

No input or output happens here and no clock is read: every event comes with the time at which it happened, and returns
the actions that the pool is to carry out. Randomness comes in with the events too. So a trace of events gives the same
actions every time, in this implementation and in any other.

Read it from the top: the events that callers and connections cause, then how waiters are served (``_serve`` and
``_lanes_wanted`` hold the rules for groups and lanes), then upkeep (:mod:`.upkeep`).

Invariants (asserted by tests/simple/invariants.py after every event of random traces): a waiter that needs a connection
and a free place for one imply that a connect is under way or its retry is due; ``size`` counts opening and closing
connections and never exceeds ``max_size``; no statement is in two places; each is answered exactly once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..sql import StatementClass
from .actions import Action, Deliver, Fail, Lend, Reset, Send
from .cost import Text
from .model import Conn, State, Statement
from .queues import DONE, QUEUED, SENT, Queue, may_share
from .upkeep import NEVER, Upkeep
from .waiter import Item, Reason, Waiter

READ, WRITE = StatementClass.READ, StatementClass.WRITE


class Scheduler(Upkeep):
    """The pool's policy. Methods named after events return the actions to carry out, in order."""

    # -- events from callers -------------------------------------------------------------------------------------

    def submit(self, statements: Sequence[Statement], now: float) -> list[Action]:
        """Statements arrive, in this order. They are sent by the `turn` that ends this turn of the event loop."""
        refused: list[Action] = []
        if len(statements) > (room := self._room()):
            statements, late = statements[:room], statements[room:]
            refused = [self._refuse(statement) for statement in late]
        self.queues.add(statements, now)
        for statement in statements:
            if statement.deadline is not None:
                self._remember_deadline(statement)
        return refused

    def acquire(self, waiter: Waiter, now: float) -> list[Action]:
        """Somebody wants a connection to himself."""
        if not self._room():
            return [self._refuse(waiter)]
        self.queues.add_session(waiter, now)
        if waiter.deadline is not None:
            self._remember_deadline(waiter)
        return []

    def turn(self, now: float, heard: int) -> list[Action]:
        """The event loop's turn ends: what was collected in it is sent (rule 3.2).

        Comes whenever a turn ends in which there were calls, and after each Deliver, once the callers have had a turn:
        those of the first `heard` Delivers have had it.
        """
        while self.gathering and self.gathering[0][0] <= heard:
            self.gathering.popleft()
        self._dispatch(now)
        return self._take_actions()

    def cancel(self, item: Item, now: float) -> list[Action]:
        """The caller no longer waits (rule 5.1). Queued: taken out. Sent: its answer is dropped."""
        if item.state == QUEUED:
            self._take_out(item)
        elif item.state == SENT and isinstance(item, Statement):
            item.state = DONE
            conn = cast(Conn, item.conn)
            if all(s.state == DONE for s in conn.group):
                self._cancel(conn, now)
        return self._take_actions()

    def regroup(self, text: Text, kind: StatementClass, groupable: bool, now: float) -> list[Action]:
        """A text is of another class than it seemed, or may be grouped, or no longer: the guard says so."""
        if text.permit(kind, groupable, self.limits.cost):
            self.queues.rehome(text, now)
            self._dispatch(now)
        return self._take_actions()

    # -- events from connections ---------------------------------------------------------------------------------

    def finished(self, conn: Conn, ok: bool, now: float, seconds: float, size: float) -> list[Action]:
        """ReadyForQuery came for the group of `conn`: all of it is committed, or all of it is rolled back (rule 2.2).

        `seconds` is the time from sending to the answer, `size` the largest result in bytes.
        """
        group = conn.group
        stalled = conn.cancel_at != NEVER
        conn.group = []
        conn.cancel_at = NEVER
        conn.unproven = -NEVER
        self._withdraw(conn)
        final = ok or len(group) == 1
        awaited = [statement for statement in group if statement.state == SENT] if final else []
        if ok and conn.state is State.LANE and conn.kind is WRITE:
            self._written(group, len(awaited), seconds, now)
        if ok:
            self._observe(group, conn, seconds, size, now)
        elif final:
            self._failed_alone(group[0], conn, seconds, now)
        else:
            self._send_alone(group, now, stalled)
        self._settle(conn, now)
        self._dispatch(now)  # the server gets its next group before the answers of this one are handed out
        if awaited:
            for statement in awaited:
                statement.state = DONE
            self.delivered += 1
            self._actions.append(Deliver(awaited))
        return self._take_actions()

    def _written(self, group: list[Statement], awaited: int, seconds: float, now: float) -> None:
        """WRITEs are committed: their lane may have to wait for those who wrote them, until their `turn` is over."""
        self.write_lanes.carried(len(group), seconds, now)
        if awaited and self.write_lanes.gathers and self.queues.writes.length < self.limits.group_max:
            self.gathering.append((self.delivered + 1, awaited))
            self.wake = min(self.wake, now + self.limits.write_lane_wait)  # should the callers take their time

    def measured(self, conn: Conn, seconds: float) -> None:
        """A round trip in which the server had next to nothing to do took `seconds`."""
        conn.round_trip = min(conn.round_trip, seconds)

    def cancel_closed(self, conn: Conn, now: float) -> list[Action]:
        """The server closed the CancelRequest's connection: it can no longer hit a later statement."""
        conn.cancelling = False
        if conn.group:
            self.wake = min(self.wake, conn.ask_at)
        self._settle(conn, now)
        self._dispatch(now)
        return self._take_actions()

    def reset_done(self, conn: Conn, now: float) -> list[Action]:
        """The session is clean again."""
        conn.resetting = False
        self._settle(conn, now)
        self._dispatch(now)
        return self._take_actions()

    def released(self, conn: Conn, now: float, healthy: bool) -> list[Action]:
        """A session was given back, already clean; `healthy` is False if it must not be used again."""
        assert conn.state is State.SESSION, f"bug: {conn!r} released"
        if healthy:
            conn.unproven = -NEVER
            self._settle(conn, now)
        else:
            self._close(conn)
        self._dispatch(now)
        return self._take_actions()

    def lost(self, conn: Conn, now: float, sent: bool, retire: bool, jitter: float) -> list[Action]:
        """The connection is gone (rule 5.5). What was not executed for certain is sent elsewhere, unnoticed.

        The rest fails, its outcome unknown: nothing is repeated that may be committed. If the connection was lost as
        soon as it was opened, that is one more attempt to open one that came to nothing (see `open_failed`).
        """
        group = [s for s in conn.group if s.state != DONE]
        conn.group = []
        used = sent or conn.state is State.SESSION
        self._forget(conn)
        if retire:
            self.retire()
        again = [s for s in group if not sent or (self.limits.retry_reads and s.text.kind is READ and not s.alone)]
        for statement in again:
            statement.alone = statement.alone or sent
        self.queues.put_back(again, now)
        for statement in group:
            if statement.state == SENT:
                statement.state = DONE
                self._actions.append(Fail(statement, Reason.LOST, sent=True))
        if now < conn.unproven:
            self._pause_connects(max(self.connect_failures, conn.failures + 1), now, jitter)
            if not used:  # else whoever used it may be the cause
                self._tell_cause(again if self.alive else self.queues, conn.began)
        self._dispatch(now)
        return self._take_actions()

    # -- serving -------------------------------------------------------------------------------------------------

    def _dispatch(self, now: float) -> None:
        """Give connections to waiters, first come, first served (rule 3.9), and open what is missing."""
        self.shortage = 0
        served = self.queues.waiting > 0
        while served:
            served = False
            for queue in self.queues.heads():
                if self._serve(queue, now):
                    served = True  # another head may now be the oldest: look again
                    break
        if self.shutting_down and not self.queues.waiting:
            self._close_idle()
        self._grow(now)

    def _serve(self, queue: Queue[Item], now: float) -> bool:
        """Serve the head of `queue` if a connection is there for it."""
        head = queue[0]
        if isinstance(head, Statement) and queue is not cast("Queue[Item]", self.queues.alone):
            return self._feed_lane(cast("Queue[Statement]", queue), head.text.kind, now)
        if not self.idle:
            self.shortage += queue.length
            return False
        queue.popleft()
        queue.trim()
        self.queues.waiting -= 1
        conn = self.idle.pop()
        if isinstance(head, Statement):
            conn.state = State.ALONE
            why = "cost" if head.text.groupable else head.text.why
            self.alone[why] = self.alone.get(why, 0) + 1
            conn.unclean = head.text.dirties
            self._send(conn, [head], now)
        else:
            head.state = SENT
            conn.state = State.SESSION
            self._actions.append(Lend(conn, head))
        return True

    def _feed_lane(self, queue: Queue[Statement], kind: StatementClass, now: float) -> bool:
        """Start the next lane for `kind`: an even share of the queue, of `piece_min` or more (rule 3.3)."""
        pieces = -(-queue.length // self.limits.piece_min)
        wanted = min(self._lanes_wanted(kind, queue[0], now), pieces)
        lanes = min(wanted, len(self.idle))
        if not lanes:
            self.shortage += wanted
            return False
        share = max(self._share(queue, kind, lanes), self.limits.piece_min)
        group = self._take_group(queue, min(share, self.limits.group_max), now)
        conn = self.idle.pop()
        conn.state, conn.kind = State.LANE, kind
        self.lanes.append(conn)
        self._send(conn, group, now)
        if not queue:  # served with fewer lanes than it should have: the next time there are enough
            self.shortage += wanted - lanes
        return True

    def _share(self, queue: Queue[Statement], kind: StatementClass, lanes: int) -> int:
        """What one of the free `lanes` takes of `queue`.

        Of WRITEs it is an even share of all, those included that other lanes carry or wait for: else groups that were
        once uneven would stay so, since who was answered together comes back together.
        """
        others: list[int] = []
        if kind is WRITE:
            others += [len(lane.group) for lane in self.lanes if lane.kind is WRITE]
            others += [answered for _, answered in self.gathering]
        return -(-(queue.length + sum(others)) // (lanes + len(others)))

    def _lanes_wanted(self, kind: StatementClass, head: Statement, now: float) -> int:
        """How many more lanes may carry `kind` now (rules 3.6, 3.7).

        A few from the start; one more when the head of the queue has waited too long for those that run, or is bound to
        since the link is that slow. (A long queue of WRITEs is no reason as long as lanes take from it, at the pace of
        the disk: more commits would only make it longer.) Whether it has waited too long is asked in `tick` (and when a
        connection was opened for it): before it, every answer that has arrived was taken in, so a busy event loop does
        not look like slow lanes.
        """
        running = [lane for lane in self.lanes if lane.kind is kind]
        limits = self.limits
        base, most, patience = (
            (limits.read_lanes, limits.max_size, limits.lane_wait)
            if kind is READ
            else (self.write_lanes.lanes, limits.max_write_lanes, limits.write_lane_wait)
        )
        gathering = len(self.gathering) if kind is WRITE else 0
        if len(running) + gathering < base:
            return base - len(running) - gathering
        if gathering or len(running) >= most:
            return 0
        late = head.enqueued + patience
        if kind is WRITE:
            late = max(late, max(lane.started for lane in running) + max(patience, 2.0 * self.write_lanes.took))
        if self._ticking and now >= late:
            return 1
        answered = min(lane.started + lane.round_trip for lane in running)
        return 1 if answered != NEVER and answered - now > patience else 0

    def _take_group(self, queue: Queue[Statement], size: int, now: float) -> list[Statement]:
        """Take the next group from the head of `queue`: at most `size` statements and `group_time` expected (rule 3.5).

        Where there is one writer, the queue also holds WRITEs that must not share: each is a group to itself.
        """
        group: list[Statement] = []
        expected = 0.0
        most = self.limits.group_time
        mixed = self.queues.one_writer and queue is self.queues.writes
        while queue and len(group) < size:
            cost = NEVER if mixed and not may_share(queue[0], now) else queue[0].text.mean
            if group and expected + cost > most:
                break
            expected += cost
            group.append(queue.popleft())
            if queue.gone:
                queue.trim()
        self.queues.waiting -= len(group)
        return group

    def _send(self, conn: Conn, group: list[Statement], now: float) -> None:
        for statement in group:
            statement.state = SENT
            statement.conn = conn
        conn.group = group
        conn.started = now
        conn.beside = len(self.conns) - len(self.idle)
        if len(group) > 1 and self.limits.breaks_stalls:
            self.wake = min(self.wake, now + self.limits.stall)
        self._actions.append(Send(conn, group))

    def _send_alone(self, group: list[Statement], now: float, stalled: bool) -> None:
        """A group was rolled back: each of its statements is sent again alone (rule 2.3).

        If it was broken up since it stalled, its texts count as failed: they are not grouped for a while.
        """
        self.broken_up += 1
        again = [s for s in group if s.state != DONE]
        self.resent += len(again)
        for statement in again:
            statement.alone = True
        for text in dict.fromkeys(s.text for s in group) if stalled else ():
            if text.stalled(now, self.limits.cost):
                self.queues.rehome(text, now)
        self.queues.put_back(again, now)

    def _observe(self, group: list[Statement], conn: Conn, seconds: float, size: float, now: float) -> None:
        """Each statement's share of the service time goes to its text (rule 3.4).

        A commit with its fsync is paid once, however many share it, so a WRITE is spared the time of one. The `beside`
        connections that worked at the same time shared the server: on a busy machine all look slow that are not.
        """
        common = self._travel(conn, seconds) + (self.limits.cost.commit_time if group[0].text.kind is WRITE else 0.0)
        share = max(seconds - common, 0.0) / (len(group) * conn.beside)
        counts: dict[Text, int] = {}
        for statement in group:
            counts[statement.text] = counts.get(statement.text, 0) + 1
        for text, count in counts.items():
            if text.observe(count, share, size, self.limits.cost):
                self.queues.rehome(text, now)

    def _travel(self, conn: Conn, seconds: float) -> float:
        """How much of `seconds` until an answer went by on the way.

        An answer may show that the way is shorter than was known, but never how long it is: it may just be slow.
        """
        if conn.round_trip == NEVER:
            return 0.0
        self.measured(conn, seconds)
        return conn.round_trip

    def _failed_alone(self, statement: Statement, conn: Conn, seconds: float, now: float) -> None:
        """A statement failed by itself. If it was stopped because nobody waited, that is no fault of its text."""
        text = statement.text
        if statement.state == SENT:
            if text.failed(now, self.limits.cost):
                self.queues.rehome(text, now)
        elif seconds - self._travel(conn, seconds) > text.mean * conn.beside:  # it would have taken at least as long
            self._observe([statement], conn, seconds, text.size, now)

    def _settle(self, conn: Conn, now: float) -> None:
        """Once nothing runs, no cancel is under way and the session is clean, the connection is free."""
        if conn.group or conn.cancelling or conn.resetting or conn.state in (State.CLOSING, State.CLOSED):
            return
        if conn.unclean:
            conn.unclean = False
            conn.resetting = True
            self._actions.append(Reset(conn))
            return
        self._free(conn, now)
