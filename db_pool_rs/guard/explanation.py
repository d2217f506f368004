"""What a pool answers when it is asked how it treats a text."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """How the pool treats a statement text: the answer of `pool.explain(sql)`.

    kind: read, write, session, control, other or empty. grouped: whether it shares a connection with others now.
    reason: why it never does (None if its cost alone decides), such as
    `INSERT INTO orders: trigger orders_audit -> function audit(): pg_notify`. guarded: the catalogue has been read, or
    need not be. seen: how often it was answered; expected_ms: its share of the server's time, None before that.
    prepared: whether its types are known, so that it is prepared on a connection before its first use there. lane:
    where it runs: reads, writes, or alone.
    """

    kind: str
    grouped: bool
    reason: str | None
    guarded: bool
    seen: int
    expected_ms: float | None
    prepared: bool
    lane: str
