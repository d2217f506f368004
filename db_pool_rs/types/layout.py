"""The layout of values in PostgreSQL's binary form: what a value must be like before a loader that trusts it is called.

psycopg's loaders in C read as many bytes as the type has, or as many as a length inside the value announces, whatever
the server has sent; those in Python cut silently what is too short. So `check_for(oid)` gives what walks a value first:
every length is held against the end of the value, the width of each element against its type, and nothing may be left
over. Values of a column that have one size are put one behind the other, and what must be equal in all of them is
compared at a stride. Source of the layouts: PostgreSQL's `*_send` functions (arrayfuncs.c, rangetypes.c,
multirangetypes.c, numeric.c).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import filterfalse
from struct import Struct
from typing import NoReturn

from . import oids as pg

#: What raises ValueError for a malformed value.
Check = Callable[[bytes], None]

_whole = int.from_bytes
#: The bits that well-formed values of one size have in common, and what they are; then, a number and bits that are 0
#: once it was added.
Mask = tuple[int, int, int, int]
#: Fits no value: none has all its bits in nothing.
NEVER: Mask = (0, 1, 0, 0)
#: Whether values are surely well-formed that stand one behind the other: all of them, their size, how many there are.
Fit = Callable[[bytes, int, int], bool]
#: Of values of a column and their sizes, gives those that are to be walked; the others are surely well-formed.
Sift = Callable[[Sequence[bytes], Sequence[int]], Iterable[bytes]]

#: Bytes of one value of the types whose values all have the same size.
FIXED_SIZES = {
    pg.BOOL.oid: 1, pg.INT2.oid: 2, pg.INT4.oid: 4, pg.INT8.oid: 8, pg.OID.oid: 4, pg.FLOAT4.oid: 4, pg.FLOAT8.oid: 8,
    pg.DATE.oid: 4, pg.TIME.oid: 8, pg.TIMETZ.oid: 12, pg.TIMESTAMP.oid: 8, pg.TIMESTAMPTZ.oid: 8, pg.INTERVAL.oid: 16,
    pg.UUID.oid: 16,
}  # fmt: skip

#: Types of which a long value takes no longer than it takes to copy it.
CHEAP = frozenset((*FIXED_SIZES, *(row.oid for row in pg.BUILTIN if row.kind in ("str", "bytea"))))

_MAX_DIMENSIONS = 6  # src/include/utils/array.h, MAXDIM
_EMPTY, _INCLUSIVE, _NO_LOWER, _NO_UPPER, _RANGE_FLAGS = 0x01, 0x06, 0x08, 0x10, 0x1F  # src/include/utils/rangetypes.h
_ADDRESS_BYTES = {2: 4, 3: 16}  # by family: src/include/utils/inet.h
#: Elements of short arrays; of those with elements of any width, and bytes of these.
_FEW, _FEW_TEXTS, _SHORT = 64, 8, 24
#: Values of one size that are looked at together, and how many of them where one of these is unusual.
_AT_ONCE, _FEWER = 1024, 64
#: Bytes of a value that is not worth being copied for that.
_LONG = 4096
#: What the first byte of a numeric's scale can be, and that of a digit: below that of 9999, or up to it.
_SCALES, _SMALL_DIGITS, _DIGITS = bytes(range(0x40)), bytes(range(0x27)), bytes(range(0x28))
_one_dimension = Struct(">iiIii").pack
_array_head = Struct(">iiI").unpack_from
_number = Struct(">i").unpack_from
_pack_number = Struct(">i").pack


def _masked(good: bytes, mask: bytes, addend: bytes = b"", zero: bytes = b"") -> Mask:
    """What a value must be under a mask, and what must be 0 in its sum with `addend`."""
    bits = _whole(mask, "big")
    return bits, _whole(good, "big") & bits, _whole(addend, "big"), _whole(zero, "big")


def _fits(data: bytes, usual: Mask) -> bool:
    mask, expected, addend, zero = usual
    whole = _whole(data, "big")
    return whole & mask == expected and not (whole + addend) & zero


def _numeric_of(digits: int) -> Mask:
    """A numeric of so many digits, none of which exceeds 9999: each is below 0x8000, also when 0x58F0 is added."""
    head = bytes([0, digits]) + bytes(6)
    zero = bytes(8) + b"\x80\0" * digits
    return _masked(head + bytes(2 * digits), b"\xff\xff\0\0\0\0\xc0\0" + zero[8:], b"\x58\xf0" * digits, zero)


#: By length.
_NUMERICS = [NEVER if size < 8 or size % 2 else _numeric_of((size - 8) // 2) for size in range(64)]


@lru_cache(maxsize=256)
def check_for(oid: int) -> Check | None:
    """The walk through a value of this type in binary; None where any bytes are safe in a loader's hands."""
    if oid in pg.ARRAYS:
        return _array_of(pg.ARRAYS[oid].oid)
    row = pg.SCALARS.get(oid)
    if row is None:
        return None
    if row.oid in FIXED_SIZES:
        return _fixed(FIXED_SIZES[row.oid])
    if oid in pg.RANGES:
        return _range_of(pg.RANGES[oid])
    if oid in pg.MULTIRANGES:
        return _multirange_of(pg.MULTIRANGES[oid])
    return {"numeric": _check_numeric, "inet": _check_network, "cidr": _check_network}.get(row.kind)


