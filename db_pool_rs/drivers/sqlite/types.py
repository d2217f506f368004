"""Arguments as SQLite takes them. What comes back is what SQLite stores: int, float, str, bytes or None.

| argument | stored as |
|---|---|
| None | NULL |
| int (-2^63..2^63-1), bool | INTEGER; a bool is 0 or 1 |
| float, infinities included | REAL; NaN is refused, since SQLite would make it NULL |
| str | TEXT; a lone surrogate is refused |
| bytes, bytearray, memoryview | BLOB |
| Decimal (finite) | TEXT, every digit kept; a column of type NUMERIC or DECIMAL makes a number of it |
| datetime, date, time | TEXT, ISO 8601 with a blank: `2024-05-01 12:30:00+02:00`; SQLite's date functions read it |
| uuid.UUID | TEXT, `str(value)` |
| dict, list | TEXT, JSON |

Subclasses count as the class in the table. Everything else is an ArgumentError. Declared column types do not change
what comes back: a BOOLEAN column gives 0 and 1, a TIMESTAMP column the text.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from reprlib import Repr
from typing import Any
from uuid import UUID

from ...errors import ArgumentError

ACCEPTED = "None, int, float, str, bytes, bool, Decimal, datetime, date, time, UUID, dict, list"
SHOWN = 60

LOWEST, HIGHEST = -(2**63), 2**63 - 1

#: Python 3.12.0-3.12.3 warn of `?1` with a sequence of arguments (cpython gh-117995), but take a mapping.
BY_NAME = (3, 12) <= sys.version_info < (3, 12, 4)


class Refused(ValueError):
    """Why a value cannot be an argument."""


def _int(value: int) -> int:
    if not LOWEST <= value <= HIGHEST:
        raise Refused("outside the range of a 64-bit integer")
    return int(value)


def _float(value: float) -> float:
    if value != value:
        raise Refused("SQLite has no NaN, it would store NULL")
    return float(value)


def _str(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused(f"not valid Unicode: {error.reason} at position {error.start}") from None
    return str(value)


def _decimal(value: Decimal) -> str:
    if not value.is_finite():
        raise Refused("SQLite has no number for it")
    return str(value)


def _datetime(value: datetime) -> str:
    return value.isoformat(" ")


def _isoformat(value: date | time) -> str:
    return value.isoformat()


def _json(value: Any) -> str:
    try:
        return _str(json.dumps(value, ensure_ascii=False, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused(f"not JSON: {error}") from None


def _bytes(value: Any) -> bytes:
    return bytes(value)


#: Subclasses are looked for in this order: bool before int, datetime before date.
_ENCODERS: dict[type, Callable[[Any], Any]] = {
    type(None): lambda _: None,
    bool: int,
    int: _int,
    float: _float,
    str: _str,
    bytes: _bytes,
    bytearray: _bytes,
    memoryview: _bytes,
    Decimal: _decimal,
    datetime: _datetime,
    date: _isoformat,
    time: _isoformat,
    UUID: str,
    dict: _json,
    list: _json,
}


def encode(args: Sequence[Any], count: int, by_name: bool = False, sql: str = "") -> Any:
    """The arguments of a statement with `count` parameters, ready for ``sqlite3``; ArgumentError if they do not fit."""
    if len(args) != count:
        from ...errors.excerpt import with_advice

        raise ArgumentError(with_advice(_wrong_count(count, len(args)), sql))
    encoded = tuple([_encode_one(value, number) for number, value in enumerate(args, 1)])
    return {str(number): value for number, value in enumerate(encoded, 1)} if by_name else encoded


def _encode_one(value: Any, number: int) -> Any:
    kind = type(value)
    encoder = next((_ENCODERS[base] for base in kind.__mro__ if base in _ENCODERS), None)
    if encoder is None:
        raise ArgumentError(f"argument ${number}: {ACCEPTED} expected, got {describe(value)}")
    try:
        return encoder(value)
    except Refused as error:
        raise ArgumentError(f"argument ${number}: {describe(value)}: {error}") from None


def _wrong_count(takes: int, given: int) -> str:
    arguments = f"{takes} argument{'' if takes == 1 else 's'}"
    return f"the statement takes {arguments} ($1, $2, ...), {given} {'was' if given == 1 else 'were'} given"


_repr = Repr()
_repr.maxother = _repr.maxlong = _repr.maxstring = SHOWN


def describe(value: object) -> str:
    """A value for a message: its type, and its content only where it is short and no bytes."""
    name = type(value).__name__
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"{name} of {memoryview(value).nbytes} bytes"
    if isinstance(value, str) and len(value) > SHOWN:
        return f"{name} of {len(value)} characters"
    try:
        return f"{name} {_repr.repr(value)}"
    except Exception:  # the repr of a class of the caller's own, or an int beyond the limit of digits
        return name


def estimate(rows: Sequence[Sequence[Any]]) -> float:
    """About how many bytes a result has: its first row stands for all."""
    if not rows:
        return 0.0
    size = 0
    for value in rows[0]:
        size += 8
        if type(value) is str or type(value) is bytes:
            size += len(value)
    return float(size * len(rows))
