"""The rule of mode `auto`, and what it decided: pure functions of figures and limits.

The least complex mode wins that is available, is within the tolerated complexity and the memory limit, and reaches the
performance threshold. If none reaches it, the fastest of those within the limits is taken, and the decision says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

#: Levels of `complexity_tolerance`, least first.
COMPLEXITY = ("low", "medium", "high")


class ModeFigures(NamedTuple):
    """What a mode is known to do: statements per second, resident MB, seconds to start; `source` says who says so."""

    qps: float
    memory_mb: float
    startup_s: float
    source: str


class Candidate(NamedTuple):
    """A mode to choose or not: its place in COMPLEXITY, and why it cannot be used, if it cannot."""

    mode: str
    complexity: str
    figures: ModeFigures
    unavailable: str | None = None


class Rejected(NamedTuple):
    """A mode that was not chosen, and why."""

    mode: str
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Which mode, why, and what was rejected; `str()` is for people.

    `figures_source` names where the figures come from that were compared, None if none were needed.
    """

    mode: str
    reasons: tuple[str, ...]
    rejected: tuple[Rejected, ...] = ()
    figures_source: str | None = None

    def __str__(self) -> str:
        lines = [f"mode {self.mode}", *(f"  because {reason}" for reason in self.reasons)]
        lines += [f"  not {other.mode}: {other.reason}" for other in self.rejected]
        if self.figures_source:
            lines.append(f"  figures: {self.figures_source}")
        return "\n".join(lines)


def select(candidates: Sequence[Candidate], rules: Any) -> Decision | None:
    """What `auto` chooses of `candidates` under `rules` (an AutoSelection); None if nothing is within its limits."""
    excluded = {c.mode: _exclusion(c, rules) for c in candidates}
    eligible = [c for c in candidates if excluded[c.mode] is None]
    if not eligible:
        return None
    fast_enough = [c for c in eligible if c.figures.qps >= rules.performance_threshold]
    if fast_enough:
        # Of equally complex modes the faster one.
        chosen = min(fast_enough, key=lambda c: (COMPLEXITY.index(c.complexity), -c.figures.qps))
        reason = (
            f"it is the least complex mode that reaches performance_threshold: "
            f"{chosen.figures.qps:,.0f} >= {rules.performance_threshold:,.0f} statements/s"
        )
    else:
        chosen = max(eligible, key=lambda c: (c.figures.qps, -COMPLEXITY.index(c.complexity)))
        reason = (
            f"no mode within the limits reaches performance_threshold ({rules.performance_threshold:,.0f} "
            f"statements/s), and it is the fastest of them with {chosen.figures.qps:,.0f}"
        )
    rejected = tuple(
        Rejected(c.mode, excluded[c.mode] or _second(c, chosen, bool(fast_enough)))
        for c in candidates
        if c is not chosen
    )
    return Decision(chosen.mode, (reason,), rejected, describe_sources(candidates))


def exclusions(candidates: Iterable[Candidate], rules: Any) -> tuple[Rejected, ...]:
    """Why each candidate that may not be chosen may not."""
    return tuple(Rejected(c.mode, reason) for c in candidates if (reason := _exclusion(c, rules)) is not None)


def describe_sources(candidates: Iterable[Candidate]) -> str:
    """Where the figures come from, in one line."""
    modes: dict[str, list[str]] = {}
    for c in candidates:
        modes.setdefault(c.figures.source, []).append(c.mode)
    if len(modes) == 1:
        return next(iter(modes))
    return "; ".join(f"{', '.join(of)}: {source}" for source, of in modes.items())


def _exclusion(c: Candidate, rules: Any) -> str | None:
    if c.unavailable is not None:
        return c.unavailable
    if COMPLEXITY.index(c.complexity) > COMPLEXITY.index(rules.complexity_tolerance):
        return f"its complexity is {c.complexity}, complexity_tolerance is {rules.complexity_tolerance}"
    if c.figures.memory_mb > rules.memory_limit:
        return f"it needs {c.figures.memory_mb:,.0f} MB, memory_limit is {rules.memory_limit:,.0f}"
    return None


def _second(c: Candidate, chosen: Candidate, threshold_reached: bool) -> str:
    """Why an eligible candidate came after `chosen`."""
    if not threshold_reached or COMPLEXITY.index(c.complexity) == COMPLEXITY.index(chosen.complexity):
        return f"with {c.figures.qps:,.0f} statements/s it is no faster than {chosen.mode}"
    if COMPLEXITY.index(c.complexity) > COMPLEXITY.index(chosen.complexity):
        return f"{chosen.mode} is fast enough and less complex"
    return f"with {c.figures.qps:,.0f} statements/s it does not reach performance_threshold"
