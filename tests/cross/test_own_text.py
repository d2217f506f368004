"""Values go in and come out, and PostgreSQL's own text of them says the same: all types, alone and as parts of others.

For each type: what is sent is what PostgreSQL writes (`::text`, read here once more, by other means), what PostgreSQL
reads from that text is what comes out, in binary and in text, and so for a domain, an array and a composite of it.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_interface, ip_network
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from hypothesis import strategies as st

from db_pool_rs import errors
from tests.cross.test_values import for_all
from tests.cross.values import INT4, VALUES


class Type(NamedTuple):
    """Values of a type that may be sent, and how its text is read."""

    values: Any
    read: Callable[[str], Any]


def _moment(text: str) -> datetime:
    """ISO, with hours only in the offset."""
    zoned = re.fullmatch(r"(.*\d)([+-]\d\d)(:\d\d)?(:\d\d)?", text)
    if zoned is None or " " not in text:
        return datetime.fromisoformat(text)
    sign = -1 if zoned[2].startswith("-") else 1
    parts = [int(part or 0) for part in (zoned[2][1:], (zoned[3] or "")[1:], (zoned[4] or "")[1:])]
    offset = sign * timedelta(hours=parts[0], minutes=parts[1], seconds=parts[2])
    return datetime.fromisoformat(_padded(zoned[1])).replace(tzinfo=timezone(offset))


def _padded(text: str) -> str:
    """Python 3.10 reads 3 or 6 decimals only."""
    head, point, decimals = text.partition(".")
    return f"{head}.{decimals:0<6}" if point else head


def _interval(text: str) -> timedelta:
    found = re.fullmatch(r"(?:(-?\d+) days? ?)?(?:([+-]?)(\d+):(\d+):(\d+)(?:\.(\d+))?)?", text)
    assert found, text
    days, sign, hours, minutes, seconds, micros = found.groups()
    time_part = timedelta(
        hours=int(hours or 0), minutes=int(minutes or 0), seconds=int(seconds or 0),
        microseconds=int((micros or "").ljust(6, "0")),
    )  # fmt: skip
    return timedelta(days=int(days or 0)) + (-time_part if sign == "-" else time_part)


def _timetz(text: str) -> time:
    return _moment(f"2000-01-01 {text}").timetz()


def _network(text: str) -> Any:
    found = ip_interface(text)
    return found.ip if found.network.prefixlen == found.max_prefixlen else found


def _literals(*patterns: str) -> Any:
    return st.one_of(*[st.from_regex(pattern, fullmatch=True) for pattern in patterns])


COORDINATE = r"-?[1-9][0-9]{0,3}(\.[1-9])?"
POINT = rf"\({COORDINATE},{COORDINATE}\)"
TYPES: dict[str, Type] = {
    "bool": Type(VALUES["bool"], "true".__eq__),
    **dict.fromkeys(("int2", "int4", "int8", "oid"), Type(None, int)),
    "float4": Type(VALUES["float4"], lambda text: float(struct.unpack("f", struct.pack("f", float(text)))[0])),
    "float8": Type(VALUES["float8"], float),
    "numeric": Type(VALUES["numeric"], Decimal),
    "text": Type(VALUES["text"], str),
    "varchar": Type(VALUES["text"], str),
    "bytea": Type(VALUES["bytea"], lambda text: bytes.fromhex(text[2:])),
    "date": Type(VALUES["date"], date.fromisoformat),
    "time": Type(VALUES["time"], lambda text: time.fromisoformat(_padded(text))),
    "timetz": Type(VALUES["timetz"], _timetz),
    "timestamp": Type(VALUES["timestamp"], lambda text: datetime.fromisoformat(_padded(text))),
    "timestamptz": Type(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.timezones()), _moment),
    "interval": Type(VALUES["interval"], _interval),
    "uuid": Type(VALUES["uuid"], UUID),
    "json": Type(VALUES["json"].filter(lambda value: value is not None), json.loads),
    "jsonb": Type(VALUES["jsonb"].filter(lambda value: value is not None), json.loads),
    "inet": Type(st.ip_addresses() | st.builds(lambda a, n: ip_interface((a, n)), st.ip_addresses(v=4),
                                               st.integers(0, 31)), _network),
    "cidr": Type(st.ip_addresses().map(ip_network), ip_network),
    '"char"': Type(st.characters(min_codepoint=1, max_codepoint=127), str),
    "name": Type(st.text("abcé \"'\\{},", max_size=20), str),
    "xml": Type(st.just("<a b=\"c\">,'\\\"{}</a>"), str),
    "money": Type(_literals(r"-?\$[1-9][0-9]{0,2}\.[0-9]{2}"), str),
    "bit(3)": Type(_literals("[01]{3}"), str),
    "varbit": Type(_literals("[01]{0,9}"), str),
    "macaddr": Type(_literals("([0-9a-f]{2}:){5}[0-9a-f]{2}"), str),
    "point": Type(_literals(POINT), str),
    "box": Type(st.just("(3,4),(1,2)"), str),
    "pg_lsn": Type(_literals("[1-9A-F]{1,6}/[1-9A-F]{1,6}"), str),
    "tid": Type(_literals(r"\([1-9][0-9]{0,3},[1-9]\)"), str),
    "xid8": Type(_literals("[1-9][0-9]{0,15}"), str),
    "tsvector": Type(_literals("'[a-c]' '[d-f]{2}'"), str),
    "jsonpath": Type(st.just('$."a"[*]'), str),
}  # fmt: skip
for _name in ("int2", "int4", "int8", "oid"):
    TYPES[_name] = Type(VALUES[_name], int)

SQL = """
DO $$BEGIN
  CREATE DOMAIN own AS {name};
  CREATE TYPE whole AS (one {name}, many {name}[], inner_one own, inner_many own[]);
