"""The rule of mode `auto`, and what it decided: pure functions of figures and limits.

A mode with an engine of its own is there only because it was installed: `simple`, which comes with the package, is left
to those who have, or tolerate, nothing else. Of what remains the least complex mode wins that is within the tolerated
complexity and the memory limit and reaches the performance threshold. If none reaches it, the fastest of those within
the limits is taken; if none is within the limits, the least complex one that is installed. The decision says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """A mode to choose or not: its place in COMPLEXITY, and why it cannot be used, if it cannot.

    `native` is true for an engine that is a distribution of its own: it is there because it was asked for.
    """

    mode: str
    complexity: str
    figures: ModeFigures
    unavailable: str | None = None
    native: bool = False


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
    """What `auto` chooses of `candidates` under `rules` (an AutoSelection); None if none of them is available."""
    excluded = {c.mode: _exclusion(c, rules) for c in candidates}
    within = [c for c in candidates if excluded[c.mode] is None]
    if not within:
        return _beyond(candidates, excluded)
    eligible = [c for c in within if c.native] or within
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


def _beyond(candidates: Sequence[Candidate], excluded: Mapping[str, str | None]) -> Decision | None:
    """What is chosen where everything that is installed is beyond the limits."""
    available = [c for c in candidates if c.unavailable is None]
    if not available:
        return None
    chosen = min(available, key=lambda c: (COMPLEXITY.index(c.complexity), -c.figures.qps))
    reason = f"nothing that is installed is within the limits, and it is the least complex ({excluded[chosen.mode]})"
    rejected = tuple(Rejected(c.mode, excluded[c.mode] or "") for c in candidates if c is not chosen)
    return Decision(chosen.mode, (reason,), rejected, describe_sources(candidates))


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
    """Why a candidate within the limits came after `chosen`."""
    if chosen.native and not c.native:
        return f"{chosen.mode} is installed, {c.mode} comes with the package"
    if not threshold_reached or COMPLEXITY.index(c.complexity) == COMPLEXITY.index(chosen.complexity):
        return f"with {c.figures.qps:,.0f} statements/s it is no faster than {chosen.mode}"
    if COMPLEXITY.index(c.complexity) > COMPLEXITY.index(chosen.complexity):
        return f"{chosen.mode} is fast enough and less complex"
    return f"with {c.figures.qps:,.0f} statements/s it does not reach performance_threshold"
