"""`sqlite:` connection strings.

    sqlite:///relative.db      a file, relative to the working directory
    sqlite:////absolute.db     a file
    sqlite://                  an in-memory database; also sqlite:///:memory:
    sqlite:///app.db?mode=ro&busy_timeout=5000

The path is percent-decoded, so that `?` can be written as %3F. Options, in the query or as keyword arguments:

| option | values | default | meaning |
|---|---|---|---|
| `mode` | `rwc`, `rw`, `ro` | `rwc` | create the file if it is missing; require it; require it and only read |
| `busy_timeout` | milliseconds | 5000 | how long to wait for a lock that another process holds |
| `foreign_keys` | on, off | on | whether foreign keys are enforced |
| `synchronous` | `full`, `normal` | `full` | `normal`: a power cut may undo the last commits, the file stays sound |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..config.options import Shown, unknown
from ..errors import ConfigError
from .dsn import decode
from .params import SQLITE_MODES, SQLITE_OPTIONS, SQLITE_SYNCHRONOUS, boolean

_FORM = "sqlite:///relative.db, sqlite:////absolute.db or sqlite:// (memory)"


@dataclass(frozen=True, slots=True)
class SqliteConfig:
    """A resolved SQLite database: `path` is None exactly if `memory`; `busy_timeout` is in seconds."""

    database_system: ClassVar[str] = "sqlite"

    path: str | None = None
    memory: bool = True
    mode: str = "rwc"
    busy_timeout: float = 5.0
    foreign_keys: bool = True
    synchronous: str = "full"

    def __str__(self) -> str:
        return f"sqlite:///{self.path}" if self.path is not None else "sqlite://"


def parse_sqlite(dsn: str, overrides: Mapping[str, Any]) -> SqliteConfig:
    """The config of a `sqlite:` string; `overrides` are options, and `database` or `path` for the file."""
    location, question, query = dsn.partition("?")
    rest = location[len("sqlite:") :]
    if not rest.startswith("//") or (len(rest) > 2 and rest[2] != "/"):
        raise ConfigError("dsn", dsn, f"{_FORM}; a path begins after the third slash")
    options: dict[str, Any] = dict(_pair(pair) for pair in query.split("&")) if question and query else {}
    options["path"] = _decode_path(rest[3:])
    for key, value in overrides.items():
        options["path" if key in ("database", "dbname") else key] = value
    path = options.pop("path")
    if not isinstance(path, str) or "\0" in path:
        raise ConfigError("database", Shown(f"<{type(path).__name__}>"), "path of a file as str, or :memory:")
    memory = path in ("", ":memory:")
    return SqliteConfig(path=None if memory else path, memory=memory, **_options(options, memory))


def _pair(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not equals:
        raise ConfigError("dsn", pair, "options key=value with & between them")
    return decode(key), decode(value)


def _decode_path(path: str) -> str:
    return decode(path.replace(" ", "%20"))


def _options(given: Mapping[str, Any], memory: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key == "mode":
            found[key] = _one_of(key, value, SQLITE_MODES[:1] if memory else SQLITE_MODES)
        elif key == "synchronous":
            found[key] = _one_of(key, value, SQLITE_SYNCHRONOUS)
        elif key == "foreign_keys":
            found[key] = boolean(key, value)
        elif key == "busy_timeout":
            found[key] = _milliseconds(value) / 1000
        else:
            raise unknown(key, (*SQLITE_OPTIONS, "database"))
    return found


def _one_of(key: str, value: Any, choices: tuple[str, ...]) -> str:
    text = str(value).lower()
    if text not in choices:
        raise ConfigError(key, value if isinstance(value, (str, int)) else Shown("<a value>"), choices)
    return text


def _milliseconds(value: Any) -> int:
    try:
        if isinstance(value, bool) or not 0 <= int(value) <= 2**31 - 1:
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        shown = value if isinstance(value, (str, int, float)) else Shown("<a value>")
        raise ConfigError("busy_timeout", shown, "milliseconds, a whole number from 0 to 2147483647") from None
