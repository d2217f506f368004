"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path

_AUTHORITY = """
[ca]
default_ca = own
[own]
database = {folder}/index.txt
crlnumber = {folder}/crlnumber
default_md = sha256
default_crl_days = 2
crl_extensions = extensions
[extensions]
authorityKeyIdentifier = keyid
"""


class Certificates:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        self.folder = folder
        self._openssl("req", "-x509", *self._new_key("ca"), "-days", "2", "-subj", f"/CN={name}", "-out", "ca.crt")

    def issue(self, name: str, common_name: str) -> None:
        """Make `name`.crt and `name`.key."""
        self._openssl("req", *self._new_key(name), "-subj", f"/CN={common_name}", "-out", f"{name}.csr")
        (self.folder / f"{name}.ext").write_text(f"subjectAltName = DNS:{common_name}\n")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.crt")
        signed += ("-extfile", f"{name}.ext")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signed)
        (self.folder / f"{name}.key").chmod(0o600)

    def sign_own(self, name: str, common_name: str) -> None:
        """Make `name`.crt and `name`.key without the authority: the certificate signs itself."""
        names = ("-subj", f"/CN={common_name}", "-addext", f"subjectAltName=DNS:{common_name}")
        self._openssl("req", "-x509", *self._new_key(name), "-days", "2", *names, "-out", f"{name}.crt")

    def encrypt_key(self, name: str, password: str, out: str, *options: str) -> None:
        """Make of `name`.key a key with a passphrase."""
        self._openssl("pkcs8", "-topk8", "-in", f"{name}.key", *options, "-passout", f"pass:{password}", "-out", out)
        (self.folder / out).chmod(0o600)

    def list_revoked(self, folder: Path, *names: str) -> Path:
        """A list of revoked certificates, which is `names`, in a folder for itself and named as libpq looks for it."""
        for name, content in (("index.txt", ""), ("crlnumber", "01\n"), ("ca.cnf", _AUTHORITY.format(folder=folder))):
            (folder / name).write_text(content)
        authority = ("ca", "-config", str(folder / "ca.cnf"), "-cert", "ca.crt", "-keyfile", "ca.key")
        for name in names:
            self._openssl(*authority, "-revoke", f"{name}.crt")
        made = folder / "made.crl"
        self._openssl(*authority, "-gencrl", "-out", str(made))
        lists = folder / "lists"
        lists.mkdir()
        return made.rename(lists / f"{self._openssl('crl', '-hash', '-noout', '-in', str(made)).strip()}.r0")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _new_key(self, name: str) -> list[str]:
        return ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]

    def _openssl(self, *arguments: str) -> str:
        command = ["openssl", *arguments]
        return subprocess.run(command, cwd=self.folder, check=True, capture_output=True, text=True).stdout
