"""Certificates for tests, made by openssl."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """A certificate authority in a folder."""

    def __init__(self, folder: Path, name: str = "test CA") -> None:
        self.folder = folder
        self._openssl("req", "-x509", *self._new_key("ca"), "-days", "2", "-subj", f"/CN={name}", "-out", "ca.crt")

    def issue(self, name: str, common_name: str) -> None:
        """Make `name`.crt and `name`.key."""
        self._openssl("req", *self._new_key(name), "-subj", f"/CN={common_name}", "-out", f"{name}.csr")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-out", f"{name}.crt")
        self._openssl("x509", "-req", "-in", f"{name}.csr", *signed)
        (self.folder / f"{name}.key").chmod(0o600)

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _new_key(self, name: str) -> list[str]:
        return ["-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key"]

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)
