"""Type checkers understand the package as it is installed: they accept what is right and tell each mistake."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.meta.source import ROOT

HERE = Path(__file__).parent
MISUSE, USE = HERE / "misuse.py", HERE / "use.py"
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
CHECKERS = ("mypy", "basedpyright")


def wrong_lines(file: Path) -> set[int]:
    return {number for number, line in enumerate(file.read_text().splitlines(), 1) if line.endswith("# wrong")}


@pytest.fixture(params=CHECKERS)
def checker(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    pytest.importorskip(name)
    return name


def check(checker: str, folder: Path, *files: Path, mode: str = "strict") -> Iterator[tuple[str, int, str]]:
    """File, line and text of what is told of copies of `files` in `folder`, far from the sources and their settings."""
    for file in files:
        (folder / file.name).write_text(file.read_text())
    names = [file.name for file in files]
    if checker == "mypy":
        command = ["mypy", "--strict", "--no-error-summary", "--hide-error-context", *names]
    else:
        settings = {"typeCheckingMode": mode, "include": names}
        (folder / "pyrightconfig.json").write_text(json.dumps(settings))
        command = ["basedpyright", f"--pythonpath={sys.executable}"]
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    for found in re.finditer(r"([\w.]+\.py):(\d+)(?::\d+)?(?: -|:) error: (.*)", done.stdout):
        yield found[1], int(found[2]), found[3]


def test_every_mistake_is_told(checker: str, tmp_path: Path) -> None:
    told = {line for _, line, _ in check(checker, tmp_path, MISUSE, mode="standard")}
    assert len(wrong_lines(MISUSE)) > 20
    assert told == wrong_lines(MISUSE)


def test_a_program_typed_for_asyncpg_is_accepted(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    assert not list(check("mypy", tmp_path, HERE / "asyncpg_program.py"))


def test_what_is_right_is_accepted(checker: str, tmp_path: Path) -> None:
    assert not list(check(checker, tmp_path, USE, *EXAMPLES))
