"""Figures that are told elsewhere are those of the last benchmark, which docs/performance.md shows whole."""

from __future__ import annotations

import json
import re

import pytest

from tests.meta.source import ROOT

#: Rows of the READMEs' tables, by the sections of docs/performance.md from which their figures come.
SECTIONS = [
    "Point select by key, 64 tasks",
    "Point select by key, 256 tasks",
    "Durable auto-commit insert, 64 tasks",
    "Transaction of three statements, 16 tasks",
]
MODES = ["simple", "balanced", "full"]
COLUMNS = [*MODES, "asyncpg", "asyncpg-noreset", "psycopg", "psqlpy"]


def throughput(section: str) -> list[str]:
    """The medians of a section, by COLUMNS."""
    text = (ROOT / "docs/performance.md").read_text().partition(f"### {section}\n")[2].partition("\n### ")[0]
    found = dict(re.findall(r"^\| \**([\w-]+)\** \| ([\d,.]+) \(", text, re.MULTILINE))
    return [found[name] for name in COLUMNS]


@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_figures_are_those_of_the_benchmark(readme: str) -> None:
    rows = re.findall(r"^\| [^|]+ \| (\d[\d,]* \| .*) \|$", (ROOT / readme).read_text(), re.MULTILINE)
    assert [row.split(" | ") for row in rows] == [throughput(section) for section in SECTIONS]


def test_the_figure_on_the_first_page_is_that_of_the_benchmark() -> None:
    told = re.search(r"\*\*([\d,]+) durable inserts .* asyncpg does ([\d,]+)\*\*", (ROOT / "docs/index.md").read_text())
    measured = throughput("Durable auto-commit insert, 64 tasks")
    assert told is not None
    assert list(told.groups()) == [measured[COLUMNS.index("full")], measured[COLUMNS.index("asyncpg")]]


def test_what_was_asked_for_is_compared_with_the_benchmark() -> None:
    figures = json.loads((ROOT / "db_pool_rs/_data/mode_figures.json").read_text())["modes"]
    text = (ROOT / "docs/performance.md").read_text().partition("## What the architecture decision asked for")[2]
    for mode in MODES:
        cells = re.search(rf"^\| {mode} \| (.*) \|$", text, re.MULTILINE)
        assert cells is not None, mode
        qps, _, memory, _, start, _ = cells[1].split(" | ")
        measured = figures[mode]
        assert qps == f"{measured['qps']:,.0f}"
        assert memory == f"{measured['memory_mb']:.1f}"
        assert start == f"{measured['startup_s']:.2f}"
