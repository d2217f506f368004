"""A function run in a transaction, and run again where the server asks for that: `pool.run`.

Two errors say that a transaction was rolled back only because others ran beside it, and that it may well succeed now:
40001 (serialization failure) and 40P01 (deadlock). The COMMIT itself may fail so, too: that is an answer, nothing was
committed. Everything else is raised as it is, first of all a COMMIT whose outcome is unknown.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from random import SystemRandom
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import DatabaseError, InterfaceError

if TYPE_CHECKING:
    from .acquire import PoolTransaction
    from .connection import Connection
    from .context import Context

T = TypeVar("T")

#: A serialization failure, and a deadlock.
REPEATED = frozenset(("40001", "40P01"))
#: What follows in the same transaction once a statement has failed.
_ABORTED = "25P02"
#: The pause before the first repetition is up to so many seconds; it doubles with each, up to the second value.
PAUSE, PAUSE_MAX = 0.01, 1.0

_chance = SystemRandom()


class Run:
    """One call of `run` that is under way; tasks that its function has started may outlive it."""

    __slots__ = ("active", "context")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.active = True


_runs: ContextVar[tuple[Run, ...]] = ContextVar("db_pool_rs.runs", default=())


async def run_again(
    context: Context,
    block: Callable[[], PoolTransaction],
    function: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
    retries: int,
    retry_for: float,
) -> T:
    """Run ``function(connection, *args)`` in a transaction of its own until one is committed; see :meth:`Pool.run`."""
    _check(function, retries, retry_for)
    running = _runs.get()
    if any(run.active and run.context is context for run in running):
        raise InterfaceError(
            "run() inside a function that run() runs on the same pool: its transaction would be committed each time "
            "that the outer one is repeated; call the inner function itself, with the outer one's connection"
        )
    context.check_open()
    run = Run(context)
    token = _runs.set((*running, run))
    try:
        return await _attempts(block, function, args, retries, asyncio.get_running_loop().time() + retry_for)
    finally:
        run.active = False
        _runs.reset(token)


async def _attempts(
    block: Callable[[], PoolTransaction],
    function: Callable[..., Awaitable[T]],
    args: tuple[Any, ...],
    retries: int,
    end: float,
) -> T:
    clock, attempt = asyncio.get_running_loop().time, 1
    while True:
        try:
            async with block() as connection:
                return await _call(connection, attempt, function, args)
        except Exception as error:
            seconds = pause(attempt)
            if attempt > retries or clock() + seconds > end or not is_repeated(error):
                raise
        await asyncio.sleep(seconds)  # without a connection: it was released
        attempt += 1


async def _call(
    connection: Connection, attempt: int, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]
) -> T:
    connection.attempt = attempt
    return await function(connection, *args)


def pause(attempt: int, first: float = PAUSE, most: float = PAUSE_MAX) -> float:
    """How long to wait after `attempt` attempts, in seconds: at random, so that rivals do not meet again."""
    return _chance.uniform(0.5, 1.0) * min(most, first * 2.0 ** min(attempt - 1, 30))


def is_repeated(error: BaseException) -> bool:
    """Whether the server asks for the transaction to be repeated.

    Of a group of exceptions (`asyncio.TaskGroup`) one must ask for that, the others may only be what follows from it.
    """
    members = getattr(error, "exceptions", None)
    if isinstance(members, tuple):
        return any(map(is_repeated, members)) and all(is_repeated(one) or _follows(one) for one in members)
    return isinstance(error, DatabaseError) and error.sqlstate in REPEATED


def _follows(error: BaseException) -> bool:
    return isinstance(error, DatabaseError) and error.sqlstate == _ABORTED


def _check(function: object, retries: object, retry_for: object) -> None:
    if not callable(function):
        raise InterfaceError(f"run: a coroutine function expected, got {function!r}")
    if not isinstance(retries, int) or isinstance(retries, bool) or retries < 0:
        raise InterfaceError(f"retries: a number of repetitions >= 0 expected, got {retries!r}")
    if not isinstance(retry_for, (int, float)) or not retry_for >= 0:
        raise InterfaceError(f"retry_for: seconds as a number >= 0 expected, got {retry_for!r}")
