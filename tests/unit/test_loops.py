"""How async tests run: what must pass does, what leaves something behind does not."""

from __future__ import annotations

import re

import pytest

SETUP = """
import asyncio, socket, threading, warnings
import pytest
from hypothesis import given, settings, strategies as st
"""


@pytest.fixture
def outcome(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config):
    """Run test code in a pytest of its own; its counts and its output."""
    monkeypatch.syspath_prepend(str(pytestconfig.rootpath))
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))
    loop = pytestconfig.getoption("--loop")

    def run(code: str, *options: str) -> tuple[dict[str, int], str]:
        pytester.makepyfile(SETUP + code)
        result = pytester.runpytest_subprocess(
            *(
                "-p",
                "no:asyncio",
                "-p",
                "tests.plugins.loops",
                "-p",
                "no:cacheprovider",
                "-W",
                "error",
                f"--loop={loop}",
                *options,
            ),
            timeout=200,
        )
        return result.parseoutcomes(), result.stdout.str()

    return run


def test_async_tests_and_fixtures_share_one_fresh_loop(outcome) -> None:
    counts, _ = outcome(
        """
loops = []

@pytest.fixture
async def value():
    loops.append(asyncio.get_running_loop())
    yield 1
    assert asyncio.get_running_loop() is loops[-1]
    await asyncio.sleep(0)

@pytest.fixture
async def plain(value):
    return value + 1

@pytest.mark.parametrize("n", [1, 2])
async def test_a(value, plain, n):
    assert (value, plain) == (1, 2)
    assert asyncio.get_running_loop() is loops[-1]
    assert len(set(map(id, loops))) == n

class TestMethods:
    async def test_b(self, plain):
        assert plain == 2

@pytest.mark.parametrize("n", [1, 2])
@settings(max_examples=5)
@given(x=st.integers())
async def test_c(x, n):
    await asyncio.sleep(0)
    assert x == x

async def test_d():
    assert False
"""
    )
    assert counts == {"passed": 5, "failed": 1}


LEFT_BEHIND = {
    "callback": ("asyncio.get_running_loop().call_soon(lambda: 1 / 0); await asyncio.sleep(0.01)", "ZeroDivisionError"),
    "future": ("asyncio.get_running_loop().create_future().set_exception(OSError('lost'))", "never retrieved"),
    "task": ("global t; t = asyncio.ensure_future(asyncio.Event().wait())", "leaked task"),
    "socket": ("global s; s = socket.socket()", "leaked file descriptor"),
    "dropped_socket": ("socket.socket()", "ResourceWarning"),
    "thread": ("threading.Thread(target=threading.Event().wait, daemon=True).start()", "leaked thread"),
    "coroutine": ("asyncio.sleep(0)", "never awaited"),
}


#: What these tests leave behind does not end: to give it time to is not needed.
IMPATIENT = "from tests.plugins import runner\nrunner.GRACE = 0.1\n\n"


def test_what_a_test_leaves_behind_fails_it(outcome) -> None:
    code = IMPATIENT + "".join(f"async def test_{name}():\n    {body}\n\n" for name, (body, _) in LEFT_BEHIND.items())
    counts, output = outcome(code + "async def test_clean():\n    pass\n", "--tb=short")
    assert counts.get("errors", 0) + counts.get("failed", 0) == len(LEFT_BEHIND)
    for name, (_, complaint) in LEFT_BEHIND.items():
        report = re.search(rf"__ (?:ERROR at \w+ of )?test_{name} __.*?(?=\n__|\n===)", output, re.DOTALL)
        assert report is not None, name
        assert complaint in report[0]


def test_hanging_tests_are_ended_and_ending_tasks_forgiven(outcome) -> None:
    counts, output = outcome(
        """
async def wait_for_ever():
    await asyncio.Event().wait()

@pytest.fixture
async def hangs_at_the_end():
    yield
    await asyncio.Event().wait()

async def test_hangs(hangs_at_the_end):
    await asyncio.gather(wait_for_ever())

@settings(deadline=None)
@given(x=st.integers())
async def test_property_hangs(x):
    await wait_for_ever()

async def test_next():
    pass

async def test_ending():
    global t
    t = asyncio.ensure_future(asyncio.sleep(0.01))

async def test_busy():
    while True:
        pass
""",
        "--timeout=4",
    )
    assert counts == {"failed": 3, "errors": 1, "passed": 2}
    assert "TookTooLongError: the test's 3.6 s are over" in output
    assert "in wait_for_ever" in output
