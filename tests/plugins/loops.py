"""Async tests: a fresh event loop for each, and nothing left behind on it.

`async def test_x()`, async fixtures (functions and generators) and Hypothesis tests with an async body all run on the
loop of the fixture `runner`. `--loop uvloop` runs them on uvloop. A test that passed fails after all if it leaves

- an exception that reached the loop's handler, a never retrieved one of a task or future included,
- a task that still runs, a thread, or an open file descriptor,
- a ResourceWarning (pytest turns warnings into errors; unreachable objects are collected before the loop closes).

A test that awaits a fault handler's report itself takes `runner.problems`, asserts on it and clears it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

OutcomeException = pytest.fail.Exception.__base__ or BaseException
GRACE = 1.0  # seconds for a task or thread that is ending already
_failed = pytest.StashKey[bool]()


class Runner:
    """One event loop and what went wrong on it."""

    def __init__(self, new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self.problems: list[str] = []
        self._ended: BaseException | None = None
        self._threads = set(threading.enumerate())
        self._files = open_files()
        self.loop = new_loop()
        self.loop.set_exception_handler(self._unhandled)

    def run(self, awaitable: Awaitable[Any]) -> Any:
        """Run to the end on the loop."""

        async def main() -> Any:
            return await awaitable

        try:
            return self.loop.run_until_complete(main())
        except RuntimeError:
            if self._ended is not None:
                raise self._ended from None
            raise

    def close(self) -> None:
        """Close the loop; `problems` then lists what was left behind."""
        try:
            self._end_tasks()
            gc.collect()  # a forgotten task or future reports its exception when it is collected
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
        finally:
            self.loop.close()
        for thread in set(threading.enumerate()) - self._threads:
            thread.join(GRACE)
            if thread.is_alive():
                self.problems.append(f"leaked thread: {thread!r}")
        self.problems += [f"leaked file descriptor: {name}" for name in sorted(open_files() - self._files)]

    def _end_tasks(self) -> None:
        tasks = asyncio.all_tasks(self.loop)
        if tasks:
            _, pending = self.loop.run_until_complete(asyncio.wait(tasks, timeout=GRACE))
            for task in pending:
                self.problems.append(f"leaked task: {task!r}")
                task.cancel()
            if pending:
                self.loop.run_until_complete(asyncio.wait(pending, timeout=GRACE))

    def _unhandled(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if isinstance(context.get("exception"), OutcomeException):
            # The signal of the time-out arrived within a callback of the loop, which would swallow it.
            self._ended = context["exception"]
            self.loop.stop()
            return
        details = ", ".join(f"{key}={value!r}" for key, value in context.items() if key != "message")
        self.problems.append(f"unhandled on the loop: {context['message']} ({details})")


def open_files() -> set[str]:
    """Open descriptors of this process as `number name`; nothing where the system does not tell."""
    found = set()
    with contextlib.suppress(FileNotFoundError):
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):
                found.add(f"{number} {os.readlink(f'/proc/self/fd/{number}')}")
    # Pipes belong to child processes, of which servers outlive a test; a forgotten one is a ResourceWarning anyway.
    return {name for name in found if "/proc/" not in name and "pipe:" not in name}


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    try:
        import uvloop
    except ImportError:
        raise pytest.UsageError("--loop uvloop: uvloop is not installed") from None
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_loop


# ---- pytest ---------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--loop`."""
    parser.addoption("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="event loop of async tests")


def pytest_collection_finish() -> None:
    """Leave what exists by now, all modules, out of the collections to come: they run after every async test."""
    gc.collect()
    gc.freeze()


def pytest_report_header(config: pytest.Config) -> str:
    """Say which loop the run uses."""
    return f"event loop: {config.getoption('--loop')}"


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """The loop of an async test; made before the test's other fixtures, closed after them."""
    runner = Runner(_loop_factory(request.config.getoption("--loop")))
    yield runner
    runner.close()
    # After a failure the rest is a consequence, and would hide it.
    if runner.problems and not request.node.stash.get(_failed, False):
        pytest.fail("the test left behind:\n" + "\n".join(runner.problems), pytrace=False)


def _async_body(function: Any) -> bool:
    """Whether a test is async, itself or below Hypothesis' wrapper."""
    inner = getattr(getattr(function, "hypothesis", None), "inner_test", function)
    return inspect.iscoroutinefunction(inner)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, name: str, obj: object) -> None:
    """Give each async test the fixture `runner`, in front of all others."""
    if isinstance(collector, pytest.Class | pytest.Module) and collector.istestfunction(obj, name) and _async_body(obj):
        pytest.mark.usefixtures("runner")(obj)  # type: ignore[operator]


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Put a plain function in the place of an async test while pytest calls it."""
    if not _async_body(pyfuncitem.obj):
        return (yield)
    # Hypothesis' wrapper is shared by all parameters of a test, hence put back afterwards.
    holder, name = pyfuncitem, "obj"
    if hasattr(pyfuncitem.obj, "hypothesis"):
        holder, name = pyfuncitem.obj.hypothesis, "inner_test"
    original = getattr(holder, name)
    setattr(holder, name, _blocking(original, pyfuncitem.funcargs["runner"]))
    try:
        return (yield)
    finally:
        setattr(holder, name, original)


def _blocking(function: Callable[..., Awaitable[Any]], runner: Runner) -> Callable[..., Any]:
    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return runner.run(function(*args, **kwargs))

    return call


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest) -> Any:
    """Run async fixtures on the test's loop."""
    function = fixturedef.func
    if inspect.isasyncgenfunction(function):
        replacement = _generator_fixture(function, request.getfixturevalue("runner"))
    elif inspect.iscoroutinefunction(function):
        replacement = _blocking(function, request.getfixturevalue("runner"))
    else:
        return (yield)
    fixturedef.func = replacement  # type: ignore[misc]
    try:
        return (yield)
    finally:
        fixturedef.func = function  # type: ignore[misc]


def _generator_fixture(function: Callable[..., Any], runner: Runner) -> Callable[..., Iterator[Any]]:
    @functools.wraps(function)
    def generate(*args: Any, **kwargs: Any) -> Iterator[Any]:
        generator = function(*args, **kwargs)
        yield runner.run(generator.__anext__())
        with contextlib.suppress(StopAsyncIteration):
            runner.run(generator.__anext__())

    return generate


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Remember that a test failed."""
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report
