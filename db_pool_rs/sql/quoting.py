"""Names in SQL: tables, columns, channels, always quoted, so that none can be anything else."""

from __future__ import annotations

from ..errors import InterfaceError


def quoted(name: object, what: str) -> str:
    """`name` in double quotes; InterfaceError saying what is no `what`."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InterfaceError(f"{what}: a name without NUL expected, got {name!r}")
    return '"' + name.replace('"', '""') + '"'


def literal(text: object, what: str) -> str:
    """A string constant that means the same whatever the session's settings say of backslashes."""
    if not isinstance(text, str) or "\0" in text:
        raise InterfaceError(f"{what}: a str without NUL expected, got {text!r}")
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
