"""Whatever is encoded comes back equal: our encoders against psycopg's loaders, for scalars and arrays."""

from __future__ import annotations

import math
import struct
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.adapt import Transformer
from psycopg.pq import Format

from db_pool_rs.types import encoder, oids


def round_trip(oid: int, value: Any) -> Any:
    one = encoder(oid)
    data = one.encode(value)
    assert type(data) is bytes
    return Transformer().get_loader(oid, Format(one.format)).load(data)


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
OFFSETS = st.integers(-57_599, 57_599).map(lambda seconds: timezone(timedelta(seconds=seconds)))
DECIMALS = st.builds(
    lambda sign, digits, exponent: Decimal((sign, digits, exponent)),
    *(st.integers(0, 1), st.lists(st.integers(0, 9), min_size=1, max_size=40).map(tuple), st.integers(-40, 40)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
UTC_DATETIMES = st.datetimes(
    datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.one_of(OFFSETS, st.timezones())
).map(lambda value: value.astimezone(timezone.utc))

EXACT = [
    (oids.BOOL, st.booleans()),
    (oids.INT2, st.integers(-(2**15), 2**15 - 1)),
    (oids.INT4, st.integers(-(2**31), 2**31 - 1)),
    (oids.INT8, st.integers(-(2**63), 2**63 - 1)),
    (oids.OID, st.integers(0, 2**32 - 1)),
    (oids.FLOAT4, st.floats(width=32, allow_nan=False)),
    (oids.FLOAT8, st.floats(allow_nan=False)),
    (oids.NUMERIC, DECIMALS | st.integers()),
    (oids.TEXT, TEXTS),
    (oids.VARCHAR, TEXTS),
    (oids.BPCHAR, TEXTS),
    (oids.NAME, TEXTS),
    (oids.XML, TEXTS),
    (oids.CHAR, st.characters(min_codepoint=1, max_codepoint=127)),
    (oids.BYTEA, st.binary()),
    (oids.UUID, st.uuids()),
    (oids.JSON, JSON.filter(lambda value: value is not None)),
    (oids.JSONB, JSON.filter(lambda value: value is not None)),
    (oids.DATE, st.dates()),
    (oids.TIME, st.times()),
    (oids.TIMETZ, st.builds(lambda value, zone: value.replace(tzinfo=zone), st.times(), OFFSETS)),
    (oids.TIMESTAMP, st.datetimes()),
    (oids.TIMESTAMPTZ, UTC_DATETIMES),
    (oids.INTERVAL, st.timedeltas()),
    (oids.INET, st.ip_addresses() | st.just(ip_interface("10.1.2.3/8")) | st.just(ip_interface("fe80::1/10"))),
    (oids.CIDR, st.ip_addresses().map(lambda address: ip_network(address))),
]
IDS = [row.name for row, _ in EXACT]


@pytest.mark.parametrize(("row", "values"), EXACT, ids=IDS)
def test_scalars(row: oids.PgType, values: st.SearchStrategy[Any]) -> None:
    @given(values)
    def check(value: Any) -> None:
        assert round_trip(row.oid, value) == value

    check()


@st.composite
def nested(draw: st.DrawFn, values: st.SearchStrategy[Any], dimensions: int) -> list[Any]:
    sizes = draw(st.lists(st.integers(1, 3), min_size=dimensions, max_size=dimensions))

    def build(depth: int) -> Any:
        return draw(values) if depth == dimensions else [build(depth + 1) for _ in range(sizes[depth])]

    return build(0)  # type: ignore[no-any-return]


@pytest.mark.parametrize(("row", "values"), EXACT, ids=IDS)
def test_arrays(row: oids.PgType, values: st.SearchStrategy[Any]) -> None:
    items = st.none() | values
    arrays = st.lists(items, max_size=5)
    if row not in (oids.JSON, oids.JSONB):  # a list in an array of json is an element
        arrays |= nested(items, 2) | nested(items, 3)

    @given(arrays)
    def check(value: list[Any]) -> None:
        assert round_trip(row.array_oid, value) == value
        assert round_trip(row.array_oid, tuple(value)) == value

    check()


@pytest.mark.parametrize("row", [oids.FLOAT4, oids.FLOAT8, oids.NUMERIC])
def test_nan(row: oids.PgType) -> None:
    value = Decimal("NaN") if row is oids.NUMERIC else math.nan
    assert math.isnan(round_trip(row.oid, value))


@given(DECIMALS)
def test_numeric_keeps_its_scale(value: Decimal) -> None:
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    assert round_trip(oids.NUMERIC.oid, value).as_tuple().exponent == min(0, exponent)


@pytest.mark.parametrize(
    "text",
    [
        *("0", "-0.00", "1E+5", "0E+5", "0E-5", "0E+999999", "-1", "1.10", "Infinity", "-Infinity"),
        *("0.0001", "0.00001", "10000", "9999.9999", "100000000", "1E-16383", "9E+131071"),
        "123456789012345678901234567890.0987654321",
    ],
)
def test_numeric_edges(text: str) -> None:
    assert round_trip(oids.NUMERIC.oid, Decimal(text)) == Decimal(text)


@pytest.mark.parametrize("number", [10**5000, -(10**131_071), 0, True], ids=["5001 digits", "131072", "0", "True"])
def test_numeric_takes_an_int_of_any_length(number: int) -> None:
    assert round_trip(oids.NUMERIC.oid, number) == number


@given(st.floats())
def test_float4_rounds_to_single_precision(value: float) -> None:
    try:
        expected = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        with pytest.raises(OverflowError):
            encoder(oids.FLOAT4.oid).encode(value)
    else:
        assert struct.pack(">d", round_trip(oids.FLOAT4.oid, value)) == struct.pack(">d", expected)


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=st.timezones()))
def test_timestamptz_is_the_instant_in_any_zone(value: datetime) -> None:
    assert round_trip(oids.TIMESTAMPTZ.oid, value) == value.astimezone(timezone.utc)


