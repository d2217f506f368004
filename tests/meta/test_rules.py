"""The rules of docs/scheduling.md: every number that is cited exists, and every rule is cited by a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.meta.source import ROOT

CITATION = re.compile(r"\brules?:? (\d+\.\d+(?:(?:, | and |, and )\d+\.\d+)*)")
NUMBER = re.compile(r"\d+\.\d+")
SOURCES = {
    "db_pool_rs": "*.py",
    "tests": "*.py",
    "rust/engine": "*.rs",
    "rust/python/src": "*.rs",
    "cext/src": "*.[ch]",
}
RULES = re.findall(r"^\*\*(\d+\.\d+)\*\*", (ROOT / "docs/scheduling.md").read_text(), re.MULTILINE)


def citations(*folders: str) -> Iterator[tuple[str, Path]]:
    """Each number that is cited below `folders`, with the file."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob(SOURCES[folder])):
            if "target" not in path.parts:
                for found in CITATION.findall(path.read_text()):
                    for number in NUMBER.findall(found):
                        yield number, path


def test_rules_are_numbered_in_order() -> None:
    numbers = [tuple(map(int, rule.split("."))) for rule in RULES]
    assert numbers == sorted(set(numbers))
    assert len(numbers) > 30


def test_every_citation_is_of_a_rule() -> None:
    wrong = {(number, str(path.relative_to(ROOT))) for number, path in citations(*SOURCES) if number not in RULES}
    assert not wrong


def test_every_rule_has_a_test() -> None:
    assert not set(RULES) - {number for number, _ in citations("tests")}
