"""How many lanes carry WRITEs: one or two, whichever has carried more lately.

Let F be what a commit costs with its fsync, N the statements that many tasks send again and again, s the server's and c
the client's time for each. There are two ways to carry them:

- **One lane, which gathers.** The next group leaves when those who were answered have had their turn to come back, so
  that all N share a commit. Server and client wait for each other: F + N(s + c).
- **Two lanes, fed at once.** Server and client work at the same time, but on two groups, each with a commit of its own:
  max(2F, F + N(s + c)/2, Nc).

Which is shorter depends on the disk, and F cannot be seen: an UPDATE that finds no row has no fsync. So both are tried,
one right after the other, and what was carried decides.
"""

from __future__ import annotations

#: What is carried is counted over so many seconds, and so many groups, at least.
INTERVAL = 0.05
GROUPS = 8
#: Two lanes must carry so many times what one does: they are more work for the disk, and figures are never exact.
GAIN = 1.1
#: After so many intervals with one number of lanes the other one is tried.
TRIAL = 20


class WriteLanes:
    """Decides for one pool. Where there is but one writer (`most` is 1), there is one lane, fed at once."""

    def __init__(self, most: int) -> None:
        #: What the rule says: the number that was chosen, or the other one while it is tried.
        self.lanes = self._chosen = 1
        #: Seconds that the last group took, its commit included.
        self.took = 0.0
        self._may = most > 1
        #: Statements per second with one lane, and with two, when they were last used.
        self._rates = [0.0, 0.0]
        self._until_trial = 1
        self._last = self._began = float("-inf")
        self._statements = self._groups = 0

    @property
    def gathers(self) -> bool:
        """Whether the next group is to leave only after those of the last have had their turn."""
        return self._may and self.lanes == 1

    def carried(self, count: int, seconds: float, now: float) -> None:
        """A group of `count` is committed after `seconds`."""
        self.took = seconds
        if not self._may:
            return
        if now - self._last > INTERVAL:  # nobody wrote for a while
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
        self._rates[self.lanes - 1] = rate
        if self.lanes != self._chosen:
            one, two = self._rates
            self.lanes = self._chosen = 2 if two > GAIN * one else 1
            self._until_trial = TRIAL
        elif self._statements > self._groups:  # else one waits for the other: there is nothing to divide
            self._until_trial -= 1
            if self._until_trial <= 0:
                self.lanes = 3 - self._chosen
