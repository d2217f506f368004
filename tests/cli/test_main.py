"""The command line itself: help, version, pipes, streams with little to offer."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from db_pool_rs import __version__
from tests.cli.conftest import Cli


def python_m(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "db_pool_rs", *arguments],
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
        timeout=60,
    )


def test_version(cli: Cli) -> None:
    assert cli("--version").out == f"db-pool-rs {__version__}\n"


@pytest.mark.parametrize("command", [(), ("demo",), ("doctor",), ("query",)])
def test_help(cli: Cli, command: tuple[str, ...]) -> None:
    ran = cli(*command, "--help")
    assert ran.code == 0
    assert "usage: python -m db_pool_rs" in ran.out


def test_no_command_is_exit_code_2(cli: Cli) -> None:
    assert cli().code == 2


def test_as_a_module() -> None:
    ran = python_m("query", "--dsn", "sqlite://", "--json", "SELECT 'é' AS word")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert json.loads(ran.stdout) == [{"word": "é"}]


def test_a_stream_that_cannot_show_a_character_shows_its_code() -> None:
    ran = python_m("query", "--dsn", "sqlite://", "SELECT '東' AS word", PYTHONIOENCODING="ascii")
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"\\u6771" in ran.stdout


def test_a_closed_pipe_is_no_traceback() -> None:
    sql = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 20000) SELECT x FROM n"
    command = [sys.executable, "-m", "db_pool_rs", "query", "--dsn", "sqlite://", "--csv", sql]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"x\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1
