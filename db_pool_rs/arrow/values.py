"""The values of one column in PostgreSQL's binary form -> what pyarrow makes an array of (needs pyarrow)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pyarrow as pa

from ..errors import DecodeError
from ..types.layout import check_for
from ..types.oids import NUMERIC
from .forms import Form

#: Of a numeric: its number of digits, weight, sign and scale.
_numeric_head = struct.Struct(">hhHH").unpack_from
_check_numeric = check_for(NUMERIC.oid)
#: Positive, negative, NaN and the infinities.
_SIGNS = frozenset((0x0000, 0x4000, 0xC000, 0xD000, 0xF000))
_DAYS = 10_957  # from 1970, where Arrow's dates begin, to 2000, where PostgreSQL's do
_MICROS = _DAYS * 86_400_000_000
_DAY = 86_400_000_000
_FIRST_DAY, _LAST_DAY = -719_162, 2_932_896  # of Python's dates, from 1970
_FIRST, _LAST = _FIRST_DAY * _DAY, (_LAST_DAY + 1) * _DAY - 1

Values = list[bytes]
Make = Callable[[Values], Any]


def _numbers(code: str) -> Callable[[Form, bool], Make]:
    size = struct.calcsize(f">{code}")

    def convert(values: Values) -> Sequence[Any]:
        _all_of(values, size)
        return struct.unpack(f">{len(values)}{code}", b"".join(values))

    return lambda form, clamp: convert


def _all_of(values: Values, size: int) -> None:
    if any(len(value) != size for value in values):
        raise DecodeError(f"a value of another length than {size} bytes")


def _bools(form: Form, clamp: bool) -> Make:
    def convert(values: Values) -> Iterable[bool]:
        _all_of(values, 1)
        return [value != b"\0" for value in values]

    return convert


def _dates(form: Form, clamp: bool) -> Make:
    ends = (_FIRST_DAY, _LAST_DAY) if clamp else None
    return _moved("i", _DAYS, 31, ends)


def _moments(form: Form, clamp: bool) -> Make:
    return _moved("q", _MICROS, 63, (_FIRST, _LAST) if clamp else None)


def _moved(code: str, by: int, bits: int, ends: tuple[int, int] | None) -> Make:
    """Numbers from 2000 on -> from 1970 on; the first and the last are infinite."""
    read = _numbers(code)(Form("", None), False)
    infinite = {-(1 << bits): 0, (1 << bits) - 1: 1}

    def convert(values: Values) -> list[int]:
        found = []
        for value in read(values):
            if value in infinite:
                if ends is None:
                    raise DecodeError("infinity has no form in Arrow; the pool's option infinity='clamp' gives it one")
                found.append(ends[infinite[value]])
            elif value + by >= 1 << bits:
                raise DecodeError("a moment that is beyond what Arrow can hold")
            else:
                found.append(value + by)
        return found

    return convert


def _times(form: Form, clamp: bool) -> Make:
    read = _numbers("q")(form, clamp)

    def convert(values: Values) -> list[int]:
        found: list[int] = list(read(values))
        if any(not 0 <= value < _DAY for value in found):
            raise DecodeError("time not supported by Arrow: hour=24")
        return found

    return convert


def _intervals(form: Form, clamp: bool) -> Make:
    def convert(values: Values) -> list[int]:
        _all_of(values, 16)
        return [_interval(*struct.unpack(">qii", value)) for value in values]

    return convert


def _interval(micros: int, days: int, months: int) -> int:
    years, rest = divmod(abs(months), 12)
    whole = years * 365 + rest * 30
    total = micros + (days + (whole if months >= 0 else -whole)) * _DAY
    if not -(1 << 63) <= total < 1 << 63:
        raise DecodeError("an interval that is beyond what Arrow can hold")
    return total


def _numerics(form: Form, clamp: bool) -> Make:
    from ..types.loaders import value_loader

    load = value_loader(NUMERIC.oid, 1, {})

    def convert(values: Values) -> list[Any]:
        for value in values:
            _check_sign(value)
        found = [load(value) for value in values]
        if form.precision:
            if any(not value.is_finite() for value in found):
                raise DecodeError("NaN has no form in a decimal; cast the column to float8 or text")
            return found
        return [format(value, "f") for value in found]

    return convert


def _check_sign(value: bytes) -> None:
    """What the loader does not refuse, or refuses with an exception of its own."""
    if _check_numeric is not None:
        _check_numeric(value)
    if _numeric_head(value)[2] not in _SIGNS:
        raise DecodeError("malformed numeric")


def _numeric_size(value: bytes) -> int:
    """About as long as its text, which has four digits for each two bytes and zeros that are not sent."""
    _, weight, _, scale = _numeric_head(value)
    return int(4 * max(weight, 0) + (scale & 0x3FFF) + 6)


def _texts(form: Form, clamp: bool) -> Make:
    return lambda values: [value.decode() for value in values]


def _documents(form: Form, clamp: bool) -> Make:
    def convert(values: Values) -> list[str]:
        if any(value[:1] != b"\1" for value in values):
            raise DecodeError("unknown jsonb binary format")
        return [value[1:].decode() for value in values]

    return convert


def _uuids(form: Form, clamp: bool) -> Make:
    def convert(values: Values) -> list[str]:
        _all_of(values, 16)
        return [str(uuid.UUID(bytes=value)) for value in values]

    return convert


CONVERT: dict[str, Callable[[Form, bool], Make]] = {
    "bool": _bools,
    "int2": _numbers("h"),
    "int4": _numbers("i"),
    "int8": _numbers("q"),
    "oid": _numbers("I"),
    "float4": _numbers("f"),
    "float8": _numbers("d"),
    "numeric": _numerics,
    "text": _texts,
    "enum": _texts,
    "jsonb": _documents,
    "uuid": _uuids,
    "bytea": lambda form, clamp: lambda values: values,
    "date": _dates,
    "time": _times,
    "timestamp": _moments,
    "timestamptz": _moments,
    "interval": _intervals,
}
TYPES: dict[str, pa.DataType] = {
    "bool": pa.bool_(),
    "int2": pa.int16(),
    "int4": pa.int32(),
    "int8": pa.int64(),
    "oid": pa.uint32(),
    "float4": pa.float32(),
    "float8": pa.float64(),
    "text": pa.string(),
    "enum": pa.dictionary(pa.int32(), pa.string()),
    "jsonb": pa.string(),
    "uuid": pa.string(),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "timestamptz": pa.timestamp("us", tz="UTC"),
    "interval": pa.duration("us"),
}
#: Made as numbers, then taken for what they are.
STORED: dict[str, pa.DataType] = {
    "date": pa.int32(),
    **dict.fromkeys(("time", "timestamp", "timestamptz", "interval"), pa.int64()),
}
#: The size of a value as text, where that is more than the value's own.
GROWS: dict[str, Callable[[bytes], int]] = {"numeric": _numeric_size, "uuid": lambda value: 36}
