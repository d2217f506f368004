"""`doctor`: findings as text and JSON, exit codes, nothing secret."""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from pathlib import Path
from typing import Any

import psycopg
import pytest

from db_pool_rs import __version__, detect_best_mode
from db_pool_rs.cli.watch import _unusual
from tests.cli.conftest import Cli
from tests.plugins.postgresql import OwnServer

SECRET = "hidden-word"


def test_a_healthy_installation(cli: Cli) -> None:
    ran = cli("doctor")
    assert ran.code == 0
    for words in ("Installation", __version__, "Modes", "simple", "because", "SQLite", "All is well."):
        assert words in ran.out


def test_findings_as_json(cli: Cli, pg_dsn: str) -> None:
    ran = cli("doctor", "--json", "--dsn", pg_dsn)
    findings = json.loads(ran.out)
    assert ran.code == 0
    assert findings["healthy"]
    assert findings["installation"]["db-pool-rs"] == __version__
    assert "libpq" in findings["installation"]["psycopg"]
    assert findings["modes"]["chosen"] == detect_best_mode(database="postgresql")
    assert findings["modes"]["because"]
    database = findings["database"]
    assert database["server"].startswith("PostgreSQL ")
    assert (database["user"], database["database"]) == ("postgres", "test")
    assert database["in_recovery"] is False
    assert database["tls"] == "not used"
    assert 0 < database["round_trip_ms"] < 20_000


def test_a_database_that_cannot_be_reached(cli: Cli) -> None:
    ran = cli("doctor", "--json", "--dsn", f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    findings = json.loads(ran.out)
    assert ran.code == 1
    assert not findings["healthy"]
    assert "error" in findings["database"]
    assert any("127.0.0.1" in attempt for attempt in findings["database"]["attempts"])
    assert "running" in findings["database"]["hint"]
    assert SECRET not in ran.out + ran.err


def test_a_database_that_does_not_exist(cli: Cli, pg_dsn: str) -> None:
    ran = cli("doctor", "--dsn", pg_dsn.replace("/test", "/absent"))
    assert ran.code == 1
    assert "3D000" in ran.out
    assert "create the database" in ran.out
    assert "Something is wrong." in ran.out


def test_a_wrong_password(cli: Cli, own_server: OwnServer) -> None:
    server = own_server(hba=["host all all 127.0.0.1/32 scram-sha-256"])
    server.sql("CREATE ROLE bob LOGIN PASSWORD 'right'")
    ran = cli("doctor", "--dsn", server.dsn(user="bob", password=SECRET))
    assert ran.code == 1
    assert "28P01" in ran.out
    assert "check user and password" in ran.out
    assert "bob" in ran.out
    assert SECRET not in ran.out + ran.err


def test_an_invalid_configuration(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("deployment:\n  mode: fastest\n")
    ran = cli("doctor")
    assert ran.code == 1
    assert "config.yaml" in ran.out
    assert "deployment.mode" in ran.out


def test_a_configured_pool_is_the_one_examined(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("pools:\n  default:\n    dsn: sqlite:///configured.db\n")
    ran = cli("doctor", "--json")
    findings = json.loads(ran.out)
    assert ran.code == 0
    assert findings["configuration"]["pools"] == ["default"]
    assert "configured.db" in findings["database"]["target"]


def test_a_mode_that_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db_pool_rs.modes._native_problem", lambda module: f"the module {module} is not installed")
    ran = cli("doctor", "--mode", "full")
    assert ran.code == 1
    assert "the module db_pool_rs_full is not installed" in ran.out
    assert "scripts/setup_full.sh" in ran.out


def test_the_environment_without_its_secrets(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", SECRET)
    monkeypatch.setenv("PGAPPNAME", "shown")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    for ran in (cli("doctor"), cli("doctor", "--json")):
        assert ran.code == 1
        assert "PGPASSWORD" in ran.out
        assert "shown" in ran.out
        assert "u:***@127.0.0.1" in ran.out
        assert SECRET not in ran.out + ran.err


def test_psycopg_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db_pool_rs.modes._psycopg_problem", lambda: "psycopg is not installed")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    ran = cli("doctor", "--json", "--mode", "simple", "--dsn", "postgresql://127.0.0.1:1/x")
    findings = json.loads(ran.out)
    assert ran.code == 1
    assert findings["modes"]["simple"] == "psycopg is not installed"
    assert findings["modes"]["hint"] == 'pip install "psycopg[binary]"'
    assert cli("doctor").code == 0


def test_watching_says_who_waits_for_whom(cli: Cli, pg_server: Any, pg_database: str) -> None:
    """The application's own sessions show: one holds a lock, another waits for it."""
    holder, waiter = (psycopg.connect(pg_database, application_name=name) for name in ("holder", "waiter"))
    try:
        holder.execute("CREATE TABLE t (id int)")
        holder.commit()
        holder.execute("LOCK TABLE t")
        pid = holder.info.backend_pid
        waiting = threading.Thread(target=lambda: waiter.execute("SELECT FROM t"))
        waiting.start()
        while not holder.execute("SELECT pg_blocking_pids(%s) <> '{}'", [waiter.info.backend_pid]).fetchone()[0]:  # type: ignore[index]
            pass
        ran = cli("doctor", "--watch", "0.01", "--times", "2", "--json", "--dsn", pg_database)
        told = cli("doctor", "--watch", "0.01", "--times", "1", "--dsn", pg_database)
    finally:
        holder.close()
        waiting.join()
        waiter.close()
    first, second = map(json.loads, ran.lines)
    assert ran.code == told.code == 0
    for look in (first, second):
        assert look["connections"] >= 3
        assert look["waiting_for_locks"] >= 1
        assert 0 < look["round_trip_ms"] < 20_000
        assert any(one["pid"] == pid and one["application_name"] == "holder" for one in look["blockers"])
    assert f"wait for a lock that pid {pid} (holder, idle in transaction" in told.out


def test_watching_a_database_that_is_gone(cli: Cli) -> None:
    ran = cli("doctor", "--watch", "0.01", "--times", "2", "--dsn", f"postgresql://u:{SECRET}@127.0.0.1:1/x")
    assert ran.code == 1
    assert ran.out.count("is the server running") == 2
    assert SECRET not in ran.out + ran.err


def test_watching_sqlite(cli: Cli) -> None:
    ran = cli("doctor", "--watch", "0.01", "--times", "2")
    assert ran.code == 0
    assert len(ran.lines) == 2
    assert all("round trip" in line for line in ran.lines)


def test_what_is_unusual_is_told() -> None:
    usual = deque([1.0, 1.0, 1.0], maxlen=20)
    assert _unusual({"round_trip_ms": 1.2, "connections": 10, "max_connections": 100, "longest_idle_s": 1}, usual) == []
    hints = _unusual({"round_trip_ms": 30.0, "connections": 97, "max_connections": 100, "longest_idle_s": 12}, usual)
    assert [hint.split(":")[0] for hint in hints] == [
        "a round trip takes 30.0 ms, before it was 1.0",
        "the server's connections are nearly used up",
        "a transaction has done nothing for 12 s",
    ]