END$$
"""


def _equal(one: Any, other: Any) -> bool:
    """Equal and of one class, NaN to itself."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    same = one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other))
    return type(one) is type(other) and bool(same)


async def _check(pool: Any, name: str, value: Any) -> None:
    text = await pool.fetchval(f"SELECT $1::{name}::text", value)
    expected = TYPES[name].read(text)
    for sql in (
        f"SELECT $1::{name} AS value",
        f"SELECT $1::{name} AS value, '1'::money AS text_only",  # in text, where an engine has one format for a row
        "SELECT $1::own AS value",
        "SELECT ($1::whole).one AS value",
    ):
        row = await pool.fetchrow(sql, (value, None, None, None) if "::whole" in sql else value)
        assert _equal(row["value"], expected), sql
    again = await pool.fetchval(f"SELECT $1::text::{name}", text)
    assert _equal(again, expected), "what PostgreSQL reads from its own text"
    whole = (value, [value, None, value], value, [None, value])
    parts = "w.one::text, w.many::text[], w.inner_one::text, w.inner_many::text[]"
    found = tuple(await pool.fetchrow(f"SELECT {parts} FROM (SELECT ($1::whole).*) w", whole))
    assert found == (text, [text, None, text], text, [None, text])
    many = await pool.fetchval(f"SELECT $1::{name}[]", [value, None])
    assert _equal(many, [expected, None])
    assert await pool.fetchval("SELECT $1::own[]::text[]", [value, None]) == [text, None]


@pytest.mark.parametrize("name", TYPES)
async def test_values_and_their_text(pools: dict[str, Any], name: str) -> None:
    await next(iter(pools.values())).execute(SQL.format(name=name))

    async def check(value: Any) -> None:
        for pool in pools.values():
            await _check(pool, name, value)

    await for_all(TYPES[name].values, check)


RANGES = {"int4range": INT4, "int8range": VALUES["int8"], "numrange": VALUES["numeric"], "daterange": VALUES["date"],
          "tsrange": VALUES["timestamp"], "tstzrange": TYPES["timestamptz"].values}  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
async def test_ranges_and_their_text(pools: dict[str, Any], name: str) -> None:
    """What is read of a range is what its functions tell."""
    bounds = st.none() | RANGES[name]

    async def check(given: tuple[Any, Any, str]) -> None:
        low, high, shape = given
        if low is not None and high is not None and low > high:
            low, high = high, low
        element = {"int4": "int4", "int8": "int8", "num": "numeric", "date": "date", "ts": "timestamp",
                   "tstz": "timestamptz"}[name.removesuffix("range")]  # fmt: skip
        sql = (
            f"SELECT r, lower(r) AS low, upper(r) AS high, isempty(r) AS empty, lower_inc(r) || '' AS li, r::text AS t,"
            f" ARRAY[r, NULL] AS many FROM (SELECT {name}($1::{element}, $2::{element}, $3) AS r) x"
        )
        for pool in pools.values():
            try:
                row = await pool.fetchrow(sql, low, high, shape)
            except (errors.NumericValueOutOfRange, errors.DatetimeFieldOverflow, errors.DecodeError):
                continue  # beyond what the type, or Python, can hold: the next whole number or day
            found = row["r"]
            assert found.isempty == row["empty"]
            assert (found.lower, found.upper) == (row["low"], row["high"])
            assert row["many"] == [found, None]
            assert await pool.fetchval(f"SELECT $1::{name}", row["t"]) == found

    await for_all(st.tuples(bounds, bounds, st.sampled_from(("[)", "(]", "[]", "()"))), check)
