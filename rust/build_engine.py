"""The build backend of this distribution: maturin, once what it needs is there.

What is missing is said in one line. maturin alone would download a Rust of its own into the user's home, and leave it
to cargo to say among many lines that there is no C compiler.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import maturin
from maturin import build_sdist, prepare_metadata_for_build_editable, prepare_metadata_for_build_wheel

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_Settings = Mapping[str, Any] | None


def get_requires_for_build_sdist(config_settings: _Settings = None) -> list[str]:
    """What to install for a source distribution, for which cargo is asked what is part of it."""
    _need_rust()
    return maturin.get_requires_for_build_sdist(config_settings)


def get_requires_for_build_wheel(config_settings: _Settings = None) -> list[str]:
    """What to install for a wheel."""
    _need_rust()
    _need_compiler()
    return maturin.get_requires_for_build_wheel(config_settings)


get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(folder: str, config_settings: _Settings = None, metadata_directory: str | None = None) -> str:
    """Build a wheel; without build isolation nothing has asked before what is missing."""
    get_requires_for_build_wheel(config_settings)
    return maturin.build_wheel(folder, config_settings, metadata_directory)


def build_editable(folder: str, config_settings: _Settings = None, metadata_directory: str | None = None) -> str:
    """Build an editable wheel."""
    get_requires_for_build_wheel(config_settings)
    return maturin.build_editable(folder, config_settings, metadata_directory)


def _fail(what: str, remedy: str) -> NoReturn:
    sys.exit(f"error: db-pool-rs-full needs {what}. {remedy}")


def _need_rust() -> None:
    """cargo and rustc, of the version in Cargo.toml: older ones may not even understand that file."""
    workspace = (Path(__file__).parent / "Cargo.toml").read_text(encoding="utf-8")
    (wanted,) = re.findall(r'^rust-version = "([\d.]+)"', workspace, re.MULTILINE)
    get = "Install it from https://rustup.rs, then open a new shell"
    for program in ("cargo", os.environ.get("RUSTC") or "rustc"):
        if shutil.which(program) is None:
            _fail(f"Rust {wanted} or later ({program} was not found)", get)
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        found = re.search(r"\d+(\.\d+)+", done.stdout)
        if done.returncode != 0 or found is None:  # rustup's own programs are there before any toolchain is
            _fail(f"Rust {wanted} or later ({program} is there and does not run)", "With rustup: rustup default stable")
        if _numbers(found[0]) < _numbers(wanted):
            _fail(f"Rust {wanted} or later (this is {program} {found[0]})", "With rustup: rustup update stable")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _need_compiler() -> None:
    """It links all, and compiles what is in C; on Windows Rust finds Microsoft's by itself."""
    command = shlex.split(os.environ.get("CC") or "cc")[0]
    if sys.platform != "win32" and shutil.which(command) is None:
        _fail(f"a C compiler ({command} was not found)", "On Debian: apt-get install gcc libc6-dev")
