"""Parameters of a named service (`service=`, PGSERVICE), by libpq's rules.

The files are PGSERVICEFILE (`~/.pg_service.conf` without it), then `pg_service.conf` in PGSYSCONFDIR; the first that
has the section `[service]` counts. A section has lines `key=value` without blanks around the `=`; `#` begins a comment
line. The first of two equal keys counts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from ..config.options import Shown
from ..errors import ConfigError

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
