"""What others read of a pool; none of it is imported, or costs anything, unless it is asked for.

    prometheus      a collector for prometheus_client and a small HTTP endpoint (extra `metrics`)
    opentelemetry   spans and metrics by the semantic conventions for databases (extra `otel`)

Without any extra, `DatabasePool.get_metrics().prometheus()` is the text that Prometheus scrapes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..abc import Pool

_automatic: Callable[[Pool], Pool] | None = None


def set_automatic(instrument: Callable[[Pool], Pool] | None) -> None:
    """Have every pool that is made from now on pass through `instrument`; None ends that."""
    global _automatic
    _automatic = instrument


def observed(pool: Pool) -> Pool:
    """A new pool, as it is given to the program."""
    return pool if _automatic is None else _automatic(pool)
