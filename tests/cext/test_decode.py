"""The kernel's decoders against psycopg's loaders: on good bytes, and on truncated, oversized and arbitrary ones."""

from __future__ import annotations

import struct
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

pytest.importorskip("db_pool_rs_balanced")

from db_pool_rs.balanced.columns import KINDS, Plan
from db_pool_rs.balanced.slices import decode, new_block
from db_pool_rs.errors import DecodeError
from db_pool_rs.types import oids as pg
from db_pool_rs.types.encode import encoder
from db_pool_rs.types.loaders import value_loader

from .results import Session, result_of

SIZES = {1: 1, 2: 2, 3: 4, 4: 8, 5: 4, 6: 4, 7: 8, 10: 4, 11: 8, 12: 16}
BLOCK = new_block()


def decoded(oid: int, values: list[bytes | None], zone: bytes | None = None, format: int = 1) -> list[Any]:
    """By the kernel."""
    plan = Plan(["c"], [oid], format, Session(zone))
    rows, _ = decode(BLOCK, plan, result_of([oid], [[value] for value in values], format))
    return [row[0] for row in rows]


def canonical(oid: int, values: list[bytes | None], zone: bytes | None = None, format: int = 1) -> list[Any] | None:
    """By psycopg; None if one of the values cannot be loaded."""
    load = value_loader(oid, format, {} if zone is None else {b"TimeZone": zone})
    try:
        return [None if value is None else load(value) for value in values]
    except Exception:
        return None


def agree(oid: int, values: list[bytes | None], zone: bytes | None = None, format: int = 1) -> None:
    """The same values of the same types, or an error in both."""
    expected = canonical(oid, values, zone, format)
    if expected is None:
        with pytest.raises(DecodeError, match="of row"):
            decoded(oid, values, zone, format)
    else:
        found = decoded(oid, values, zone, format)
        assert [repr(value) for value in found] == [repr(value) for value in expected]
        assert [type(value) for value in found] == [type(value) for value in expected]


def columns(good: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes | None]]:
    return st.lists(st.none() | good, min_size=1, max_size=8)


@given(st.data(), st.sampled_from(sorted(KINDS)))
def test_arbitrary_bytes(data: st.DataObject, oid: int) -> None:
    values = data.draw(columns(st.binary(max_size=24)))
    agree(oid, values)


@given(st.data(), st.sampled_from(sorted(oid for oid, kind in KINDS.items() if kind in SIZES)))
def test_values_of_the_right_width(data: st.DataObject, oid: int) -> None:
    size = SIZES[KINDS[oid]]
    agree(oid, data.draw(columns(st.binary(min_size=size, max_size=size))))


@given(columns(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map(str.encode)))
def test_text(values: list[bytes | None]) -> None:
    for format in (0, 1):
        agree(pg.TEXT.oid, values, format=format)


encode_numeric = encoder(pg.NUMERIC.oid).encode


@given(columns(st.decimals(allow_nan=True).filter(lambda number: not number.is_snan()).map(encode_numeric)))
@example([encode_numeric(Decimal("0.000012340")), encode_numeric(Decimal("-1000000.10"))])
@example([struct.pack(">hhHH5H", 5, 0, 0, 2, 1, 2, 3, 4, 5)])
@example([struct.pack(">hhHHH", 1, 30000, 0, 0, 1)])
def test_numeric(values: list[bytes | None]) -> None:
    agree(pg.NUMERIC.oid, values)


@given(st.lists(st.tuples(*[st.integers(0, 9999)] * 3), min_size=1), st.integers(-6, 6), st.integers(0, 20))
def test_numeric_digits(digits: list[tuple[int, int, int]], weight: int, scale: int) -> None:
    agree(pg.NUMERIC.oid, [struct.pack(">hhHH3H", 3, weight, 0x4000, scale, *three) for three in digits])


@given(columns(st.dates().map(encoder(pg.DATE.oid).encode)))
@example([encoder(pg.DATE.oid).encode(date.min), encoder(pg.DATE.oid).encode(date.max)])
@example([struct.pack(">i", 2**31 - 1)])
def test_date(values: list[bytes | None]) -> None:
    agree(pg.DATE.oid, values)


@given(columns(st.datetimes().map(encoder(pg.TIMESTAMP.oid).encode)), st.sampled_from([None, b"UTC", b"Etc/UTC"]))
@example([encoder(pg.TIMESTAMP.oid).encode(datetime.min), encoder(pg.TIMESTAMP.oid).encode(datetime.max)], None)
@example([struct.pack(">q", 2**63 - 1), struct.pack(">q", -(2**63))], None)
def test_timestamps(values: list[bytes | None], zone: bytes | None) -> None:
    agree(pg.TIMESTAMP.oid, values)
    agree(pg.TIMESTAMPTZ.oid, values, zone or b"America/New_York")


@pytest.mark.parametrize("oid", [pg.INT4.oid, pg.FLOAT8.oid, pg.BOOL.oid, pg.NUMERIC.oid, pg.UUID.oid, pg.FLOAT4.oid])
@pytest.mark.parametrize("value", [b"1", b"-7", b"t", b"1.5", b"NaN", b"12345678-1234-1234-1234-123456789abc", b""])
def test_text_format(oid: int, value: bytes) -> None:
    expected = canonical(oid, [value], format=0)
    if expected is not None:
        agree(oid, [value, None], format=0)


def test_types_that_the_kernel_lacks() -> None:
    assert decoded(pg.JSONB.oid, [b'\x01{"a": 1}', None]) == [{"a": 1}, None]


def test_zone_is_the_sessions() -> None:
    moment = encoder(pg.TIMESTAMPTZ.oid).encode(datetime(2024, 7, 1, tzinfo=timezone.utc))
    (found,) = decoded(pg.TIMESTAMPTZ.oid, [moment], b"Europe/Berlin")
    assert found.hour == 2
    assert str(found.tzinfo) == "Europe/Berlin"


def test_other_columns_than_described() -> None:
    plan = Plan(["a", "b"], [pg.INT4.oid, pg.INT4.oid], 1, Session())
    with pytest.raises(DecodeError, match="other columns"):
        decode(BLOCK, plan, result_of([pg.INT4.oid], [[b"\0\0\0\1"]]))
