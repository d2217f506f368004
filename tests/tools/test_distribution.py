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


#: Stands for maturin, which is a tool of builds alone.
MATURIN = """
def build_wheel(*arguments): raise AssertionError("nothing was missing")
build_editable = build_sdist = prepare_metadata_for_build_editable = prepare_metadata_for_build_wheel = build_wheel
def get_requires_for_build_sdist(settings): return ["nothing"]
get_requires_for_build_wheel = get_requires_for_build_sdist
"""
RUST = "error: db-pool-rs-full needs Rust 1."


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are scripts of sh")
@pytest.mark.parametrize(
    ("programs", "told"),
    [
        ({}, f"{RUST}[0-9]+ or later \\(cargo was not found\\). Install it from https://rustup.rs"),
        ({"cargo": "1.999.0"}, f"{RUST}[0-9]+ or later \\(rustc was not found\\)"),
        ({"cargo": "1.9.0", "rustc": "1.9.0"}, f"{RUST}[0-9]+ or later \\(this is cargo 1.9.0\\)"),
        ({"cargo": "1.999.0", "rustc": ""}, f"{RUST}[0-9]+ or later \\(rustc is there and does not run\\)"),
        (
            {"cargo": "1.999.0", "rustc": "1.999.0-nightly"},
            r"error: db-pool-rs-full needs a C compiler \(cc was not found\). On Debian: apt-get install gcc libc6-dev",
        ),
    ],
    ids=["nothing", "no compiler of Rust", "an old Rust", "no toolchain", "no compiler of C"],
)
@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel()", "build_wheel('.')", "build_editable('.')"])
def test_the_sdist_of_full_says_in_one_line_what_is_missing(
    programs: dict[str, str], told: str, hook: str, tmp_path: Path
) -> None:
    done = call_backend(hook, programs, tmp_path)
    assert done.returncode == 1
    assert re.match(told, done.stderr), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="its programs are scripts of sh")
def test_the_sdist_of_full_is_built_where_all_is_there(tmp_path: Path) -> None:
    rust = {"cargo": "1.999.0", "rustc": "1.999.0"}
    assert call_backend("get_requires_for_build_sdist()", rust, tmp_path).stdout == "['nothing']\n", (
        "without a compiler"
    )
    done = call_backend("get_requires_for_build_wheel()", {**rust, "cc": "12.2.0"}, tmp_path)
    assert done.stdout == "['nothing']\n", done.stderr


def test_the_sdist_of_full_holds_its_build_backend() -> None:
    text = (ROOT / "rust/pyproject.toml").read_text()
    assert re.search(r'^build-backend = "build_engine".*\nbackend-path = \["\."\]$', text, re.MULTILINE)
    assert 'include = [{ path = "build_engine.py", format = "sdist" }]' in text


def call_backend(hook: str, programs: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Call what pip calls of rust/build_engine.py, where there are these programs: name to version, "" does not run."""
    (folder / "maturin.py").write_text(MATURIN)
    for program, version in programs.items():
        script = folder / program
        script.write_text(f"#!/bin/sh\necho {program} {version}\n" if version else "#!/bin/sh\nexit 1\n")
        script.chmod(0o755)
    paths = {"PATH": str(folder), "PYTHONPATH": str(folder), "CC": "cc", "PYTHONDONTWRITEBYTECODE": "1"}
    environment = {**{name: value for name, value in os.environ.items() if name != "RUSTC"}, **paths}
    command = [sys.executable, "-c", f"import build_engine; print(build_engine.{hook})"]
    return subprocess.run(command, cwd=ROOT / "rust", env=environment, capture_output=True, text=True, check=False)


@pytest.mark.timeout(300)
def test_source_distributions_are_built_alone_and_are_the_same_again(tmp_path: Path) -> None:
    if shutil.which("uv") is None or not (ROOT / ".git").exists():
        pytest.skip("needs uv and a clone")
    for folder in ("first", "second"):
        options = ["--sdists", f"--out={tmp_path / folder}", "db-pool-rs"]
        command = [sys.executable, str(ROOT / "scripts/wheels.py"), *options]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    (first,), (second,) = (list((tmp_path / folder).iterdir()) for folder in ("first", "second"))
    assert first.name == second.name
    assert first.suffixes[-2:] == [".tar", ".gz"]
    assert first.read_bytes() == second.read_bytes()
