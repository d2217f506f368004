"""The workflows of .github: their form is right, nothing in them is unsafe, and their shell commands can be read."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.meta.source import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def tool(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / module), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


def test_their_form() -> None:
    if find_spec("check_jsonschema") is None:
        pytest.skip("check-jsonschema is not installed")
    done = tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *map(str, WORKFLOWS))
    assert done.returncode == 0, done.stdout


def test_nothing_in_them_is_unsafe() -> None:
    if not (Path(sys.executable).parent / "zizmor").exists():
        pytest.skip("zizmor is not installed")
    done = tool("zizmor", "--offline", "--quiet", "--no-progress", str(ROOT / ".github"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_shell_commands_can_be_read(workflow: Path) -> None:
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands
    for command in commands:
        done = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_nox_sessions_and_scripts_exist(workflow: Path) -> None:
    sessions = (ROOT / "noxfile.py").read_text()
    for step in steps(workflow):
        words = step.get("run", "").split()
        if "nox" in words:
            assert all(f"def {name}(session" in sessions for name in words[words.index("-s") + 1 :])
        assert all((ROOT / word).exists() for word in words if word.startswith("./"))


def test_the_script_that_prepares_wheels_can_be_read() -> None:
    done = subprocess.run(["sh", "-n", str(ROOT / "cext/wheel_libpq.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