@lru_cache(maxsize=256)
def sift_for(oid: int) -> Sift:
    """Looks at the values of a column many at a time; what remains is for `check_for`."""
    if oid in pg.ARRAYS:
        element = pg.ARRAYS[oid].oid
        if (match := _usual_elements(element)) is not None:
            return lambda values, sizes: filterfalse(match, values)
        if (width := FIXED_SIZES.get(element)) is not None:
            return partial(_sift, partial(_arrays_fit, element, width))
    elif (row := pg.SCALARS.get(oid)) is not None and row.kind == "numeric":
        return partial(_sift, _numerics_fit)
    return lambda values, sizes: values


def _sift(fit: Fit, values: Sequence[bytes], sizes: Sequence[int]) -> Iterator[bytes]:
    if sizes and sizes.count(sizes[0]) == len(sizes):
        yield from _unusual(fit, values, _AT_ONCE)
        return
    by_size: dict[int, list[bytes]] = {}
    for data, size in zip(values, sizes, strict=True):
        by_size.setdefault(size, []).append(data)
    for same in by_size.values():
        yield from _unusual(fit, same, _AT_ONCE)


def _unusual(fit: Fit, values: Sequence[bytes], at_once: int) -> Iterator[bytes]:
    """Of values of one size, those that stand near one that does not fit; long ones are looked at one by one."""
    size = len(values[0])
    if size > _LONG:
        yield from values
        return
    for first in range(0, len(values), at_once):
        some = values[first : first + at_once]
        if not fit(b"".join(some), size, len(some)):
            yield from some if at_once == _FEWER else _unusual(fit, some, _FEWER)


def _arrays_fit(element: int, width: int, values: bytes, size: int, count: int) -> bool:
    """Short arrays of one dimension, from 1, without NULLs, their elements of this width."""
    elements, rest = divmod(size - 20, 4 + width)
    if rest or not 1 <= elements <= _FEW:
        return False
    head = _one_dimension(1, 0, element, elements, 1)
    if any(values[at::size] != head[at : at + 1] * count for at in range(20)):
        return False
    length = _pack_number(width)
    return all(
        values[start + at :: size] == length[at : at + 1] * count
        for start in range(20, size, 4 + width)
        for at in range(4)
    )


def _array_fits(element: int, width: int, data: bytes) -> bool:
    """The same of one that may be long: of its elements, the lengths are compared at a stride."""
    stride, size = 4 + width, len(data)
    count, rest = divmod(size - 20, stride)
    if rest or count < 1 or data[:20] != _one_dimension(1, 0, element, count, 1):
        return False
    length = _pack_number(width)
    return all(data[20 + at :: stride] == length[at : at + 1] * count for at in range(4))


