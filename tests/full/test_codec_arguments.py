"""Arguments of every class for every type: taken or refused as by the codecs in Python."""

from __future__ import annotations

import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError
from db_pool_rs.types import ParameterCodec
from db_pool_rs.types import oids as pg
from tests.full.codec import (
    UTC,
    encode,
)


class Level(IntEnum):
    HIGH = 7


class Name(str):
    __slots__ = ()


UNUSUAL = [
    *(True, Level.HIGH, Name("x"), "", "a\0", "\ud800", 2**15, 2**31, 2**63, -(2**63) - 1, 1.5, 1e39, float("nan"), 5),
    *(Decimal("1.5"), b"x", bytearray(b"x"), memoryview(b"xy")[::2], date.min, datetime.max),
    *(
        datetime(2024, 1, 1, tzinfo=UTC),
        time(1),
        time(1, tzinfo=UTC),
        timedelta(-1),
        uuid.UUID(int=5),
        str(uuid.UUID(int=5)),
    ),
    *(object(), [], [1], [None], [[1], [2]], [[1], [2, 3]], [[]], (1, 2), ["x"], [True], [1, "x"], {"a": 1}, {1}),
]


@pytest.mark.parametrize("oid", sorted({*pg.SCALARS, *pg.ARRAYS, 99_999}))
def test_every_argument_is_taken_or_refused_as_in_python(oid: int) -> None:
    codec = ParameterCodec([oid], "SELECT 1")
    for value in UNUSUAL:
        try:
            expected = list(zip(codec.formats, codec.encode([value]), strict=True))
        except ArgumentError as error:
            refused(oid, value, str(error))
        else:
            assert encode([oid], (value,)) == expected


def refused(oid: int, value: object, message: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        encode([oid], (value,))
    assert str(caught.value) == message


@pytest.mark.parametrize("args", [(), (1,), (1, 2, 3), tuple(range(70_000))])
def test_a_wrong_number_of_arguments(args: tuple[Any, ...]) -> None:
    with pytest.raises(ArgumentError) as expected:
        ParameterCodec([23, 23], "SELECT 1").encode(args)
    with pytest.raises(ArgumentError) as caught:
        encode([23, 23], args)
    assert str(caught.value) == str(expected.value)
