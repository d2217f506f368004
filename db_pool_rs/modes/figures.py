"""What each mode is known to achieve: figures that mode `auto` compares, and that the benchmark tool can refresh.

The package comes with figures that the benchmark tool measured on one machine. Those of your own replace them, mode by
mode, where they were saved: in the file that DB_POOL_FIGURES names, else in `db_pool_rs/mode_figures.json` of the
user's cache folder.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from typing import Any

from ..errors import ConfigError
from .selection import ModeFigures

__all__ = ["ModeFigures", "figures_path", "load_figures", "save_figures"]

#: The figures that come with the package.
PACKAGED = os.path.join(os.path.dirname(os.path.dirname(__file__)), "_data", "mode_figures.json")
_SIZE_LIMIT = 65_536
_KEYS = ("qps", "memory_mb", "startup_s")


def figures_path() -> str:
    """Where refreshed figures are kept: DB_POOL_FIGURES, else a file in the user's cache folder."""
    if named := os.environ.get("DB_POOL_FIGURES"):
        return named
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or os.path.expanduser("~/AppData/Local")
    elif sys.platform == "darwin":
        cache = os.path.expanduser("~/Library/Caches")
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return os.path.join(cache, "db_pool_rs", "mode_figures.json")


def load_figures(path: str | os.PathLike[str] | None = None) -> dict[str, ModeFigures]:
    """The figures of every mode: those in `path` (default: `figures_path()`), the packaged ones for the rest.

    A file that was asked for, by argument or DB_POOL_FIGURES, must exist; a wrong file is a ConfigError.
    """
    figures = _read(PACKAGED)
    file = figures_path() if path is None else os.fspath(path)
    asked_for = path is not None or bool(os.environ.get("DB_POOL_FIGURES"))
    if asked_for or os.path.isfile(file):
        figures |= _read(file)
    return figures


def save_figures(
    figures: Mapping[str, Mapping[str, float]], source: str, path: str | os.PathLike[str] | None = None
) -> str:
    """Keep measured figures for later decisions, and return the file's path (default: `figures_path()`).

    `figures`: for each measured mode its `qps` (statements per second), `memory_mb` (resident) and `startup_s`
    (seconds from import to first answer). `source` says where they come from: "benchmark of 2030-01-31 on host".
    """
    import json
    import tempfile

    file = figures_path() if path is None else os.fspath(path)
    data = {"source": source, "modes": {mode: dict(values) for mode, values in figures.items()}}
    _check(data, file)
    os.makedirs(os.path.dirname(os.path.abspath(file)), exist_ok=True)
    # Readers see the old file or the new one, never half of one.
    handle, scratch = tempfile.mkstemp(prefix=f".{os.path.basename(file)}.", dir=os.path.dirname(os.path.abspath(file)))
    with open(handle, "w", encoding="utf-8") as opened:
        opened.write(json.dumps(data, indent=2) + "\n")
    os.replace(scratch, file)
    return file


def _read(file: str) -> dict[str, ModeFigures]:
    import json  # of no use where the mode is named

    try:
        with open(file, "rb") as opened:
            text = opened.read(_SIZE_LIMIT + 1)
        data = json.loads(text) if len(text) <= _SIZE_LIMIT else None
    except OSError as error:
        raise ConfigError("figures", file, f"a readable file ({error.strerror})") from None
    except (ValueError, RecursionError):
        data = None
    return _check(data, file)


def _check(data: Any, file: str) -> dict[str, ModeFigures]:
    try:
        source = data["source"]
        checked = {
            mode: ModeFigures(source=source, **{key: _figure(values[key]) for key in _KEYS})
            for mode, values in data["modes"].items()
        }
    except (AttributeError, LookupError, TypeError, ValueError):
        checked, source = {}, None
    if not checked or not isinstance(source, str):
        shape = '{"source": text, "modes": {mode: {"qps": number, "memory_mb": number, "startup_s": number}}}'
        raise ConfigError("figures", file, f"a file of the shape {shape}; remove it or measure again")
    return checked


def _figure(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
        raise ValueError
    return float(value)
