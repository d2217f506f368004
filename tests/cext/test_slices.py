"""Long results: the same rows, in slices, and what it means for the others in the process."""

from __future__ import annotations

import asyncio
import gc
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

pytest.importorskip("db_pool_rs_balanced")

from db_pool_rs.balanced import slices
from db_pool_rs.balanced.columns import Plan
from db_pool_rs.balanced.libpq import PGresult
from db_pool_rs.balanced.slices import decode, decode_long, is_long, new_block
from db_pool_rs.drivers.collector import forget
from db_pool_rs.drivers.postgres.results import LongResults
from db_pool_rs.errors import DecodeError
from db_pool_rs.types import oids as pg
from tests.plugins.collector import freeze, watched_collector

from .results import Session, result_of

OIDS = [pg.INT4.oid, pg.TEXT.oid]
PLAN = Plan(["i", "t"], OIDS, 1, Session())


@pytest.fixture
def workers() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as executor:
        yield executor


def numbered(count: int, width: int = 0) -> tuple[PGresult, list[tuple[int, str]]]:
    expected = [(i, f"{i:0{width}}") for i in range(count)]
    return result_of(OIDS, [[struct.pack(">i", i), text.encode()] for i, text in expected]), expected


async def decode_all(workers: ThreadPoolExecutor, result: PGresult) -> tuple[list[Any], int]:
    return await decode_long(new_block(), workers, PLAN, result, LongResults(asyncio.get_running_loop()))


async def test_it_ends_where_the_callers_are_gone(workers: ThreadPoolExecutor) -> None:
    long = LongResults(asyncio.get_running_loop())
    reading = asyncio.ensure_future(decode_long(new_block(), workers, PLAN, numbered(5000)[0], long))
    await asyncio.sleep(0)
    long.gone = True
    rows, _ = await reading
    assert 0 < len(rows) < 5000


def test_a_slice_is_a_part_of_the_rows() -> None:
    result, expected = numbered(100)
    assert [row for first in range(0, 100, 30) for row in decode(new_block(), PLAN, result, first, 30)[0]] == expected


@pytest.mark.parametrize("native_bytes", [1, slices.NATIVE_BYTES], ids=["on a thread", "on the loop"])
async def test_a_long_result_lets_others_have_their_turns(
    workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, native_bytes: int
) -> None:
    monkeypatch.setattr(slices, "NATIVE_BYTES", native_bytes)
    result, expected = numbered(5000)
    assert is_long(result)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    rows, size = await decode_all(workers, result)
    task.cancel()
    assert rows == expected
    assert size == sum(4 + len(text) for _, text in expected)
    assert turns >= 5000 // slices.SLICE


async def test_wide_rows_make_short_slices(workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    result, expected = numbered(40, width=100_000)
    assert is_long(result)
    largest = []
    unpack = PLAN.rows

    def rows(block: Any, *rest: Any) -> list[Any]:
        largest.append(block.rows)
        return list(unpack(block, *rest))

    monkeypatch.setattr(Plan, "rows", lambda _plan, *args: rows(*args))
    assert (await decode_all(workers, result))[0] == expected
    assert max(largest) * 100_000 <= slices.SLICE_BYTES < sum(largest) * 100_000


def test_one_value_cannot_be_cut() -> None:
    assert not is_long(result_of([pg.TEXT.oid], [[b"x" * 2_000_000]]))
    assert is_long(numbered(1, width=2_000_000)[0])


@pytest.mark.parametrize("native_bytes", [1, slices.NATIVE_BYTES])
async def test_a_value_that_cannot_be_read_is_named(
    workers: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, native_bytes: int
) -> None:
    monkeypatch.setattr(slices, "NATIVE_BYTES", native_bytes)
    rows: list[list[bytes | None]] = [[struct.pack(">i", i), b"x"] for i in range(3000)]
    rows[2500][1] = b"\xff"
    with pytest.raises(DecodeError, match=r'column "t" \(text\) of row 2501'):
        await decode_all(workers, result_of(OIDS, rows))
    assert gc.isenabled()


async def test_the_collector_is_left_as_it_was(workers: ThreadPoolExecutor) -> None:
    result, expected = numbered(3000)
    frozen = gc.get_freeze_count()
    gc.disable()
    try:
        assert (await decode_all(workers, result))[0] == expected
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert (await decode_all(workers, result))[0] == expected
    assert gc.isenabled()
    assert gc.get_freeze_count() == frozen


async def test_frozen_objects_stay_frozen(workers: ThreadPoolExecutor) -> None:
    result, expected = numbered(3000)
    forget()  # what an earlier test has left known
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        assert (await decode_all(workers, result))[0] == expected
        assert gc.get_freeze_count() <= frozen
        assert gc.get_freeze_count() > frozen // 2
    finally:
        freeze()


async def test_the_collector_does_not_look_through_the_rows(workers: ThreadPoolExecutor) -> None:
    result, _ = numbered(60_000)
    with watched_collector() as passes:
        await decode_all(workers, result)
    assert 2 not in passes
