"""The codec in Rust against the codecs in Python: good values, in both formats and under several settings."""

from __future__ import annotations

import pickle
import struct
import uuid
from datetime import datetime
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from db_pool_rs.errors import DecodeError
from db_pool_rs.record import Record
from db_pool_rs.types import oids as pg
from db_pool_rs.types.encode import encoder
from db_pool_rs.types.loaders import value_loader
from tests.full.codec import (
    MOMENTS,
    NETWORKS,
    PLAIN,
    UTC,
    VALUES,
    agree,
    decode,
    encode,
    full,
    loader,
    name,
    same,
)


@pytest.mark.parametrize("row", VALUES, ids=name)
def test_values_go_and_come_as_in_python(row: pg.PgType) -> None:
    write, read = encoder(row.oid), loader(row.oid, 1)

    @given(st.lists(st.none() | VALUES[row], max_size=5))
    def check(values: list[Any]) -> None:
        expected = [None if value is None else write.encode(value) for value in values]
        assert encode([row.oid] * len(values), tuple(values)) == [(write.format, data) for data in expected]
        for found, data in zip(decode(row.oid, expected), expected, strict=True):
            same(found, None if data is None else read(data))

    check()


@pytest.mark.parametrize("row", VALUES, ids=name)
def test_arrays_go_and_come_as_in_python(row: pg.PgType) -> None:
    write, read = encoder(row.array_oid), loader(row.array_oid, 1)
    inner = st.none() | VALUES[row].filter(lambda value: not isinstance(value, list))
    lists: Any = st.lists(inner, max_size=4)
    if row not in (pg.JSON, pg.JSONB):
        lists |= st.lists(st.lists(inner, min_size=2, max_size=2), min_size=1, max_size=3)
        lists |= st.lists(inner, max_size=3).map(tuple)

    @given(lists)
    def check(value: Any) -> None:
        data = write.encode(value)
        assert encode([row.array_oid], (value,)) == [(write.format, data)]
        same(decode(row.array_oid, [data])[0], read(data))

    check()


