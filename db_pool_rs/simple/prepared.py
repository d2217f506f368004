"""The statements that one connection has prepared: a set with an order, the least recently used first."""

from __future__ import annotations


class Prepared:
    """Names of prepared statements on one connection, at most `limit`."""

    __slots__ = ("limit", "names")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.names: dict[bytes, None] = {}

    def touch(self, name: bytes) -> None:
        """It is being used."""
        if name in self.names:
            del self.names[name]
            self.names[name] = None

    def add(self, name: bytes) -> None:
        """The server has prepared it."""
        if name:
            self.names[name] = None

    def surplus(self) -> list[bytes]:
        """Take out what must go before one more is prepared."""
        gone = list(self.names)[: max(0, len(self.names) + 1 - self.limit)]
        for name in gone:
            del self.names[name]
        return gone

    def discard(self, name: bytes) -> None:
        """It is of no use any more."""
        self.names.pop(name, None)

    def clear(self) -> None:
        """The server has dropped them all."""
        self.names.clear()
