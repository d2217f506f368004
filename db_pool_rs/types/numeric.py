"""numeric <- Decimal or int, in PostgreSQL's binary form: sign, scale and digits in base 10,000, all exact.

Layout (backend/utils/adt/numeric.c, numeric_send): int16 number of base-10,000 digits, int16 weight of the first,
uint16 sign, uint16 display scale, then the digits.
"""

from __future__ import annotations

import operator
import struct
from decimal import Decimal

from .explain import Rejected

_POSITIVE, _NEGATIVE, _NAN, _PLUS_INFINITY, _MINUS_INFINITY = 0x0000, 0x4000, 0xC000, 0xD000, 0xF000
_MAX_WHOLE, _MAX_SCALE = 131_072, 16_383  # digits before and after the decimal point
_HEAD = struct.Struct(">hhHH")


def encode_numeric(value: Decimal | int) -> bytes:
    """Encode a Decimal (its scale kept, `Decimal('1.50')` stays 1.50) or an int."""
    if not isinstance(value, Decimal):
        value = Decimal(_integer(value))
    if not value.is_finite():
        return _special(value)
    text = str(value)
    whole, _, fraction = (_plain(value) if "E" in text else text).partition(".")
    sign = _NEGATIVE if whole.startswith("-") else _POSITIVE
    whole = whole.lstrip("-0")
    scale = len(fraction)
    if len(whole) > _MAX_WHOLE or scale > _MAX_SCALE:
        raise _too_long()
    return _pack(sign, scale, "0" * (-len(whole) % 4) + whole, fraction + "0" * (-scale % 4))


def _integer(value: object) -> int:
    if isinstance(value, float):
        raise Rejected("a float is not exact; pass Decimal(str(x)), or cast the parameter in SQL, as in $1::float8")
    return operator.index(value)  # type: ignore[arg-type]  # what is no integer raises TypeError here


def _special(value: Decimal) -> bytes:
    if value.is_nan():
        return _HEAD.pack(0, 0, _NAN, 0)
    return _HEAD.pack(0, 0, _MINUS_INFINITY if value < 0 else _PLUS_INFINITY, 0)


def _plain(value: Decimal) -> str:
    """Without exponent. Limits come first: Decimal('1E+999999999') would be a gigabyte of zeros."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    if -exponent > _MAX_SCALE or (value and value.adjusted() >= _MAX_WHOLE):
        raise _too_long()
    return format(value, "f") if value else "0." + "0" * -exponent


def _too_long() -> Rejected:
    return Rejected(f"numeric holds at most {_MAX_WHOLE} digits before and {_MAX_SCALE} after the decimal point")


def _pack(sign: int, scale: int, whole: str, fraction: str) -> bytes:
    """Both parts are padded to multiples of four digits, the whole one on the left."""
    text = whole + fraction
    digits = [int(text[start : start + 4]) for start in range(0, len(text), 4)]
    while digits and digits[-1] == 0:
        digits.pop()
    if not digits:
        return _HEAD.pack(0, 0, _POSITIVE, scale)
    weight = len(whole) // 4 - 1
    first = 0
    while digits[first] == 0:
        first += 1
    digits = digits[first:]
    return struct.pack(f">hhHH{len(digits)}H", len(digits), weight - first, sign, scale, *digits)
