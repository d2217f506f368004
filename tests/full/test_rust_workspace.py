"""The Rust workspace beside the package: one version, and no trace of Python in its engine."""

from __future__ import annotations

import re

import db_pool_rs
from tests.meta.source import ROOT

RUST = ROOT / "rust"


def test_the_workspace_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "(.*)"$', (RUST / "Cargo.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert version[1] == db_pool_rs.__version__


def test_the_engine_needs_no_python() -> None:
    assert "pyo3" not in (RUST / "engine" / "Cargo.toml").read_text()


def test_files_stay_within_the_size_budget() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in RUST.glob("*/src/**/*.rs")
        if (lines := len(path.read_text().splitlines())) > 400
    }
    assert not long
