"""Rivals that are programs of other languages: they take a job and give its figures as a run of ours does.

They are measured only when `--rivals` names them: those in Rust are built from `rust/rivals` of the source tree, which
takes minutes the first time, and those of Node.js need the packages `pg` and `postgres` in the current folder
(`npm install pg postgres`).
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from ..cli.common import UsageError
from . import _clients

#: What they can do.
WORKLOADS = ("point", "insert")
RUST = Path(__file__).parents[2] / "rust" / "rivals"
NODE = Path(__file__).with_name("rivals.mjs")


@dataclass(frozen=True, slots=True)
class Program:
    """A rival: why it cannot be measured here, or None; its version, if that is known; how it is started."""

    why_not: Callable[[], str | None]
    version: Callable[[], str | None]
    command: Callable[[], list[str]]


def why_not(contender: str, database: str) -> str | None:
    """Why a contender of any kind cannot be measured on that database here; None if it can."""
    program = PROGRAMS.get(contender)
    return _clients.why_not(contender, database) if program is None else program.why_not()


def command(contender: str) -> list[str]:
    """What takes a job of this contender: our own process, or the program that it is."""
    program = PROGRAMS.get(contender)
    return [sys.executable, "-m", "db_pool_rs.tools._contender"] if program is None else program.command()


def _why_no_rust() -> str | None:
    if not (RUST / "Cargo.toml").exists():
        return "it is built from rust/rivals of the source tree, which is not here"
    return None if shutil.which("cargo") else "cargo is not installed"


@cache
def _rust_program() -> list[str]:
    """Build the project, once in a process."""
    manifest = ["--manifest-path", str(RUST / "Cargo.toml"), "--message-format", "json"]
    done = subprocess.run(["cargo", "build", "--release", "--locked", *manifest], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise UsageError(f"--rivals: {RUST} could not be built")
    made = [json.loads(line).get("executable") for line in done.stdout.splitlines()]
    return [str(next(path for path in reversed(made) if path))]


def _rust_version(crate: str) -> str | None:
    lines = (RUST / "Cargo.lock").read_text().splitlines()
    at = lines.index(f'name = "{crate}"')
    return lines[at + 1].partition(" = ")[2].strip('"')


def _node(code: str) -> str | None:
    """What `code` prints in Node.js; None if it fails, or there is no Node.js."""
    program = shutil.which("node")
    if program is None:
        return None
    done = subprocess.run([program, "-p", code], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _node_version(package: str) -> str | None:
    # Its package.json may be hidden from others: looked for from its main file upwards.
    return _node(
        f"let at = require.resolve('{package}'), path = require('path'), found; do {{ at = path.dirname(at); "
        f"try {{ found = require(path.join(at, 'package.json')) }} catch {{}} }} while (found?.name !== '{package}'); "
        "found.version"
    )


def _why_no_node(package: str) -> str | None:
    if shutil.which("node") is None:
        return "node is not installed"
    return None if _node_version(package) else f"the current folder has no package {package}: npm install {package}"


def _node_program() -> list[str]:
    return ["node", str(NODE)]


#: Every program by the name of its rival.
PROGRAMS = {
    **{
        name: Program(_why_no_rust, partial(_rust_version, name), _rust_program)
        for name in ("tokio-postgres", "deadpool-postgres", "sqlx")
    },
    **{
        f"node-{package}": Program(partial(_why_no_node, package), partial(_node_version, package), _node_program)
        for package in ("pg", "postgres")
    },
}
