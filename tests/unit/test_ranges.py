"""`Range` as a value of Python, and the text of ranges as PostgreSQL may write it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import db_pool_rs
from db_pool_rs import Range
from db_pool_rs.types.ranges import multirange_from_text, range_from_text


def test_bounds() -> None:
    one: Range[int] = Range(1, 5)
    assert (one.lower, one.upper, one.lower_inc, one.upper_inc, one.isempty) == (1, 5, True, False, False)
    assert (one.lower_inf, one.upper_inf) == (False, False)
    open_ended: Range[int] = Range(None, 5, lower_inc=True, upper_inc=True)
    assert (open_ended.lower_inc, open_ended.upper_inc, open_ended.lower_inf, open_ended.upper_inf) == (
        *(False, True, True, False),
    )
    nothing: Range[int] = Range(1, 5, empty=True)
    assert (nothing.lower, nothing.upper, nothing.lower_inc, nothing.lower_inf) == (None, None, False, False)
    assert (bool(one), bool(nothing)) == (True, False)
    with pytest.raises(AttributeError):
        one.lower = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("tested", "inside", "outside"),
    [
        (Range(1, 5), [1, 4], [0, 5]),
        (Range(1, 5, lower_inc=False, upper_inc=True), [2, 5], [1, 6]),
        (Range(None, 5), [-100, 4], [5]),
        (Range(1, None), [1, 100], [0]),
        (Range(None, None), [0], []),
        (Range(empty=True), [], [0]),
    ],
)
def test_contains(tested: Range[int], inside: list[int], outside: list[int]) -> None:
    assert all(value in tested for value in inside)
    assert not any(value in tested for value in outside)


def test_equal_where_bounds_are() -> None:
    assert Range(1, 5) == Range(1, 5)
    assert Range(1, 5) not in (Range(1, 5, upper_inc=True), Range(1, 6), (1, 5))
    assert Range(None, 5) == Range(None, 5, lower_inc=False)
    assert Range(1, 5, empty=True) == Range(empty=True) != Range(None, None)
    assert len({Range(1, 5), Range(1, 5), Range(empty=True)}) == 2


@pytest.mark.parametrize(
    "value",
    [
        Range(1, 5),
        Range(1, None, lower_inc=False),
        Range(None, 5, upper_inc=True),
        Range(None, None),
        Range(empty=True),
    ],
)
def test_shown_copied_and_pickled(value: Range[Any]) -> None:
    assert eval(repr(value), vars(db_pool_rs)) == value
    assert copy.deepcopy(value) == pickle.loads(pickle.dumps(value)) == value
    assert range_from_text(str(value).encode(), int) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'["a""b","c\\\\d"]', Range('a"b', "c\\d", upper_inc=True)),
        (b'("",a)', Range("", "a", lower_inc=False)),
        (b'[ a b ,"(x,y)")', Range(" a b ", "(x,y)")),
        ("[é,\n)".encode(), Range("é", "\n")),
        (b"[{},{a}b)", Range("{}", "{a}b")),
        (b"(,)", Range(None, None)),
        (b"empty", Range(empty=True)),
    ],
)
def test_bounds_that_are_quoted(text: bytes, value: Range[str]) -> None:
    assert range_from_text(text, bytes.decode) == value
    assert multirange_from_text(b"{" + text + b"," + text + b"}", bytes.decode) == [value, value]


@pytest.mark.parametrize("text", [b"", b"[", b"[1", b"[1,2", b"[1,2)x", b"1,2", b'["1,2)', b"[1,2,3)", b"emptyx"])
def test_what_is_no_range(text: bytes) -> None:
    with pytest.raises(ValueError, match="malformed range"):
        range_from_text(text, bytes.decode)
    with pytest.raises(ValueError, match="malformed multirange"):
        multirange_from_text(b"{" + text + b" }", bytes.decode)
