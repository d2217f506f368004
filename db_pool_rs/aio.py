"""What the package adds to asyncio: the future that a caller awaits, waiting with a deadline, and calls on threads.

A caller awaits an :class:`ResultFuture`: a future of asyncio's protocol whose task goes on where the answer is found.

asyncio's own future would have the loop call the task again in its next tick, at the cost of a handle for each and of a
look at all sockets in between. Here the task goes on at once, inside the callback that took the answer in. Where that
cannot be, it goes through the loop: inside another task, and for errors, which come up in the middle of other work.

Waiting with a deadline, and calls that may take long on threads beside the event loop.

A thread is started for each such call, and no caller ever waits for it to end: those of an executor, or of `threading`,
would make the process wait at its end for a name server that never answers, or cost more than the call.
"""

from __future__ import annotations

import _thread
import asyncio
import errno
import os
from asyncio import AbstractEventLoop, CancelledError, InvalidStateError, current_task
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context
from typing import Any, Generic, Protocol, TypeVar

T = TypeVar("T")


class Outcome(Protocol):
    """What came of one call, and who waits for it: an :class:`ResultFuture`."""

    future: Any
    value: Any
    error: Exception | None


class ResultFuture(Generic[T]):
    """The part of :class:`asyncio.Future` that a task needs to await it. It has one waiter."""

    __slots__ = ("_asyncio_future_blocking", "_callback", "_context", "_done", "_error", "_loop", "_value")

    def __init__(self, loop: AbstractEventLoop) -> None:
        self._loop = loop
        self._done = False
        self._error: BaseException | None = None
        self._callback: Callable[[ResultFuture[T]], object] | None = None
        #: asyncio's mark for a future that a task is about to wait for.
        self._asyncio_future_blocking = False

    def __await__(self) -> Generator[Any, None, T]:
        if self._done:
            return self.result()
        self._asyncio_future_blocking = True
        yield self
        return self._value  # an error is thrown in by the task

    def set_result(self, value: T) -> None:
        """It is answered: the task that waits goes on now."""
        assert not self._done, "bug: a second answer"
        self._finish(value, current_task(self._loop) is None)

    def _finish(self, value: T, now: bool) -> None:
        self._done = True
        self._value = value
        callback = self._callback
        if callback is not None:
            self._callback = None
            if now:
                self._context.run(callback, self)
            else:
                self._loop.call_soon(callback, self, context=self._context)

    def set_exception(self, error: BaseException) -> None:
        """It failed: the task that waits goes on in the next tick of the loop."""
        assert not self._done, "bug: a second answer"
        self._done = True
        self._error = error
        callback = self._callback
        if callback is not None:
            self._callback = None
            self._loop.call_soon(callback, self, context=self._context)

    @staticmethod
    def hand_out(outcomes: Sequence[Outcome], loop: AbstractEventLoop) -> int:
        """Answer all whose callers still wait; how many of them with an error."""
        errors = 0
        now = current_task(loop) is None
        for outcome in outcomes:
            answer: ResultFuture[Any] = outcome.future
            if answer._done:
                continue
            if outcome.error is None:
                answer._finish(outcome.value, now)
            else:
                errors += 1
                answer.set_exception(outcome.error)
        return errors

    def done(self) -> bool:
        """Whether it is answered or cancelled."""
        return self._done

    def result(self) -> T:
        """The answer, or the error raised."""
        if not self._done:
            raise InvalidStateError("there is no answer yet")
        if self._error is not None:
            raise self._error
        return self._value

    # -- what asyncio's tasks call -------------------------------------------------------------------------------

    def add_done_callback(self, callback: Callable[[ResultFuture[T]], object], *, context: Context) -> None:
        """Have the task go on when it is answered."""
        assert self._callback is None, "bug: a second waiter"
        if self._done:
            self._loop.call_soon(callback, self, context=context)
        else:
            self._callback, self._context = callback, context

    def cancel(self, msg: object = None) -> bool:
        """The task is cancelled."""
        if self._done:
            return False
        self.set_exception(CancelledError() if msg is None else CancelledError(msg))
        return True

    def get_loop(self) -> AbstractEventLoop:
        """The loop of the task that waits."""
        return self._loop

    def __repr__(self) -> str:
        return f"<ResultFuture {'done' if self._done else 'pending'}>"


