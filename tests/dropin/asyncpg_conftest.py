"""The conftest.py beside asyncpg's own tests: `import asyncpg` is `db_pool_rs.asyncpg` there, with what the tests need.

Some of asyncpg's tests ask its private parts for what can be seen from outside: how a connection string is read, what
the server can do, whether a connection has TLS and which server it is with. They are answered here, by what a pool of
this package is opened with and by the server itself. What looks into asyncpg's pools and caches has no answer.
"""

from __future__ import annotations

import enum
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import db_pool_rs.asyncpg as ours
from db_pool_rs import conninfo
from db_pool_rs.asyncpg.calls import record_of
from db_pool_rs.asyncpg.options import where
from db_pool_rs.conninfo import ConnectConfig, parse_dsn

#: The parts of asyncpg that its tests are made with.
THEIRS = Path(__file__).parent.parent / "theirs"


class Parameters(NamedTuple):
    """What asyncpg knows of a connection, as far as its tests look at it."""

    user: str
    password: Any
    database: str
    ssl: bool | None
    sslmode: Any
    ssl_negotiation: str
    server_settings: dict[str, str] | None
    target_session_attrs: str
    krbsrvname: str | None
    gsslib: str


def parsed(*, dsn: str | None = None, **given: Any) -> tuple[list[Any], Parameters]:
    """Addresses and parameters, of what a pool of this package is opened with."""
    url, options = where(dsn, {name: value for name, value in given.items() if value is not None})
    config = parse_dsn(url, **options)
    assert isinstance(config, ConnectConfig)
    hosts = config.hosts
    addresses = [
        os.path.join(one.host, f".s.PGSQL.{one.port}") if one.is_unix else (one.host, one.port) for one in hosts
    ]
    mode = "disable" if all(one.is_unix for one in hosts) else config.ssl.mode  # without TLS, whatever it says
    return addresses, Parameters(
        user=config.user,
        password=hosts[0].password,
        database=config.dbname,
        ssl=mode != "disable" or (False if given.get("ssl") is False else None),
        sslmode=MODES[mode.replace("-", "_")],
        ssl_negotiation=config.ssl.negotiation,
        server_settings=dict(config.server_settings) or None,
        target_session_attrs=config.target_session_attrs,
        krbsrvname=config.network.get("krbsrvname"),
        gsslib=config.network.get("gsslib", "gssapi"),
    )


def made(name: str, **members: Any) -> None:
    """A module below asyncpg."""
    module = sys.modules["asyncpg." + name] = types.ModuleType("asyncpg." + name)
    vars(module).update(members)
    setattr(sys.modules[module.__name__.rpartition(".")[0]], name.rpartition(".")[2], module)


def server_caps(connection: Any) -> Any:
    """What its tests ask the server's version for."""
    return types.SimpleNamespace(sql_copy_from_where=connection.get_server_version() >= (12,))


class Protocol:
    """Of a connection that the server is asked about."""

    def __init__(self, connection: Any) -> None:
        self._pid = connection.get_server_pid()

    @property
    def is_ssl(self) -> bool:
        """Whether the server says that the connection has TLS."""
        return asked(cluster_of(self._pid), f"SELECT ssl FROM pg_stat_ssl WHERE pid = {self._pid}") == "t"

    def is_in_transaction(self) -> bool:
        """Whether the server says that a transaction block is open."""
        state = asked(cluster_of(self._pid), f"SELECT state FROM pg_stat_activity WHERE pid = {self._pid}")
        return state.startswith("idle in transaction")


class Transport:
    """Of a connection whose server is looked for."""

    def __init__(self, connection: Any) -> None:
        self._pid = connection.get_server_pid()

    def get_extra_info(self, name: str) -> Any:
        """Where the server is."""
        assert name == "peername"
        place = cluster_of(self._pid).get_connection_spec()
        return place["host"], place["port"]


#: The servers of the test that runs.
clusters: list[Any] = []


def cluster_of(pid: int) -> Any:
    """The server whose process it is, by its parent."""
    parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1]
    files = ((one, Path(one._data_dir) / "postmaster.pid") for one in clusters)
    return next(one for one, file in files if file.read_text().split()[0] == parent)


def asked(cluster: Any, sql: str) -> str:
    """What psql says; a test may have told the server to let in nothing but what it tries itself."""
    place = cluster.get_connection_spec()
    options = ["-h", place["host"], "-p", str(place["port"]), "-U", "postgres", "-qAtXc", sql, "postgres"]
    run = partial(subprocess.run, ["psql", *options], timeout=20, capture_output=True, text=True, check=False)
    done = run()
    if done.returncode == 2:
        cluster.add_hba_entry(type="local", database="postgres", user="postgres", auth_method="trust")
        cluster.reload()
        done = run()
    return str(done.stdout).strip()


def at_home(dsn: str | None, environ: Any, given: Any, read: Any = conninfo.resolve) -> ConnectConfig:
    """The home folder is where the tests say that it is."""
    try:
        home = str(Path.home())
    except RuntimeError:
        home = os.devnull
    made: ConnectConfig = read(dsn, {**environ, "HOME": home}, given)
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Any:
    """Remember which tests failed."""
    report = yield
    item.failed = getattr(item, "failed", False) or report.failed
    return report


@pytest.fixture(autouse=True)
def empty(request: Any) -> Iterator[None]:
    """What a test that fails leaves behind is not to make others fail."""
    found = (getattr(request.cls, name, None) for name in ("cluster", "master_cluster", "standby_cluster"))
    clusters[:] = [one for one in found if one is not None]
    yield
    if getattr(request.node, "failed", False) and getattr(request.cls, "cluster", None):
        asked(clusters[0], "DROP SCHEMA public CASCADE; CREATE SCHEMA public; GRANT ALL ON SCHEMA public TO public")


MODES = enum.IntEnum("MODES", "disable allow prefer require verify_ca verify_full")
if THEIRS.exists():
    ours.install_as_asyncpg()
    ours.__path__.append(str(THEIRS))
    setattr(conninfo, "resolve", at_home)  # noqa: B010
    setattr(ours.Pool, "_maintenance_task", None)  # noqa: B010 (the base class of the tests waits for it)
    for name, answer in (("_server_caps", server_caps), ("_protocol", Protocol), ("_transport", Transport)):
        setattr(ours.Connection, name, property(answer))
    made("connect_utils", _SSL_REQUEST_CODE=0, SSLMode=MODES, _parse_connect_dsn_and_args=parsed)
    made("protocol.protocol", _create_record=lambda names, values: record_of(ours.Record, tuple(names or ()))(values))
