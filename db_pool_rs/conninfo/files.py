"""Files that libpq reads beside the connection string, by its rules: passwords and services.

The password file (`~/.pgpass`, PGPASSFILE), by libpq's rules.

Each line is `host:port:database:user:password`; the first that fits is taken. `*` alone fits anything, a backslash
takes the next character (`:` or `\\`) as it is, lines that begin with `#` are comments. A unix socket in the default
folder is called `localhost`. On POSIX a file that others can read is not used, and a warning logged.

The service file holds parameters of a named service (`service=`, PGSERVICE).

The files are PGSERVICEFILE (`~/.pg_service.conf` without it), then `pg_service.conf` in PGSYSCONFDIR; the first that
has the section `[service]` counts. A section has lines `key=value` without blanks around the `=`; `#` begins a comment
line. The first of two equal keys counts.
"""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator, Mapping, Sequence

from ..config.options import Shown
from ..errors import ConfigError

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


#: Where distributions that do not set PGSYSCONFDIR keep it.
_SYSTEM_FOLDER = "/etc/postgresql-common"


def read_service(name: str, environ: Mapping[str, str], home: str) -> dict[str, str]:
    """What the service says; ConfigError if there is no such service, or it is malformed."""
    own = environ.get("PGSERVICEFILE") or os.path.join(home, ".pg_service.conf")
    system = os.path.join(environ.get("PGSYSCONFDIR") or _SYSTEM_FOLDER, "pg_service.conf")
    for path in (own, system):
        section = _read_section(path, name)
        if section is not None:
            return section
    raise ConfigError("service", name, f"a section of {own} or {system}")


def _read_section(path: str, name: str) -> dict[str, str] | None:
    try:
        with open(path, encoding="utf-8") as file:
            lines = [line.strip(" \t\n\v\f\r") for line in file]
    except (OSError, UnicodeDecodeError):
        return None
    section: dict[str, str] | None = None
    for number, line in enumerate(lines, 1):
        if line.startswith("["):
            if section is not None:
                break
            if line.startswith(f"[{name}]"):
                section = {}
        elif section is not None and line and not line.startswith("#"):
            key, equals, value = line.partition("=")
            if not equals or key == "service" or line.startswith("ldap"):
                # The line is not shown: it may be one with a password.
                shown = Shown(f"<line {number} of {path}>")
                raise ConfigError(f"service.{name}", shown, "lines key=value; no further service, no ldap URL")
            section.setdefault(key, value)
    return section
