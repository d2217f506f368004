"""All arguments of a statement: counts, NULLs, formats, and the message for every kind of wrong argument."""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.errors import ArgumentError
from db_pool_rs.types import ParameterCodec, oids
from db_pool_rs.types.explain import describe, shorten

INT4, TEXT = oids.INT4.oid, oids.TEXT.oid
FOREIGN = oids.PgType("mood", 16_999, 0, "text")
UTC_NOW = datetime(2024, 1, 2, 3, 4, tzinfo=timezone.utc)


@pytest.mark.parametrize("count", range(6))
def test_every_number_of_parameters(count: int) -> None:
    codec = ParameterCodec((INT4,) * count)
    assert codec.formats == [1] * count
    assert codec.encode(tuple(range(count))) == [bytes([0, 0, 0, number]) for number in range(count)]
    assert codec.encode([None] * count) == [None] * count
    for given_count in {0, 1, 2, 3, 7} - {count}:
        with pytest.raises(ArgumentError, match=rf"takes {count} arguments?, {given_count} w(as|ere) given$"):
            codec.encode((1,) * given_count)


def test_formats_follow_the_types() -> None:
    assert ParameterCodec((INT4, oids.INET.oid, 16_999, TEXT)).formats == [1, 0, 0, 1]


def test_too_many_arguments() -> None:
    with pytest.raises(ArgumentError, match="at most 65,535 arguments, 65,536 were given"):
        ParameterCodec((INT4,)).encode((1,) * 65_536)


def test_message_names_argument_statement_type_and_value() -> None:
    codec = ParameterCodec((INT4, INT4), "INSERT INTO t\n  VALUES ($1, $2)")
    with pytest.raises(ArgumentError) as caught:
        codec.encode((1, 99999999999))
    assert str(caught.value) == (
        'argument $2 of "INSERT INTO t VALUES ($1, $2)": int4 expected (int from -2147483648 to 2147483647), '
        "got int 99999999999"
    )
    with pytest.raises(ArgumentError, match=r'^the statement "INSERT INTO t VALUES .* takes 2 arguments, 1 was given$'):
        codec.encode((1,))


REFUSED = [
    (oids.INT2, 2**15, "int2 expected (int from -32768 to 32767), got int 32768"),
    (oids.INT4, "abc", "int4 expected (int from -2147483648 to 2147483647), got str 'abc'"),
    (oids.INT4, 3.0, "int4 expected (int from -2147483648 to 2147483647), got float 3.0"),
    (oids.INT4, Decimal(3), "int4 expected (int from -2147483648 to 2147483647), got Decimal('3')"),
    (oids.INT8, -(2**63) - 1, "got int -9223372036854775809"),
    (oids.OID, -1, "oid expected (int from 0 to 4294967295), got int -1"),
    (oids.FLOAT4, 1e39, "float4 expected (float or int within the range of float4), got float 1e+39"),
    (oids.FLOAT8, "1.5", "float8 expected (float or int), got str '1.5'"),
    (oids.FLOAT8, 10**400, "float8 expected (float or int), got int 1000"),
    (oids.NUMERIC, 1.5, "got float 1.5: a float is not exact; pass Decimal(str(x)), or cast the parameter"),
    (oids.NUMERIC, "1.5", "numeric expected (Decimal or int), got str '1.5'"),
    (oids.NUMERIC, Decimal("1E+131072"), "got Decimal('1E+131072'): numeric holds at most 131072 digits"),
    (oids.NUMERIC, Decimal("1E-16384"), "16383 after the decimal point"),
    (oids.NUMERIC, Decimal("1E+999999999999"), "numeric holds at most"),
    (oids.BOOL, 1, "bool expected (bool), got int 1"),
    (oids.TEXT, 5, "text expected (str), got int 5"),
    (oids.TEXT, b"secret", "text expected (str), got bytes of 6 bytes"),
    (oids.TEXT, "a\0b", "PostgreSQL text cannot hold the NUL character"),
    (oids.VARCHAR, "\0" * 99, "got str of 99 characters: PostgreSQL text cannot hold the NUL character"),
    (oids.TEXT, "\ud800", "surrogates not allowed"),
    (oids.CHAR, "ab", "one ASCII character"),
    (oids.CHAR, "\xe9", '"char" expected (str of at most one character), got str'),
    (oids.BYTEA, "abc", "bytea expected (bytes, bytearray or memoryview), got str 'abc'"),
    (oids.BYTEA, 5, "got int 5"),
    (oids.UUID, "zz", "uuid expected (UUID, or str in the form of one), got str 'zz'"),
    (oids.UUID, 5, "got int 5"),
    (oids.JSON, {1, 2}, "got set {1, 2}: Object of type set is not JSON serializable"),
    (oids.JSONB, float("nan"), "got float nan: Out of range float values are not JSON compliant"),
    (oids.JSONB, "\ud800", "surrogates not allowed"),
    (oids.DATE, UTC_NOW, "the time of day would be lost; pass value.date()"),
    (oids.DATE, "2024-01-01", "date expected (date), got str '2024-01-01'"),
    (oids.TIME, time(1, tzinfo=timezone.utc), "the time zone would be lost"),
    (oids.TIME, UTC_NOW.replace(tzinfo=None), "time expected (time without time zone), got datetime.datetime("),
    (oids.TIMETZ, time(1), "has no fixed offset from UTC"),
    (oids.TIMETZ, UTC_NOW, "timetz expected (time with time zone), got datetime.datetime("),
    (oids.TIMETZ, time(1, tzinfo=timezone(timedelta(hours=16))), "less than 16 hours"),
    (oids.TIMETZ, time(1, tzinfo=timezone(timedelta(microseconds=1))), "whole seconds"),
    (oids.TIMESTAMP, UTC_NOW, "the time zone would be lost"),
    (oids.TIMESTAMP, date(2024, 1, 1), "got datetime.date(2024, 1, 1)"),
    (oids.TIMESTAMPTZ, UTC_NOW.replace(tzinfo=None), "without time zone it names no instant"),
    (oids.TIMESTAMPTZ, "now", "timestamptz expected (datetime with time zone), got str 'now'"),
    (oids.INTERVAL, 5, "interval expected (timedelta), got int 5"),
    (oids.INET, 5, "inet expected (str, or an address of ipaddress), got int 5"),
    (oids.XML, b"<a/>", "xml expected (str), got bytes of 4 bytes"),
    (
        FOREIGN,
        b"ab",
        "type 16999 expected (str, int, float, Decimal, bool, date or UUID, a list of these for an array, a tuple for"
        " a composite), got",
    ),
    (FOREIGN, UTC_NOW, "cast the parameter in SQL to a built-in type, as in $1::timestamptz"),
    (FOREIGN, {"a": 1}, "cast the parameter"),
    (FOREIGN, "a\0b", "cannot hold the NUL character"),
    (FOREIGN, ["a", b"b"], "got bytes of 1 bytes: cast the parameter"),
]


