"""One version everywhere, and one line-up of distributions."""

from __future__ import annotations

import importlib.metadata
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
