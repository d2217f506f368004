"""Sockets of connections, watched by the event loop until they are closed, whatever happens to them.

A socket that was reset is in error and may hold data that came before. A connection takes some of it, and counts on
being called again for the rest and for the end. asyncio's own loops do call again; uvloop does not: libuv gives up a
descriptor with its first error. So a loop of that kind watches one epoll descriptor, which is itself never in error,
and this module asks that descriptor which sockets are ready. A loop that watches no descriptors at all, as asyncio's on
Windows, has a thread that does (:mod:`.socket_thread`).
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from ... import forks
from ...aio import until

if TYPE_CHECKING:
    from .socket_thread import SocketThread

#: How many ready sockets are asked for at once; the others are the next tick's.
_AT_ONCE = 64


class Watcher(Protocol):
    """Calls back when a descriptor is ready, again and again while it is: a loop, a :class:`Watch`, a SocketThread."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> Any:
        """Call when there is something to read, or the end."""

    def remove_reader(self, fd: int) -> Any:
        """Do not any more."""

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> Any:
        """Call when something can be written."""

    def remove_writer(self, fd: int) -> Any:
        """Do not any more."""


class Watch:
    """A :class:`Watcher` over one epoll descriptor, which exists as long as there is a socket to watch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll: select.epoll | None = None
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], object]] = {}
        forks.hold(self)

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` when there is something to read, or the end."""
        self._set(self._readers, fd, (lambda: callback(*args)) if args else callback)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` when something can be written."""
        self._set(self._writers, fd, (lambda: callback(*args)) if args else callback)

    def remove_reader(self, fd: int) -> None:
        """Do not look for something to read any more."""
        self._unset(self._readers, fd)

    def remove_writer(self, fd: int) -> None:
        """Do not look for room to write any more."""
        self._unset(self._writers, fd)

    def _set(self, callbacks: dict[int, Callable[[], object]], fd: int, callback: Callable[[], object]) -> None:
        known = self._mask(fd)
        callbacks[fd] = callback
        mask = self._mask(fd)
        if self._epoll is None:
            self._epoll = select.epoll()
            self.loop.add_reader(self._epoll.fileno(), self._ready)
        if not known:
            self._epoll.register(fd, mask)
        elif mask != known:
            self._epoll.modify(fd, mask)

    def _unset(self, callbacks: dict[int, Callable[[], object]], fd: int) -> None:
        if callbacks.pop(fd, None) is None or self._epoll is None:
            return
        mask = self._mask(fd)
        with contextlib.suppress(OSError):  # libpq has closed it already
            if mask:
                self._epoll.modify(fd, mask)
            else:
                self._epoll.unregister(fd)
        if not (self._readers or self._writers):
            self._close()

    def _mask(self, fd: int) -> int:
        return (select.EPOLLIN if fd in self._readers else 0) | (select.EPOLLOUT if fd in self._writers else 0)

    def _close(self) -> None:
        epoll, self._epoll = self._epoll, None
        if epoll is not None:
            if not self.loop.is_closed():
                self.loop.remove_reader(epoll.fileno())
            epoll.close()

    def held(self) -> int:
        """The epoll descriptor, which a child process must not use."""
        return -1 if self._epoll is None else self._epoll.fileno()

    def leave(self) -> None:
        """This is a child process: the descriptor was the parent's."""
        self._close()

    def _ready(self) -> None:
        """Some sockets are ready. What is not read now is found again by the next tick."""
        assert self._epoll is not None
        readers, writers = self._readers, self._writers
        for fd, events in self._epoll.poll(0, _AT_ONCE):
            if events & ~select.EPOLLOUT:  # an error is for both to find
                self._call(readers.get(fd))
            if events & ~select.EPOLLIN:
                self._call(writers.get(fd))

    def _call(self, callback: Callable[[], object] | None) -> None:
        if callback is None:  # given up by a callback before
            return
        try:
            callback()
        except Exception as error:
            self.loop.call_exception_handler({"message": f"exception in {callback!r}", "exception": error})


_watches: weakref.WeakValueDictionary[int, Watch | SocketThread] = weakref.WeakValueDictionary()
_watching: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, bool] = weakref.WeakKeyDictionary()


def watcher(loop: asyncio.AbstractEventLoop) -> Watcher:
    """What watches sockets for this loop: the loop itself, if it is one of asyncio's or there is no epoll."""
    if not can_watch(loop):
        return _watch_of(loop, _socket_thread())
    if isinstance(loop, asyncio.SelectorEventLoop) or not hasattr(select, "epoll"):
        return loop
    return _watch_of(loop, Watch)


def descriptors(loop: asyncio.AbstractEventLoop) -> Watcher:
    """What watches a descriptor that is never in error: the loop itself, if it watches any."""
    return loop if can_watch(loop) else _watch_of(loop, _socket_thread())


def can_watch(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the loop watches descriptors; that of asyncio on Windows does not."""
    known = _watching.get(loop)
    if known is None:
        with socket.socket() as unused:
            try:
                loop.remove_reader(unused)
                known = True
            except NotImplementedError:
                known = False
        _watching[loop] = known
    return known


def _socket_thread() -> type[SocketThread]:
    from .socket_thread import SocketThread  # other loops do without

    return SocketThread


def _watch_of(loop: asyncio.AbstractEventLoop, kind: type[Watch] | type[SocketThread]) -> Watch | SocketThread:
    """The one of the loop: as long as one of its users has it."""
    watch = _watches.get(id(loop))
    if watch is None or watch.loop is not loop:
        watch = _watches[id(loop)] = kind(loop)
    return watch


async def wait_ready(fd: int, writing: bool, deadline: float | None) -> None:
    """Until the descriptor can be read, or written; Expired at the deadline. Nothing stays registered."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    sockets = watcher(loop)
    add, remove = (
        (sockets.add_writer, sockets.remove_writer) if writing else (sockets.add_reader, sockets.remove_reader)
    )
    add(fd, set_ready, future)
    try:
        await until(future, deadline)
    finally:
        remove(fd)


def set_ready(future: asyncio.Future[None]) -> None:
    """The descriptor that `future` stands for is ready."""
    if not future.done():
        future.set_result(None)
