"""Values in binary that psycopg does not read: records, and what stands in them. A server's are in the contract."""

from __future__ import annotations

import struct
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.types import oids as pg
from db_pool_rs.types.binary import array_from_binary, doubt, field_loader, obstacle, types_in, types_in_array
from db_pool_rs.types.binary_text import PLAIN, TEXTS, float_text
from db_pool_rs.types.catalog import Catalog
from db_pool_rs.types.loaders import binary_parts, value_loader
from db_pool_rs.types.numeric import encode_numeric
from db_pool_rs.types.temporal import encode_timestamp
from tests.faults.hostile_values import GOOD_RECORD

load = value_loader(pg.RECORD.oid, 1, {})


def record(*fields: tuple[int, bytes | None]) -> bytes:
    data = struct.pack(">i", len(fields))
    for oid, value in fields:
        data += struct.pack(">Ii", oid, -1 if value is None else len(value)) + (value or b"")
    return data


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"), (-0.0, "-0"), (1.0, "1"), (-1.5, "-1.5"), (100000.0, "100000"), (0.1, "0.1"), (0.0001, "0.0001"),
        (0.00001, "1e-05"), (1.25e-7, "1.25e-07"), (123456789012345.0, "123456789012345"), (1e14, "100000000000000"),
        (1e15, "1e+15"), (1234567890123456.0, "1.234567890123456e+15"), (1e100, "1e+100"), (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"), (float("nan"), "NaN"), (float("inf"), "Infinity"),
        (float("-inf"), "-Infinity"), (12.0625, "12.0625"),
    ],
)  # fmt: skip
def test_floats_as_postgresql_writes_them(value: float, text: str) -> None:
    assert float_text(value) == text


@given(st.floats(allow_nan=False))
def test_the_text_of_a_float_is_that_float(value: float) -> None:
    assert float(float_text(value)) == value


@given(st.sampled_from(sorted({**TEXTS, **PLAIN})), st.binary(max_size=60))
def test_arbitrary_bytes_are_refused_or_read(oid: int, data: bytes) -> None:
    with suppress(ValueError, KeyError, OverflowError, struct.error):
        assert isinstance(PLAIN[oid](data), str)


@given(st.data())
def test_records_that_are_cut_or_altered(data: st.DataObject) -> None:
    with pytest.raises(ValueError, match=r"record|cut off|part|field"):
        load(GOOD_RECORD[: data.draw(st.integers(0, len(GOOD_RECORD) - 1))])
    altered = bytearray(GOOD_RECORD)
    altered[data.draw(st.integers(0, len(GOOD_RECORD) - 1))] = data.draw(st.integers(0, 255))
    with suppress(ValueError):
        load(bytes(altered))
    types_in(bytes(altered), set())


@given(st.recursive(st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=9)), lambda inner: st.lists(inner)))
def test_types_of_fields_are_found(tree: Any) -> None:
    expected: set[int] = set()

    def made(node: Any) -> tuple[int, bytes]:
        if isinstance(node, list):
            return pg.RECORD.oid, record(*map(made, node), (99, None))
        if node[0] not in (pg.RECORD.oid, pg.RECORD.array_oid):
            expected.add(node[0])
        return node[0], node[1]

    found: set[int] = set()
    types_in(record(made(tree)), found)
    assert found == expected


def test_types_in_arrays_of_records() -> None:
    found: set[int] = set()
    one = record((16385, b"x"))
    head = struct.pack(">iiIii", 1, 0, pg.RECORD.oid, 2, 1)
    types_in_array(head + 2 * (struct.pack(">i", len(one)) + one), found)
    assert found == {16385}


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
def test_the_text_of_a_numeric(value: Decimal) -> None:
    assert PLAIN[pg.NUMERIC.oid](encode_numeric(value)) == f"{value if value else abs(value):f}"


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.ljust(26, "0") if "." in text else text)


@given(st.datetimes())
def test_the_text_of_a_timestamp(value: datetime) -> None:
    assert _moment(PLAIN[pg.TIMESTAMP.oid](encode_timestamp(value))) == value