TEXTS = {
    pg.BOOL: ["t", "f"],
    pg.INT8: ["-9223372036854775808", "0"],
    pg.OID: ["4294967295"],
    pg.FLOAT4: ["0.1", "NaN", "-Infinity", "1e-45", "-0", "3.4028235e+38"],
    pg.FLOAT8: ["0.1", "NaN", "Infinity", "-0", "5e-324", "1e+308"],
    pg.NUMERIC: ["0.00", "-1.50", "NaN", "Infinity", "100000000000000000000000"],
    pg.TEXT: ["", "é😀", "NULL", 'a"b\\c{}, '],
    pg.BYTEA: ["\\x", "\\x00ff5c", "a\\\\b\\000\\377"],
    pg.DATE: ["2000-01-01", "0001-01-01", "9999-12-31", "infinity", "-infinity", "0001-01-01 BC", "10000-01-01"],
    pg.TIME: ["00:00:00", "23:59:59.999999", "01:02:03.5", "24:00:00"],
    pg.TIMETZ: ["00:00:00+00", "23:59:59.999999-15:59:59", "12:00:00+05:30", "24:00:00+00"],
    pg.TIMESTAMP: [
        *("0001-01-01 00:00:00", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.1", "infinity", "-infinity"),
        *("0044-03-15 12:00:00 BC", "294276-12-31 23:59:59"),
    ],
    pg.TIMESTAMPTZ: ["2024-07-01 12:00:00.000001+02", "1900-01-01 00:00:00+00:53:28", "9999-12-31 23:59:59-05"],
    pg.INTERVAL: [
        *("1 year 2 mons 3 days 04:05:06.000007", "-14 mons", "1 mon -1 days", "-00:00:00.000001", "00:00:00"),
        *("-1 years -2 mons +3 days -04:05:06", "100000000 years", "30:00:00", "infinity", "-infinity"),
    ],
    pg.UUID: ["12345678-1234-5678-1234-567812345678"],
    pg.JSON: ['{"a": [1, 2.5, null]}', " 1 "],
    pg.JSONB: ['"é"', "[]"],
    pg.INET: NETWORKS[pg.INET],
    pg.CIDR: NETWORKS[pg.CIDR],
    pg.CHAR: ["a", ""],
}


@pytest.mark.parametrize("row", TEXTS, ids=name)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Etc/UTC"])
def test_text_is_read_as_in_python(row: pg.PgType, zone: str) -> None:
    settings = (zone, "ISO, MDY", "postgres")
    for text in TEXTS[row]:
        agree(row.oid, text.encode(), 0, settings)
        quoted = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        agree(row.array_oid, f"{{{quoted},NULL}}".encode(), 0, settings)
        agree(row.array_oid, f"[2:3][1:1]={{{{{quoted}}},{{{quoted}}}}}".encode(), 0, settings)


OTHER_STYLES = [("UTC", "German", "postgres"), ("UTC", "SQL, DMY", "iso_8601")]


@pytest.mark.parametrize("settings", OTHER_STYLES)
def test_other_styles_are_read_as_in_python(settings: tuple[str, str, str]) -> None:
    for row, text in [(pg.DATE, "01.02.2024"), (pg.DATE, "01/02/2024"), (pg.INTERVAL, "P1D"), (pg.INT4, "7")]:
        try:
            expected = loader(row.oid, 0, settings)(text.encode())
        except Exception:
            with pytest.raises(DecodeError):
                decode(row.oid, [text.encode()], 0, settings)
        else:
            same(decode(row.oid, [text.encode()], 0, settings)[0], expected)


@given(MOMENTS, st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Etc/UTC", "Nowhere/None"]))
@example(datetime.max.replace(tzinfo=UTC), "Asia/Tokyo")
@example(datetime.min.replace(tzinfo=UTC), "America/New_York")
@example(datetime(2024, 10, 27, 1, 30, tzinfo=UTC), "Europe/Berlin")
def test_moments_are_told_in_the_zone_of_the_session(moment: datetime, zone: str) -> None:
    settings = (zone, *PLAIN[1:])
    agree(pg.TIMESTAMPTZ.oid, encoder(pg.TIMESTAMPTZ.oid).encode(moment), 1, settings)
    agree(pg.TIMESTAMPTZ.array_oid, encoder(pg.TIMESTAMPTZ.array_oid).encode([moment]), 1, settings)


@given(st.integers(-(2**63), 2**63 - 1))
@example(2**63 - 1)
@example(-(2**63))
@example(-63082281600000000)
@example(-63082281600000001)
def test_what_python_cannot_hold_is_said_as_psycopg_says_it(number: int) -> None:
    for row, code in [(pg.TIMESTAMP, ">q"), (pg.TIMESTAMPTZ, ">q"), (pg.TIME, ">q")]:
        agree(row.oid, struct.pack(code, number), 1)
    agree(pg.DATE.oid, struct.pack(">q", number)[:4], 1)
    agree(pg.INTERVAL.oid, struct.pack(">q", number) * 2, 1)


def test_networks_and_ranges() -> None:
    for row, texts in NETWORKS.items():
        for text in texts:
            value = loader(row.oid, 0)(text.encode())
            network = getattr(value, "network_address", getattr(value, "ip", value))
            length = getattr(getattr(value, "network", value), "prefixlen", network.max_prefixlen)
            data = bytes((2 if value.version == 4 else 3, length, 0, len(network.packed))) + network.packed
            same(decode(row.oid, [data])[0], value)
    for oid, data in [
        (3904, b"\x02" + b"\0\0\0\4\0\0\0\1" + b"\0\0\0\4\0\0\0\5"),
        (3905, b"\0\0\0\0\0\0\0\0\0\0\x0f\x40"),
    ]:
        same(decode(oid, [data, None])[0], loader(oid, 1)(data))
    same(decode(pg.RECORD.oid, [b"(1,a,)"], 0)[0], loader(pg.RECORD.oid, 0)(b"(1,a,)"))


@pytest.mark.parametrize("row", pg.BUILTIN, ids=name)
def test_the_table_of_types_is_that_of_python(row: pg.PgType) -> None:
    for oid in (row.oid, row.array_oid):
        if oid:
            assert encode([oid], (None,)) == [(encoder(oid).format, None)]
            binary = pg.result_format([oid])
            text = value_loader(oid, 0, {}) if not binary else None
            if text is not None and row is not pg.RECORD:
                for data in (b"x", b"{a,NULL}" if row.delimiter == "," else b"{a;NULL}"):
                    if data == b"x" and oid == row.array_oid:
                        continue
                    same(decode(oid, [data], None)[0], text(data))


def test_records_are_those_of_python() -> None:
    rows = full._decode([("a", 23), ("b", 25), ("a", 25)], [[b"\0\0\0\1", b"x", None]] * 2, None, PLAIN)
    row = rows[0]
    assert isinstance(row, Record)
    assert rows == [(1, "x", None)] * 2
    assert (row["a"], row["b"], row.keys(), dict(row)) == (None, "x", ("a", "b", "a"), {"a": None, "b": "x"})
    assert (1, "x", None) in {row}
    assert hash(row) == hash((1, "x", None))
    assert pickle.loads(pickle.dumps(rows)) == rows
    assert full._decode([], [[], []], None, PLAIN) == [(), ()]
    with pytest.raises(DecodeError, match="other columns"):
        full._decode([("a", 23)], [[b"\0\0\0\1", None]], None, PLAIN)


def test_uuids_are_whole() -> None:
    number = uuid.UUID(int=2**127 + 5)
    (found,) = decode(pg.UUID.oid, [number.bytes])
    assert (found, hash(found), found.is_safe, found.hex) == (number, hash(number), number.is_safe, number.hex)
    assert pickle.loads(pickle.dumps(found)) == number


def test_the_value_that_cannot_be_read_is_named() -> None:
    rows = [[b"\0\0\0\1", b"ok"], [b"\0\0\0\1", b"\xff"]]
    with pytest.raises(DecodeError, match=r'^column "b" \(text\) of row 2: .utf-8. codec') as caught:
        full._decode([("a", 23), ("b", 25)], rows, None, PLAIN)
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)
