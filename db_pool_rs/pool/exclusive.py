"""Awaitable use of a link by one user at a time: sessions, resets and `init` run their statements through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import cast

from ..aio import ResultFuture
from ..drivers.base import STATUS, CopyConnection, Database, ServerConnection, Sink, Source
from ..errors import ConnectionLost
from ..scheduler.cost import Query
from ..scheduler.model import StatementRequest
from ..sql import classify
from .outages import reason_of


def session_text(sql: str, dialect: str) -> Query:
    """The text of a statement that runs on a session, known to nobody else."""
    return Query(sql, classify(sql, dialect), groupable=False)


@lru_cache(maxsize=512)
def command_text(sql: str, dialect: str) -> Query:
    """The text of a command that pools send on their own account (BEGIN, ROLLBACK, RESET ...).

    All pools share it, so it must not be worth describing: what a SELECT returns is a matter of the database.
    """
    return session_text(sql, dialect)


class Exclusive:
    """One link and the answer to what runs on it. Whoever holds it sees to it that one thing runs at a time."""

    __slots__ = (
        "_answer", "_loop", "_new_answer", "_settled", "busy", "dialect", "error", "link", "on_lost", "on_notification",
        "seconds",
    )  # fmt: skip

    def __init__(self, link: ServerConnection, loop: asyncio.AbstractEventLoop, database: Database) -> None:
        self.link = link
        self.dialect = database.dialect
        self.error: Exception | None = None
        self._loop = loop
        self._new_answer = database.answer
        self._answer: ResultFuture[None] | None = None
        self._settled: asyncio.Future[None] | None = None
        #: Whether a group is unanswered; true even when nobody waits for the answer any more.
        self.busy = False
        #: Who is told of notifications, and of the loss; set by the session.
        self.on_notification: Callable[[int, str, str], None] | None = None
        self.on_lost: Callable[[], None] | None = None
        #: How long the last group took.
        self.seconds = 0.0

    def start(self, group: Sequence[StatementRequest]) -> ResultFuture[None]:
        """Send `group`; the answer comes with the server's, or fails with the loss of the connection.

        Outcomes of the statements are in their ``value`` and ``error``, never in the answer.
        """
        answer = self._begin()
        if self.busy:
            self.link.start(group, self._answered)
        return answer

    def describe(self, statement: StatementRequest) -> ResultFuture[None]:
        """The same for :meth:`ServerConnection.describe`."""
        answer = self._begin()
        if self.busy:
            self.link.describe(statement, self._answered)
        return answer

    def copy(self, statement: StatementRequest, stream: Source | Sink) -> ResultFuture[None]:
        """The same for :meth:`CopyConnection.copy`."""
        answer = self._begin()
        if self.busy:
            cast(CopyConnection, self.link).copy(statement, stream, self._answered)
        return answer

    def _begin(self) -> ResultFuture[None]:
        assert not self.busy, "bug: two groups on one session"
        answer = self._new_answer(self._loop)
        if self.error is not None:
            answer.set_exception(ConnectionLost(f"the connection is gone: {reason_of(self.error)}", sent=False))
        else:
            self._answer, self.busy = answer, True
        return answer

    async def command(self, *texts: str) -> None:
        """Run commands in one round trip; raises the first error."""
        group = [StatementRequest(command_text(sql, self.dialect), (), STATUS, None) for sql in texts]
        await self.start(group)
        for statement in group:
            if statement.error is not None:
                raise statement.error

    async def settled(self) -> None:
        """Wait until what runs is answered, or the link is lost; its outcome is of no interest."""
        if self.busy:
            self._settled = self._settled or self._loop.create_future()
            await asyncio.shield(self._settled)

    def lost(self, error: Exception, sent: bool) -> None:
        """The link is gone: whoever waits hears of it, and whoever comes later."""
        self.error = error
        lost = error if isinstance(error, ConnectionLost) else ConnectionLost(str(error), sent=sent)
        lost.__cause__ = None if lost is error else error
        self._end(lost)
        if self.on_lost is not None:
            self.on_lost()

    def _answered(self, ok: bool, seconds: float, size: float) -> None:
        self.seconds = seconds
        self._end(None)

    def _end(self, error: ConnectionLost | None) -> None:
        answer, settled, self._answer, self._settled, self.busy = self._answer, self._settled, None, None, False
        if settled is not None and not settled.done():
            settled.set_result(None)
        if answer is None or answer.done():  # the caller may have gone
            return
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)
