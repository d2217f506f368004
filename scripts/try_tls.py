"""Tries TLS and SCRAM with an installed engine: `python scripts/try_tls.py MODE`, where the engine is installed.

A PostgreSQL server of this machine is started with a certificate of its own, made by openssl, and over TCP it lets in
only what proves a password over TLS. Pools then connect with `sslmode=verify-full` and `channel_binding=require`; a
wrong password, an authority that has not signed the server's certificate and a name that is not in it must be refused.
This is how the libpq and the OpenSSL inside of a wheel are tried (`nox -s extras`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlencode

import db_pool_rs
from db_pool_rs.cli import embedded

_HBA = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n"
_SEEN = "SELECT concat_ws(' ', version, cipher) FROM pg_stat_ssl WHERE ssl AND pid = pg_backend_pid()"


def main() -> int:
    """Start the server and try it with the mode of the command line."""
    mode = sys.argv[1]
    with tempfile.TemporaryDirectory() as name, socket.socket() as free:
        folder = Path(name)
        folder.chmod(0o755)
        for one in ("own", "other"):
            make_certificate(folder, one)
        (folder / "hba").write_text(_HBA)
        account = embedded._account()  # the one that the server runs as
        if account is not None:
            os.chown(folder / "own.key", *account)
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        settings = {"listen_addresses": "127.0.0.1", "port": str(port), "ssl": "on", "hba_file": str(folder / "hba")}
        settings |= {"ssl_cert_file": str(folder / "own.crt"), "ssl_key_file": str(folder / "own.key")}
        embedded.SETTINGS.update(settings)
        # That of the wheel is made without TLS.
        programs = next((one for one in embedded._installed() if (one / "initdb").exists()), None)
        if programs is None:
            raise SystemExit("a PostgreSQL server with TLS is needed, as distributions have it")
        with embedded.embedded_postgres(programs) as dsn:
            asyncio.run(attempt(mode, f"{dsn}&port={port}", port, folder))
    return 0


def make_certificate(folder: Path, name: str) -> None:
    """A certificate for localhost that signs itself, and its key."""
    key = ("-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.crt", "-days", "2")
    command = ("openssl", "req", "-x509", *key, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


async def attempt(mode: str, local: str, port: int, folder: Path) -> None:
    """Connect as it must succeed, and as it must not."""
    async with db_pool_rs.create_pool(local, mode=mode) as pool:
        await pool.execute("CREATE ROLE tried LOGIN PASSWORD 'right'")
    given = {"sslmode": "verify-full", "sslrootcert": str(folder / "own.crt"), "channel_binding": "require"}
    url = f"postgresql://tried:right@localhost:{port}/postgres?hostaddr=127.0.0.1&"
    async with db_pool_rs.create_pool(url + urlencode(given), mode=mode) as pool:
        seen = await pool.fetchval(_SEEN)
        assert seen, "the server sees no TLS"
        print(f"{mode}: {seen}, SCRAM with channel binding")
    for wrong, words in (
        (url.replace("right", "wrong") + urlencode(given), "password"),
        (url + urlencode({**given, "sslrootcert": str(folder / "other.crt")}), "certificate"),
        (url.replace("localhost", "example.com") + urlencode(given), "certificate"),
    ):
        try:
            async with db_pool_rs.create_pool(wrong, mode=mode, connect_timeout=10):
                raise SystemExit(f"{mode}: it must not connect, since the {words} is wrong")
        except db_pool_rs.errors.ConnectFailed as error:
            if words not in str(error):
                raise


if __name__ == "__main__":
    sys.exit(main())
