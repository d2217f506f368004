"""Codecs of composite types that work on a tuple of the fields' values, in every engine."""

from __future__ import annotations

from typing import Any

import pytest

from db_pool_rs import Codec
from db_pool_rs.errors import ArgumentError, DecodeError, InterfaceError

COMPLEX = Codec("complex", encoder=lambda one: (one.real, one.imag), decoder=lambda two: complex(*two), fields=True)
NUMBERS = [1 + 2j, 0.1 - 1e300j]


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    """A pool with a composite type, within others."""
    pool = await open_pool(pg_database, codecs=[COMPLEX], max_size=1)
    await pool.execute("CREATE TYPE complex AS (r float8, i float8)")
    await pool.execute("CREATE TYPE named AS (name text, value complex)")
    await pool.execute("CREATE DOMAIN finite AS complex")
    return pool


async def test_values_of_the_type_and_what_is_made_of_it(pool: Any) -> None:
    for number in NUMBERS:
        assert await pool.fetchval("SELECT $1::complex", number) == number
        assert await pool.fetchval("SELECT $1::finite", number) == number
        assert await pool.fetchval("SELECT $1::named", ("x", number)) == ("x", number)
    assert await pool.fetchval("SELECT $1::complex[]", [*NUMBERS, None]) == [*NUMBERS, None]
    assert await pool.fetchval("SELECT ($1::complex).i", 1j) == 1.0
    assert await pool.fetchval("SELECT $1::complex", None) is None


def _point(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.strip("()").split(",")))


async def test_points_in_arrays_are_elements(pool: Any) -> None:
    pool.set_type_codec("point", encoder=lambda one: f"({one[0]},{one[1]})", decoder=_point)
    points = [(1.5, 2), None, (3, -4)]
    assert await pool.fetchval("SELECT $1::point[]", points) == points
    assert await pool.fetchval("SELECT $1::point[]", [points, points]) == [points, points]


async def test_what_does_not_fit(pool: Any) -> None:
    pool.set_type_codec("complex", encoder=lambda value: value, fields=True)
    for wrong, why in (
        ("(1,2)", "must return tuple, got str"),
        ((1.0,), "2 fields, 1 values"),
        (("x", 1.0), "float or int expected"),
    ):
        with pytest.raises(ArgumentError, match=why):
            await pool.fetchval("SELECT $1::complex", wrong)
    assert await pool.fetchval("SELECT $1::complex", (1.0, 2.0)) == (1.0, 2.0)
    pool.set_type_codec("int4", encoder=tuple, decoder=tuple, fields=True)
    with pytest.raises(DecodeError, match="is no composite type"):
        await pool.fetchval("SELECT 1")
    with pytest.raises(ArgumentError, match="is no composite type"):
        await pool.execute("SELECT $1::int4", (1,))
    with pytest.raises(InterfaceError, match="fields: bool expected"):
        pool.set_type_codec("int4", encoder=tuple, fields="yes")