@pytest.mark.parametrize(("row", "value", "message"), REFUSED, ids=lambda part: getattr(part, "name", None))
def test_refused_argument(row: oids.PgType, value: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ParameterCodec((TEXT, row.oid)).encode(("x", value))
    assert str(caught.value).startswith("argument $2: ")
    assert message in str(caught.value)


REFUSED_ARRAYS = [
    (oids.INT4, "{1,2}", "int4[] expected (list or tuple of int from -2147483648 to 2147483647), got str '{1,2}'"),
    (oids.INT4, {1, 2}, "got set {1, 2}"),
    (oids.INT4, [1, None, "a"], "element 3: int4 (int from -2147483648 to 2147483647) expected, got str 'a'"),
    (oids.INT4, [[1, 2], [3]], "the inner lists differ in length or depth"),
    (oids.INT4, [[1], 2], "the inner lists differ in length or depth"),
    (oids.INT4, [1, [2]], "the inner lists differ in length or depth"),
    (oids.INT4, [[1], None], "the inner lists differ in length or depth"),
    (oids.INT4, [[], []], "an inner list is empty"),
    (oids.INT4, [[[[[[[1]]]]]]], "more than 6 dimensions"),
    (oids.TEXT, ["a", "b\0"], "element 2: text (str) expected, got str 'b\\x00': PostgreSQL text cannot hold"),
    (oids.JSON, [[1], {2}], "element 2: json (JSON-serialisable object) expected, got set {2}: Object of type set"),
    (oids.INET, ["::1", ["::1"]], "the inner lists differ in length or depth"),
]


@pytest.mark.parametrize(("row", "value", "message"), REFUSED_ARRAYS)
def test_refused_array(row: oids.PgType, value: Any, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        ParameterCodec((row.array_oid,)).encode((value,))
    assert message in str(caught.value)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.decimals()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | st.timezones())
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.uuids()
    | st.ip_addresses()
    | st.complex_numbers(),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=6,
)


@given(st.sampled_from([*oids.SCALARS, *oids.ARRAYS, 16_999]), ANYTHING)
def test_anything_gives_bytes_or_an_argument_error(oid: int, value: Any) -> None:
    try:
        (data,) = ParameterCodec((oid,)).encode((value,))
    except ArgumentError:
        return
    assert data is None if value is None else type(data) is bytes


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "int 5"),
        ("x" * 60, f"str '{'x' * 60}'"),
        ("x" * 61, "str of 61 characters"),
        (memoryview(b"abcd"), "memoryview of 4 bytes"),
        (None, "None"),
        (Decimal("1.5"), "Decimal('1.5')"),
        (date(2024, 1, 2), "datetime.date(2024, 1, 2)"),
        ([b"secret", (bytearray(b"secret"), memoryview(b"secret"))], "list [6 bytes, (6 bytes, 6 bytes)]"),
        ([["x" * 28] * 6] * 6, f"list {[['x' * 28] * 6] * 6}"[:242] + "..."),
    ],
)
def test_describe(value: object, text: str) -> None:
    assert describe(value) == text


def test_describe_survives_a_broken_repr() -> None:
    assert describe(Unprintable()).startswith("Unprintable")


@given(ANYTHING | st.integers(10**4999, 10**5000))
def test_describe_is_short(value: object) -> None:
    assert len(describe(value)) < 300


def test_shorten() -> None:
    assert shorten("SELECT\n   1") == '"SELECT 1"'
    assert len(shorten("SELECT " + "x" * 1000)) == 62
    assert shorten("x" + " " * 1000 + "y") == '"x..."'


def test_arguments_are_encoded_without_psycopg() -> None:
    code = (
        "import sys; sys.modules['psycopg'] = None; from db_pool_rs.types import ParameterCodec; ParameterCodec((23,))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