def _numerics_fit(values: bytes, size: int, count: int) -> bool:
    digits, rest = divmod(size - 8, 2)
    if rest or not 0 <= digits <= 0xFF:
        return False
    if values[::size] != bytes(count) or values[1::size] != bytes([digits]) * count:
        return False
    if values[6::size].translate(None, _SCALES):
        return False
    return all(_digits_fit(values[at::size], values[at + 1 :: size]) for at in range(8, size, 2))


def _digits_fit(high: bytes, low: bytes) -> bool:
    """Whether no digit exceeds 9999, 0x270F."""
    if not high.translate(None, _SMALL_DIGITS):
        return True
    at = high.find(0x27)
    while at >= 0 and low[at] <= 0x0F:
        at = high.find(0x27, at + 1)
    return at < 0 and not high.translate(None, _DIGITS)


def _wrong_width(found: int, expected: int) -> NoReturn:
    raise ValueError(f"{found} bytes where {expected} are expected")


def _fixed(size: int) -> Check:
    def check(data: bytes) -> None:
        if len(data) != size:
            _wrong_width(len(data), size)

    return check


def _check_numeric(data: bytes) -> None:
    size = len(data)
    if _fits(data, _usual_numeric(size)):
        return  # what it announces is there
    if size < 8 or data[0] << 9 | data[1] << 1 != size - 8:
        _wrong_width(size, 8 + 2 * int.from_bytes(data[:2], "big"))
    # A digit is at most 9999, 0x270F, and a scale 0x3FFF: psycopg's loaders would carry what is more.
    if data[6] > 0x3F or (size > 8 and max(data[8::2]) >= 0x27 and max(_digits(data[8:])) > 9999):
        raise ValueError("malformed numeric")


def _usual_numeric(size: int) -> Mask:
    return _NUMERICS[size] if size < len(_NUMERICS) else NEVER


def _digits(data: bytes) -> tuple[int, ...]:
    digits: tuple[int, ...] = Struct(f">{len(data) // 2}H").unpack(data)
    return digits


def _check_network(data: bytes) -> None:
    expected = _ADDRESS_BYTES.get(data[0]) if data else None
    if expected is None or len(data) != 4 + expected or data[3] != expected:
        raise ValueError(f"a network address of {len(data)} bytes")


def _array_of(element: int) -> Check:
    width = FIXED_SIZES.get(element)
    check_element = check_for(element)
    check_elements = _varying(check_element if width is None else _fixed(width))
    match = _usual_elements(element)

    def check(data: bytes) -> None:
        if match is not None:
            is_usual = match(data) is not None
        else:
            is_usual = width is not None and _array_fits(element, width, data)
        if not is_usual:
            count, at = array_start(data, element)
            check_elements(data, at, count)

    return check


@lru_cache(maxsize=256)
def _usual_elements(element: int) -> Callable[[bytes], object] | None:
    """Matches such arrays with few, short elements whose widths differ, of types whose form is simple."""
    row = pg.SCALARS.get(element)
    if row is not None and row.kind == "numeric":
        digit = b"(?:[\\x00-\\x26].|\\x27[\\x00-\\x0f])"
        bodies = [(8 + 2 * n, re.escape(bytes([0, n])) + b"....[\\x00-\\x3f]." + digit * n) for n in range(8)]
    elif check_for(element) is None:
        bodies = [(length, b"." * length) for length in range(_SHORT)]
    else:
        return None
    elements = b"|".join(re.escape(bytes([length])) + body for length, body in bodies)
    head = _one_dimension(1, 0, element, 0, 1)
    start = re.escape(head[:15]) + b"(?:"
    counts = b"|".join(
        re.escape(bytes([count])) + re.escape(head[16:]) + b"(?:\\x00\\x00\\x00(?:" + elements + b")){%d}" % count
        for count in range(1, _FEW_TEXTS + 1)
    )
    return re.compile(start + counts + b")", re.DOTALL).fullmatch


