"""Ranges and multiranges in PostgreSQL's forms, whatever the type of their bounds.

What reads or writes one bound is given: `load` takes bytes, `encode` gives the bound's text.

    text     `[lower,upper)`, a bound in double quotes where it has to be; `empty`; multirange: `{range,range}`
    binary   flags, then a length and a value for each bound; multirange: how many, then a length and a range for each
             (src/backend/utils/adt/rangetypes.c, multirangetypes.c); its layout is walked before, see `layout`
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

from ..ranges import Range
from .explain import Rejected, describe
from .scalars import encode_text

Load = Callable[[bytes], Any]
Encode = Callable[[Any], bytes]

_BOUND = rb'("(?:[^"\\]|""|\\.)*"|[^"\\,()\[\]]*)'
_range = re.compile(rb"empty|([\[(])" + _BOUND + b"," + _BOUND + rb"([\])])", re.DOTALL).match
_escaped = re.compile(rb'["\\](.)', re.DOTALL)
_EMPTY, _LOWER_INCLUSIVE, _UPPER_INCLUSIVE, _NO_LOWER, _NO_UPPER = 1, 2, 4, 8, 16  # src/include/utils/rangetypes.h
_length = Struct(">i").unpack_from


def range_from_text(data: bytes, load: Load) -> Range[Any]:
    """Read a range; ValueError if it is none."""
    found = _range(data)
    if found is None or found.end() != len(data):
        raise ValueError("malformed range")
    return _of_match(found, load)


def multirange_from_text(data: bytes, load: Load) -> list[Range[Any]]:
    """Read a multirange; ValueError if it is none."""
    if data[:1] != b"{" or data[-1:] != b"}" or len(data) < 2:
        raise ValueError("malformed multirange")
    ranges: list[Range[Any]] = []
    at, end = 1, len(data) - 1
    while at < end:
        found = _range(data, at, end)
        if found is None or (found.end() < end and data[found.end()] != b","[0]):
            raise ValueError("malformed multirange")
        ranges.append(_of_match(found, load))
        at = found.end() + 1
    return ranges


def _of_match(found: re.Match[bytes], load: Load) -> Range[Any]:
    if found[1] is None:
        return Range(empty=True)
    lower, upper = (_bound(found[group], load) for group in (2, 3))
    return Range(lower, upper, lower_inc=found[1] == b"[", upper_inc=found[4] == b"]")


def _bound(text: bytes, load: Load) -> Any:
    if text.startswith(b'"'):
        return load(_escaped.sub(rb"\1", text[1:-1]))
    return load(text) if text else None


def range_from_binary(data: bytes, load: Load) -> Range[Any]:
    """Read a range that is well-formed."""
    flags, at = data[0], 1
    if flags & _EMPTY:
        return Range(empty=True)
    bounds: list[Any] = []
    for absent in (_NO_LOWER, _NO_UPPER):
        if flags & absent:
            bounds.append(None)
            continue
        start = at + 4
        at = start + _length(data, at)[0]
        bounds.append(load(data[start:at]))
    lower, upper = bounds
    return Range(lower, upper, lower_inc=bool(flags & _LOWER_INCLUSIVE), upper_inc=bool(flags & _UPPER_INCLUSIVE))


def multirange_from_binary(data: bytes, load: Load) -> list[Range[Any]]:
    """Read a multirange that is well-formed."""
    ranges, at = [], 4
    for _ in range(_length(data)[0]):
        start = at + 4
        at = start + _length(data, at)[0]
        ranges.append(range_from_binary(data[start:at], load))
    return ranges


def range_literal(encode: Encode, accepts: str) -> Encode:
    """What writes a range whose bounds `encode` writes: a :class:`~db_pool_rs.Range`, or what has its attributes.

    A str is the range as PostgreSQL reads it.
    """

    def bound(value: Any) -> bytes:
        if value is None:
            return b""
        try:
            return b'"' + encode(value).replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        except Exception as error:
            raise Rejected(f"bound: {accepts} expected, got {describe(value)}") from error

    def encode_range(value: Any) -> bytes:
        if isinstance(value, str):
            return encode_text(value)
        if value.isempty:
            return b"empty"
        lower, upper = bound(value.lower), bound(value.upper)
        return b"%b%b,%b%b" % (b"[" if value.lower_inc else b"(", lower, upper, b"]" if value.upper_inc else b")")

    return encode_range


def multirange_literal(encode: Encode) -> Encode:
    """What writes a list or tuple of ranges, each of which `encode` writes."""

    def encode_multirange(value: Any) -> bytes:
        if isinstance(value, str):
            return encode_text(value)
        if not isinstance(value, Sequence):
            raise TypeError
        return b"{" + b",".join([encode(one) for one in value]) + b"}"

    return encode_multirange
