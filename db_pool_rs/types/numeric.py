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
_MAX_INTEGER_DIGITS, _MAX_SCALE = 131_072, 16_383
_HEAD = struct.Struct(">hhHH")


def encode_numeric(value: Decimal | int) -> bytes:
    """Encode a Decimal (its scale kept, `Decimal('1.50')` stays 1.50) or an int."""
    if not isinstance(value, Decimal):
        value = Decimal(_integer(value))
    if not value.is_finite():
        return _special(value)
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    # Checked before the digits are written out: Decimal('1E+999999999') would be a gigabyte of zeros.
    if -exponent > _MAX_SCALE or (value and value.adjusted() >= _MAX_INTEGER_DIGITS):
        raise Rejected("numeric holds at most 131072 digits before and 16383 after the decimal point")
    if not value:
        return _HEAD.pack(0, 0, _POSITIVE, max(0, -exponent))
    return _finite(value)


def _integer(value: object) -> int:
    if isinstance(value, float):
        raise Rejected("a float is not exact; pass Decimal(str(x)), or cast the parameter in SQL, as in $1::float8")
    return operator.index(value)  # type: ignore[arg-type]  # what is no integer raises TypeError here


def _special(value: Decimal) -> bytes:
    if value.is_nan():
        return _HEAD.pack(0, 0, _NAN, 0)
    return _HEAD.pack(0, 0, _MINUS_INFINITY if value < 0 else _PLUS_INFINITY, 0)


def _finite(value: Decimal) -> bytes:
    whole, _, fraction = format(value.copy_abs(), "f").partition(".")
    whole = whole.lstrip("0")
    scale = len(fraction)
    whole = "0" * (-len(whole) % 4) + whole
    text = whole + fraction + "0" * (-scale % 4)
    digits = [int(text[i : i + 4]) for i in range(0, len(text), 4)]
    weight = len(whole) // 4 - 1
    first = next(i for i, digit in enumerate(digits) if digit)
    last = next(i for i in range(len(digits), 0, -1) if digits[i - 1])
    digits = digits[first:last]
    sign = _NEGATIVE if value.is_signed() else _POSITIVE
    return _HEAD.pack(len(digits), weight - first, sign, scale) + struct.pack(f">{len(digits)}H", *digits)
