"""The layout of values in PostgreSQL's binary form: what a value must be like before a loader that trusts it is called.

psycopg's loaders in C read as many bytes as the type has, or as many as a length inside the value announces, whatever
the server has sent; those in Python cut silently what is too short. So `check_for(oid)` gives what walks a value first:
every length is held against the end of the value, the width of each element against its type, and nothing may be left
over. Source of the layouts: PostgreSQL's `*_send` functions (arrayfuncs.c, rangetypes.c, multirangetypes.c, numeric.c).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import NoReturn

from . import oids as pg

#: What raises ValueError for a malformed value.
Check = Callable[[bytes], None]

#: Bytes of one value of the types whose values all have the same size.
FIXED_SIZES = {
    pg.BOOL.oid: 1, pg.INT2.oid: 2, pg.INT4.oid: 4, pg.INT8.oid: 8, pg.OID.oid: 4, pg.FLOAT4.oid: 4, pg.FLOAT8.oid: 8,
    pg.DATE.oid: 4, pg.TIME.oid: 8, pg.TIMETZ.oid: 12, pg.TIMESTAMP.oid: 8, pg.TIMESTAMPTZ.oid: 8, pg.INTERVAL.oid: 16,
    pg.UUID.oid: 16,
}  # fmt: skip

#: Types of which a long value takes no longer than it takes to copy it.
CHEAP = frozenset((*FIXED_SIZES, *(row.oid for row in pg.BUILTIN if row.kind in ("str", "bytea"))))

_BOUNDS = {
    "int4": pg.INT4.oid, "int8": pg.INT8.oid, "num": pg.NUMERIC.oid, "date": pg.DATE.oid,
    "ts": pg.TIMESTAMP.oid, "tstz": pg.TIMESTAMPTZ.oid,
}  # fmt: skip
_MAX_DIMENSIONS = 6  # src/include/utils/array.h, MAXDIM
_EMPTY, _NO_LOWER, _NO_UPPER, _RANGE_FLAGS = 0x01, 0x08, 0x10, 0x1F  # src/include/utils/rangetypes.h
_ADDRESS_BYTES = {2: 4, 3: 16}  # by family: src/include/utils/inet.h
#: Elements whose lengths are read in one call.
_FEW = 128
_one_dimension = Struct(">iiIii").unpack_from
_array_head = Struct(">iiI").unpack_from
_number = Struct(">i").unpack_from


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
    if row.kind in ("range", "zoned_range"):
        return _multirange_of(row.name) if row.name.endswith("multirange") else _range_of(row.name)
    return {"numeric": _check_numeric, "inet": _check_network, "cidr": _check_network}.get(row.kind)


def _wrong_width(found: int, expected: int) -> NoReturn:
    raise ValueError(f"{found} bytes where {expected} are expected")


def _fixed(size: int) -> Check:
    def check(data: bytes) -> None:
        if len(data) != size:
            _wrong_width(len(data), size)

    return check


def _check_numeric(data: bytes) -> None:
    size = len(data)
    if size < 8 or data[0] << 9 | data[1] << 1 != size - 8:
        _wrong_width(size, 8 + 2 * int.from_bytes(data[:2], "big"))
    # A digit is at most 9999, 0x270F, and a scale 0x3FFF: psycopg's loaders would carry what is more.
    if data[6] > 0x3F or (size > 8 and max(data[8::2]) >= 0x27 and max(_digits(data[8:])) > 9999):
        raise ValueError("malformed numeric")


def _digits(data: bytes) -> tuple[int, ...]:
    digits: tuple[int, ...] = Struct(f">{len(data) // 2}H").unpack(data)
    return digits


def _check_network(data: bytes) -> None:
    expected = _ADDRESS_BYTES.get(data[0]) if data else None
    if expected is None or len(data) != 4 + expected or data[3] != expected:
        raise ValueError(f"a network address of {len(data)} bytes")


def _array_of(element: int) -> Check:
    width = FIXED_SIZES.get(element)
    check_elements = _varying(check_for(element)) if width is None else _equal(width)

    def check(data: bytes) -> None:
        if len(data) >= 20:
            dimensions, _, oid, count, _ = _one_dimension(data)
            if dimensions == 1 and oid == element and 0 < count <= len(data) >> 2:
                check_elements(data, 20, count)
                return
        count, at = _array_start(data, element)
        check_elements(data, at, count)

    return check


def _array_start(data: bytes, element: int) -> tuple[int, int]:
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


def _equal(width: int) -> Callable[[bytes, int, int], None]:
    """The same for elements of a fixed width: all their lengths are read in one call, unless there are NULLs."""
    slowly = _varying(_fixed(width))

    def check(data: bytes, at: int, count: int) -> None:
        if len(data) - at != count * (4 + width) or count > _FEW:
            slowly(data, at, count)
        else:
            lengths, expected = _lengths(width, count)
            if lengths(data, at) != expected:
                slowly(data, at, count)

    return check


@lru_cache(maxsize=1024)
def _lengths(width: int, count: int) -> tuple[Callable[[bytes, int], tuple[int, ...]], tuple[int, ...]]:
    """What reads the lengths of so many elements of this width, and what they must be."""
    return Struct(">" + f"i{width}x" * count).unpack_from, (width,) * count


def _part(data: bytes, at: int, size: int) -> tuple[int, int]:
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


def _range_of(name: str) -> Check:
    check_bound = check_for(_BOUNDS[name.removesuffix("range")])
    assert check_bound is not None, "bug: bounds of any width"

    def check(data: bytes) -> None:
        flags = data[0] if data else 0xFF
        if flags & ~_RANGE_FLAGS:
            raise ValueError(f"a range of {len(data)} bytes and flags {flags:#x}")
        at = 1
        for absent in (_EMPTY | _NO_LOWER, _EMPTY | _NO_UPPER):
            if not flags & absent:
                start, at = _part(data, at, len(data))
                check_bound(data[start:at] if at >= 0 else b"")
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes behind the end of a range")

    return check


def _multirange_of(name: str) -> Check:
    check_range = _range_of(name.replace("multirange", "range"))

    def check(data: bytes) -> None:
        if len(data) < 4:
            raise ValueError(f"a multirange of {len(data)} bytes")
        (count,) = _number(data)
        if count < 0 or count * 5 > len(data):
            raise ValueError(f"a multirange of {count} ranges in {len(data)} bytes")
        at = 4
        for _ in range(count):
            start, at = _part(data, at, len(data))
            check_range(data[start:at] if at >= 0 else b"")
        if at != len(data):
            raise ValueError(f"{len(data) - at} bytes behind the end of a multirange")

    return check
