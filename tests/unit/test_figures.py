"""The figures of the modes: packaged, measured, wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from db_pool_rs import ConfigError, modes
from db_pool_rs.modes import MODES, detect_best_mode
from db_pool_rs.modes.figures import PACKAGED, figures_path, load_figures, save_figures
from db_pool_rs.modes.selection import Candidate, ModeFigures, describe_sources


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adr_figures: None) -> Path:
    """An empty working folder, no environment, no figures but those of ADR-003."""
    monkeypatch.chdir(tmp_path)
    for name in ("DB_POOL_MODE", "DB_POOL_CONFIG", "DB_POOL_FIGURES"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    return tmp_path


def test_the_package_comes_with_measured_figures_of_every_mode() -> None:
    found = load_figures(PACKAGED)
    assert set(found) == set(MODES)
    assert all(min(f.qps, f.memory_mb, f.startup_s) > 0 for f in found.values())
    assert all(f.source.startswith("benchmark of ") for f in found.values())


def test_measured_figures_replace_the_packaged_ones_mode_by_mode(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = save_figures({"simple": {"qps": 45000, "memory_mb": 40, "startup_s": 0.1}}, "benchmark of 2030-01-31")
    assert saved == figures_path()
    assert Path(saved).is_relative_to(folder)
    found = load_figures()
    assert (found["simple"].qps, found["simple"].source) == (45000.0, "benchmark of 2030-01-31")
    assert found["full"].source == "ADR-003"
    monkeypatch.setattr(modes, "unavailable", lambda mode, database: None)
    rules = {"deployment": {"auto_selection": {"complexity_tolerance": "low"}}}
    decision = detect_best_mode(explain=True, config=rules)
    assert decision.mode == "simple"
    assert "45,000" in decision.reasons[0]
    assert decision.figures_source == "simple: benchmark of 2030-01-31; balanced, full: ADR-003"


def test_figures_of_the_environment_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_figures({"full": {"qps": 1, "memory_mb": 1, "startup_s": 1}}, "cache")
    monkeypatch.setenv("DB_POOL_FIGURES", str(folder / "mine" / "figures.json"))
    with pytest.raises(ConfigError, match=r"^figures: .*readable file"):
        load_figures()
    assert save_figures({"full": {"qps": 2, "memory_mb": 2, "startup_s": 2}}, "mine") == os.environ["DB_POOL_FIGURES"]
    assert (load_figures()["full"].qps, load_figures()["full"].source) == (2.0, "mine")
    assert list((folder / "mine").iterdir()) == [folder / "mine" / "figures.json"]


GOOD = {"qps": 1, "memory_mb": 1, "startup_s": 1}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "[" * 100_000,
        "{",
        "null",
        json.dumps({"modes": {"full": GOOD}}),
        json.dumps({"source": 7, "modes": {"full": GOOD}}),
        json.dumps({"source": "x", "modes": {}}),
        json.dumps({"source": "x", "modes": [GOOD]}),
        json.dumps({"source": "x", "modes": {"full": {"qps": 1}}}),
        json.dumps({"source": "x", "modes": {"full": {**GOOD, "qps": "many"}}}),
        json.dumps({"source": "x", "modes": {"full": {**GOOD, "qps": -1}}}),
        json.dumps({"source": "x", "modes": {"full": {**GOOD, "qps": True}}}),
        json.dumps({"source": "x", "modes": {"full": {**GOOD, "qps": float("nan")}}}),
        json.dumps({"source": "x", "modes": {"full": {**GOOD, "qps": float("inf")}}}),
    ],
)
def test_a_wrong_file_of_figures_is_refused(content: str, folder: Path) -> None:
    path = folder / "figures.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match="of the shape"):
        load_figures(path)


def test_wrong_figures_are_not_saved(folder: Path) -> None:
    with pytest.raises(ConfigError):
        save_figures({"full": {"qps": 1.0}}, "x", folder / "figures.json")
    assert not (folder / "figures.json").exists()


def test_sources_in_one_line() -> None:
    def candidate(mode: str, source: str) -> Candidate:
        return Candidate(mode, "low", ModeFigures(1, 1, 1, source))

    assert describe_sources([candidate("a", "x"), candidate("b", "x")]) == "x"
    assert describe_sources([candidate("a", "x"), candidate("b", "y"), candidate("c", "x")]) == "a, c: x; b: y"
