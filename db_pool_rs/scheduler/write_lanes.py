"""How many lanes carry WRITEs: one or two, whichever carries more.

Let F be what a commit costs with its fsync, N the statements that many tasks send again and again, s the server's and c
the client's time for each. Each group is a commit, so a lane *gathers*: its next group leaves when the callers that it
has answered have had their tick to come back. There are two ways to carry the N:

- **One lane.** All share a commit. Server and client wait for each other: F + N(s + c).
- **Two lanes.** Server and client work at the same time, but on two groups, each with a commit of its own:
  max(2F, F + N(s + c)/2, Nc).

Which is shorter depends on the disk, and F cannot be seen: an UPDATE that finds no row has no fsync. So both are tried,
one right after the other, and what was carried decides: on average over the last trials, since on a busy machine a
single one says little. A trial that says otherwise than they did is repeated at once.
"""

from __future__ import annotations

from collections import deque

#: What is carried is counted over so many seconds, and so many groups, at least.
INTERVAL = 0.05
GROUPS = 8
#: Two lanes must carry so many times what one does: they are more work for the disk.
GAIN = 1.1
#: After so many intervals with one number of lanes the other one is tried.
TRIAL = 20
#: How many trials are remembered; the first so many follow one another.
MEMORY = 4


class WriteLanes:
    """Decides for one pool. Where there is but one writer (`most` is 1), there is one lane, fed at once."""

    def __init__(self, most: int) -> None:
        #: What the rule says: the number that was chosen, or the other one while it is tried.
        self.lanes = self._chosen = 1
        #: Seconds that the last group took, its commit included.
        self.took = 0.0
        #: Whether a lane waits for the callers that it has answered.
        self.gathers = most > 1
        #: The lanes that wait: for the callers of which Deliver, and how many they are.
        self.awaiting_resubmit: deque[tuple[int, int]] = deque()
        #: Statements per second in the last interval with the number that was chosen.
        self._usual = 0.0
        #: What two lanes carry, as a part of what both numbers do: on average over the last trials.
        self._two = 0.0
        self._trials = 0
        self._until_trial = 1
        self._last = self._began = float("-inf")
        self._statements = self._groups = 0

    def returned(self, heard: int) -> None:
        """The callers of the first `heard` Delivers have run: no lane waits for them any more."""
        while self.awaiting_resubmit and self.awaiting_resubmit[0][0] <= heard:
            self.awaiting_resubmit.popleft()

    def carried(self, count: int, seconds: float, now: float) -> None:
        """A group of `count` is committed after `seconds`."""
        self.took = seconds
        if not self.gathers:
            return
        if now - self._last > INTERVAL:  # no WRITEs for a while
            self._begin(now)
        else:
            self._statements += count
            self._groups += 1
            if now - self._began >= INTERVAL and self._groups >= GROUPS:
                self._judge(self._statements / (now - self._began))
                self._begin(now)
        self._last = now

    def _begin(self, now: float) -> None:
        self._began = now
        self._statements = self._groups = 0

    def _judge(self, rate: float) -> None:
        """An interval is over in which `rate` statements per second were carried."""
        if self.lanes != self._chosen:
            one, two = (self._usual, rate) if self.lanes == 2 else (rate, self._usual)
            self._tried(one, two)
            return
        self._usual = rate
        if self._statements > self._groups:  # else one waits for the other: there is nothing to divide
            self._until_trial -= 1
            if self._until_trial <= 0:
                self.lanes = 3 - self._chosen

    def _tried(self, one: float, two: float) -> None:
        """A trial is over: so much was carried by one lane, and by two."""
        self._trials = min(self._trials + 1, MEMORY)
        self._two += (two / (one + two) - self._two) / self._trials
        self.lanes = self._chosen = 2 if self._two > GAIN * (1.0 - self._two) else 1
        agrees = (two > GAIN * one) == (self._chosen == 2)
        self._until_trial = TRIAL if agrees and self._trials == MEMORY else 1
