"""Decoded columns to objects: they are what Python's own constructors make, and nothing is lost or kept too long."""

from __future__ import annotations

import gc
import pickle
import struct
import sys
from contextlib import suppress
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, SafeUUID

import pytest

pytest.importorskip("db_pool_rs_balanced")

from db_pool_rs_balanced import ffi, make_records, make_values

from db_pool_rs.balanced.columns import Plan
from db_pool_rs.balanced.slices import decode, new_block
from db_pool_rs.errors import DecodeError
from db_pool_rs.record import record_class
from db_pool_rs.types import oids as pg
from db_pool_rs.types.encode import encoder

from .results import Session, result_of

MOMENT = datetime(2024, 2, 29, 23, 59, 59, 999_999, timezone.utc)
VALUES: dict[int, list[Any]] = {
    pg.BOOL.oid: [True, False],
    pg.INT8.oid: [2**63 - 1, -(2**63)],
    pg.FLOAT8.oid: [1.5, float("inf")],
    pg.TEXT.oid: ["", "Größe\0\U0001f600"],
    pg.BYTEA.oid: [b"", b"\0\xff"],
    pg.DATE.oid: [date.min, date.max],
    pg.TIMESTAMPTZ.oid: [MOMENT, datetime(1, 1, 3, tzinfo=timezone.utc)],
    pg.UUID.oid: [UUID(int=1), UUID(int=2**128 - 1)],
    pg.NUMERIC.oid: [Decimal("-1234567.00010"), Decimal("NaN")],
}
OIDS = list(VALUES)
ROWS = [*zip(*VALUES.values(), strict=True), (None,) * len(OIDS)]


def encoded(oid: int, value: Any) -> bytes | None:
    if value is None or oid == pg.TEXT.oid:  # encoders refuse a NUL in a text, as the server does
        return None if value is None else str(value).encode()
    return bytes(encoder(oid).encode(value))


RESULT = result_of(OIDS, [[encoded(oid, value) for oid, value in zip(OIDS, row, strict=True)] for row in ROWS])
TEXT_PLAN = Plan(["t"], [pg.TEXT.oid], 1, Session())
PLAN = Plan([f"c{oid}" for oid in OIDS], OIDS, 1, Session())


def test_every_kind_of_value_and_null() -> None:
    rows, _ = decode(new_block(), PLAN, RESULT)
    assert [repr(tuple(row)) for row in rows] == [repr(row) for row in ROWS]
    assert [[type(value) for value in row] for row in rows] == [[type(value) for value in row] for row in ROWS]
    assert {type(row) for row in rows} == {record_class(tuple(f"c{oid}" for oid in OIDS))}


def test_a_uuid_is_whole() -> None:
    plan = Plan(["u"], [pg.UUID.oid], 1, Session())
    expected = UUID("12345678-9abc-4def-8123-456789abcdef")
    ((found,),), _ = decode(new_block(), plan, result_of([pg.UUID.oid], [[expected.bytes]]))
    assert (found, hash(found), str(found)) == (expected, hash(expected), str(expected))
    assert found.is_safe is SafeUUID.unknown
    assert pickle.loads(pickle.dumps(found)) == expected


def test_objects_live_as_long_as_a_reference_does() -> None:
    block, undecodable = new_block(), new_block()
    with pytest.raises(DecodeError, match="of row 3"):
        decode(undecodable, TEXT_PLAN, result_of([pg.TEXT.oid], [[b"a"], [b"b"], [b"\xff"]]))

    def use() -> None:
        decode(block, PLAN, RESULT)
        with suppress(UnicodeDecodeError):
            make_values(_address(undecodable), 0, None)
        with suppress(TypeError):
            make_records(PLAN.record, [[object()], []])

    use()
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(500):
        use()
    gc.collect()
    assert sys.getallocatedblocks() < before + 100


def _address(block: Any) -> int:
    return int(ffi.cast("uintptr_t", block))


@pytest.mark.parametrize("arguments", [(tuple, [[1], [1, 2]]), (list, [[1]]), (tuple, [(1,)]), (tuple, [[1], None])])
def test_records_of_something_else(arguments: tuple[Any, Any]) -> None:
    with pytest.raises(TypeError):
        make_records(*arguments)


def test_columns_that_are_not_there() -> None:
    block = new_block()
    decode(block, Plan(["i"], [pg.INT4.oid], 1, Session()), result_of([pg.INT4.oid], [[struct.pack(">i", 7)]]))
    assert make_values(_address(block), 0, None) == [7]
    for number in (1, -1):
        with pytest.raises(IndexError):
            make_values(_address(block), number, None)
    with pytest.raises(ValueError, match="no block"):
        make_values(0, 0, None)
