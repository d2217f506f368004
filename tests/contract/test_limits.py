"""What the server cannot take is refused before anything is sent, and the error names the limit."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest

from db_pool_rs.drivers import base
from db_pool_rs.errors import ArgumentError
from db_pool_rs.types import parameters

#: A little more than one message holds. Bytes that are all zero take memory only when they are copied.
TOO_LONG = 2**30
LIMIT = re.escape("at most 1,073,741,822 (1 GB)")


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


async def _refused(call: Any, match: str = LIMIT) -> None:
    with pytest.raises(ArgumentError, match=match) as caught:
        await call
    assert len(str(caught.value)) < 400, "the argument is not shown"


async def _read(cursor: Any) -> list[Any]:
    return [row async for row in cursor]


async def test_an_argument_that_is_longer_than_a_message(pg_pool: Any) -> None:
    data, sql = bytes(TOO_LONG), "SELECT length($1::bytea)"
    for _ in range(2):
        await _refused(pg_pool.fetchval(sql, data))
        async with pg_pool.acquire() as connection:
            await _refused(connection.fetchval(sql, data))
            assert await connection.fetchval(sql, b"abc") == 3
            async with connection.transaction():
                await _refused(_read(connection.cursor(sql, data)))
                assert await connection.fetchval(sql, b"ab") == 2
        assert await pg_pool.fetchval(sql, b"a") == 1
    await pg_pool.execute("CREATE TABLE t (a bytea)")
    await _refused(pg_pool.executemany("INSERT INTO t VALUES ($1)", [(b"a",), (data,)]))
    assert await pg_pool.fetchval("SELECT count(*) FROM t") == 0
    assert pg_pool.stats().lost == 0


async def test_arguments_that_are_longer_together(pg_pool: Any) -> None:
    if _free_memory() < 4 * TOO_LONG:
        pytest.skip("needs 4 GB of memory")
    half, sql = bytes(TOO_LONG // 2), "SELECT length($1::bytea) + length($2::bytea)"
    await _refused(pg_pool.fetchval(sql, half, half))
    assert await pg_pool.fetchval(sql, b"a", b"bc") == 3
    assert pg_pool.stats().lost == 0


async def test_a_value_of_a_record_that_is_longer_than_any(pg_pool: Any) -> None:
    if _free_memory() < 6 * TOO_LONG:
        pytest.skip("needs 6 GB of memory")
    await pg_pool.execute("CREATE TABLE t (id int, data bytea)")
    async with pg_pool.acquire() as connection:
        copied = connection.copy_records_to_table("t", records=[(1, b"a"), (2, bytes(TOO_LONG))])
        await _refused(copied, f'record 1, column "data": .*{LIMIT}')
        assert await connection.fetchval("SELECT count(*) FROM t") == 0
    assert pg_pool.stats().lost == 0


async def test_a_piece_of_a_copy_that_is_longer_than_a_message(pg_pool: Any) -> None:
    if _free_memory() < 4 * TOO_LONG:
        pytest.skip("needs 4 GB of memory")
    line = b"1\t" + b"x" * (TOO_LONG // 8) + b"\n"

    async def source() -> Any:
        yield line * 8 + b"2\ty\n"

    await pg_pool.execute("CREATE TABLE t (id int, name text)")
    async with pg_pool.acquire() as connection:
        assert await connection.copy_to_table("t", source=source(), where="id = 2") == "COPY 1"
        assert await connection.fetchrow("SELECT * FROM t") == (2, "y")
    assert pg_pool.stats().lost == 0


@pytest.mark.parametrize("size", [0, 1, base.LONGEST_PART, base.LONGEST_PART + 1, 3 * base.LONGEST_PART + 7])
def test_the_parts_of_a_piece(size: int) -> None:
    piece = os.urandom(size)
    for given in (piece, bytearray(piece), memoryview(piece)):
        parts = list(base.parts_of(given))
        assert b"".join(parts) == piece
        assert all(len(part) <= base.LONGEST_PART for part in parts)


@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_the_sum_counts(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """With a limit of a few bytes instead of 1 GB."""
    monkeypatch.setattr(parameters, "MAX_MESSAGE", 10_000)
    room = 10_000 - 128 - 6 * count
    codec = parameters.ParameterCodec([25] * count, "SELECT 1")
    first = "x" * (room - 3 * (count - 1))
    rest = ["xyz"] * (count - 1)
    assert [len(value or b"") for value in codec.encode([first, *rest])] == [len(first), *[3] * (count - 1)]
    with pytest.raises(ArgumentError, match=r"take 9,\d+ bytes, but one message to the server holds at most 10,000"):
        codec.encode([first + "x", *rest])
    if count > 1:
        assert codec.encode([None, first + "x", *rest[1:]])