class Indexed:
    def __index__(self) -> int:
        return 7


class Floating:
    def __float__(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    ("row", "given_value", "expected"),
    [
        (oids.INT4, True, 1),
        (oids.INT8, Indexed(), 7),
        (oids.NUMERIC, Indexed(), Decimal(7)),
        (oids.FLOAT8, 3, 3.0),
        (oids.FLOAT8, Floating(), 0.5),
        (oids.FLOAT8, Decimal("0.25"), 0.25),
        (oids.CHAR, "", "\0"),
        (oids.BYTEA, bytearray(b"ab"), b"ab"),
        (oids.BYTEA, memoryview(b"abcd")[::2], b"ac"),
        (oids.UUID, "{12345678-1234-5678-1234-567812345678}", uuid.UUID("12345678-1234-5678-1234-567812345678")),
        (oids.JSON, "a string", "a string"),
        (oids.JSONB, (1, None), [1, None]),
        (oids.INET, "10.0.0.1", ip_address("10.0.0.1")),
        (oids.DATE, date.max, date.max),
        (oids.TIME, time.max, time.max),
    ],
)
def test_other_accepted_types(row: oids.PgType, given_value: Any, expected: Any) -> None:
    result = round_trip(row.oid, given_value)
    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("happy", b"happy"),
        (["happy", None, "NULL"], b'{"happy",NULL,"NULL"}'),
        ([["a,b", 'c"d'], ["{e}", "f\\g"]], b'{{"a,b","c\\"d"},{"{e}","f\\\\g"}}'),
        ([], b"{}"),
        (True, b"true"),
        (-5, b"-5"),
        ((1, None), b'("1",)'),
        ([(1, 'a"'), (None,)], b'{"(\\"1\\",\\"a\\\\\\"\\")","()"}'),
        (0.1, b"0.1"),
        (Decimal("1.50"), b"1.50"),
        (date(1, 2, 3), b"0001-02-03"),
        (uuid.UUID(int=1), b"00000000-0000-0000-0000-000000000001"),
    ],
)
def test_types_that_are_not_built_in_take_text(value: Any, literal: bytes) -> None:
    assert encoder(16_999).format == 0
    assert encoder(16_999).encode(value) == literal


def test_boxes_are_separated_by_semicolons() -> None:
    assert encoder(1020).encode(["(1,2),(3,4)", None]) == b'{"(1,2),(3,4)";NULL}'
