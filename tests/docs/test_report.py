"""The benchmark's report in a browser: nothing is fetched or wider than the screen, and there are bars to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from db_pool_rs.tools._html import html
from db_pool_rs.tools._results import Measurement, Report
from tests.meta.source import ROOT
from tests.plugins.browser import Page

LONG = "x" * 300
#: Widths of all bars in pixels, and of what they lie in.
BARS = "[...document.querySelectorAll('.bar rect')].map(e => e.getBoundingClientRect().width)"
TRACKS = "[...document.querySelectorAll('.bar svg')].map(e => e.getBoundingClientRect().width)"
#: What the bars stand for, in percent: some figures are 0.
FIGURES = "[...document.querySelectorAll('.bar rect')].map(e => +e.getAttribute('width'))"
#: How bright the page and its text are, from 0 to 255.
BRIGHTNESS = "['backgroundColor', 'color'].map(name => +getComputedStyle(document.body)[name].match(/\\d+/)[0])"


def long_words() -> str:
    """A report in which whatever comes from outside is longer than any screen."""
    runs = {name: [{"rate": 10.0 * n, "p99_ms": 20.0 - n} for n in (1, 2, 3)] for name in ("simple", "psqlpy")}
    return html(
        Report({"machine": LONG}, {"full": LONG}, {LONG: "1"}, [Measurement("point", 64, runs, {"full": LONG})])
    )


@pytest.fixture(params=["docs/benchmark.html", "long words"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The report of the documentation, and one that is hard to lay out."""
    if request.param != "long words":
        return ROOT / str(request.param)
    (tmp_path / "report.html").write_text(long_words())
    return tmp_path / "report.html"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_report_can_be_read(page: Page, file: Path, width: int, scheme: str) -> None:
    page.open(file, width, scheme)
    assert page.troubles() == []
    assert page.requests() == [file.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    bars, figures, tracks = page.evaluate(BARS), page.evaluate(FIGURES), page.evaluate(TRACKS)
    assert len(bars) == len(tracks) >= 4
    for bar, figure, track in zip(bars, figures, tracks, strict=True):
        assert (bar > 0) == (figure > 0)
        assert bar <= track + 0.1
    assert min(tracks) >= 100
    back, text = page.evaluate(BRIGHTNESS)
    assert (back < 60, text > 200) == ((True, True) if scheme == "dark" else (False, False))


def test_trouble_is_noticed(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text("<script>nothing()</script><img src='absent.png'><p style='width: 900px'>wide</p>")
    page.open(broken, 390, "light")
    assert len(page.troubles()) == 2
    assert len(page.requests()) == 2
    assert page.evaluate("document.documentElement.scrollWidth") > 390
