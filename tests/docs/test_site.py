"""The site of the documentation in a browser: on wide and narrow screens nothing is cut off, and no text is tiny."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.meta.source import ROOT
from tests.plugins.browser import Page

#: Pixels: a desktop, a small one, a phone.
WIDTHS = (1440, 1024, 390)
LEAST_TEXT = 11
#: What of the content is wider than the screen or than the box that cuts it off, and text that is too small to read.
LOOK = """(() => {
    const said = [], width = document.documentElement.clientWidth;
    const name = e => e.tagName.toLowerCase() + ': ' + e.textContent.trim().slice(0, 60);
    if (document.documentElement.scrollWidth > width) said.push('the page is wider than the screen');
    for (const e of document.querySelectorAll('.md-content *')) {
        const box = e.getBoundingClientRect(), style = getComputedStyle(e);
        if (!box.width || style.visibility === 'hidden' || e.closest('.md-clipboard, .headerlink, [hidden]')) continue;
        if (box.right > width + 1 && e.textContent.trim()) said.push('beyond the screen: ' + name(e));
        if (style.overflowX !== 'visible' && e.scrollWidth > e.clientWidth + 1) said.push('cut off: ' + name(e));
        const own = [...e.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
        const scale = e.ownerSVGElement ? e.getScreenCTM().a : 1;
        if (own && parseFloat(style.fontSize) * scale < LEAST) said.push('tiny: ' + name(e));
    }
    return said;
})()""".replace("LEAST", str(LEAST_TEXT))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site, whose links lead to files."""
    if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
        pytest.skip("mkdocs-material is not installed: uv sync --group docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off(page: Page, site: Path, width: int) -> None:
    found: dict[str, Any] = {}
    for file in sorted(site.rglob("index.html")):
        page.open(file, width, "light")
        if said := page.evaluate(LOOK):
            found[str(file.parent.relative_to(site))] = said
    assert not found


def test_the_benchmark_is_in_the_navigation(site: Path) -> None:
    assert 'href="benchmark.html"' in (site / "index.html").read_text()


def test_what_the_pages_load_is_there(site: Path) -> None:
    missing = set()
    for file in site.rglob("index.html"):
        for kept in re.findall(r'<(?:link|script)[^>]* (?:href|src)="([^":#?]+)', file.read_text()):
            if not (file.parent / kept).exists():
                missing.add(f"{file.parent.relative_to(site)}: {kept}")
    assert not missing
