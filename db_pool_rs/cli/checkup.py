"""The examinations of `doctor`. Each gives a dict ready for JSON; one with the key `error` found something wrong."""

from __future__ import annotations

import argparse
import os
import platform
import sqlite3
import statistics
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from .. import __version__, detect_best_mode
from ..config import load_config, pool_config
from ..errors import ConfigError, ConnectFailed, DatabaseError, Error, ModeUnavailableError, redact
from ..errors.redact import HIDDEN, is_secret
from ..guard.findings import findings
from ..guard.keeper import CATALOG, parameters
from ..modes import MODES, resolve_mode, unavailable
from .common import database_of, make_pool, one_line

if TYPE_CHECKING:
    from ..abc import Pool

PINGS = 5
#: Names that run alone, of which so many are shown.
MOST_FOUND = 50
MISSING = "not installed"

#: What to look at when a connection fails: by SQLSTATE, else by words of the system's error message.
_HINTS_BY_SQLSTATE = {
    "28P01": "check user and password (PGPASSWORD, ~/.pgpass, passfile=)",
    "28000": "the server's pg_hba.conf does not let this user in from here, or not without TLS",
    "3D000": "create the database or name another one",
    "53300": "the server's max_connections is used up",
    "57P03": "the server is starting or stopping; try again in a moment",
}
_HINTS_BY_WORDS = {
    "refused": "is the server running, and does it listen on this host and port?",
    "no such file": "is the server running, and is its socket in this folder?",
    "name or service": "check the host name",
    "resolve": "check the host name",
    "timeout": "a firewall may be dropping the packets, or the host is not there",
    "timed out": "a firewall may be dropping the packets, or the host is not there",
    "certificate": "check sslmode and sslrootcert",
    "ssl": "check sslmode",
}


def examine_installation() -> dict[str, Any]:
    """Versions of everything that takes part."""
    system = f"{platform.python_implementation()}, {platform.system()} {platform.machine()}"
    return {
        "python": f"{platform.python_version()} ({system})",
        "db-pool-rs": __version__,
        "psycopg": _psycopg(),
        "sqlite": sqlite3.sqlite_version,
        **{name: _version(f"db-pool-rs-{name}") for name, mode in MODES.items() if mode.native is not None},
    }


def _psycopg() -> str:
    try:
        import psycopg
        from psycopg import pq
    except ImportError as error:
        return MISSING if error.name == "psycopg" else f"cannot be imported: {one_line(error)}"
    return f"{psycopg.__version__} ({pq.__impl__}), libpq {pq.version_pretty(pq.version())}"


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return MISSING


def examine_environment() -> dict[str, Any]:
    """The environment variables that count, those with secrets hidden."""
    names = (name for name in os.environ if name.startswith(("DB_POOL_", "PG", "PSYCOPG_")) or name == "DATABASE_URL")
    return {name: HIDDEN if is_secret(name) else redact(os.environ[name]) for name in sorted(names)}


def examine_configuration() -> dict[str, Any]:
    """config.yaml: found, and valid?"""
    try:
        deployment = load_config()
    except ConfigError as error:
        return {"file": os.environ.get("DB_POOL_CONFIG", "config.yaml"), "error": one_line(error)}
    if deployment.source is None:
        return {"file": None}
    return {"file": deployment.source, "mode": deployment.mode, "pools": list(deployment.pools)}


def examine_modes(asked: str, dsn: str | None) -> dict[str, Any]:
    """Each mode: can it be used, or why not; and which one is chosen, with the reasons."""
    modes: dict[str, Any] = {}
    try:
        database = None if dsn is None else pool_config(dsn).target.database_system
        modes.update({name: unavailable(name, database) or "available" for name in MODES})
        if asked == "auto":
            decision = detect_best_mode(explain=True, database=database)
        else:
            decision = resolve_mode(asked, load_config(), database)
    except ModeUnavailableError as error:
        # What the least complex mode needs is enough, whatever else is missing.
        return {**modes, "error": one_line(error), "hint": MODES.get(error.mode, MODES["simple"]).install}
    except Error as error:
        return {**modes, "error": one_line(error)}
    rejected = [f"not {other.mode}: {other.reason}" for other in decision.rejected]
    return {**modes, "chosen": decision.mode, "because": [*decision.reasons, *rejected]}


