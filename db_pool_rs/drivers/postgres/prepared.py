"""The statements that one connection has prepared: a set with an order, the least recently used first.

What is sent is taken for done until the answer comes: a group may use a text several times, and more texts than are to
be kept. If the group fails, `rollback` goes back to what the server has confirmed.
"""

from __future__ import annotations


class Prepared:
    """Names of prepared statements on one connection, at most `limit`."""

    __slots__ = ("_there", "limit", "names")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        #: What will be there when everything that was sent is executed.
        self.names: dict[bytes, None] = {}
        self._there: dict[bytes, None] = {}

    def touch(self, name: bytes) -> None:
        """It is being used."""
        if name in self.names:
            del self.names[name]
            self.names[name] = None

    def add(self, name: bytes) -> None:
        """It is being prepared."""
        if name:
            self.names[name] = None

    def surplus(self) -> list[bytes]:
        """Take out what must go before one more is prepared."""
        gone = list(self.names)[: max(0, len(self.names) + 1 - self.limit)]
        for name in gone:
            del self.names[name]
        return gone

    def was_added(self, name: bytes) -> None:
        """The server has prepared it."""
        if name:
            self._there[name] = None

    def was_dropped(self, name: bytes) -> None:
        """The server has dropped it."""
        self._there.pop(name, None)

    def rollback(self) -> None:
        """A part of what was sent was not executed."""
        self.names = dict(self._there)

    def discard(self, name: bytes) -> None:
        """It is of no use any more."""
        self.names.pop(name, None)
        self._there.pop(name, None)

    def clear(self) -> None:
        """The server has dropped them all."""
        self.names.clear()
        self._there.clear()
