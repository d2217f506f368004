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

# ---- asyncpg's tuples: days or microseconds from 2000 on, beyond what Python's classes have -------------------------

_JULIAN = 2_451_545
_DAY = 86_400_000_000
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
_MOMENT = re.compile(r"(\d{4,})-(\d\d)-(\d\d)(?: (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([-+].+?)?)?( BC)?")
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?([-+].+)?")
_CLOCK = re.compile(r"([-+]?)(\d+):(\d\d):(\d\d)(?:\.(\d{1,6}))?")
_PART = re.compile(r"([-+]?\d+) (year|mon|day)s?")


def _days(year: int, month: int, day: int) -> int:
    """From 2000-01-01 on, in the Gregorian calendar, which PostgreSQL has at all times."""
    year -= month < 3
    era, of_era = divmod(year, 400)
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 730_425


def _microseconds(hours: str, minutes: str, seconds: str, fraction: str | None) -> int:
    return ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000 + int(f"{fraction or '':0<6}")


def _offset(text: str | None) -> int:
    """Seconds to the west, as PostgreSQL counts them, of `+03:30`."""
    if not text:
        return 0
    hours, minutes, seconds = (*map(int, text[1:].split(":")), 0, 0)[:3]
    west = (hours * 60 + minutes) * 60 + seconds
    return -west if text[0] == "+" else west


def _moment_parts(text: str) -> re.Match[str]:
    found = _MOMENT.fullmatch(text)
    if found is None:
        raise ValueError(f"no date or timestamp in ISO format: {text!r}")
    return found


def _day(found: re.Match[str]) -> int:
    year = int(found[1])
    return _days(1 - year if found[9] else year, int(found[2]), int(found[3]))


def tuple_of_date(text: str) -> tuple[int]:
    """The day."""
    if text in _ENDS:
        return (2**31 - 1,) if text == _LAST else (-(2**31),)
    return (_day(_moment_parts(text)),)


def text_of_date(parts: tuple[int, ...]) -> str:
    """The text of a day: a Julian one, which has no limits."""
    (days,) = parts
    return {2**31 - 1: _LAST, -(2**31): _FIRST}.get(days) or f"J{days + _JULIAN}"


def tuple_of_moment(text: str) -> tuple[int]:
    """The microsecond, in UTC where there is a zone."""
    if text in _ENDS:
        return (_LATEST,) if text == _LAST else (_EARLIEST,)
    found = _moment_parts(text)
    return (_day(found) * _DAY + _microseconds(*found.group(4, 5, 6, 7)) + _offset(found[8]) * 1_000_000,)


def text_of_moment(parts: tuple[int, ...]) -> str:
    """The text of a microsecond, without a zone."""
    (moment,) = parts
    if moment in (_EARLIEST, _LATEST):
        return _LAST if moment == _LATEST else _FIRST
    days, rest = divmod(moment, _DAY)
    return f"J{days + _JULIAN} {_clock(rest)}"


def infinite(text: str, zone: str) -> str:
    """The text with a zone, unless it is an infinite one."""
    return text if text in _ENDS else text + zone


def tuple_of_time(text: str) -> tuple[int, int]:
    """The microsecond of the day, and the seconds to the west."""
    found = _TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"no time: {text!r}")
    return _microseconds(*found.group(1, 2, 3, 4)), _offset(found[5])


def text_of_time(microseconds: int, west: int | None = None) -> str:
    """The text of them."""
    if west is None:
        return _clock(microseconds)
    return f"{_clock(microseconds)}{'-' if west > 0 else '+'}{_clock(abs(west) * 1_000_000)[:8]}"


def _clock(microseconds: int) -> str:
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{fraction:06}"


def tuple_of_interval(text: str) -> tuple[int, int, int]:
    """Months, days and microseconds, of the style `postgres`."""
    counts = {"year": 0, "mon": 0, "day": 0, **{found[2]: int(found[1]) for found in _PART.finditer(text)}}
    rest = _PART.sub("", text).strip()
    clock = _CLOCK.fullmatch(rest)
    if rest and clock is None:
        raise ValueError(f"no interval of the style postgres: {text!r}")
    time_of = 0 if clock is None else _microseconds(*clock.group(2, 3, 4, 5))
    return counts["year"] * 12 + counts["mon"], counts["day"], -time_of if clock and clock[1] == "-" else time_of


def text_of_interval(parts: tuple[int, ...]) -> str:
    """The text of them; only the time may be larger than an int4."""
    months, days, microseconds = parts
    return f"{months} mons {days} days {'-' if microseconds < 0 else ''}{_clock(abs(microseconds))}"
