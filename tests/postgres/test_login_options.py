"""Options of logging in that libpq has: what they mean to every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from db_pool_rs.errors import ConfigError, ConnectFailed
from tests.plugins.server import PostgresServer, free_port
from tests.postgres.certificates import Certificates

PASSWORD = "s3cret"


async def user_of(open_pool: Any, server: PostgresServer, user: str, **options: Any) -> str:
    dsn = server.dsn("postgres", user=user, password=PASSWORD)
    try:
        pool = await open_pool(dsn, max_size=1, **options)
    except (ConfigError, ConnectFailed) as error:
        if "with libpq before" in str(error):
            pytest.skip(str(error))
        raise
    return str(await pool.fetchval("SELECT current_user"))


async def failure(open_pool: Any, server: PostgresServer, user: str, **options: Any) -> ConnectFailed:
    with pytest.raises(ConnectFailed) as caught:
        await user_of(open_pool, server, user, **options)
    assert PASSWORD not in str(caught.value)
    return caught.value


# ---- require_auth ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "methods"),
    [
        ("scram_user", "scram-sha-256"),
        ("scram_user", "!password,!md5"),
        ("md5_user", "scram-sha-256, md5"),
        ("clear_user", "password"),
        ("postgres", "none"),
        ("postgres", "!md5"),
    ],
)
async def test_a_method_that_is_wanted(open_pool: Any, login_server: PostgresServer, user: str, methods: str) -> None:
    assert await user_of(open_pool, login_server, user, require_auth=methods) == user


@pytest.mark.parametrize(
    ("user", "methods", "reason"),
    [
        ("scram_user", "password,md5", "server requested SASL authentication"),
        ("scram_user", "none", "server requested SASL authentication"),
        ("md5_user", "!md5", "server requested a hashed password"),
        ("clear_user", "scram-sha-256", "server requested a cleartext password"),
        ("postgres", "scram-sha-256", "server did not complete authentication"),
        ("postgres", "!none", "server did not complete authentication"),
    ],
)
async def test_a_method_that_is_not_accepted(
    open_pool: Any, login_server: PostgresServer, user: str, methods: str, reason: str
) -> None:
    error = await failure(open_pool, login_server, user, require_auth=methods)
    assert error.permanent
    assert f'authentication method requirement "{methods}" failed: {reason}' in str(error)


# ---- load_balance_hosts ---------------------------------------------------------------------------------------------


async def order(open_pool: Any, dsn: str, **options: Any) -> list[str]:
    with pytest.raises(ConnectFailed) as caught:
        await open_pool(dsn, min_size=1, **options)
    return [attempt.split(": ")[0] for attempt in caught.value.attempts]


async def test_hosts_are_tried_in_any_order(open_pool: Any) -> None:
    hosts = [f"127.0.0.{number}:{free_port()}" for number in range(1, 9)]
    dsn = f"postgresql://postgres@{','.join(hosts)}/none"
    shuffled = await order(open_pool, dsn, load_balance_hosts="random")
    assert sorted(shuffled) == hosts
    # That eight hosts come in their order twice happens once in 1,600,000,000 times.
    assert hosts != shuffled or hosts != await order(open_pool, dsn, load_balance_hosts="random")
    assert await order(open_pool, dsn, load_balance_hosts="disable") == hosts


# ---- sslcrl, sslcrldir ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["sslcrl", "sslcrldir"])
async def test_a_certificate_that_was_revoked(
    open_pool: Any, login_server: PostgresServer, certificates: Certificates, tmp_path: Path, option: str
) -> None:
    ssl = {"sslmode": "verify-ca", "sslrootcert": certificates.path("ca.crt")}
    for name, revoked in (("none", ()), ("server", ("server",))):
        folder = tmp_path / name
        folder.mkdir()
        made = certificates.list_revoked(folder, *revoked)
        ssl[option] = str(made if option == "sslcrl" else made.parent)
        if not revoked:
            assert await user_of(open_pool, login_server, "scram_user", **ssl) == "scram_user"
    error = await failure(open_pool, login_server, "scram_user", **ssl)
    assert error.permanent
    assert "certificate" in str(error)


async def test_a_folder_without_a_list(
    open_pool: Any, login_server: PostgresServer, certificates: Certificates, tmp_path: Path
) -> None:
    """It must not pass for a list of nothing."""
    ssl = {"sslmode": "verify-ca", "sslrootcert": certificates.path("ca.crt"), "sslcrldir": str(tmp_path)}
    assert (await failure(open_pool, login_server, "scram_user", **ssl)).permanent


# ---- sslpassword ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [(), ("-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA1"), ("-scrypt",)])
async def test_a_key_with_a_passphrase(
    open_pool: Any, login_server: PostgresServer, certificates: Certificates, tmp_path: Path, options: tuple[str, ...]
) -> None:
    key = str(tmp_path / "client.key")
    certificates.encrypt_key("client", PASSWORD, key, *options)
    own = {"sslmode": "require", "sslcert": certificates.path("client.crt"), "sslkey": key}
    assert await user_of(open_pool, login_server, "cert_user", sslpassword=PASSWORD, **own) == "cert_user"
    for wrong in ({"sslpassword": f"no {PASSWORD}"}, {}):
        error = await failure(open_pool, login_server, "cert_user", **wrong, **own)
        assert error.permanent
        assert key in str(error)


async def test_a_password_for_a_key_that_needs_none(
    open_pool: Any, login_server: PostgresServer, certificates: Certificates
) -> None:
    own = {"sslcert": certificates.path("client.crt"), "sslkey": certificates.path("client.key")}
    ssl = {"sslmode": "require", "sslpassword": PASSWORD, **own}
    assert await user_of(open_pool, login_server, "cert_user", **ssl) == "cert_user"


# ---- sslrootcert ----------------------------------------------------------------------------------------------------


async def test_a_server_that_signed_its_own_certificate(open_pool: Any, own_server: Any, tmp_path: Path) -> None:
    """As PostgreSQL's manual makes one: the certificate is an authority's and the server's, and what is trusted."""
    certificates = Certificates(tmp_path)
    for name in ("own", "other"):
        certificates.sign_own(name, "localhost")
    server = own_server(start=False, conf={"ssl": "on"})
    for name in ("crt", "key"):
        server.write_file(f"server.{name}", (tmp_path / f"own.{name}").read_text())
    server.start()
    own, other = (
        {"sslrootcert": certificates.path(f"{name}.crt"), "hostaddr": "127.0.0.1"} for name in ("own", "other")
    )
    for mode, host in (("verify-full", "localhost"), ("verify-ca", "other.test"), ("require", "other.test")):
        pool = await open_pool(server.dsn("postgres"), **own, sslmode=mode, host=host)
        assert await pool.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    for options in (
        {**own, "sslmode": "verify-full", "host": "other.test"},
        {**other, "sslmode": "verify-full", "host": "localhost"},
        {**other, "sslmode": "verify-ca", "host": "localhost"},
    ):
        with pytest.raises(ConnectFailed, match="certificate") as caught:
            await open_pool(server.dsn("postgres"), min_size=1, **options)
        assert caught.value.permanent
