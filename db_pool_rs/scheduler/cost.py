"""What a statement is expected to cost: the part of the rules that learns.

The pool keeps one :class:`Query` per statement text. Every execution that the server answers is reported to it, and the
scheduler asks one question: may this text share a connection with others (*fast*), or does it take one to itself?

A text is fast when it was answered at least :attr:`CostLimits.probes` times, its expected service time and its result
are small, and it did not recently take longer than a group may (``peak``). Everything else, and everything unknown, is
slow: a wrong "slow" costs one connection for one round trip, a wrong "fast" makes strangers wait.

Service time is what the server needed: the time between sending and ReadyForQuery, less the round trip of the link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..sql import Lexical, StatementClass

#: How quickly the expected service time follows a lower and a higher sample. Falling fast and rising slowly keeps a
#: busy event loop, which makes answers *look* late, from turning fast texts into slow ones; a text that really became
#: slow still crosses the limit after one sample, since such a sample is many times the limit.
FALL = 0.3
RISE = 0.05
#: A recent maximum is forgotten at this rate per answered group.
PEAK_DECAY = 0.9


@dataclass(frozen=True, slots=True)
class CostLimits:
    """What counts as fast; times in seconds, sizes in bytes."""

    fast_time: float = 0.002
    fast_bytes: float = 262_144
    peak_time: float = 0.050
    probes: int = 3
    #: A WRITE alone takes as long as its commit, whose fsync a group shares: this much of its time does not count.
    #: (One that is slow by itself is found out in a group: see `stalled`.)
    commit_time: float = 0.020
    #: A text that failed is not grouped for this long (rule "Groups" 3).
    failure_hold: float = 1.0


class Query:
    """One statement text as the pool knows it: lexical class, cost, and what the driver learned of it.

    ``groupable`` says whether it may be grouped at all, ``why`` in a word why not, ``reason`` in full; ``fast`` adds
    what experience says. ``dirties`` says whether it may leave something on its session, ``keys`` whether a group with
    it checks deferred keys at once. ``names`` are kept for the guard. ``description`` belongs to the driver (parameter
    and result types) and is None until the server was asked. ``own``: it belongs to one call on a session that sees
    other tables and types than the pool's other connections; what is prepared for it has no name. ``urgent``: it is
    the guard's, and waits behind no other (rule 8.4).
    """

    __slots__ = (
        "description", "dirties", "fast", "groupable", "held_until", "keys", "kind", "lexical", "mean", "names", "own",
        "peak", "reason", "seen", "size", "sql", "urgent", "why",
    )  # fmt: skip

    def __init__(self, sql: str, lexical: Lexical, groupable: bool) -> None:
        self.sql = sql
        self.lexical = lexical
        self.kind: StatementClass = lexical.kind
        self.groupable = groupable
        self.dirties = lexical.dirties
        self.keys = False
        self.why = "class"
        self.reason: str | None = None
        self.names: Any = None
        self.own = self.urgent = False
        self.fast = False
        self.seen = 0
        self.mean = 0.0
        self.peak = 0.0
        self.size = 0.0
        self.held_until = float("-inf")
        self.description: Any = None

    def observe(self, count: int, seconds: float, size: float, limits: CostLimits) -> bool:
        """Take in `count` executions of `seconds` service time and `size` bytes each; True if `fast` flipped."""
        if self.seen == 0:
            self.mean, self.peak, self.size = seconds, seconds, size
        else:
            rate = FALL if seconds < self.mean else RISE
            self.mean += (seconds - self.mean) * min(1.0, rate * count)
            self.peak = max(seconds, self.peak * PEAK_DECAY)
            self.size += (size - self.size) * (RISE if size < self.size else FALL)
        self.seen += count
        return self._judge(limits)

    def _judge(self, limits: CostLimits) -> bool:
        fast = (
            self.groupable
            and self.seen >= limits.probes
            and self.mean <= limits.fast_time
            and self.size <= limits.fast_bytes
            and self.peak <= limits.peak_time
        )
        flipped = fast is not self.fast
        self.fast = fast
        return flipped

    def permit(self, kind: StatementClass, groupable: bool, limits: CostLimits) -> bool:
        """It is of another class, or may be grouped, or no longer; True if its statements belong to another queue."""
        other_kind = kind is not self.kind
        self.kind, self.groupable = kind, groupable
        return self._judge(limits) or other_kind

    def failed(self, now: float, limits: CostLimits) -> bool:
        """Its execution failed: keep it out of groups for a while. True if it could be grouped until now."""
        was_grouped = self.fast and now >= self.held_until
        self.held_until = now + limits.failure_hold
        return was_grouped

    def stalled(self, now: float, limits: CostLimits) -> bool:
        """It was part of a group that took too long: out of groups until it has proved itself some twenty times."""
        self.peak = 10 * limits.peak_time
        was_grouped = self.failed(now, limits)
        self.fast = False
        return was_grouped