def test_the_text_of_what_is_infinite() -> None:
    for oid, width in ((pg.DATE.oid, 3), (pg.TIMESTAMP.oid, 7), (pg.TIMESTAMPTZ.oid, 7)):
        assert PLAIN[oid](b"\x7f" + b"\xff" * width) == "infinity"
        assert PLAIN[oid](b"\x80" + b"\0" * width) == "-infinity"
    assert PLAIN[pg.TIMESTAMPTZ.oid](struct.pack(">q", 1_500_000)) == "2000-01-01 00:00:01.5+00"
    assert PLAIN[pg.DATE.oid](struct.pack(">i", 59)) == "2000-02-29"


def test_nested_arrays() -> None:
    data = struct.pack(">iiI" + "ii" * 3, 3, 0, 25, 1, 1, 2, 1, 2, 1) + b"".join(
        b"\0\0\0\1" + b"%d" % n for n in range(4)
    )
    assert array_from_binary(25, bytes.decode, data) == [[["0", "1"], ["2", "3"]]]


ROWS = [
    ("16385", "mood", "e", "0", ",", None, "mood", "public"),
    ("16386", "pair", "c", "0", ",", '[["a", 23], ["b", 16385]]', "pair", "public"),
    ("16387", "priced", "c", "0", ",", '[["a", 790]]', "priced", "public"),
    ("16388", "hstore", "b", "0", ",", None, "hstore", "public"),
    ("16389", "vector", "b", "0", ",", None, "vector", "public"),
    ("16390", "halfvec", "b", "0", ",", None, "halfvec", "public"),
    ("16391", "citext", "b", "0", ",", None, "citext", "public"),
    ("16392", "ltree", "b", "0", ",", None, "ltree", "public"),
    ("16393", "geometry", "b", "0", ",", None, "geometry", "public"),
    ("16394", "few", "d", "16391", ",", None, "few", "public"),
]


def read(oid: int, data: bytes) -> Any:
    catalog = Catalog()
    catalog.learn([], ROWS)
    return field_loader(catalog, oid, binary_parts({}))(data)


@pytest.mark.parametrize(
    ("oid", "data", "expected"),
    [
        (16388, struct.pack(">i", 2) + b"\0\0\0\1a\0\0\0\1b" + b"\0\0\0\1c\xff\xff\xff\xff", {"a": "b", "c": None}),
        (16389, struct.pack(">hhff", 2, 0, 1.5, -2), [1.5, -2.0]),
        (16390, struct.pack(">hhee", 2, 0, 1.5, -2), [1.5, -2.0]),
        (16391, b"Abc", "Abc"),
        (16392, b"\1a.b", "a.b"),
        (16394, b"Abc", "Abc"),
        (16386, record((23, b"\0\0\0\1"), (16385, b"ok")), (1, "ok")),
        (16387, record((790, None)), (None,)),
    ],
)
def test_types_that_are_not_built_in(oid: int, data: bytes, expected: Any) -> None:
    assert read(oid, data) == expected
    for end in range(len(data)):
        with suppress(ValueError, struct.error):
            read(oid, data[:end])


@pytest.mark.parametrize(
    ("oid", "data"),
    [
        (16387, record((790, bytes(8)))),
        (16393, b""),
        (16386, record((23, None))),
        (16386, record((25, None), (16385, None))),
    ],
)
def test_what_cannot_be_read(oid: int, data: bytes) -> None:
    with pytest.raises(ValueError, match=r"cast this one to text|fields that its type has"):
        read(oid, data)


def test_what_is_in_the_way_of_binary() -> None:
    catalog = Catalog()
    catalog.learn([], ROWS)
    reason = "the type has no binary form that can be read"
    known = {oid: obstacle(catalog, oid) for oid in (23, 790, 2249, 2287, 16385, 16386, 16387, 16393)}
    assert {oid for oid, found in known.items() if found == reason} == {790, 16387, 16393}
    assert {oid for oid, found in known.items() if found is None} == {23, 2249, 2287, 16385, 16386}


def test_types_of_what_could_not_be_read_are_asked_for_again() -> None:
    catalog = Catalog()
    catalog.learn([], ROWS)
    assert catalog.missing((16385, 16386)) == ()
    doubt(catalog, [2249], 2249, record((16386, b"")))
    assert catalog.missing((16385, 16386)) == (16386,)
