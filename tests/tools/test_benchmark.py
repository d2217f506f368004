"""The benchmark, run with tiny settings: what it delivers, in which forms, and what it says of what is missing."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from db_pool_rs.cli.common import UsageError
from db_pool_rs.modes import load_figures
from db_pool_rs.tools import _clients, _delay
from db_pool_rs.tools._database import postgresql
from db_pool_rs.tools._results import FIGURES, Measurement, Report
from db_pool_rs.tools._rounds import RunError, run_job
from db_pool_rs.tools._workloads import OVERLOAD, WORKLOADS, Job
from db_pool_rs.tools.benchmark_modes import main
from tests.meta.source import ROOT
from tests.plugins.server import PostgresServer

TINY = ("--rounds", "1", "--seconds", "0.05", "--tasks", "4", "--scale", "1", "--modes", "simple", "--no-progress")


def measured(file: Path) -> dict[str, dict[str, object]]:
    report = json.loads(file.read_text())
    assert not [m["failures"] for m in report["measurements"] if m["failures"]]
    return {m["workload"]: m["medians"]["simple"] for m in report["measurements"]}


@pytest.mark.timeout(240)  # a process for each workload: on a busy machine they add up
def test_every_postgresql_workload(
    pg_database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], pg_server: PostgresServer
) -> None:
    workloads = ",".join(name for name, workload in WORKLOADS.items() if workload.database != "sqlite")
    files = {kind: tmp_path / f"report.{kind}" for kind in ("json", "markdown", "html")}
    outputs = [part for kind, file in files.items() for part in (f"--{kind}", str(file))]
    assert main(["--dsn", pg_database, "--workloads", workloads, "--rivals", "none", *TINY, *outputs]) == 0
    figures = measured(files["json"])
    assert set(figures) == set(workloads.split(","))
    assert {"rate", "p50_ms", "p95_ms", "p99_ms", "cpu_us", "memory_mb"} <= set(figures["point"])
    assert set(figures["start"]) == {"start_s", "memory_mb"}
    assert "quiet_p99_ms" in figures["mixed"]
    assert {"p99_ms", "beside_s"} <= set(figures["long"])
    assert set(figures["waiting"]) == {"all_s", "waiting_kb", "cpu_us", "memory_mb"}
    for name in OVERLOAD:
        assert set(figures[name]) == {"all_s", "held_ms", "growth_mb", "cpu_us", "memory_mb"}
    assert set(figures["cursor"]) == {"rate", "growth_mb", "cpu_us", "memory_mb"}
    text = files["markdown"].read_text()
    assert text.strip() == capsys.readouterr().out.strip()
    assert "### Point select by key, 4 tasks" in text
    assert "fsync on" in text
    assert "the server of --dsn, over TCP" in text
    schemas = pg_server.sql(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'db_pool%'", pg_database.rsplit("/")[-1]
    )
    assert schemas == []


@pytest.mark.parametrize(
    ("dsn", "way"),
    [
        ("postgresql:///app?host=/run/postgresql", ", over a unix socket"),
        ("host=db.example dbname=app", ", over TCP"),
        ("sqlite:///app.db", ""),
    ],
)
def test_the_report_says_how_the_server_is_reached(dsn: str, way: str) -> None:
    with postgresql(dsn) as (given, said):
        assert (given, said) == (dsn, f"the server of --dsn{way}")


def test_a_server_of_its_own_and_refreshed_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_POOL_FIGURES", str(tmp_path / "figures.json"))
    assert main(["--workloads", "point,start", "--rivals", "none", "--refresh-figures", *TINY]) == 0
    simple = load_figures()["simple"]
    assert simple.qps > 0
    assert simple.memory_mb > 0
    assert simple.startup_s > 0
    assert simple.source.startswith("benchmark of 20")


def test_sqlite_needs_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    file = tmp_path / "report.json"
    arguments = ["--workloads", "sqlite-read,sqlite-write", "--rivals", "none", "--json", str(file), *TINY]
    assert main(arguments) == 0
    assert set(measured(file)) == {"sqlite-read", "sqlite-write"}


def test_what_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(_clients, "find_spec", lambda module: None)
    assert main(["--workloads", "sqlite-read", "--rivals", "aiosqlite", *TINY]) == 0
    assert "left out: aiosqlite (aiosqlite is not installed)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workloads", "point", "--refresh-figures"], "needs the workloads point and start"),
        (["--dsn", "sqlite:///x"], "must be a postgresql:// URL"),
        (["--dsn", "postgresql://u:hidden-word@127.0.0.1:1/x"], "127.0.0.1"),
    ],
)
def test_what_cannot_be_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*arguments, *TINY]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert "hidden-word" not in error


@pytest.mark.parametrize("option", [["--workloads", "points"], ["--rivals", "x"], ["--tasks", "0"], ["--seconds", "0"]])
def test_wrong_options(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(option)
    assert option[0] in capsys.readouterr().err


def test_a_contender_that_fails_says_why_without_secrets() -> None:
    dsn = "postgresql://u:hidden-word@127.0.0.1:1/x"
    with pytest.raises(RunError) as caught:
        run_job(Job(contender="simple", workload="start", tasks=1, seconds=0.1, dsn=dsn))
    assert str(caught.value)
    assert "hidden-word" not in str(caught.value)


def test_a_rival_does_not_bear_the_weight_of_this_package() -> None:
    """Its start and its memory are its own: a run imports nothing of ours before a mode is asked for."""
    code = "import sys, db_pool_rs.tools._contender; print([m for m in sys.modules if m.startswith('db_pool_rs.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert loaded == {
        f"db_pool_rs.tools{name}" for name in ("", "._clients", "._contender", "._measures", "._workloads")
    }


def test_an_interrupt_ends_it_and_cleans_up(pg_database: str, pg_server: PostgresServer) -> None:
    command = [
        sys.executable,
        "-m",
        "db_pool_rs.tools.benchmark_modes",
        "--dsn",
        pg_database,
        "--workloads",
        "point,tx",
    ]
    options = ["--rivals", "none", "--modes", "simple", "--scale", "1", "--seconds", "0.5", "--rounds", "50"]
    name = pg_database.rpartition("/")[2]
    running = subprocess.Popen(
        [*command, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%aid = $1'"
    while pg_server.sql(asked, name) == [("0",)]:
        assert running.poll() is None
    running.terminate()
    _, said = running.communicate(timeout=200)
    assert running.returncode == 130
    assert said == "error: interrupted\n"
    assert pg_server.sql("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'db_pool%'", name) == []


def sample() -> Report:
    runs = {
        "simple": [{"rate": 300.0, "p99_ms": 2.0}, {"rate": 100.0, "p99_ms": 2.0}, {"rate": 400.0, "p99_ms": 4.0}],
        "asyncpg": [{"rate": 100.0, "p99_ms": 8.0}, {"rate": 50.0, "p99_ms": 2.0}, {"rate": 100.0, "p99_ms": 8.0}],
        "psqlpy": [],
    }
    measurement = Measurement("point", 64, runs, {"psqlpy": "<it> & broke"})
    return Report({"machine": "two <processors>"}, {"full": "not there"}, {"db-pool-rs": "1"}, [measurement])


def test_ratios_are_made_within_a_round() -> None:
    measurement = sample().measurements[0]
    ratio = measurement.ratio("simple", "asyncpg")
    assert ratio is not None
    assert (ratio.median, ratio.low, ratio.high) == (3.0, 2.0, 4.0)
    latency = measurement.ratio("simple", "asyncpg", "p99_ms")
    assert latency is not None
    assert (latency.median, latency.low, latency.high) == (2.0, 1.0, 4.0)


def test_markdown_takes_its_place_between_the_marks(tmp_path: Path) -> None:
    from db_pool_rs.tools._markdown import BEGIN, END, markdown, write_markdown

    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nthe end\n")
    for _ in range(2):
        write_markdown(sample(), page)
    text = page.read_text()
    assert text == f"# Title\n\n{BEGIN}\n\n{markdown(sample())}\n{END}\n\nthe end\n"
    assert "3.0x (2.0 to 4.0)" in text
    assert "psqlpy gave no figures" in text


def test_what_a_workload_is_about_is_a_figure() -> None:
    assert {figure for workload in WORKLOADS.values() for figure in workload.figures} <= set(FIGURES)
    assert Measurement("waiting", 64, {}).key == "all_s"


def test_html_stands_alone_and_escapes() -> None:
    from db_pool_rs.tools._html import html

    page = html(sample())
    assert not re.search(r"https?:|<script|<link|src=|@import|url\(", page)
    assert "two &lt;processors&gt;" in page
    assert "&lt;it&gt; &amp; broke" in page
    assert page.count("<svg") == page.count("</svg>") == 4
    assert "prefers-color-scheme: dark" in page
    assert "viewport" in page


@pytest.mark.skipif(not shutil.which("cc"), reason="the proxy is built by a C compiler")
def test_a_server_that_is_further_away(pg_database: str, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    arguments = ["--workloads", "point,start", "--rivals", "none", "--delay-ms", "0,20", "--json", str(file), *TINY]
    assert main(["--dsn", pg_database, *arguments]) == 0
    near, far, start, far_start = json.loads(file.read_text())["measurements"]
    assert [m["delay_ms"] for m in (near, far, start, far_start)] == [0.0, 20.0, 0.0, 20.0]
    assert far["medians"]["simple"]["p50_ms"] >= 20.0
    assert far_start["medians"]["simple"]["start_s"] > 0.06, "login alone takes more than three round trips"


@pytest.mark.parametrize(
    ("dsn", "through"),
    [
        (
            "postgresql://u:p%40@h:5433/db?sslmode=disable&host=/run/x",
            "postgresql://u:p%40@127.0.0.1:99/db?sslmode=disable",
        ),
        ("postgres:///db?host=%2Frun%2Fpg&port=6", "postgres://127.0.0.1:99/db"),
        ("postgresql://[::1]:5/d", "postgresql://127.0.0.1:99/d"),
    ],
)
def test_the_way_through_a_proxy_keeps_all_but_the_host(dsn: str, through: str) -> None:
    assert _delay._through(dsn, 99) == through


def test_figures_of_a_far_server_are_not_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--workloads", "point,start", "--refresh-figures", "--delay-ms", "1", *TINY]) == 1
    assert "leave out --delay-ms" in capsys.readouterr().err


def test_without_a_compiler_there_is_no_delay(monkeypatch: pytest.MonkeyPatch, pg_database: str) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="needs a C compiler"), _delay.delayed(pg_database, [1.0]):
        pass
