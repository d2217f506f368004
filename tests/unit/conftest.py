"""`adr_figures`: figures for mode `auto` that no benchmark changes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from db_pool_rs.modes import figures as _figures

#: The table of ADR-003: statements per second, MB, seconds.
ADR = {"simple": (5000, 100, 0.1), "balanced": (12000, 80, 0.3), "full": (20000, 50, 0.5)}


@pytest.fixture
def adr_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures of ADR-003, in place of those that come with the package."""
    figures = {mode: dict(zip(("qps", "memory_mb", "startup_s"), row, strict=True)) for mode, row in ADR.items()}
    file = tmp_path / "packaged" / "mode_figures.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"source": "ADR-003", "modes": figures}))
    monkeypatch.setattr(_figures, "PACKAGED", str(file))
