"""What is built holds every file of the package: queries, tables and stubs as well as modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.meta.source import ROOT


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel and an sdist, built from a copy of the sources."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("build")
    shutil.copytree(ROOT / "db_pool_rs", folder / "db_pool_rs", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "README.zh-CN.md", "CHANGELOG.md", "LICENSE", "SECURITY.md"):
        shutil.copy(ROOT / name, folder)
    pyproject = folder / "pyproject.toml"  # the members of the workspace are built by themselves
    pyproject.write_text(pyproject.read_text().replace('members = ["cext", "rust"]', "members = []"))
    done = subprocess.run(["uv", "build", "--quiet"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "dist"


@pytest.mark.timeout(300)
def test_wheel_and_sdist_hold_every_file(built: Path) -> None:
    sources = (path for path in (ROOT / "db_pool_rs").rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    wanted = {path.relative_to(ROOT).as_posix() for path in sources}
    assert "db_pool_rs/guard/catalog.sql" in wanted
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert wanted - set(archive.namelist()) == set()
    with tarfile.open(sdist) as archive:
        assert wanted - {name.partition("/")[2] for name in archive.getnames()} == set()


@pytest.mark.parametrize(
    ("programs", "told"),
    [
        ((), "error: db-pool-rs-balanced needs a C compiler (cc was not found). On Debian: apt-get install gcc"),
        (("cc",), "error: db-pool-rs-balanced needs libpq's headers (libpq-fe.h was not found with pg_config or"),
    ],
)
def test_the_sdist_of_balanced_says_in_one_line_what_is_missing(
    programs: tuple[str, ...], told: str, tmp_path: Path
) -> None:
    pytest.importorskip("cffi")
    for program in programs:
        found = shutil.which(program)
        if found is None:
            pytest.skip(f"{program} is not installed")
        (tmp_path / program).symlink_to(found)
    environment = {**os.environ, "PATH": str(tmp_path), "CC": "cc"}
    command = [sys.executable, "-c", "import build_kernel"]
    done = subprocess.run(command, cwd=ROOT / "cext", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
