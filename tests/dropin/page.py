"""The tables that the suites of others' tests put into the documentation."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def write(page: Path, begin: str, lines: Iterable[str], end: str) -> None:
    """Put lines between two marks of a page."""
    before, _, after = page.read_text(encoding="utf-8").partition(begin)
    page.write_text(before + begin + "\n".join(lines) + "\n" + end + after.partition(end)[2], encoding="utf-8")
