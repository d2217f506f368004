"""What the scheduler tells the pool to do. The pool carries actions out in order; it decides nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .model import Statement
from .waiter import Item, Reason, Waiter

if TYPE_CHECKING:
    from .model import Conn


class Open(NamedTuple):
    """Open a connection; answer with `opened` or `open_failed`."""

    conn: Conn


class Send(NamedTuple):
    """Send `group` and one Sync; answer with `finished` (or `lost`)."""

    conn: Conn
    group: list[Statement]


class Lend(NamedTuple):
    """Hand the connection to `waiter`; answer with `released` (or `lost`)."""

    conn: Conn
    waiter: Waiter


class Cancel(NamedTuple):
    """Send a CancelRequest; answer with `cancel_closed` once the server has closed the cancel's own connection."""

    conn: Conn


class Reset(NamedTuple):
    """Bring the session back to its initial state; answer with `reset_done` (or `lost`)."""

    conn: Conn


class Close(NamedTuple):
    """Close the connection; answer with `closed`."""

    conn: Conn


class Deliver(NamedTuple):
    """The group is final: give each statement's outcome to its caller; a `turn` follows when they have had theirs."""

    group: list[Statement]


class Fail(NamedTuple):
    """Answer a waiter with an error; `sent`: whether the server may have seen it."""

    item: Item
    reason: Reason
    sent: bool = False


Action = Open | Send | Lend | Cancel | Reset | Close | Deliver | Fail
