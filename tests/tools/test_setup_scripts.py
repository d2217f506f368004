"""The set-up scripts, run in a copy of the project as on a fresh clone: they install, say how to go on, and may be
repeated; on a machine that lacks something they say in one line what."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db_pool_rs.modes import unavailable
from tests.meta.source import ROOT

LEFT_BEHIND = shutil.ignore_patterns(".*", "target", "__pycache__", "site", "*.so", "build")
#: What every script needs of a system, whatever else it may lack.
BASE = ("bash", "dirname", "grep", "head", "sed", "sort", "cut", "tail", "ls", "cat")

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The project without what was built or installed in it."""
    folder = tmp_path_factory.mktemp("clone") / "project"
    shutil.copytree(ROOT, folder, ignore=LEFT_BEHIND)
    yield folder
    shutil.rmtree(folder)  # an environment has 200 MB


def bash(command: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    clean = {n: v for n, v in os.environ.items() if not n.startswith(("DB_POOL_", "VIRTUAL_ENV", "UV_PROJECT"))}
    return subprocess.run(
        ["/bin/bash", "-c", command], cwd=folder, env={**clean, **changes}, capture_output=True, text=True, check=False
    )


def path_with(programs: tuple[str, ...], folder: Path) -> str:
    """A PATH on which nothing else is found."""
    folder.mkdir()
    for program in programs:
        found = shutil.which(program)
        assert found is not None
        (folder / program).symlink_to(found)
    return str(folder)


def provide_uv(folder: Path) -> None:
    """uv as it is found here, which may be a script that needs the rest of PATH."""
    found = shutil.which("uv")
    command = shlex.quote(found) if found else f"{shlex.quote(sys.executable)} -m uv"
    program = folder / "uv"
    program.write_text(f'#!/bin/bash\nPATH={shlex.quote(os.environ["PATH"])} exec {command} "$@"\n')
    program.chmod(0o755)


@pytest.mark.parametrize("mode", ["simple", "balanced"])
def test_a_mode_is_installed_and_set(mode: str, clone: Path) -> None:
    if unavailable(mode):
        pytest.skip(f"mode {mode} is not installed here either")
    sourced = bash(f"source scripts/setup_{mode}.sh && echo $DB_POOL_MODE && pwd", clone)
    assert sourced.returncode == 0, sourced.stderr
    assert sourced.stdout.split() == [mode, str(clone)]
    told, _, use = sourced.stderr.splitlines()[-1].partition("; use it with: ")
    assert told == f"mode {mode} is installed"
    asked = 'python -c "import db_pool_rs; print(db_pool_rs.DatabasePool().mode)"'
    assert bash(f"{use}; {asked}", clone).stdout.strip() == mode
    # What the decision on the modes has a user do next.
    assert bash("cp config.yaml config.yaml.bak", clone).returncode == 0
    asked = 'python -c "from db_pool_rs import load_config; print(load_config().source)"'
    assert bash(f"{use}; {asked}", clone).stdout.strip() == "config.yaml"
    if mode == "balanced":  # in the same shell, where `python` is the system's
        system = f"{sys.base_prefix}/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        asked = f"touch shop.db; {system} -m db_pool_rs.tools.verify_migration --from simple --to balanced --dsn sqlite:///shop.db"
        verified = bash(asked, clone)
        assert verified.returncode == 0, verified.stderr
        assert "is not installed for" in verified.stderr
    again = bash("scripts/setup_simple.sh", clone)
    assert again.returncode == 0, again.stderr
    asked = 'python -c "import db_pool_rs; print(db_pool_rs.DatabasePool().mode)"'
    assert bash(f"{use}; {asked}", clone).stdout.strip() == mode, "one mode takes the place of another"


def test_without_a_compiler_balanced_says_so(clone: Path, tmp_path: Path) -> None:
    path = path_with((*BASE, "python3"), tmp_path / "bin")
    provide_uv(tmp_path / "bin")
    done = bash("source scripts/setup_balanced.sh || echo refused $DB_POOL_MODE", clone, PATH=path, CC="cc")
    assert done.stdout == "refused\n"
    assert "missing, for mode balanced: a C compiler. On Debian: apt-get install gcc libpq-dev" in done.stderr


def test_without_rust_full_says_so(clone: Path, tmp_path: Path) -> None:
    path = path_with((*BASE, "python3"), tmp_path / "bin")
    provide_uv(tmp_path / "bin")
    done = bash("source scripts/setup_full.sh || echo refused $DB_POOL_MODE", clone, PATH=path, CC="cc")
    assert done.stdout == "refused\n"
    told = "Install it from https://rustup.rs, then open a new shell"
    assert done.stderr.startswith("error: missing, for mode full: Rust ")
    assert told in done.stderr
    checked = bash("scripts/check_rust_environment.sh", clone, PATH=path, CC="cc")
    assert checked.returncode == 1
    assert checked.stdout.startswith("missing  Rust ")
    assert told in checked.stdout.splitlines()[0]
    assert "missing  a C compiler. On Debian: apt-get install gcc libc6-dev" in checked.stdout


def test_without_python_every_script_says_so(clone: Path, tmp_path: Path) -> None:
    path = path_with(BASE, tmp_path / "bin")
    for mode in ("simple", "balanced", "full"):
        done = bash(f"scripts/setup_{mode}.sh", clone, PATH=path, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path))
        assert done.returncode == 1
        assert done.stderr.startswith("error: missing: python3 (3.10 or later)")
        assert len(done.stderr.splitlines()) == 1


def test_an_environment_that_cannot_be_made_is_no_success(clone: Path, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.touch()
    done = bash("scripts/setup_simple.sh", clone, UV_PROJECT_ENVIRONMENT=str(taken))
    assert done.returncode == 1
    assert "the environment could not be made" in done.stderr
    assert "is installed" not in done.stderr