class _Thread:
    """A thread of :func:`offload`, kept in `_given_up` while it runs though no caller waits for it any more.

    The thread itself says that it is over, since its loop may not run any more: so either method may come in between
    the other's two steps, and both leave the set without it.
    """

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running = True

    def is_given_up(self, _: object) -> None:
        """No caller waits any more; the thread may be over."""
        _given_up.add(self)
        if not self._running:
            _given_up.discard(self)

    def is_over(self) -> None:
        """It has done its work."""
        self._running = False
        _given_up.discard(self)


_given_up: set[_Thread] = set()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_given_up.clear)  # a child process has no threads but one


class Expired(Exception):
    """The deadline of an `until` passed."""


class EndedItself(Exception):
    """The work of a `within` raised CancelledError, though its caller was not cancelled."""


async def until(future: asyncio.Future[T] | ResultFuture[T], deadline: float | None) -> T:
    """The result of `future`, a bare one (no task); Expired at `deadline` (time of the loop), None for no limit."""
    if deadline is None:
        return await future
    timer = asyncio.get_running_loop().call_at(deadline, _expire, future)
    try:
        return await future
    finally:
        timer.cancel()


async def within(work: Awaitable[T], timeout: float | None) -> T:
    """The result of `work`; Expired, and `work` is cancelled, after `timeout` seconds, None for no limit.

    A caller that is cancelled is so in any case: before Python 3.12 `asyncio.wait_for` forgets that where `work` has
    ended in the same moment.
    """
    task, loop_ended = asyncio.ensure_future(work), False
    try:
        done, _ = await asyncio.wait((task,), timeout=timeout)
        if done and task.cancelled():
            raise EndedItself
        if done:
            return task.result()
        raise Expired
    except GeneratorExit:  # nothing runs on it any more, nor can be waited for
        loop_ended = True
        raise
    finally:
        if not (loop_ended or task.done()):
            task.cancel()
            await asyncio.wait((task,))


def remaining(deadline: float | None) -> float | None:
    """Seconds until `deadline`, 0 if it is over; None for no limit."""
    return None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())


def _expire(future: asyncio.Future[Any] | ResultFuture[Any]) -> None:
    if not future.done():
        future.set_exception(Expired())


def offload(
    function: Callable[[], T], abandoned: Callable[[], object] = bool, *, most: int | None = None
) -> asyncio.Future[T]:
    """Call `function` on a thread of its own; OSError if there can be none.

    If no caller waits any more at its end (the future expired or was cancelled), `abandoned` is called: that caller
    cannot release what the thread still uses, so that the thread's end has to. With `most`, no thread is started, and
    OSError says so, while so many threads that were given up still run.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    if most is not None and len(_given_up) >= most:
        why = f"{len(_given_up)} earlier attempts were given up and still run on their threads"
        future.set_exception(OSError(errno.EAGAIN, why))
        return future
    thread = _Thread()

    def deliver(result: Any, error: BaseException | None) -> None:
        if future.done():
            abandoned()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except Exception as caught:
            error = caught
        thread.is_over()
        try:
            loop.call_soon_threadsafe(deliver, result, error)
        except RuntimeError:  # the loop was closed meanwhile
            abandoned()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        future.set_exception(OSError(errno.EAGAIN, "no thread can be started"))
    else:
        future.add_done_callback(thread.is_given_up)
    return future


def was_abandoned(future: asyncio.Future[Any]) -> bool:
    """Whether the thread of an `offload` future is the one to clean up."""
    return not future.done() or future.cancelled() or isinstance(future.exception(), Expired)
