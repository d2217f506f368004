"""`benchmark_scale`: each measure once, small, and what is written of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from db_pool_rs.tools.benchmark_scale import MEASURES
from tests.plugins.engines import EngineSpec

pytestmark = pytest.mark.timeout(300)


def scale(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "db_pool_rs.tools.benchmark_scale", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_each_measure_is_taken_and_drawn(engine: EngineSpec, pg_database: str, tmp_path: Path) -> None:
    page = tmp_path / "scale.html"
    small = ("--rounds=1", "--seconds=0.1", "--sizes=2,3", f"--modes={engine.name}", f"--html={page}")
    done = scale(f"--dsn={pg_database}", *small)
    assert done.returncode == 0, done.stderr
    for measure in MEASURES.values():
        assert f"| {measure.title} | {' | '.join(measure.figures)} |" in done.stdout
    for size in (2, 3):
        assert done.stdout.count(f"| {size} {engine.name} | ") == len(MEASURES)
    drawn = page.read_text()
    assert drawn.count("<svg") == 2 * sum(len(measure.figures) for measure in MEASURES.values())


def test_what_is_not_known_is_told() -> None:
    done = scale("--only", "weather")
    assert done.returncode == 1
    assert "unknown: weather; known: idle, pools, texts, waiting" in done.stderr
