"""The examples of the README run as they stand; those that read DATABASE_URL get a database of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.source import ROOT

TEXT = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [code for language, code in BLOCK.findall(TEXT) if language == "python"]
ON_POSTGRESQL = [code for code in EXAMPLES if "DATABASE_URL" in code]
ON_SQLITE = [code for code in EXAMPLES if "DATABASE_URL" not in code]


def run(code: str, folder: Path, **environment: str) -> str:
    """Run an example as a program of its own; its output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("DATABASE_", "DB_POOL_", "PG"))}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("number", range(len(ON_SQLITE)))
def test_examples_on_sqlite(number: int, tmp_path: Path) -> None:
    assert run(ON_SQLITE[number], tmp_path)


@pytest.mark.parametrize("number", range(len(ON_POSTGRESQL)))
def test_examples_on_postgresql(number: int, tmp_path: Path, pg_database: str) -> None:
    assert run(ON_POSTGRESQL[number], tmp_path, DATABASE_URL=pg_database)


def test_both_languages_show_the_same_code() -> None:
    assert BLOCK.findall((ROOT / "README.zh-CN.md").read_text()) == BLOCK.findall(TEXT)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_links_and_commands_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text()
    targets = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"\./(scripts/[\w.]+)", text)
    assert not [target for target in targets if not (ROOT / target).exists()]
