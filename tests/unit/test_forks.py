"""What a child process does with what its parent holds; tests/contract/test_forks.py has the pools."""

from __future__ import annotations

import os
import socket

import pytest

from db_pool_rs import forks


class Socket:
    """Holds one end of a pair."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.left = False
        forks.hold(self)

    def held(self) -> int:
        return self.ours.fileno()

    def leave(self) -> None:
        self.left = True


class Broken:
    """Cannot say what it holds, nor leave."""

    def __init__(self) -> None:
        forks.hold(self)

    def held(self) -> int:
        raise IndexError("no socket")

    def leave(self) -> None:
        raise AttributeError("no loop")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_what_one_holder_raises_keeps_no_other_from_leaving() -> None:
    holders = [Socket(), Broken(), Socket(), Broken(), Socket()]
    sockets = [one for one in holders if isinstance(one, Socket)]
    child = os.fork()
    if child == 0:
        for one in sockets:
            os.write(one.ours.fileno(), b"x")  # into nothing
        os._exit(0 if all(one.left for one in sockets) else 1)
    assert os.waitpid(child, 0)[1] == 0
    for one in sockets:
        one.theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            one.theirs.recv(1)
        one.ours.close()
        one.theirs.close()
