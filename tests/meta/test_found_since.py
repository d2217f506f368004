"""docs/reliability.md, "Found since": every line names a test that is there, and runs on the engines that it says."""

from __future__ import annotations

import re

import pytest

from tests.meta.source import ROOT, Function, tree

#: Fixtures of tests/ with which a test runs once for each engine; those that a file makes of them count as well.
EACH_ENGINE = {"engine", "open_pool", "pg_pool", "counted", "busy"}
SECTION = (ROOT / "docs" / "reliability.md").read_text().partition("\n## Found since\n")[2]
LINES = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in SECTION.splitlines()
    if line.startswith("| ") and not line.startswith("| fault ")
]


def test_there_are_lines() -> None:
    assert len(LINES) > 20
    assert all(len(line) == 4 for line in LINES)


@pytest.mark.parametrize("line", LINES, ids=lambda line: str(line[0])[:60])
def test_its_test_is_there(line: list[str]) -> None:
    _, _, engines, named = line
    found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", named)
    assert found is not None, named
    functions = {node.name: node for node in tree(ROOT / found[1]).body if isinstance(node, Function)}
    assert found[2] in functions, f"{named} is not there"
    assert engines in ("all", "full", "libpq", "rules")
    assert engines != "all" or needed(functions[found[2]], functions) & EACH_ENGINE, (
        f"{named} does not run for each engine"
    )


def needed(function: Function, functions: dict[str, Function]) -> set[str]:
    """The function's fixtures, and what those of its own file are made of."""
    names = {argument.arg for argument in function.args.args}
    return names.union(*(needed(functions[name], functions) for name in names & functions.keys()))
