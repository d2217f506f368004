"""What is built holds every file of the package: queries, tables and stubs as well as modules."""

from __future__ import annotations

import os
import re
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


@pytest.mark.skipif(sys.platform != "linux", reason="ELF files")
def test_every_module_of_balanced_names_the_c_library() -> None:
    """By that auditwheel knows which one the module is for; one that names none gets no manylinux tag."""
    package = pytest.importorskip("db_pool_rs_balanced")
    if shutil.which("readelf") is None:
        pytest.skip("readelf is not installed")
    modules = sorted(Path(package.__file__).parent.glob("*.so"))
    assert len(modules) == 3
    for module in modules:
        done = subprocess.run(["readelf", "-d", str(module)], capture_output=True, text=True, check=True)
        assert re.search(r"NEEDED.*\[libc\.", done.stdout), f"{module.name} needs no C library"


def test_the_licences_of_what_wheels_of_balanced_carry_are_in_them() -> None:
    locked = (ROOT / "cext/libpq/Cargo.lock").read_text()
    assert "+libpq-" in locked
    for name, words in (("PostgreSQL", "PostgreSQL Global Development Group"), ("OpenSSL", "Apache License")):
        assert words in (ROOT / f"cext/LICENSES/{name}.txt").read_text()


@pytest.mark.timeout(300)
def test_an_extra_that_cannot_be_installed_is_told(tmp_path: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    options = [f"--pythons={version}", f"--folder={tmp_path}", "wheel", "metrics"]
    command = [sys.executable, str(ROOT / "scripts/extras.py"), *options]
    done = subprocess.run(command, env={**os.environ, "PIP_NO_INDEX": "1"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "wheel db-pool-rs[metrics]      not installed: ERROR: No matching distribution" in done.stdout


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
