"""What the log and the program's own listeners are told of a pool: notices of the server, and statements.

Callbacks are called by the event loop, in its next tick; what they raise is reported by it and harms no call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError
from ..log import logger
from ..record import LoggedQuery

if TYPE_CHECKING:
    from ..scheduler.model import StatementRequest


_LEVELS = {"WARNING": logging.WARNING, "DEBUG": logging.DEBUG}


class Observers:
    """The listeners of one pool."""

    def __init__(self, name: str) -> None:
        self._name = name
        #: Texts that the pool sends on its own account: no logger is told of them.
        self.own: set[str] = set()
        self._notices: list[Callable[[Any], object]] = []
        #: The listeners that are to be told of statements.
        self.queries: list[Callable[[LoggedQuery], object]] = []

    def add(self, kind: str, callback: Callable[[Any], object]) -> None:
        """Have `callback` called; `kind` is "notice" or "query"."""
        if not callable(callback):
            raise InterfaceError(f"callback: a function expected, got {callback!r}")
        self._of(kind).append(callback)

    def remove(self, kind: str, callback: Callable[[Any], object]) -> None:
        """Do not call it any more; without effect if it was not added."""
        if callback in self._of(kind):
            self._of(kind).remove(callback)

    def _of(self, kind: str) -> list[Any]:
        return self._notices if kind == "notice" else self.queries

    def notice(
        self, notice: Exception, loop: asyncio.AbstractEventLoop, holder: Callable[[Exception], None] | None = None
    ) -> None:
        """The server has sent a notice: the level of its line in the log is that of its severity.

        `holder` is called for the listeners of the session that has caused it.
        """
        severity = str(getattr(notice, "severity", None) or "")
        logger.log(_LEVELS.get(severity.rstrip("12345"), logging.INFO), "pool %r: %s", self._name, notice)
        for callback in self._notices:
            loop.call_soon(callback, notice)
        if holder is not None:
            holder(notice)

    def answered(self, statements: Sequence[StatementRequest], seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        """Statements that travelled together were answered `seconds` after they were sent."""
        now = loop.time()
        for one in statements:
            if one.query.sql not in self.own:
                waited = now - one.enqueued if one.enqueued else seconds
                self.tell(LoggedQuery(one.query.sql, one.args, max(waited, seconds), one.error), loop)

    def tell(self, query: LoggedQuery, loop: asyncio.AbstractEventLoop) -> None:
        """One statement was answered."""
        for callback in self.queries:
            loop.call_soon(callback, query)
