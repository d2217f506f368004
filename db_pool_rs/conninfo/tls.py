"""`ssl=` as an `ssl.SSLContext`: what can be read off it, in libpq's terms.

The certificates of authorities that a context has loaded become a file, which is removed when the process ends; whether
certificates and names are verified, and the versions of TLS, are taken over. A context does not tell its client
certificate, revocation lists that it has loaded, folders of authorities (`capath`) nor ciphers: :class:`SSLContext`
remembers the client certificate, the rest is said by the connection string (`sslcrl`, `sslrootcert`).
"""

from __future__ import annotations

import atexit
import hashlib
import os
import ssl
import tempfile
from typing import Any

from ..config.options import Shown
from ..errors import ConfigError

_VERSIONS = {
    ssl.TLSVersion.TLSv1: "TLSv1",
    ssl.TLSVersion.TLSv1_1: "TLSv1.1",
    ssl.TLSVersion.TLSv1_2: "TLSv1.2",
    ssl.TLSVersion.TLSv1_3: "TLSv1.3",
}
#: Files of authorities by their content.
_files: dict[bytes, str] = {}


class SSLContext(ssl.SSLContext):
    """A context that remembers its client certificate, for `ssl=` of a pool."""

    certificate: dict[str, str]

    def __new__(cls, protocol: int = ssl.PROTOCOL_TLS_CLIENT) -> SSLContext:
        """As `ssl.SSLContext`; for clients if nothing else is said."""
        made = super().__new__(cls, protocol)
        made.certificate = {}
        return made

    def load_cert_chain(self, certfile: Any, keyfile: Any = None, password: Any = None) -> None:
        """As `ssl.SSLContext` does it; the files are used by the pool too. A password must be a str."""
        super().load_cert_chain(certfile, keyfile, password)
        if password is not None and not isinstance(password, str):
            raise ConfigError("ssl", Shown("<a password>"), "a password of the key that is a str")
        self.certificate = {"sslcert": os.fspath(certfile), "sslkey": os.fspath(keyfile or certfile)}
        if password is not None:
            self.certificate["sslpassword"] = password


def options_of(context: ssl.SSLContext) -> dict[str, str]:
    """The parameters of a connection that say the same; ConfigError for what a context cannot tell."""
    if context.verify_flags & (ssl.VERIFY_CRL_CHECK_LEAF | ssl.VERIFY_CRL_CHECK_CHAIN):
        raise ConfigError("ssl", _SHOWN, "a context without revocation lists: name the file by sslcrl")
    found = dict(getattr(context, "certificate", {}))
    for name, version in (("min", context.minimum_version), ("max", context.maximum_version)):
        if version in _VERSIONS:
            found[f"ssl_{name}_protocol_version"] = _VERSIONS[version]
    if context.verify_mode is ssl.CERT_NONE:
        return {**found, "sslmode": "require"}
    authorities = context.get_ca_certs(binary_form=True)
    if not authorities:
        allowed = "a context that has loaded its authorities (cafile, cadata); else name them by sslrootcert"
        raise ConfigError("ssl", _SHOWN, allowed)
    mode = "verify-full" if context.check_hostname else "verify-ca"
    return {**found, "sslmode": mode, "sslrootcert": _file("".join(map(ssl.DER_cert_to_PEM_cert, authorities)))}


_SHOWN = Shown("<SSLContext>")


def _file(text: str) -> str:
    """A file with this content, for as long as the process runs."""
    key = hashlib.sha256(text.encode()).digest()
    known = _files.get(key)
    if known is None or not os.path.exists(known):
        with tempfile.NamedTemporaryFile("w", prefix="db-pool-ca-", suffix=".pem", delete=False) as file:
            file.write(text)
        known = _files[key] = file.name
        atexit.register(_remove, known, os.getpid())
    return known


def _remove(path: str, pid: int) -> None:
    if os.getpid() == pid and os.path.exists(path):  # a child process has inherited it
        os.unlink(path)
