"""Passwords from a password file (`~/.pgpass`, PGPASSFILE), by libpq's rules.

Each line is `host:port:database:user:password`; the first that fits is taken. `*` alone fits anything, a backslash
takes the next character (`:` or `\\`) as it is, lines that begin with `#` are comments. A unix socket in the default
folder is called `localhost`. On POSIX a file that others can read is not used, and a warning logged.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Sequence

_log = logging.getLogger("db_pool_rs")


def read_passfile(path: str) -> list[list[str]]:
    """The entries of a password file, each a list of four patterns and the password; none if it cannot be used."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            _log.warning("password file %s is not a plain file; it is not used", path)
            return []
        if os.name == "posix" and status.st_mode & 0o077:
            _log.warning("password file %s can be read by others; it is not used (chmod 0600)", path)
            return []
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            lines = [line.rstrip("\r\n") for line in file]
    except OSError:
        return []
    return [list(_split(line)) for line in lines if line and not line.startswith("#")]


def find_password(entries: Sequence[Sequence[str]], host: str, port: int, dbname: str, user: str) -> str | None:
    """The password of the first entry that fits; entries with too few fields fit nothing."""
    wanted = (host, str(port), dbname, user)
    for entry in entries:
        if len(entry) >= 5 and all(p == "*" or _unescape(p) == w for p, w in zip(entry, wanted, strict=False)):
            return _unescape(entry[4]) or None
    return None


def _split(line: str) -> Iterator[str]:
    """At the colons that are not behind a backslash; the backslashes stay, since `\\*` is not the wildcard."""
    start = at = 0
    while at < len(line):
        if line[at] == ":":
            yield line[start:at]
            start = at + 1
        at += 2 if line[at] == "\\" else 1
    yield line[start:]


def _unescape(field: str) -> str:
    plain, at = [], 0
    while at < len(field):
        at += field[at] == "\\" and at + 1 < len(field)
        plain.append(field[at])
        at += 1
    return "".join(plain)
