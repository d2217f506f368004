"""What the scheduler tells the pool to do. The pool carries actions out in order; it decides nothing itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .driver import Statement
from .waiter import Item, Reason, Waiter

if TYPE_CHECKING:
    from .conn import Conn


@dataclass(frozen=True, slots=True)
class Open:
    """Open a connection; answer with `opened` or `open_failed`."""

    conn: Conn


@dataclass(frozen=True, slots=True)
class Send:
    """Send `group` and one Sync; answer with `finished` (or `lost`)."""

    conn: Conn
    group: list[Statement]


@dataclass(frozen=True, slots=True)
class Lend:
    """Hand the connection to `waiter`; answer with `released` (or `lost`)."""

    conn: Conn
    waiter: Waiter


@dataclass(frozen=True, slots=True)
class Cancel:
    """Send a CancelRequest; answer with `cancel_closed` once the server has closed the cancel's own connection."""

    conn: Conn


@dataclass(frozen=True, slots=True)
class Reset:
    """Bring the session back to its initial state; answer with `reset_done` (or `lost`)."""

    conn: Conn


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection; answer with `closed`."""

    conn: Conn


@dataclass(frozen=True, slots=True)
class Deliver:
    """The group is final: give each statement's outcome to its caller; a `turn` follows when they have had theirs."""

    group: list[Statement]


@dataclass(frozen=True, slots=True)
class Fail:
    """Answer a waiter with an error; `sent`: whether the server may have seen it."""

    item: Item
    reason: Reason
    sent: bool = field(default=False)


Action = Open | Send | Lend | Cancel | Reset | Close | Deliver | Fail
