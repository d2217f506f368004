"""One version everywhere, and one line-up of distributions."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from typing import Any

import pytest

import db_pool_rs
from tests.meta.source import ROOT

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MEMBERS = ("cext", "rust")


def toml(path: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / path).read_text())


def test_the_package_has_the_version_of_its_distribution() -> None:
    version = toml("pyproject.toml")["project"]["version"]
    assert db_pool_rs.__version__ == version
    assert importlib.metadata.version("db-pool-rs") == version


def test_the_lock_file_and_the_changelog_know_the_version() -> None:
    version = toml("pyproject.toml")["project"]["version"]
    locked = {package["name"]: package.get("version") for package in toml("uv.lock")["package"]}
    assert locked["db-pool-rs"] == version
    assert version in (ROOT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("member", MEMBERS)
def test_native_members_have_the_same_version(member: str) -> None:
    path = ROOT / member / "pyproject.toml"
    if path.exists():  # uv ignores pins between members of a workspace, so nothing else would notice
        assert toml(f"{member}/pyproject.toml")["project"]["version"] == db_pool_rs.__version__


@pytest.mark.parametrize(("extra", "member"), [("balanced", "cext"), ("full", "rust")])
def test_an_extra_pins_its_engine(extra: str, member: str) -> None:
    extras = toml("pyproject.toml")["project"]["optional-dependencies"]
    assert f"{toml(f'{member}/pyproject.toml')['project']['name']}=={db_pool_rs.__version__}" in extras[extra]


def test_typed() -> None:
    assert (ROOT / "db_pool_rs" / "py.typed").exists()


@pytest.mark.parametrize("member", ["", *MEMBERS])
def test_a_distribution_says_what_it_is(member: str) -> None:
    folder = ROOT / member
    project = toml(str(folder.relative_to(ROOT) / "pyproject.toml"))["project"]
    assert (folder / project["readme"]).is_file()
    assert project["license"] == "MIT"
    assert all(list(folder.glob(pattern)) for pattern in project["license-files"])
    assert (folder / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert project["urls"]["Homepage"].startswith("https://")
    minors = {f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)}
    assert minors <= set(project["classifiers"])
    assert not any(name.startswith("License ::") for name in project["classifiers"]), "the expression says it"


def test_every_crate_in_the_engine_has_its_licence() -> None:
    locked = {(one["name"], one["version"]) for one in toml("rust/Cargo.lock")["package"]}
    head, _, texts = (ROOT / "rust/THIRD_PARTY.txt").read_text().partition("=" * 80)
    listed = [tuple(line.partition(":")[0].split()) for line in head.splitlines() if ": " in line]
    assert len(listed) > 50
    assert set(listed) <= locked, "run scripts/third_party.py"
    names = {tuple(name.split()) for line in texts.splitlines() for name in line.split(", ") if name.count(" ") == 1}
    assert set(listed) <= names


def test_the_licences_are_those_of_the_lock_file() -> None:
    if shutil.which("cargo") is None:
        pytest.skip("cargo is not installed")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/third_party.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
