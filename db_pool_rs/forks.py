"""What a child process does with the connections and the event loop that it has inherited: it lets go of them.

A child has copies of the parent's descriptors. What it reads from a socket is missing to the parent; what it sends, or
says at the end of a session, reaches the parent's server; and what it no longer watches with its copy of an epoll
descriptor the parent does not watch any more either. So in the child each of these descriptors becomes one of
`/dev/null` before anything else can happen. Whatever is then done with it, until the child ends, concerns the child.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import selectors
import signal
import weakref
from typing import Any, Protocol


class Holder(Protocol):
    """Has a descriptor that a child process must not use."""

    def held(self) -> int:
        """The descriptor; -1 if there is none now."""

    def leave(self) -> None:
        """This is a child process, and the descriptors of all holders stand for nothing: clean up."""


_holders: weakref.WeakSet[Any] = weakref.WeakSet()


def hold(holder: Holder) -> None:
    """Have `holder` leave in every child process that is forked while it exists."""
    _holders.add(holder)


def give_up(fd: int) -> None:
    """Have the descriptor stand for nothing in this process; its number remains taken."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        os.dup2(nothing, fd, inheritable=False)
    finally:
        os.close(nothing)


def leave_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Give this process's copy of an event loop an epoll descriptor and a wake-up of its own.

    asyncio does not: a child that ends by an exception, and so closes the loop, takes the parent's wake-up away.
    """
    selector = getattr(loop, "_selector", None)
    if loop.is_closed() or not hasattr(select, "epoll") or not isinstance(selector, selectors.EpollSelector):
        return
    with select.epoll() as own:
        os.dup2(own.fileno(), selector.fileno(), inheritable=False)
    with contextlib.suppress(ValueError):  # not the main thread
        signal.set_wakeup_fd(-1)
    asyncios: Any = loop
    if hasattr(asyncios, "_close_self_pipe") and hasattr(asyncios, "_make_self_pipe"):
        asyncios._close_self_pipe()
        asyncios._make_self_pipe()


def _leave() -> None:
    """All holders leave. What one of them raises keeps no other from it; Python reports the first of these errors."""
    holders, errors = list(_holders), list[Exception]()
    for step in (_give_up_held, _clean_up):
        for holder in holders:
            try:
                step(holder)
            except Exception as error:
                errors.append(error)
    if errors:
        raise errors[0]


def _give_up_held(holder: Holder) -> None:
    fd = holder.held()
    if fd >= 0:
        give_up(fd)


def _clean_up(holder: Holder) -> None:
    holder.leave()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)
