"""`browser`: a Chromium without a window, driven over a pipe with its own protocol (DevTools); no package is needed.

Where no Chromium is found, in PATH or as `DB_POOL_CHROMIUM`, tests that ask for it are skipped and say so.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--remote-debugging-pipe",
)  # fmt: skip


def find_chromium() -> str | None:
    """The program to run."""
    return os.environ.get("DB_POOL_CHROMIUM") or next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """One page: it is opened anew for each width and colour scheme, and tells what went wrong in it."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        self._session = browser.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **arguments: Any) -> Any:
        """A command of the protocol."""
        return self._browser.call(method, arguments, self._session)

    def open(self, file: Path, width: int, scheme: str) -> None:
        """Load a file as on a screen of this width, "light" or "dark"."""
        screen = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", **screen)
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._browser.events.clear()
        self.call("Page.navigate", url=file.as_uri())
        while not self._told("Page.loadEventFired"):
            self._browser.receive()

    def evaluate(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def troubles(self) -> list[Any]:
        """What the browser has complained of since the page was opened: exceptions, errors in its log."""
        exceptions = [event["exceptionDetails"] for event in self._told("Runtime.exceptionThrown")]
        entries = [event["entry"] for event in self._told("Log.entryAdded")]
        return exceptions + [entry for entry in entries if entry["level"] in ("error", "warning")]

    def requests(self) -> list[str]:
        """What was fetched since."""
        return [event["request"]["url"] for event in self._told("Network.requestWillBeSent")]

    def _told(self, method: str) -> list[Any]:
        return [event["params"] for event in self._browser.events if event["method"] == method]


class Browser:
    """A running Chromium. Messages are JSON, each followed by NUL: it reads descriptor 3 and writes descriptor 4."""

    def __init__(self, program: str, profile: Path) -> None:
        (low_in, self._out), (self._in, low_out) = os.pipe(), os.pipe()
        theirs_in, theirs_out = (fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 10) for low in (low_in, low_out))
        # The shell moves the descriptors to where they are expected, which a subprocess cannot be asked for.
        command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", command, "bash", program, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(theirs_in, theirs_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for descriptor in (low_in, low_out, theirs_in, theirs_out):
            os.close(descriptor)
        self._received = b""
        self._number = 0
        self._answers: dict[int, Any] = {}
        self.events: list[Any] = []

    def call(self, method: str, params: dict[str, Any], session: str | None = None) -> Any:
        """Send a command and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if session:
            message["sessionId"] = session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while self._number not in self._answers:
            self.receive()
        answer = self._answers.pop(self._number)
        assert "error" not in answer, (method, answer)
        return answer["result"]

    def receive(self) -> None:
        """Wait for the next message: an answer or an event."""
        while b"\0" not in self._received:
            more = os.read(self._in, 1 << 16)
            assert more, "the browser has ended"
            self._received += more
        text, _, self._received = self._received.partition(b"\0")
        message = json.loads(text)
        if "id" in message:
            self._answers[message["id"]] = message
        else:
            self.events.append(message)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the tests of a module."""
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium is installed (DB_POOL_CHROMIUM names one elsewhere)")
    running = Browser(program, tmp_path_factory.mktemp("chromium"))
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser) -> Page:
    """A page of its own."""
    return Page(browser)
