"""What a server sends before its session begins: counted, and ended where it is more than any session begins with.

libpq takes one message in whole, up to 1 GiB, and a step of its connection phase reads on while more of that arrives.
So what arrives is looked at beside the step, from the event loop, and more than :data:`MOST` bytes shut the socket
down, which ends the step. Linux tells of a TCP socket how many bytes it has received; of others what waits is added up
where it is not as much as at the look before, so that a step that is late counts nothing twice. A flood still comes to
its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

from ... import forks

#: Bytes that a server may send before the session begins; libpq keeps all notifications and settings among them.
MOST = 2**21
#: Seconds between two looks at a socket whose step has not ended.
_PAUSE = 0.002
#: Where Linux has `tcpi_bytes_received` in `struct tcp_info` (linux/tcp.h).
_RECEIVED = slice(128, 136)


class Intake:
    """Counts for one attempt to connect."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        #: Bytes that were counted, and those that waited at the last look.
        self._said = self._waited = 0
        #: The socket under a descriptor of its own, while a step runs: the step may close libpq's.
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        forks.hold(self)

    def is_too_much(self) -> bool:
        """Whether the server has sent more than :data:`MOST` bytes."""
        return self._said > MOST

    @contextlib.contextmanager
    def counting(self, fd: int) -> Iterator[None]:
        """Look at the socket now, and again and again meanwhile."""
        self._socket, self._waited = _duplicate(fd), 0
        try:
            self._look()
            yield
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._socket.close()
            self._socket = None

    def _look(self) -> None:
        assert self._socket is not None
        received = _received(self._socket)
        if received is not None:
            self._said = max(self._said, received)
        elif (waiting := _waiting(self._socket)) != self._waited:
            self._said, self._waited = self._said + waiting, waiting
        if self._said > MOST:
            with contextlib.suppress(OSError):  # it is not connected any more
                self._socket.shutdown(socket.SHUT_RDWR)
        else:
            self._timer = self._loop.call_later(_PAUSE, self._look)

    def held(self) -> int:
        """The descriptor, which a child process must not use."""
        return -1 if self._socket is None else self._socket.fileno()

    def leave(self) -> None:
        """Nothing else is inherited."""


def _duplicate(fd: int) -> socket.socket:
    """Not the method `dup` of a socket: it would make libpq's wait for what has not arrived, too."""
    return socket.socket(fileno=socket.dup(fd))


def _received(one: socket.socket) -> int | None:
    """Bytes that have arrived since it was connected; None where the system does not tell."""
    if sys.platform != "linux" or one.family == socket.AF_UNIX:
        return None
    try:
        found = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _RECEIVED.stop)[_RECEIVED]
    except OSError:
        return None
    return int.from_bytes(found, sys.byteorder) if len(found) == 8 else None  # Linux 4.1 and later


def _peeked(one: socket.socket) -> int:
    """Bytes that have arrived and are not read yet, where the system cannot be asked for their number."""
    try:
        return len(one.recv(MOST, socket.MSG_PEEK))
    except OSError:  # nothing is there, or the end: libpq finds out which
        return 0


if sys.platform == "win32":
    _waiting = _peeked
else:
    import fcntl
    import termios

    def _waiting(one: socket.socket) -> int:
        """Bytes that have arrived and are not read yet."""
        return int.from_bytes(fcntl.ioctl(one, termios.FIONREAD, bytes(4)), sys.byteorder)
