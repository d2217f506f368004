"""What a database tells of a statement before it is run, and of itself: types, columns, its version."""

from __future__ import annotations

import re
from typing import NamedTuple

_VERSION = re.compile(r"(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:(alpha|beta|rc|devel)(\d*))?")


class Type(NamedTuple):
    """A type of the database: `kind` is "scalar", "array", "composite", "domain", "enum", "range" or "multirange"."""

    oid: int
    name: str
    kind: str
    schema: str


class Attribute(NamedTuple):
    """A column of a statement."""

    name: str
    type: Type


class ServerVersion(NamedTuple):
    """Of PostgreSQL 17.2 (17, 0, 2, "final", 0): since PostgreSQL 10 there are two numbers, the second is `micro`."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: int

    @classmethod
    def parse(cls, text: str) -> ServerVersion:
        """What stands in `server_version`; what follows the number there is a distribution's own. Zeros if none."""
        found = _VERSION.match(text)
        if found is None:
            return cls(0, 0, 0, "unknown", 0)
        major, second, third, level, serial = found.groups()
        if int(major) >= 10:
            return cls(int(major), 0, int(second or 0), level or "final", int(serial or 0))
        return cls(int(major), int(second or 0), int(third or 0), level or "final", int(serial or 0))
