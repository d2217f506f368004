"""What the tests of the codec in Rust share: values of each type, and the comparison with Python's codecs."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st

from db_pool_rs.errors import DecodeError
from db_pool_rs.types import oids as pg
from db_pool_rs.types.loaders import value_loader

full = pytest.importorskip("db_pool_rs_full")

PLAIN = ("", "ISO, MDY", "postgres")
UTC = timezone.utc
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
#: Values of every type that is read here, most of which have the class that is written here.
VALUES: dict[pg.PgType, Any] = {
    pg.BOOL: st.booleans(),
    pg.INT2: st.integers(-(2**15), 2**15 - 1),
    pg.INT4: st.integers(-(2**31), 2**31 - 1),
    pg.INT8: st.integers(-(2**63), 2**63 - 1),
    pg.OID: st.integers(0, 2**32 - 1),
    pg.FLOAT4: st.floats(width=32),
    pg.FLOAT8: st.floats(),
    pg.NUMERIC: st.decimals().filter(lambda one: not one.is_snan()) | st.integers().map(Decimal),
    pg.TEXT: TEXT,
    pg.BPCHAR: TEXT,
    pg.BYTEA: st.binary(),
    pg.DATE: st.dates(),
    pg.TIME: st.times(),
    pg.TIMETZ: st.times(timezones=st.sampled_from([UTC, timezone(-timedelta(hours=15, minutes=59, seconds=59))])),
    pg.TIMESTAMP: st.datetimes(),
    pg.TIMESTAMPTZ: MOMENTS,
    pg.INTERVAL: st.timedeltas(),
    pg.UUID: st.uuids(),
    pg.JSON: JSON,
    pg.JSONB: JSON,
}
NETWORKS = {pg.INET: ["10.0.0.1", "10.0.0.1/8", "::1", "::1/64"], pg.CIDR: ["10.0.0.0/8", "::/0"]}
FIXED = {pg.BOOL: 1, pg.INT2: 2, pg.INT4: 4, pg.INT8: 8, pg.OID: 4, pg.FLOAT4: 4, pg.FLOAT8: 8, pg.DATE: 4, pg.TIME: 8}
FIXED |= {pg.TIMETZ: 12, pg.TIMESTAMP: 8, pg.TIMESTAMPTZ: 8, pg.INTERVAL: 16, pg.UUID: 16}


def name(row: pg.PgType) -> str:
    return row.name


def decode(oid: int, values: list[bytes | None], format: int | None = 1, settings: Any = PLAIN) -> list[Any]:
    """By Rust."""
    return [row[0] for row in full._decode([("c", oid)], [[value] for value in values], format, settings)]


def loader(oid: int, format: int, settings: tuple[str, str, str] = PLAIN) -> Any:
    """By psycopg, in Python where a setting matters."""
    names = (b"TimeZone", b"DateStyle", b"IntervalStyle")
    styled = not format or pg.TIMESTAMPTZ.oid == oid or pg.TIMESTAMPTZ.array_oid == oid
    values = {key: value.encode() for key, value in zip(names, settings, strict=True) if value}
    return value_loader(oid, format, values if styled else {})


def same(found: Any, expected: Any) -> None:
    assert type(found) is type(expected)
    assert repr(found) == repr(expected)


def encode(oids: list[int], args: tuple[Any, ...]) -> list[tuple[int, bytes | None]]:
    result: list[tuple[int, bytes | None]] = full._encode("SELECT 1", oids, args)
    return result


def refused(oid: int, data: bytes, format: int = 1, settings: Any = PLAIN) -> DecodeError:
    """The error with which a value is refused."""
    with pytest.raises(DecodeError, match=r'^column "c" .* of row 1: ') as caught:
        decode(oid, [data], format, settings)
    return caught.value


def agree(oid: int, data: bytes, format: int, settings: Any = PLAIN) -> None:
    """The same value of the same type, or an error in both that says the same."""
    try:
        expected = loader(oid, format, settings)(data)
    except Exception as error:
        said(str(refused(oid, data, format, settings)), str(error))
    else:
        same(decode(oid, [data], format, settings)[0], expected)


def said(message: str, expected: str) -> None:
    """The same reason; but of a time that no server sends psycopg's C code says something else than its Python code."""
    assert message.endswith(expected) or ("hour=" in message and not message.endswith("hour=24"))
