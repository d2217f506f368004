"""The system watches over connections on which nothing comes: a server that is gone without a word is noticed."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="names of the options, and /proc, are Linux'")

SILENCE = "keepalives_idle=33&keepalives_interval=7&keepalives_count=3"


@contextlib.contextmanager
def _connection_to(port: int) -> Iterator[socket.socket]:
    """The only socket of this process that is connected to a port."""
    with contextlib.ExitStack() as opened:
        found = []
        for entry in Path("/proc/self/fd").iterdir():
            with contextlib.suppress(OSError):  # it was that of the listing, or is connected to nothing
                if os.readlink(entry).startswith("socket:"):
                    one = opened.enter_context(socket.socket(fileno=os.dup(int(entry.name))))
                    if one.family == socket.AF_INET and one.getpeername()[1] == port:
                        found.append(one)
        (only,) = found
        yield only


def _tcp(connection: socket.socket, *names: str) -> list[int]:
    return [connection.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in names]


async def test_a_peer_that_is_gone_is_looked_for(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    await open_pool(pg_database, max_size=1)
    with _connection_to(pg_server.port) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        (user_timeout,) = _tcp(connection, "TCP_USER_TIMEOUT")
        assert user_timeout == 0, "the system's default"


async def test_when_and_how_often_is_taken_from_the_target(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    await open_pool(f"{pg_database}?{SILENCE}&tcp_user_timeout=5000", max_size=1)
    with _connection_to(pg_server.port) as connection:
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        names = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
        assert _tcp(connection, *names) == [33, 7, 3, 5000]


async def test_not_at_all_where_it_is_turned_off(open_pool: Any, pg_server: Any, pg_database: str) -> None:
    await open_pool(f"{pg_database}?keepalives=0&{SILENCE}", max_size=1)
    with _connection_to(pg_server.port) as connection:
        assert not connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
