"""What a session is told unasked: notifications of the channels it listens to, notices, the end of its connection."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError
from ..sql.quoting import quoted

if TYPE_CHECKING:
    from .session import Session

#: Bytes of a name in PostgreSQL; what is longer is cut off, and would never be recognised again.
MOST_BYTES = 63


class Notifications:
    """The callbacks of one session. They are called from the event loop, never in the middle of a call."""

    __slots__ = ("_callbacks", "_connection", "_listeners", "_session", "_timeout")

    def __init__(self, connection: object, session: Session, timeout: float | None) -> None:
        self._connection = weakref.ref(connection)  # it is to be noticed when its holder forgets it
        self._session = session
        self._timeout = timeout
        self._listeners: dict[str, list[Callable[..., Any]]] = {}
        #: Those of notices, and of the end of the connection.
        self._callbacks: dict[str, list[Callable[..., Any]]] = {"notice": [], "end": []}
        session.on_notification, session.on_lost = self.notified, self.lost
        session.on_notice = self.noticed

    async def add(self, channel: str, callback: Callable[..., Any]) -> None:
        """Call `callback` for notifications of `channel`."""
        command = f"LISTEN {quoted_channel(channel)}"
        _check(callback)
        known = self._listeners.setdefault(channel, [])
        new = callback not in known
        if new:
            known.append(callback)  # before the server knows: the first notification may come with its answer
        self._session.dirty = True
        try:  # however often: only the server knows whether an earlier LISTEN still holds (ROLLBACK, UNLISTEN *)
            await self._session.command(command, timeout=self._timeout)
        except BaseException:
            if new:
                self._forget(channel, callback)
            raise

    async def remove(self, channel: str, callback: Callable[..., Any]) -> None:
        """Do not call it any more. Without effect if it was not called."""
        command = f"UNLISTEN {quoted_channel(channel)}"
        if self._forget(channel, callback):
            await self._session.command(command, timeout=self._timeout)

    def add_callback(self, kind: str, callback: Callable[..., Any]) -> None:
        """Call `callback` for each notice, or at the end of the connection; `kind` is "notice" or "end"."""
        _check(callback)
        if callback not in self._callbacks[kind]:
            self._callbacks[kind].append(callback)

    def remove_callback(self, kind: str, callback: Callable[..., Any]) -> None:
        """Do not call it any more."""
        if callback in self._callbacks[kind]:
            self._callbacks[kind].remove(callback)

    def notified(self, pid: int, channel: str, payload: str) -> None:
        """A notification has come."""
        for callback in self._listeners.get(channel, ()):
            self._call(callback, pid, channel, payload)

    def lost(self) -> None:
        """The connection is gone."""
        for callback in self._callbacks["end"]:
            self._call(callback)

    def noticed(self, notice: Exception) -> None:
        """A notice has come."""
        for callback in self._callbacks["notice"]:
            self._call(callback, notice)

    def _call(self, callback: Callable[..., Any], *args: Any) -> None:
        connection = self._connection()
        if connection is not None:
            self._session.executor.loop.call_soon(self._run, callback, connection, *args)

    def _run(self, callback: Callable[..., Any], *args: Any) -> None:
        answer = callback(*args)  # what it raises is reported by the event loop
        if inspect.iscoroutine(answer):
            task = self._session.executor.spawn(answer)
            task.add_done_callback(_report)

    def _forget(self, channel: str, callback: Callable[..., Any]) -> bool:
        """True if the channel has no callback any more."""
        known = self._listeners.get(channel, [])
        if callback not in known:
            return False
        known.remove(callback)
        if not known:
            del self._listeners[channel]
        return not known


def _report(task: asyncio.Task[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        context = {"message": "a listener failed", "exception": error, "task": task}
        task.get_loop().call_exception_handler(context)


def _check(callback: object) -> None:
    if not callable(callback):
        raise InterfaceError(f"callback: a function expected, got {callback!r}")


def quoted_channel(channel: str) -> str:
    """The name in a command; InterfaceError if it is none."""
    name = quoted(channel, "channel")
    if len(channel.encode("utf-8", "replace")) > MOST_BYTES:
        raise InterfaceError(f"channel: a name has at most {MOST_BYTES} bytes, got {channel!r}")
    return name
