"""What may be an argument, what is stored of it, and what comes back."""

from __future__ import annotations

import enum
import math
import re
import sqlite3
from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.drivers.sqlite.types import BY_NAME, estimate
from db_pool_rs.errors import ArgumentError, DatabaseError, DecodeError, InterfaceError
from tests.sqlite.harness import by_number


class Colour(enum.IntEnum):
    RED = 3


class Name(str):
    """A text of the caller's own class."""


@pytest.fixture
async def pool(create_pool: Any) -> AsyncIterator[Any]:
    """An empty in-memory database."""
    async with create_pool("sqlite://") as made:
        yield made


STORED = [
    (None, None, "null"),
    (0, 0, "integer"),
    (2**63 - 1, 2**63 - 1, "integer"),
    (-(2**63), -(2**63), "integer"),
    (True, 1, "integer"),
    (Colour.RED, 3, "integer"),
    (1.5, 1.5, "real"),
    (math.inf, math.inf, "real"),
    (-0.0, -0.0, "real"),
    ("", "", "text"),
    ("häß\0lich 🙂", "häß\0lich 🙂", "text"),
    (Name("x"), "x", "text"),
    (b"", b"", "blob"),
    (b"\0\xff", b"\0\xff", "blob"),
    (bytearray(b"ab"), b"ab", "blob"),
    (memoryview(b"abcdef")[::2], b"ace", "blob"),
    (Decimal("12.3400"), "12.3400", "text"),
    (datetime(2024, 5, 1, 12, 30), "2024-05-01 12:30:00", "text"),
    (datetime(2024, 5, 1, 12, 30, 0, 7, timezone(timedelta(hours=2))), "2024-05-01 12:30:00.000007+02:00", "text"),
    (date(2024, 5, 1), "2024-05-01", "text"),
    (time(12, 30, 1), "12:30:01", "text"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001", "text"),
    ({"a": [1, None, "ü"]}, '{"a": [1, null, "ü"]}', "text"),
    ([1, 2], "[1, 2]", "text"),
]


def name(value: Any) -> str:
    """The same in every process, hence without addresses."""
    return "huge" if value == 10**10000 else re.sub(r" (?:object )?at 0x\w+", "", repr(value))[:30]


@pytest.mark.parametrize(("value", "stored", "kind"), STORED, ids=name)
async def test_what_is_stored(pool: Any, value: Any, stored: Any, kind: str) -> None:
    row = await pool.fetchrow("SELECT $1 AS v, typeof($1) AS t", value)
    assert row == (stored, kind)
    assert type(row["v"]) is type(stored)
    async with pool.acquire() as conn:
        assert await conn.fetchrow("SELECT $1 AS v, typeof($1) AS t", value) == (stored, kind)


REFUSED = [
    (2**63, "int 9223372036854775808: outside the range of a 64-bit integer"),
    (-(2**63) - 1, "outside the range"),
    (10**10000, "int: outside the range"),
    (math.nan, "SQLite has no NaN"),
    ("\ud800", "not valid Unicode"),
    (Decimal("NaN"), "SQLite has no number for it"),
    ({"a": math.nan}, "not JSON"),
    ([object()], "not JSON"),
    (timedelta(1), "None, int, float, str, bytes, bool, Decimal, datetime, date, time, UUID, dict, list expected, got"),
    ((1, 2), "expected, got tuple"),
    ({1}, "expected, got set"),
    (object(), "expected, got object"),
    (1j, "expected, got complex 1j"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=name)
async def test_what_is_refused_names_the_argument(pool: Any, value: Any, reason: str) -> None:
    await pool.execute("CREATE TABLE t (a, b)")
    for call in (pool.execute, pool.fetch):
        with pytest.raises(ArgumentError) as caught:
            await call("INSERT INTO t VALUES ($1, $2)", 1, value)
        assert str(caught.value).startswith("argument $2: ")
        assert reason in str(caught.value)
    async with pool.acquire() as conn:
        with pytest.raises(ArgumentError, match="argument"):
            await conn.executemany("INSERT INTO t VALUES ($1, $2)", [(1, 1), (1, value)])
    assert await pool.fetchval("SELECT count(*) FROM t") == 0


async def test_messages_keep_long_values_and_bytes_to_themselves(pool: Any) -> None:
    class Secret(bytes):
        pass

    with pytest.raises(ArgumentError) as caught:
        await pool.execute("SELECT $1", "secret" * 50 + "\ud800")
    assert "secret" not in str(caught.value)
    assert "str of 301 characters" in str(caught.value)
    assert await pool.fetchval("SELECT $1", Secret(b"x")) == b"x"


COUNTS = [
    ("SELECT 1", (), 0),
    ("SELECT $1", (1,), 1),
    pytest.param("SELECT $2", (1, 2), 2, marks=pytest.mark.skipif(BY_NAME, reason="sqlite3 itself warns")),
    ("SELECT $1 + $1", (1,), 1),
    ("SELECT '$3', \"$4\", $1 -- $5\n /* $6 */", (1,), 1),
]


@pytest.mark.parametrize(("sql", "args", "count"), COUNTS)
async def test_the_number_of_arguments_is_checked_first(pool: Any, sql: str, args: tuple[Any, ...], count: int) -> None:
    sql = sql.replace('"$4"', "1")
    await pool.fetch(sql, *args)
    for wrong in ((*args, 1), args[:-1]):
        if len(wrong) != count:
            with pytest.raises(ArgumentError, match=f"takes {count} argument"):
                await pool.fetch(sql, *wrong)
            async with pool.acquire() as conn:
                with pytest.raises(ArgumentError, match=f"takes {count} argument"):
                    await conn.execute(sql, *wrong)


@pytest.mark.parametrize("sql", ["SELECT ?", "SELECT :name", "SELECT @name", "SELECT ?5", "SELECT $name"])
async def test_other_placeholders_are_refused(pool: Any, sql: str) -> None:
    with pytest.raises(ArgumentError):
        await pool.fetch(sql)
    with pytest.raises(ArgumentError):
        await pool.fetch(sql, 1)
    assert await pool.fetchval("SELECT $1", 1) == 1


async def test_too_many_parameters_are_an_error(pool: Any) -> None:
    with pytest.raises(DatabaseError) as caught:
        await pool.fetch("SELECT $300000", *range(300000))
    assert caught.value.sqlstate == "54000"


async def test_numbers_that_a_column_makes_of_texts(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (price NUMERIC, exact TEXT)")
    await pool.execute("INSERT INTO t VALUES ($1, $1)", Decimal("19.90"))
    assert await pool.fetchrow("SELECT * FROM t") == (19.9, "19.90")
    assert await pool.fetchval("SELECT count(*) FROM t WHERE price = $1", Decimal("19.9")) == 1


async def test_declared_types_change_nothing(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (a BOOLEAN, b TIMESTAMP, c DATE, d JSON)")
    await pool.execute("INSERT INTO t VALUES ($1, $2, $3, $4)", True, datetime(2024, 1, 2), date(2024, 1, 2), [1])
    assert await pool.fetchrow("SELECT * FROM t") == (1, "2024-01-02 00:00:00", "2024-01-02", "[1]")


async def test_text_that_is_not_utf8(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (a)")
    await pool.execute("INSERT INTO t VALUES (CAST(x'c3' AS TEXT))")
    for _ in range(5):
        with pytest.raises(DecodeError):
            await pool.fetch("SELECT a FROM t")
    assert await pool.fetchval("SELECT CAST(a AS BLOB) FROM t") == b"\xc3"


async def test_texts_that_are_no_single_statement(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (a)")
    for sql in ("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)\0"):
        with pytest.raises(InterfaceError):
            await pool.execute(sql)
        async with pool.acquire() as conn:
            with pytest.raises(InterfaceError):
                await conn.fetch(sql)
    assert await pool.fetchval("SELECT count(*) FROM t") == 0
    assert await pool.fetch("-- nothing") == []
    assert await pool.execute(" ; ") == ""
    assert await pool.execute("INSERT INTO t VALUES (1); ") == "INSERT 0 1"


values = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(), st.binary(), st.booleans()
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(row=st.lists(values, min_size=1, max_size=6))
async def test_values_come_back(pool: Any, row: list[Any]) -> None:
    sql = "SELECT " + ", ".join(f"${number}" for number in range(1, len(row) + 1))
    (back,) = await pool.fetch(sql, *row)
    assert back == tuple(row)
    plain = sqlite3.connect(":memory:")
    assert tuple(back) == plain.execute(sql.replace("$", "?"), by_number(row)).fetchone()
    plain.close()


async def test_columns_of_an_altered_table(pool: Any) -> None:
    await pool.execute("CREATE TABLE t (a)")
    await pool.execute("INSERT INTO t VALUES (1)")
    for _ in range(4):
        (row,) = await pool.fetch("SELECT * FROM t")
        assert row.keys() == ("a",)
    await pool.execute("ALTER TABLE t ADD COLUMN b DEFAULT 2")
    (row,) = await pool.fetch("SELECT * FROM t")
    assert dict(row) == {"a": 1, "b": 2}


def test_the_size_of_a_result_is_estimated() -> None:
    assert estimate([]) == 0
    assert estimate([(1, 2.0)]) == 16
    assert estimate([("x" * 100,)] * 10) == pytest.approx(1000, rel=0.1)
