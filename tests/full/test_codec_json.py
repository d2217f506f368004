"""json as the codec in Rust reads it, and as Python does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from db_pool_rs.errors import DecodeError
from db_pool_rs.types import oids as pg
from tests.full.codec import (
    JSON,
    agree,
    decode,
    same,
)

DOCUMENTS = [
    *("1", "-0", "-0.0", "0.1", "1e5", "1E400", "-1e400", "123456789012345678901234567890", "9223372036854775808"),
    *("-9223372036854775809", "18446744073709551615", "18446744073709551616", "1e19", "NaN", "Infinity", "-Infinity"),
    *('{"a": 1, "b": 2, "a": 3}', '"\\ud800"', '"\\ud83d\\ude00"', '"\\u0000"', "[" * 200 + "]" * 200, " [ ] "),
    *('"' + "é" * 10 + '"', "1.7976931348623157e308", "2.2250738585072011e-308", "5e-324", "1" * 400, "1" * 400 + ".5"),
    *("", "{", "[1,]", "01", "'a'", '"\t"', "nul", "1 2", '{"a"}', "\ufeff1", "1" * 5000, "-", "0.30000000000000004"),
]


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
def test_json_documents(number: int) -> None:
    data = DOCUMENTS[number].encode("utf-8", "surrogatepass")
    for oid, bytes_ in ((pg.JSON.oid, data), (pg.JSONB.oid, b"\x01" + data)):
        agree(oid, bytes_, 1)
    agree(pg.JSON.oid, data, 0)


@given(JSON)
def test_json_is_read_as_by_json(value: Any) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=1)):
        same(decode(pg.JSON.oid, [text.encode()])[0], json.loads(text))


@given(st.binary(max_size=12) | st.text(alphabet='[]{}",:0123456789.eE+-\\u tfn ', max_size=12).map(str.encode))
def test_arbitrary_json(data: bytes) -> None:
    try:
        expected = json.loads(data)
    except Exception:
        with pytest.raises(DecodeError):
            decode(pg.JSON.oid, [data])
    else:
        same(decode(pg.JSON.oid, [data])[0], expected)
