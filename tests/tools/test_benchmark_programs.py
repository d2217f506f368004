"""Rivals of the benchmark that are programs of other languages: who is left out and why, what they are asked."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from db_pool_rs.tools._programs import PROGRAMS, RUST, Program, why_not
from db_pool_rs.tools._rounds import run_job
from db_pool_rs.tools._workloads import Job
from db_pool_rs.tools.benchmark_modes import main

#: A program that gives the number of tasks as its figures.
ECHO = (
    "import json, sys; tasks = json.load(sys.stdin)['tasks']; "
    "print(json.dumps(dict.fromkeys(('rate', 'p50_ms', 'p95_ms', 'p99_ms', 'cpu_us', 'memory_mb'), tasks)))"
)
#: The two packages of Node.js with a database that answers at once.
STUBS = {
    "pg": "exports.Pool = class { async connect() { return { release() {} } } async query() { return { rows: [] } } }",
    "postgres": "module.exports = () => ({ unsafe: async () => [] })",
}


def test_a_program_is_measured_beside_the_modes(
    monkeypatch: pytest.MonkeyPatch, pg_database: str, tmp_path: Path
) -> None:
    program = Program(lambda: None, lambda: "1.2.3", lambda: [sys.executable, "-c", ECHO])
    monkeypatch.setitem(PROGRAMS, "echo", program)
    file = tmp_path / "report.json"
    arguments = [
        "--dsn",
        pg_database,
        "--rivals",
        "echo",
        "--modes",
        "simple",
        "--workloads",
        "point,tx",
        "--tasks",
        "4",
    ]
    options = ["--tasks", "4", "--scale", "1", "--rounds", "1", "--seconds", "0.05", "--no-progress"]
    assert main([*arguments, *options, "--json", str(file)]) == 0
    report = json.loads(file.read_text())
    assert report["versions"]["echo"] == "1.2.3"
    point, tx = report["measurements"]
    assert point["medians"]["echo"]["rate"] == 4
    assert set(tx["medians"]) == {"simple"}, "a program is asked only for what it can do"


def test_programs_are_measured_only_where_they_are_named() -> None:
    assert not {*PROGRAMS} & {"asyncpg", "psycopg", "psqlpy", "aiosqlite"}


@pytest.mark.parametrize(
    ("name", "reason"), [("tokio-postgres", "cargo is not installed"), ("node-pg", "node is not installed")]
)
def test_what_a_program_misses_is_said(monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    monkeypatch.setenv("PATH", "")
    assert why_not(name, "postgresql") == reason


def test_the_versions_of_those_in_rust_are_those_of_the_lock() -> None:
    lock = (RUST / "Cargo.lock").read_text()
    for name in ("tokio-postgres", "deadpool-postgres", "sqlx"):
        assert f'name = "{name}"\nversion = "{PROGRAMS[name].version()}"' in lock


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
@pytest.mark.parametrize("package", STUBS)
def test_the_program_in_javascript(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str) -> None:
    """With the package replaced: what is asked of it, and the figures, are those of every contender."""
    folder = tmp_path / "node_modules" / package
    folder.mkdir(parents=True)
    (folder / "index.js").write_text(STUBS[package])
    (folder / "package.json").write_text(json.dumps({"name": package, "version": "9.8.7"}))
    monkeypatch.chdir(tmp_path)
    program = PROGRAMS[f"node-{package}"]
    for workload in ("point", "insert"):
        job = Job(contender=f"node-{package}", workload=workload, tasks=3, seconds=0.1, dsn="x", schema="s")
        figures = run_job(job)
        assert set(figures) == {"rate", "p50_ms", "p95_ms", "p99_ms", "cpu_us", "memory_mb"}
        assert figures["rate"] > 0
    assert program.command()[0] == "node"
