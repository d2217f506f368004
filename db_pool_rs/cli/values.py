"""Values on their way out: as text for tables and CSV, as JSON.

    date, time, timestamp   ISO 8601                    bytes      \\x and hexadecimal digits, as PostgreSQL writes it
    interval                [-]days HH:MM:SS[.ffffff]   uuid, inet, Decimal   their text (exact digits kept)
    bool                    true, false                 arrays, json          JSON

In JSON, numbers are numbers, except Decimal (a float would lose digits) and NaN and infinity (JSON has none): texts.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def as_text(value: Any) -> str | None:
    """One value for a person; None stays None."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(as_json(value), ensure_ascii=False)
    return str(as_json(value))


def as_json(value: Any) -> Any:
    """The same value made of what `json.dumps` takes."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return "\\x" + bytes(value).hex()
    if isinstance(value, dt.timedelta):
        return interval_text(value)
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return str(value)


def interval_text(value: dt.timedelta) -> str:
    """An interval the way PostgreSQL reads it: `-1 day -02:03:04.5` and `26:03:04` are never ambiguous here."""
    micros = value // dt.timedelta(microseconds=1)
    sign, micros = ("-", -micros) if micros < 0 else ("", micros)
    days, micros = divmod(micros, 86_400_000_000)
    seconds, micros = divmod(micros, 1_000_000)
    clock = f"{sign}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    if micros:
        clock += f".{micros:06}".rstrip("0")
    if not days:
        return clock
    return f"{sign}{days} day{'s' if days != 1 else ''} {clock}"


def row_object(columns: Sequence[str], values: Iterable[Any]) -> dict[str, Any]:
    """A row as a JSON object; where columns share a name, the later ones get `_2`, `_3` ... so that none is lost."""
    row: dict[str, Any] = {}
    for column, value in zip(columns, values, strict=True):
        name, number = column, 1
        while name in row:
            number += 1
            name = f"{column}_{number}"
        row[name] = as_json(value)
    return row


def is_number(value: Any) -> bool:
    """Whether a column of such values is aligned to the right."""
    return not isinstance(value, bool | str | bytes | bytearray) and hasattr(value, "__trunc__")
