"""The stub of the Rust module says what the module has: names, parameters, defaults."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.source import ROOT

#: maturin's package around the module, which is not imported from.
NOT_IN_THE_STUB = ("db_pool_rs_full.__all__", "db_pool_rs_full.db_pool_rs_full")


def test_the_stub_is_the_modules(tmp_path: Path) -> None:
    pytest.importorskip("db_pool_rs_full")
    pytest.importorskip("mypy")
    allowed = tmp_path / "allowed"
    allowed.write_text("\n".join(NOT_IN_THE_STUB))
    command = [sys.executable, "-m", "mypy.stubtest", "db_pool_rs_full", "--concise", f"--allowlist={allowed}"]
    environment = {**os.environ, "MYPYPATH": str(ROOT / "rust" / "python"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200
    )
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
