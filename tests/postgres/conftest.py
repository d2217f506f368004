"""A server with a user for each way to log in, over TLS or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.conninfo import ConnectConfig, parse_dsn
from tests.plugins.postgresql import ServerFarm
from tests.plugins.server import PostgresServer
from tests.postgres.certificates import Certificates
from tests.postgres.sessions import Config

HBA = (
    "hostssl all cert_user 127.0.0.1/32 cert",
    "hostnossl all plain_user 127.0.0.1/32 scram-sha-256",
    "host all clear_user 127.0.0.1/32 password",
    "host all md5_user 127.0.0.1/32 md5",
    "host all scram_user,limited 127.0.0.1/32 scram-sha-256",
    "host all postgres,read_only 127.0.0.1/32 trust",
)
USERS = """
    CREATE ROLE cert_user LOGIN;
    CREATE ROLE plain_user LOGIN PASSWORD 's3cret';
    CREATE ROLE clear_user LOGIN PASSWORD 's3cret';
    CREATE ROLE scram_user LOGIN PASSWORD 's3cret';
    CREATE ROLE limited LOGIN PASSWORD 's3cret' CONNECTION LIMIT 0;
    CREATE ROLE read_only LOGIN; ALTER ROLE read_only SET default_transaction_read_only = on;
    SET password_encryption = 'md5'; CREATE ROLE md5_user LOGIN PASSWORD 's3cret';
"""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    made = Certificates(tmp_path_factory.mktemp("certificates"))
    made.issue("server", "localhost")
    made.issue("client", "cert_user")
    return made


@pytest.fixture(scope="session")
def login_server(server_farm: ServerFarm, certificates: Certificates) -> Iterator[PostgresServer]:
    """A server with TLS, and a user for each way to log in."""
    server = server_farm.make(start=False, hba=HBA, conf={"ssl": "on", "ssl_ca_file": "ca.crt"}, fsync=False)
    try:
        for name in ("server.crt", "server.key", "ca.crt"):
            server.write_file(name, Path(certificates.path(name)).read_text())
        server.start()
        server.sql(USERS)
        yield server
    finally:
        server.remove()


@pytest.fixture
def config(login_server: PostgresServer) -> Config:
    """Makes configs for the server: `config(user="scram_user", password="s3cret")`."""

    def make(dsn: str | None = None, **options: Any) -> ConnectConfig:
        defaults = (
            {} if dsn else {"host": "127.0.0.1", "port": login_server.port, "dbname": "postgres", "user": "postgres"}
        )
        made = parse_dsn(dsn, environ={"HOME": "/nonexistent"}, **{**defaults, **options})
        assert isinstance(made, ConnectConfig)
        return made

    return make
