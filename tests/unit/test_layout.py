"""Values of a column that are looked at many at a time: what is passed over is well-formed, by a walk of this test."""

from __future__ import annotations

import random
import struct
from decimal import Decimal
from typing import Any

import pytest

from db_pool_rs.types import oids as pg
from db_pool_rs.types.binary import RECORDS
from db_pool_rs.types.encode import encoder
from db_pool_rs.types.layout import FIXED_SIZES, check_for, sift_for
from tests.faults.hostile_values import DAMAGED, altered

VALUES: dict[int, list[Any]] = {
    pg.NUMERIC.oid: [Decimal("1.5"), Decimal("-99999999.9999"), Decimal(0), Decimal("9999"), Decimal("8192.8191")],
    pg.INT4.array_oid: [[1], [1, 2], [-1] * 64],
    pg.INT8.array_oid: [[2**40, -1]],
    pg.TEXT.array_oid: [["a"], ["", "bc" * 11], ["x"] * 8],
    pg.NUMERIC.array_oid: [[Decimal("9999.9999")], [Decimal("1.5"), Decimal(-7)], [Decimal("0.25")] * 8],
}


def is_numeric(data: bytes) -> bool:
    if len(data) < 8 or len(data) % 2:
        return False
    count, _, _, scale, *digits = struct.unpack(f">{len(data) // 2}H", data)
    return count == len(digits) and scale <= 0x3FFF and all(digit <= 9999 for digit in digits)


def is_element(oid: int, data: bytes) -> bool:
    return is_numeric(data) if oid == pg.NUMERIC.oid else len(data) == FIXED_SIZES.get(oid, len(data))


def is_well_formed(oid: int, data: bytes) -> bool:
    """Of arrays, one of a dimension without NULLs."""
    if oid == pg.NUMERIC.oid:
        return is_numeric(data)
    element = pg.ARRAYS[oid].oid
    dimensions, nulls, found, count, start = struct.unpack_from(">iiIii", data)
    if (dimensions, nulls, found, start) != (1, 0, element, 1):
        return False
    at = 20
    for _ in range(count):
        if at + 4 > len(data):
            return False
        (length,) = struct.unpack_from(">i", data, at)
        if length < 0 or at + 4 + length > len(data) or not is_element(element, data[at + 4 : at + 4 + length]):
            return False
        at += 4 + length
    return at == len(data)


def sifted(oid: int, values: list[bytes]) -> list[bytes]:
    return list(sift_for(oid)(values, [*map(len, values)]))


@pytest.mark.parametrize("oid", VALUES)
def test_what_is_passed_over_is_well_formed(oid: int) -> None:
    chance = random.Random(oid)
    good = [encoder(oid).encode(value) for value in VALUES[oid]]
    assert sifted(oid, good * 70) == []
    for _ in range(2000):
        values = chance.choices(good, k=chance.choice((1, 3, 64, 65)))
        at = chance.randrange(len(values))
        values[at] = altered(bytearray(values[at]), chance, (0, 1, 4, 0x7F, 0x80, 0xFF, 0x27, 0x10))
        remain = sifted(oid, values)
        assert values[at] in remain or is_well_formed(oid, values[at])


@pytest.mark.parametrize("oid", [pg.INT4.array_oid, pg.INT8.array_oid, pg.TEXT.array_oid])
def test_what_a_walk_passes_of_a_long_array_is_well_formed(oid: int) -> None:
    chance, check = random.Random(oid), check_for(oid)
    assert check is not None
    long = encoder(oid).encode(["word"] * 500 if oid == pg.TEXT.array_oid else [7] * 500)
    check(long)
    for _ in range(500):
        data = bytearray(long)
        data[chance.randrange(12, len(data))] = chance.choice((0, 1, 4, 0x7F, 0xFF))
        if not is_well_formed(oid, bytes(data)) and data[16:20] == b"\0\0\0\1" and b"\xff" * 4 not in data:
            with pytest.raises((ValueError, struct.error)):
                check(bytes(data))


#: Records are walked while they are read (`types.binary`).
WALKED = [(oid, data) for oid, data in DAMAGED if oid not in RECORDS]


@pytest.mark.parametrize(("oid", "data"), WALKED)
def test_what_the_walk_refuses_is_walked(oid: int, data: bytes) -> None:
    check = check_for(oid)
    assert check is not None
    good = [encoder(oid).encode(value) for value in VALUES.get(oid, ())]
    remain = sifted(oid, [*good * 70, data, *good])
    try:
        check(data)
    except (ValueError, struct.error):
        assert data in remain
    else:
        assert oid in (pg.NUMERIC.oid, pg.NUMERIC.array_oid)  # a weight that psycopg's loader refuses itself
