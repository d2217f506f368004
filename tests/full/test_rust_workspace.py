"""The Rust workspace beside the package: one version, and no trace of Python in its engine."""

from __future__ import annotations

import re

import db_pool_rs
from db_pool_rs.drivers.base import CANCEL_UNDER_WAY
from db_pool_rs.drivers.postgres.dialect import CHECK_KEYS
from db_pool_rs.drivers.postgres.staleness import PID
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


# rules 5.4, 8.3
def test_texts_that_python_and_rust_both_hold_are_equal() -> None:
    """What is sent to the server, and messages that callers read."""
    wanted = {"CHECK_KEYS": CHECK_KEYS, "CANCEL_UNDER_WAY": CANCEL_UNDER_WAY, "PID": PID.decode()}
    found: dict[str, list[str]] = {name: [] for name in wanted}
    for path in sorted(RUST.rglob("src/**/*.rs")):
        for name, text in re.findall(r'const (\w+): &str = "([^"]*)";', path.read_text()):
            if name in found:
                found[name].append(text)
    assert found == {name: [text] for name, text in wanted.items()}
