"""Servers that break the protocol: mode balanced gives what mode simple gives, rows or an error, and works on."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("db_pool_rs_balanced")

from db_pool_rs.types import oids as pg

from .lies import lies, outcome, tables
from .wire import Messages, error, message


@given(table=tables(), lie=lies(), tasks=st.integers(1, 3), known=st.booleans())
async def test_a_lie_has_the_same_consequences(table: Any, lie: Any, tasks: int, known: bool) -> None:
    expected = await outcome("simple", table, lie, tasks, known)
    assert await outcome("balanced", table, lie, tasks, known) == expected


@pytest.mark.parametrize("mode", ["simple", "balanced"])
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ([message(b"2"), error("ERROR", "22012"), message(b"Z", b"I")], "DivisionByZero"),
        ([message(b"2"), error("FATAL", "XX000")], "ConnectionLost"),
        ([message(b"2"), error("FATAL", "57P01")], "[(7.0,)]"),  # it was not executed: another connection does it
        ([message(b"2"), message(b"C", b"SELECT 0\0"), message(b"Z", b"I")], "DecodeError"),
        ([message(b"2"), message(b"D", b"\0\1\0\0\0\4abcd")], "ConnectionLost"),
        ([message(b"Z", b"I"), message(b"2"), message(b"C", b"SELECT 0\0"), message(b"Z", b"I")], "ConnectionLost"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
async def test_what_comes_before_the_end_is_read(mode: str, answer: Messages, expected: str) -> None:
    table = ([pg.FLOAT8.oid], [[struct.pack(">d", 7)]])
    assert await outcome(mode, table, lambda said: [b"".join(answer)], 1) == [expected]
