"""Sockets watched by a thread, for event loops that cannot watch any, as that of asyncio on Windows.

The thread waits until some of them are ready, and has the event loop call back with one `call_soon_threadsafe` for all
of these. Meanwhile it leaves them alone: a socket is watched again when its callback has been called, if it still is to
be. It exists as long as there is a socket to watch.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable
from selectors import EVENT_READ, EVENT_WRITE
from typing import Any

from ... import forks

_BOTH = EVENT_READ | EVENT_WRITE


class SocketThread:
    """A :class:`~db_pool_rs.drivers.postgres.watch.Watcher`; its methods are called on the thread of `loop`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._readers: dict[int, Callable[[], object]] = {}
        self._writers: dict[int, Callable[[], object]] = {}
        #: Which watching of a descriptor it is: what was found for an earlier one says nothing of this.
        self._numbers: dict[int, int] = {}
        self._count = 0
        self._selecting: _Selecting | None = None
        self._pid = os.getpid()
        forks.hold(self)

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` when there is something to read, or the end."""
        self._readers[fd] = (lambda: callback(*args)) if args else callback
        self._watch(fd)

    def add_writer(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        """Call `callback` when something can be written."""
        self._writers[fd] = (lambda: callback(*args)) if args else callback
        self._watch(fd)

    def remove_reader(self, fd: int) -> None:
        """Do not look for something to read any more."""
        if self._readers.pop(fd, None) is not None:
            self._watch(fd)

    def remove_writer(self, fd: int) -> None:
        """Do not look for room to write any more."""
        if self._writers.pop(fd, None) is not None:
            self._watch(fd)

    def _watch(self, fd: int) -> None:
        """Have the thread look for what there are callbacks for."""
        if os.getpid() != self._pid:
            return  # a child process, in which the thread does not exist: it may have held the lock
        if not (self._readers or self._writers):
            self._end()
            return
        if self._selecting is None:
            self._selecting = _Selecting(self.loop, self._ready)
        wanted = (EVENT_READ if fd in self._readers else 0) | (EVENT_WRITE if fd in self._writers else 0)
        self._count += 1
        if wanted:
            self._numbers[fd] = self._count
        else:
            self._numbers.pop(fd, None)
        self._selecting.look(fd, wanted, self._count)

    def _ready(self, selecting: _Selecting, found: list[tuple[int, int, int]]) -> None:
        """Some sockets are ready."""
        for fd, number, events in found:
            if events & EVENT_READ and self._numbers.get(fd) == number:
                self._call(self._readers.get(fd))
            if events & EVENT_WRITE and self._numbers.get(fd) == number:
                self._call(self._writers.get(fd))
        for fd, _, _ in found:
            if selecting is self._selecting and (fd in self._readers or fd in self._writers):
                self._watch(fd)

    def _call(self, callback: Callable[[], object] | None) -> None:
        if callback is None:  # given up meanwhile
            return
        try:
            callback()
        except Exception as error:
            self.loop.call_exception_handler({"message": f"exception in {callback!r}", "exception": error})

    def _end(self) -> None:
        if self._selecting is not None:
            self._selecting.end()
            self._selecting = None

    def held(self) -> int:
        """The selector's descriptor, which a child process must not use; -1 if it has none."""
        return -1 if self._selecting is None else self._selecting.descriptor()

    def leave(self) -> None:
        """This is a child process, in which the thread does not exist."""
        self._readers.clear()
        self._writers.clear()
        if self._selecting is not None:
            self._selecting.close()
            self._selecting = None


class _Selecting:
    """The thread, from its start to its end."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, ready: Callable[[_Selecting, list[tuple[int, int, int]]], None]
    ) -> None:
        self._loop = loop
        self._ready = ready
        self._selector = selectors.DefaultSelector()
        #: Held while the selector's table is changed or read. Where the system lets go of a socket that another thread
        #: waits for, the change holds at once; elsewhere from the next look on, for which the thread is woken.
        self._lock = threading.Lock()
        self._waking, self._woken = socket.socketpair()
        self._waking.setblocking(False)
        self._woken.setblocking(False)
        self._selector.register(self._woken, EVENT_READ)
        self._ended = False
        threading.Thread(target=self._run, name="db_pool_rs sockets", daemon=True).start()

    def descriptor(self) -> int:
        """That of the selector, where it has one."""
        fileno: Callable[[], int] | None = getattr(self._selector, "fileno", None)
        return -1 if fileno is None else fileno()

    def look(self, fd: int, events: int, number: int) -> None:
        """Look for these events of a socket from now on, and tell the number with them; for none: leave it alone."""
        with self._lock:
            self._set(fd, events, number)
        self._wake()

    def _set(self, fd: int, events: int, number: int) -> None:
        known = fd in self._selector.get_map()
        with contextlib.suppress(OSError):  # it was closed without a word
            if known and events:
                self._selector.modify(fd, events, number)
            elif known:
                self._selector.unregister(fd)
            elif events:
                self._selector.register(fd, events, number)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: then it is awake
            self._waking.send(b"\0")

    def end(self) -> None:
        """Nothing is watched any more: the thread ends, and closes what it has."""
        self._ended = True
        self._wake()

    def close(self) -> None:
        """Close what the thread has."""
        self._selector.close()
        self._waking.close()
        self._woken.close()

    def _run(self) -> None:
        while not self._ended:
            try:
                found = self._selector.select()
            except OSError:  # a socket was closed while it was waited for
                continue
            ready = self._take(found)
            if ready and not self._ended:
                try:
                    self._loop.call_soon_threadsafe(self._ready, self, ready)
                except RuntimeError:  # the loop is closed
                    break
        self.close()

    def _take(self, found: list[tuple[selectors.SelectorKey, int]]) -> list[tuple[int, int, int]]:
        """What is ready, which is left alone until its callbacks were called."""
        ready = []
        with self._lock:
            for key, events in found:
                if key.fileobj is self._woken:
                    with contextlib.suppress(OSError):
                        self._woken.recv(4096)
                else:
                    self._set(key.fd, 0, 0)
                    ready.append((key.fd, key.data, events & _BOTH))
        return ready
