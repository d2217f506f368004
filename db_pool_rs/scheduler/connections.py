"""The connections of one pool: opening, closing, ageing, and the pause between failed connects.

Where a method returns a time, it is the moment when time does something to a connection: the scheduler arms its timer.
"""

from __future__ import annotations

from ..sql import StatementClass
from .model import DONE, NEVER, SENT, Action, Close, ConnectionState, Fail, Limits, Open, Reason, Reset, State

# Members that every group needs: looked up once, since that takes longer than comparing them.
OPENING, IDLE, CLOSING, CLOSED = State.OPENING, State.IDLE, State.CLOSING, State.CLOSED
#: How quickly the average time of a group follows.
RATE = 0.1


class Connections:
    """Connections by state. Actions are added to `actions`, the scheduler's list."""

    def __init__(self, limits: Limits, actions: list[Action]) -> None:
        self.limits = limits
        self.all: dict[int, ConnectionState] = {}
        #: Free connections, the longest idle first; the most recently used one is taken (rule 3.10).
        self.idle: list[ConnectionState] = []
        #: Connections that run a group.
        self.lanes: list[ConnectionState] = []
        #: Grows when no connection opened until now is to be used again.
        self.generation = 0
        #: Connects in a row that came to nothing.
        self.failures = 0
        #: The last connect was refused for good: no further attempt unless a request waits.
        self.refused = False
        self.retry_at = 0.0
        #: Seconds that a group takes, by its kind, the way there and back taken off: a moving average.
        self.server_time = {StatementClass.READ: 0.0, StatementClass.WRITE: 0.0}
        self._closing = 0
        self._last_id = 0
        self._actions = actions

    @property
    def size(self) -> int:
        """Connections that exist for the server: opening and closing ones included."""
        return len(self.all)

    @property
    def alive(self) -> int:
        """Connections that are not on their way out."""
        return len(self.all) - self._closing

    def counts(self) -> dict[State, int]:
        """How many connections are in each state."""
        found = dict.fromkeys(State, 0)
        for conn in self.all.values():
            found[conn.state] += 1
        return found

    # -- how far the server is -----------------------------------------------------------------------------------

    def served(self, conn: ConnectionState, seconds: float) -> None:
        """The group of a lane was answered after `seconds`: how much of that was not the way there and back."""
        average = self.server_time[conn.kind]
        self.server_time[conn.kind] = average + (max(seconds - conn.round_trip, 0.0) - average) * RATE

    def far(self, kind: StatementClass) -> bool:
        """Whether the way is longer than what the server takes for a group of `kind` (rule 3.12).

        It is, if so on every connection where it is known: one that was opened while the event loop was busy looks
        further away than it is.
        """
        longer, known = max(self.limits.far, self.server_time[kind]), False
        for conn in self.all.values():
            if conn.round_trip <= longer:
                return False
            known = known or conn.round_trip != NEVER
        return known

    # -- opening -------------------------------------------------------------------------------------------------

    def grow(self, missing_connections: int, kept: int, now: float) -> float:
        """Open what is missing: `missing_connections` for requests that wait, and as many as keep `kept` connections.

        Returns when the next attempt may be made, if it has to wait for that.
        """
        if not missing_connections and self.alive >= kept:
            return NEVER
        opening = sum(1 for conn in self.all.values() if conn.state is OPENING)
        wanted = max(missing_connections - opening, kept - self.alive)
        wanted = min(wanted, self.limits.max_size - self.size, max(2, self.alive - opening) - opening)
        if wanted > 0 and self.failures:  # after a failure: one attempt at a time, after a pause (rule 5.7)
            if now < self.retry_at:
                return self.retry_at
            wanted = 0 if opening else 1
        for _ in range(wanted):
            self._last_id += 1
            conn = self.all[self._last_id] = ConnectionState(self._last_id, self.generation, now)
            self._actions.append(Open(conn))
        return NEVER

    def opened(self, conn: ConnectionState, now: float, lifetime: float, round_trip: float | None) -> None:
        """`conn` is ready, but has proved nothing yet; it is to be replaced after `lifetime` seconds (rule 6.5).

        `round_trip` is what a first round trip took, in which the server had next to nothing to do; None if there was
        none.
        """
        conn.failures, self.failures = self.failures, 0
        conn.probation_until = now + self.limits.backoff_max  # then no pause is missed, however often it happens
        self.refused = False
        conn.expires = now + lifetime
        if round_trip is not None:
            conn.round_trip = round_trip

    def pause(self, failures: int, now: float, jitter: float) -> None:
        """So many attempts in a row came to nothing: the next one is made after a growing, random pause (rule 5.7)."""
        self.failures = failures
        pause = min(self.limits.backoff * 2.0 ** min(failures - 1, 16), self.limits.backoff_max)
        self.retry_at = now + pause * (0.8 + 0.4 * jitter)

    # -- ageing and closing --------------------------------------------------------------------------------------

    def release_if_idle(self, conn: ConnectionState, now: float) -> float:
        """Once nothing runs, no cancel is under way and the session is clean, `conn` is idle (rules 5.4, 6.3).

        If it is too old, or there are too many, it closes instead (rule 6.5).
        """
        if conn.group or conn.cancelling or conn.resetting or conn.state in (CLOSING, CLOSED):
            return NEVER
        if conn.unclean:
            conn.unclean = False
            conn.resetting = True
            self._actions.append(Reset(conn))
            return NEVER
        if conn.generation != self.generation or now >= conn.expires or self.alive > self.limits.max_size:
            self.close(conn)
            return NEVER
        conn.state = IDLE
        conn.since = now
        self.idle.append(conn)
        return min(now + self.limits.idle_timeout, conn.expires)

    def age(self, now: float) -> float:
        """Close what is idle for too long, above `min_size`, and what has reached its lifetime (rule 6.5)."""
        due = NEVER
        for conn in list(self.idle):
            until = conn.since + self.limits.idle_timeout  # compared as it is waited for: no rounding in between
            if now >= conn.expires or (now >= until and self.alive > self.limits.min_size):
                self.close(conn)
            else:
                due = min(due, conn.expires, until if until > now else NEVER)
        return due

    def resize(self, limits: Limits) -> None:
        """Other bounds: surplus idle connections close now, busy ones when they are free."""
        self.limits = limits
        while self.alive > limits.max_size and self.idle:
            self.close(self.idle[0])

    def evict_all(self) -> None:
        """No connection opened until now is used again: idle ones close, busy ones when they are free."""
        self.generation += 1
        self.close_idle()

    def close(self, conn: ConnectionState) -> None:
        """Close `conn`; it counts until it is closed."""
        self.remove_from_pool(conn)
        conn.state = CLOSING
        self._closing += 1
        self._actions.append(Close(conn))

    def close_idle(self) -> None:
        """Close every idle connection."""
        for conn in list(self.idle):
            self.close(conn)

    def close_unneeded(self) -> None:
        """No request waits, and none will: close what serves none, those included that are being opened (rule 5.9)."""
        for conn in list(self.all.values()):
            if conn.state in (IDLE, OPENING):
                self.close(conn)

    def forget(self, conn: ConnectionState) -> None:
        """`conn` is closed: its place is free."""
        self.remove_from_pool(conn)
        if conn.state is CLOSING:
            self._closing -= 1
        conn.state = CLOSED
        self.all.pop(conn.id, None)

    def remove_from_pool(self, conn: ConnectionState) -> None:
        """`conn` is neither free nor a lane any more."""
        if conn.state is IDLE:
            self.idle.remove(conn)
        elif conn in self.lanes:  # a lane that waits for its cancel to close has left before
            self.lanes.remove(conn)

    def fail_group(self, conn: ConnectionState, reason: Reason) -> None:
        """What runs on `conn` gets no answer of the server's."""
        for statement in conn.group:
            if statement.state == SENT:
                statement.state = DONE
                self._actions.append(Fail(statement, reason, sent=True))
        conn.group = []
        conn.cancel_at = NEVER