def array_start(data: bytes, element: int) -> tuple[int, int]:
    """How many elements an array announces, and where the first one begins. There is room for their lengths."""
    if len(data) < 12:
        raise ValueError(f"an array of {len(data)} bytes")
    dimensions, _, oid = _array_head(data)
    at = 12 + 8 * dimensions
    if oid != element or not 0 <= dimensions <= _MAX_DIMENSIONS or at > len(data):
        raise ValueError(f"an array of {dimensions} dimensions and type {oid}, where type {element} is expected")
    count = 1 if dimensions else 0
    for start in range(12, at, 8):
        (length,) = _number(data, start)
        count *= length
        if length <= 0 or count * 4 > len(data) - at:
            raise ValueError(f"an array of length {length} in {len(data)} bytes")
    return count, at


def _varying(check_element: Check | None) -> Callable[[bytes, int, int], None]:
    """The walk through `count` elements from `at` on, which fill the value."""

    def check(data: bytes, at: int, count: int) -> None:
        size, number = len(data), _number
        for _ in range(count):
            start = at + 4
            (length,) = number(data, at)  # struct.error, where it is cut off
            at = start + length
            if length < 0:
                if length != -1:
                    raise ValueError(f"an element of {length} bytes")
                at = start
            elif at > size:
                raise ValueError(f"an element of {length} bytes where {size - start} are left")
            elif check_element is not None:
                check_element(data[start:at])
        if at != size:
            raise ValueError(f"{size - at} bytes behind the end of an array")

    return check


def part(data: bytes, at: int, size: int) -> tuple[int, int]:
    """Where the part begins whose length stands at `at`, and its end: -1 for NULL."""
    start = at + 4
    if start > size:
        raise ValueError("a length is cut off")
    (length,) = _number(data, at)
    if length == -1:
        return start, -1
    if length < 0 or start + length > size:
        raise ValueError(f"a part of {length} bytes where {size - start} are left")
    return start, start + length


def _range_of(bound: int) -> Check:
    check_bound = check_for(bound)
    assert check_bound is not None, "bug: bounds of any width"
    width = FIXED_SIZES.get(bound, 0)
    bound_part = _pack_number(width) + bytes(width)
    usual, both = 1 + 2 * len(bound_part) if width else -1, b"\xff" * 4 + bytes(width)
    two_bounds = _masked(b"\0" + bound_part * 2, bytes([0xFF & ~_INCLUSIVE]) + both * 2)

    def check(data: bytes) -> None:
        if len(data) == usual and _fits(data, two_bounds):
            return  # two bounds of the right width
        for start, end in range_parts(data):
            check_bound(data[start:end])

    return check


def range_parts(data: bytes) -> list[tuple[int, int]]:
    """Where the bounds of a range begin and end, as far as it has them; ValueError if it is malformed."""
    flags = data[0] if data else 0xFF
    if flags & ~_RANGE_FLAGS:
        raise ValueError(f"a range of {len(data)} bytes and flags {flags:#x}")
    at, parts = 1, list[tuple[int, int]]()
    for absent in (_EMPTY | _NO_LOWER, _EMPTY | _NO_UPPER):
        if not flags & absent:
            start, at = part(data, at, len(data))
            if at < 0:
                raise ValueError("a bound that is NULL")
            parts.append((start, at))
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the end of a range")
    return parts


def _multirange_of(bound: int) -> Check:
    check_range = _range_of(bound)

    def check(data: bytes) -> None:
        if len(data) < 4:
            raise ValueError(f"a multirange of {len(data)} bytes")
        (count,) = _number(data)
        if count < 0 or count * 5 > len(data):
            raise ValueError(f"a multirange of {count} ranges in {len(data)} bytes")
        at = 4
        for _ in range(count):
            start, at = part(data, at, len(data))
            check_range(data[start:at] if at >= 0 else b"")
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes behind the end of a multirange")

    return check
