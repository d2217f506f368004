"""date, time, timetz, timestamp, timestamptz, interval <- the classes of `datetime`, in PostgreSQL's binary form.

PostgreSQL counts days and microseconds from 2000-01-01; so does this, in integers, so microseconds are exact.

Whether a value has a time zone must agree with the type. A timestamptz is an instant: a datetime without tzinfo names
none (whose clock?), so it is refused rather than read in the zone of the client or the server. A timestamp is a wall
clock without zone: the zone of an aware datetime would be dropped silently, so it is refused too. Likewise a datetime
is refused where a date is expected, although Python calls it a subclass.
"""

from __future__ import annotations

import struct
from datetime import date, datetime, time, timedelta, timezone

from .explain import Rejected

_EPOCH_ORDINAL = date(2000, 1, 1).toordinal()
_EPOCH = datetime(2000, 1, 1)
_EPOCH_UTC = datetime(2000, 1, 1, tzinfo=timezone.utc)
_MAX_OFFSET = 16 * 3600  # exclusive, in seconds: src/include/datatype/timestamp.h, MAX_TZDISP_HOUR

_pack_days = struct.Struct(">i").pack
_pack_microseconds = struct.Struct(">q").pack
_pack_timetz = struct.Struct(">qi").pack
_pack_interval = struct.Struct(">qii").pack


def encode_date(value: date) -> bytes:
    """Encode a date; a datetime is refused, since its time would be lost."""
    if isinstance(value, datetime):
        raise Rejected("the time of day would be lost; pass value.date()")
    return _pack_days(date.toordinal(value) - _EPOCH_ORDINAL)


def encode_time(value: time) -> bytes:
    """Encode a time without time zone."""
    if value.tzinfo is not None:
        raise Rejected("the time zone would be lost; pass value.replace(tzinfo=None)")
    return _pack_microseconds(_microseconds(value))


def encode_timetz(value: time) -> bytes:
    """Encode a time with a fixed offset from UTC, in whole seconds."""
    microseconds = _microseconds(value)
    offset = value.utcoffset()
    if offset is None:
        raise Rejected("the time has no fixed offset from UTC; pass one with tzinfo=timezone(...)")
    seconds, rest = divmod(offset, timedelta(seconds=1))
    if rest or abs(seconds) >= _MAX_OFFSET:
        raise Rejected("the offset from UTC must be whole seconds, less than 16 hours")
    return _pack_timetz(microseconds, -seconds)  # PostgreSQL counts zones westwards


def encode_timestamp(value: datetime) -> bytes:
    """Encode a datetime without time zone."""
    try:
        delta = value - _EPOCH
    except TypeError:
        if isinstance(value, datetime):
            raise Rejected("the time zone would be lost; pass value.replace(tzinfo=None), or use timestamptz") from None
        raise
    return _pack_microseconds((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def encode_timestamptz(value: datetime) -> bytes:
    """Encode a datetime with any time zone, as the instant that it names."""
    try:
        delta = value - _EPOCH_UTC
    except TypeError:
        if isinstance(value, datetime):
            raise Rejected("without time zone it names no instant; add one, as in datetime.now(timezone.utc)") from None
        raise
    return _pack_microseconds((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


def encode_interval(value: timedelta) -> bytes:
    """Encode a timedelta as days and microseconds (and no months), as Python keeps it."""
    return _pack_interval(value.seconds * 1_000_000 + value.microseconds, value.days, 0)


def _microseconds(value: time) -> int:
    if not isinstance(value, time):  # a datetime has an hour, too
        raise TypeError
    return ((value.hour * 60 + value.minute) * 60 + value.second) * 1_000_000 + value.microsecond
