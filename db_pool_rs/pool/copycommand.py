"""The text of a COPY: names quoted, options as PostgreSQL writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..errors import InterfaceError
from ..sql.quoting import literal, quoted

FORMATS = ("text", "csv", "binary")


def table(name: Any, schema: Any = None, columns: Any = None) -> str:
    """`"schema"."table" ("a", "b")`."""
    full = quoted(name, "table_name")
    if schema is not None:
        full = f"{quoted(schema, 'schema_name')}.{full}"
    return full if columns is None else f"{full} ({_names(columns, 'columns')})"


def options(given: dict[str, Any]) -> str:
    """`WITH (...)` for the options that are not None; nothing if none is."""
    unknown = [name for name in given if name not in _OPTIONS]
    if unknown:
        raise InterfaceError(f"no option of COPY: {unknown[0]}; known: {', '.join(_OPTIONS)}")
    parts = [_OPTIONS[name](name, value) for name, value in given.items() if value is not None]
    return f" WITH ({', '.join(parts)})" if parts else ""


def _names(names: Any, what: str) -> str:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InterfaceError(f"{what}: a list of names expected, got {names!r}")
    found = [quoted(name, what) for name in names]
    if not found:
        raise InterfaceError(f"{what}: at least one name expected, got none")
    return ", ".join(found)


def _format(name: str, value: Any) -> str:
    if value not in FORMATS:
        raise InterfaceError(f"format: one of {', '.join(FORMATS)} expected, got {value!r}")
    return f"FORMAT {value}"


def _text(name: str, value: Any) -> str:
    return f"{name.upper()} {literal(value, name)}"


def _flag(name: str, value: Any) -> str:
    if not isinstance(value, bool):
        raise InterfaceError(f"{name}: True or False expected, got {value!r}")
    return f"{name.upper()} {'TRUE' if value else 'FALSE'}"


def _columns(name: str, value: Any) -> str:
    return f"{name.upper()} ({_names(value, name)})"


def _all_or_columns(name: str, value: Any) -> str:
    return f"{name.upper()} *" if value is True else _columns(name, value)


_OPTIONS: dict[str, Callable[[str, Any], str]] = {
    "format": _format, "freeze": _flag, "delimiter": _text, "null": _text, "header": _flag, "quote": _text,
    "escape": _text, "force_quote": _all_or_columns, "force_not_null": _columns, "force_null": _columns,
    "encoding": _text,
}  # fmt: skip
