"""TLS with certificates of an authority of our own, and passwords in clear."""

from __future__ import annotations

from pathlib import Path

import pytest

from db_pool_rs.conninfo import ConnectConfig, HostSpec, parse_dsn
from tests.postgres.certificates import Certificates
from tests.postgres.sessions import REQUIRE_AUTH, Config, ask, failure, session

# ---- TLS ------------------------------------------------------------------------------------------------------------


async def test_verified_tls(config: Config, certificates: Certificates) -> None:
    trusted = {"hostaddr": "127.0.0.1", "sslrootcert": certificates.path("ca.crt"), "password": "s3cret"}
    for mode, host in (("verify-full", "localhost"), ("verify-ca", "other.test")):
        async with session(config(**trusted, user="scram_user", host=host, sslmode=mode)) as connection:
            assert connection.ssl_in_use
    error = await failure(config(**trusted, user="scram_user", host="other.test", sslmode="verify-full"))
    assert (error.permanent, "does not match host name" in str(error)) == (True, True)


async def test_foreign_certificates_are_refused(config: Config, tmp_path: Path) -> None:
    foreign = Certificates(tmp_path, "foreign CA")
    error = await failure(config(sslmode="verify-ca", sslrootcert=foreign.path("ca.crt")))
    assert (error.permanent, "certificate verify failed" in str(error)) == (True, True)
    error = await failure(config(sslmode="verify-ca", sslrootcert=foreign.path("missing.crt")))
    assert (error.permanent, "does not exist" in str(error)) == (True, True)


async def test_client_certificates(config: Config, certificates: Certificates) -> None:
    own = {"sslcert": certificates.path("client.crt"), "sslkey": certificates.path("client.key")}
    async with session(config(user="cert_user", sslmode="require", **own)) as connection:
        assert ask(connection, "SELECT current_user") == "cert_user"
    error = await failure(config(user="cert_user", sslmode="require"))
    assert (error.sqlstate, error.permanent) == ("28000", True)


async def test_a_server_without_tls(pg_dsn: str) -> None:
    config = parse_dsn(pg_dsn, sslmode="require")
    assert isinstance(config, ConnectConfig)
    assert (await failure(config)).permanent


# ---- passwords in clear ---------------------------------------------------------------------------------------------


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine counts as another one."""
    monkeypatch.setattr(HostSpec, "is_local", lambda self, address=None: False)


@REQUIRE_AUTH
@pytest.mark.usefixtures("remote")
async def test_no_password_in_clear_over_an_open_link(config: Config) -> None:
    error = await failure(config(user="clear_user", password="s3cret", sslmode="disable"))
    assert (error.permanent, "allow_cleartext_password" in str(error)) == (True, True)
    async with session(
        config(user="clear_user", password="s3cret", sslmode="disable", allow_cleartext_password=True)
    ) as connection:
        assert not connection.ssl_in_use


@pytest.mark.usefixtures("remote")
@pytest.mark.parametrize("sslmode", ["prefer", "require"])
async def test_a_password_in_clear_over_tls(config: Config, sslmode: str) -> None:
    async with session(config(user="clear_user", password="s3cret", sslmode=sslmode)) as connection:
        assert connection.ssl_in_use


@pytest.mark.usefixtures("remote")
async def test_other_logins_over_an_open_link(config: Config) -> None:
    for user in ("scram_user", "md5_user", "postgres"):
        async with session(config(user=user, password="s3cret", sslmode="disable")) as connection:
            assert not connection.ssl_in_use


@REQUIRE_AUTH
async def test_require_auth_of_the_user_is_final(config: Config) -> None:
    error = await failure(config(user="postgres", password="s3cret", require_auth="scram-sha-256"))
    assert error.permanent
    async with session(config(user="scram_user", password="s3cret", require_auth="scram-sha-256")):
        pass
