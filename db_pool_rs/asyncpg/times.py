"""Dates and times as asyncpg has them: timestamptz in UTC, the infinite ones as the first and last that Python has.

asyncpg also takes a date for a timestamp and a datetime for a date, and a timestamptz without a zone is local time.
Reading infinite dates and timestamps is the pool's option `infinity="clamp"`; a timestamptz is read here.
"""

from __future__ import annotations

import re
import sys
from datetime import date, datetime, time, timezone
from typing import Any

from ..codecs import Codec

_FIRST, _LAST = "-infinity", "infinity"
#: As asyncpg has them, without a time zone.
_ENDS = {_FIRST: datetime.min, _LAST: datetime.max}
#: `2026-01-02 03:04:05.67+00`: the zone may have minutes and seconds.
_TEXT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.(\d{1,6}))?([-+]\d\d)(:.+)?")


def _text_of_date(value: Any) -> str:
    if not isinstance(value, date):
        raise TypeError(f"date expected, got {type(value).__name__}")
    day = value.date() if isinstance(value, datetime) else value
    return {date.min: _FIRST, date.max: _LAST}.get(day) or day.isoformat()


def _text_of_timestamp(value: Any) -> str:
    when = _datetime(value)
    if when.tzinfo is not None:
        raise ValueError("datetime without time zone expected, got one with it")
    return _text(when)


def _text_of_timestamptz(value: Any) -> str:
    when = _datetime(value)
    if when in (datetime.min, datetime.max):
        return _text(when)
    plain = when.astimezone(timezone.utc).replace(tzinfo=None)
    return _text(plain) if plain in (datetime.min, datetime.max) else f"{_text(plain)}+00"


def _datetime(value: Any) -> datetime:
    if not isinstance(value, date):
        raise TypeError(f"datetime expected, got {type(value).__name__}")
    return value if isinstance(value, datetime) else datetime.combine(value, time())


def _text(when: datetime) -> str:
    return {datetime.min: _FIRST, datetime.max: _LAST}.get(when) or when.isoformat(" ")


def _padded(text: str) -> datetime:
    """Python 3.10 reads fractions of six digits and zones of two parts only."""
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ValueError(f"no timestamptz from the years 1 to 9999: {text!r}")
    day, fraction, hours, rest = found.groups()
    return datetime.fromisoformat(f"{day}.{fraction or '':0<6}{hours}{rest or ':00'}")


_read = datetime.fromisoformat if sys.version_info >= (3, 11) else _padded


def _moment(text: str) -> datetime:
    """A timestamptz of its text."""
    if text in _ENDS:
        return _ENDS[text]
    when = _read(text)
    return when if when.tzinfo is timezone.utc else when.astimezone(timezone.utc)


CODECS = (
    Codec("date", _text_of_date, None, "pg_catalog"),
    Codec("timestamp", _text_of_timestamp, None, "pg_catalog"),
    Codec("timestamptz", _text_of_timestamptz, _moment, "pg_catalog"),
)
