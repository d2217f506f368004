"""Bytes that no server sends, truncated, oversized and arbitrary: a value or a DecodeError, nothing else."""

from __future__ import annotations

import struct
from contextlib import suppress
from decimal import ROUND_DOWN, Context, Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.errors import DecodeError
from db_pool_rs.types import oids as pg
from db_pool_rs.types.encode import encoder
from tests.full.codec import (
    FIXED,
    VALUES,
    agree,
    decode,
    full,
)


@given(st.data(), st.sampled_from(list(FIXED)))
def test_values_of_the_right_width(data: st.DataObject, row: pg.PgType) -> None:
    agree(row.oid, data.draw(st.binary(min_size=FIXED[row], max_size=FIXED[row])), 1)


@given(st.binary(max_size=40), st.sampled_from(pg.BUILTIN), st.sampled_from([0, 1]))
def test_arbitrary_bytes(data: bytes, row: pg.PgType, format: int) -> None:
    for oid in (row.oid, row.array_oid):
        with suppress(DecodeError):
            decode(oid, [data], format)
    if row in FIXED and len(data) != FIXED[row]:
        with pytest.raises(DecodeError, match=f"{len(data)} bytes where {FIXED[row]} are expected"):
            decode(row.oid, [data])


@given(st.data(), st.sampled_from(list(VALUES)))
def test_arrays_that_are_cut_or_altered(data: st.DataObject, row: pg.PgType) -> None:
    elements = VALUES[row].filter(lambda value: not isinstance(value, list))
    good = encoder(row.array_oid).encode(data.draw(st.lists(elements, min_size=1, max_size=3)))
    with pytest.raises(DecodeError):
        decode(row.array_oid, [good[: data.draw(st.integers(0, len(good) - 1))]])
    with pytest.raises(DecodeError):
        decode(row.array_oid, [good + b"x"])
    altered = bytearray(good)
    altered[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with suppress(DecodeError):
        decode(row.array_oid, [bytes(altered)])


def test_nothing_is_allocated_for_what_is_announced() -> None:
    huge = struct.pack(">iiI" + "ii" * 6, 6, 0, pg.INT4.oid, *[2**31 - 1, 1] * 6)
    for data in (huge, huge.replace(b"\x7f\xff\xff\xff\0\0\0\1", b"\0\0\0\0\0\0\0\1")):
        with pytest.raises(DecodeError):
            decode(pg.INT4.array_oid, [data])
    with pytest.raises(DecodeError, match="malformed array"):
        decode(pg.INT4.array_oid, [b"{" * 100_000], 0)
    with pytest.raises(DecodeError, match="malformed row"):
        full._decode_raw([("c", pg.TEXT.oid)], b"\0\1\x7f\xff\xff\xff", 1)


@given(st.binary(max_size=60), st.integers(0, 4))
def test_rows_of_arbitrary_bytes(data: bytes, count: int) -> None:
    try:
        rows = full._decode_raw([("a", pg.INT4.oid), ("b", pg.TEXT.oid)], data, count)
    except DecodeError:
        return
    assert len(rows) == count


@given(st.lists(st.tuples(*[st.integers(0, 9999)] * 3), min_size=1), st.integers(-6, 6), st.integers(0, 20))
def test_digits_of_numerics(digits: list[tuple[int, int, int]], weight: int, scale: int) -> None:
    for three in digits:
        data = struct.pack(">hhHH3H", 3, weight, 0x4000, scale, *three)
        if 4 * (weight + 2) + scale < 0:  # no digit is within the scale: psycopg refuses that as well
            with pytest.raises(DecodeError, match="malformed numeric"):
                decode(pg.NUMERIC.oid, [data])
            continue
        found = decode(pg.NUMERIC.oid, [data])[0]
        with localcontext(Context(prec=100)):
            exact = sum((Decimal(digit).scaleb(4 * (weight - at)) for at, digit in enumerate(three)), Decimal(0))
            assert -found == exact.quantize(Decimal(1).scaleb(-scale), rounding=ROUND_DOWN)
        assert found.as_tuple().exponent == -scale


@pytest.mark.parametrize("text", [b"999999999999999 years " * 60 + b"1 day", b"-999999999999999 days " * 12000])
def test_intervals_beyond_all_bounds(text: bytes) -> None:
    with pytest.raises(DecodeError, match="can't parse interval"):
        decode(pg.INTERVAL.oid, [text.strip()], 0)
