"""Async tests: a fresh event loop for each, and nothing left behind on it.

`async def test_x()`, async fixtures (functions and generators) and Hypothesis tests with an async body all run on the
loop of the fixture `runner`. `--loop uvloop` runs them on uvloop, `--loop bare` on one that watches no descriptors, as
asyncio's on Windows. A test that passed fails after all if it leaves

- an exception that reached the loop's handler, a never retrieved one of a task or future included,
- a task that still runs, a thread, or an open file descriptor,
- a ResourceWarning (pytest turns warnings into errors; unreachable objects are collected before the loop closes).

A test that takes too long is ended at nine tenths of pytest-timeout's limit, with the stack of every task.
A test that awaits a fault handler's report itself takes `runner.problems`, asserts on it and clears it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.plugins.collector import freeze
from tests.plugins.runner import Runner

_failed = pytest.StashKey[bool]()
# Of the time that pytest-timeout allows: first the runner, which can tell where each task waits.
OWN_SHARE = 0.9


def _refused(name: str) -> Any:
    """A method of asyncio's loop for asyncio itself and for the tests' own tools, refused to all others."""
    method = getattr(asyncio.SelectorEventLoop, name)

    def call(loop: Any, *args: Any) -> Any:
        if sys._getframe(1).f_globals["__name__"].startswith(("asyncio.", "tests.plugins.")):
            return method(loop, *args)
        raise NotImplementedError

    return call


class BareLoop(asyncio.SelectorEventLoop):
    """An event loop that watches no descriptors for programs, as asyncio's on Windows."""

    add_reader, remove_reader = _refused("add_reader"), _refused("remove_reader")
    add_writer, remove_writer = _refused("add_writer"), _refused("remove_writer")


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.new_event_loop
    if name == "bare":
        return BareLoop
    try:
        import uvloop
    except ImportError:
        raise pytest.UsageError("--loop uvloop: uvloop is not installed") from None
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return new_loop


# ---- pytest ---------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--loop`."""
    parser.addoption(
        "--loop", choices=("asyncio", "uvloop", "bare"), default="asyncio", help="event loop of async tests"
    )


def pytest_collection_finish() -> None:
    """Leave what exists by now out of the collections to come."""
    freeze()


def pytest_report_header(config: pytest.Config) -> str:
    """Say which loop the run uses."""
    return f"event loop: {config.getoption('--loop')}"


def _limit(item: pytest.Item) -> float:
    """Seconds that pytest-timeout allows a test; infinite if it does not limit them."""
    marker = item.get_closest_marker("timeout")
    values = [marker.args[0] if marker and marker.args else None, item.config.getoption("--timeout", None)]
    with contextlib.suppress(KeyError, ValueError):
        values.append(item.config.getini("timeout"))
    return next((float(value) for value in values if value is not None and value != ""), 0.0) or math.inf


@pytest.fixture
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    """The loop of an async test; made before the test's other fixtures, closed after them."""
    runner = Runner(_loop_factory(request.config.getoption("--loop")), OWN_SHARE * _limit(request.node))
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
