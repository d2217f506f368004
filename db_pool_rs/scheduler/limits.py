"""The numbers in the rules of the scheduler."""

from __future__ import annotations

from dataclasses import dataclass, field

from .cost import CostLimits


@dataclass(frozen=True, slots=True)
class Limits:
    """The numbers in the rules; times in seconds."""

    min_size: int = 1
    max_size: int = 10
    max_waiting: int = 100_000
    acquire_timeout: float = 30.0
    idle_timeout: float = 600.0
    group_max: int = 64
    group_time: float = 0.002
    piece_min: int = 8
    stall: float = 0.050
    lane_wait: float = 0.001
    write_lane_wait: float = 0.005
    read_lanes: int = 2
    max_write_lanes: int = 10
    breaks_stalls: bool = True
    retry_reads: bool = False
    #: How long the server may take to react to a CancelRequest before idle connections are replaced too.
    suspect: float = 0.25
    #: How long the server may take to react to a CancelRequest before the connection counts as dead. Where nothing can
    #: be cancelled from outside there is no server that can fall silent: then it is asked, but never given up.
    cancel_grace: float = 1.5
    #: Pause before a CancelRequest is repeated, doubled each time: the server ignores one that comes too early.
    cancel_pause: float = 0.05
    #: Pause after the first failed connect; doubled up to the second value.
    backoff: float = 0.05
    backoff_max: float = 0.35
    cost: CostLimits = field(default_factory=CostLimits)