async def examine_database(options: argparse.Namespace) -> dict[str, Any]:
    """Connect and ask the server about itself."""
    findings: dict[str, Any] = {}
    try:
        pool = make_pool(options, min_size=1, max_size=1)
        findings["target"] = str(pool.config.target)
        findings["named_by"] = _who_named_it(options.dsn)
        started = time.perf_counter()
        async with pool:
            findings["connected_in_ms"] = _milliseconds(started)
            findings["round_trip_ms"] = await round_trip(pool)
            findings.update(await (_postgresql(pool) if database_of(pool) == "postgresql" else _sqlite(pool)))
    except ConnectFailed as error:
        first_line, *_ = str(error).splitlines()
        findings["error"] = first_line if error.sqlstate is None else f"{first_line} (SQLSTATE {error.sqlstate})"
        findings["attempts"] = list(error.attempts)
        findings["hint"] = connect_hint(error)
    except Error as error:
        findings["error"] = one_line(error)
    return findings


def _who_named_it(dsn: str | None) -> str:
    if dsn is not None:
        return "--dsn"
    deployment = load_config()
    if "default" in deployment.pools:
        return f"the pool default in {deployment.source}"
    return "DATABASE_URL" if os.environ.get("DATABASE_URL") else "nothing: the default"


async def round_trip(pool: Pool) -> float:
    """The median of a few round trips, after one that prepares the statement."""
    times = []
    for _ in range(PINGS + 1):
        started = time.perf_counter()
        await pool.fetchval("SELECT 1")
        times.append(_milliseconds(started))
    return statistics.median(times[1:])


async def _postgresql(pool: Pool) -> dict[str, Any]:
    row = await pool.fetchrow(
        "SELECT current_setting('server_version'), current_user::text, current_database()::text, pg_is_in_recovery(),"
        " current_setting('max_connections')"
    )
    assert row is not None
    version, user, database, in_recovery, limit = row
    return {
        "server": f"PostgreSQL {version}",
        "user": user,
        "database": database,
        "tls": await _tls(pool),
        "in_recovery": in_recovery,
        "max_connections": limit,
        "runs_alone": await _runs_alone(pool),
    }


async def _runs_alone(pool: Pool) -> list[str]:
    """What the guard has found: through which names a statement runs alone, and why."""
    try:
        found = findings(await pool.fetch(CATALOG(), *parameters()), pool.config.shared_functions)
    except DatabaseError as error:
        return [f"unknown: the catalogue cannot be read: {one_line(error)}"]
    every = [*found.reading.values(), *(f"writes to {reason}" for reason in found.writing.values())]
    shown = every[:MOST_FOUND] + ([f"and {len(every) - MOST_FOUND} more"] if len(every) > MOST_FOUND else [])
    return [*shown, *(["deferred keys are checked at the end of each statement"] if found.deferred_keys else [])]


async def _tls(pool: Pool) -> str:
    try:
        row = await pool.fetchrow("SELECT version, cipher FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
    except DatabaseError:
        # Relatives of PostgreSQL lack the view.
        return "the server does not tell"
    return "not used" if row is None else f"{row[0]}, {row[1]}"


async def _sqlite(pool: Pool) -> dict[str, Any]:
    journal = await pool.fetchval("PRAGMA journal_mode")
    return {"server": f"SQLite {await pool.fetchval('SELECT sqlite_version()')}", "journal_mode": journal}


def connect_hint(error: ConnectFailed) -> str:
    """What to look at when a connection fails."""
    if error.sqlstate in _HINTS_BY_SQLSTATE:
        return _HINTS_BY_SQLSTATE[error.sqlstate]
    text = str(error).lower()
    fitting = (hint for words, hint in _HINTS_BY_WORDS.items() if words in text)
    return next(fitting, "the message above is all that the server or the system says")


def _milliseconds(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)
