"""The data of a COPY on their way into Arrow: batches and their bounds, damaged data, time-outs, what is imported."""

from __future__ import annotations

import asyncio
import importlib.abc
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest

from db_pool_rs.arrow import forms
from db_pool_rs.arrow.forms import Form
from db_pool_rs.errors import DecodeError, PoolTimeout, StatementTimeout
from tests.contract.guarding import at_rest
from tests.contract.waiting import PROMPT

pa = pytest.importorskip("pyarrow")

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NUMBERS = "SELECT i::int4 AS i FROM generate_series(1, {}) AS i ORDER BY i"

Make = Callable[..., Any]


@pytest.fixture
async def pool(open_pool: Any, pg_database: str) -> Any:
    return await open_pool(pg_database, max_size=1)


@pytest.fixture
async def decoder(open_pool: Any, pg_dsn: str) -> Make:
    """Makes the engine's decoder of columns."""
    from db_pool_rs.arrow.python import Decoder

    pool = await open_pool(pg_dsn, max_size=1)
    made = pool._context.database.arrow_decoder or Decoder

    def make(*columns: Form, rows: int = 1000, most: int = forms.MOST_BYTES) -> Any:
        return made(list(columns), rows, False, most)

    return make


def row(*values: bytes | None) -> bytes:
    """A row of COPY."""
    sent = [struct.pack(">i", -1) if value is None else struct.pack(">i", len(value)) + value for value in values]
    return struct.pack(">h", len(values)) + b"".join(sent)


def array(*elements: bytes | None, dimensions: int = 1, count: int | None = None) -> bytes:
    """An array in binary; `count` is what it says of itself."""
    sent = [struct.pack(">i", -1) if one is None else struct.pack(">i", len(one)) + one for one in elements]
    counted = len(elements) if count is None else count
    return struct.pack(">iiiii", dimensions, 0, 23, counted, 1) + b"".join(sent)


def numeric(digits: list[int], weight: int, sign: int = 0, scale: int = 0) -> bytes:
    """A numeric in binary."""
    return struct.pack(">hhHh", len(digits), weight, sign, scale) + b"".join(struct.pack(">h", one) for one in digits)


def decoded(made: Any, data: bytes) -> list[Any]:
    """The values of the first column."""
    made.feed(HEADER + data + TRAILER)
    found: list[Any] = pa.table(made.take(rest=True)).column(0).to_pylist()
    return found


# -- decimals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", [35, 36, 37, 38])
async def test_decimals_of_every_scale(pool: Any, precision: int) -> None:
    digits = "98765432109876543210987654321098765432"[:precision]
    expressions, expected = [], {}
    for scale in range(precision + 1):
        whole, broken = digits[: precision - scale], digits[precision - scale :]
        for sign, text in (("p", f"{whole or '0'}.{broken}"), ("n", f"-{whole or '0'}.{broken}")):
            name = f"{sign}{scale}"
            expressions.append(f"'{text}'::numeric({precision}, {scale}) AS {name}")
            expected[name] = Decimal(text)
    table = pa.table(await pool.fetch_arrow(f"SELECT {', '.join(expressions)}"))
    assert table.to_pylist() == [expected]
    assert str(table.schema.types[2]) == f"decimal128({precision}, 1)"


MALFORMED = {
    "group": numeric([10_000], 0),
    "negative group": numeric([-1], 0),
    "sign": numeric([1], 0, sign=0x1234),
    "shorter": numeric([1], 0)[:-1],
    "longer": numeric([1], 0) + b"\0",
    "count": struct.pack(">hhHh", -1, 0, 0, 0),
    "empty": b"",
}


@pytest.mark.parametrize("precision", [0, 20])
@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_numerics_are_refused(decoder: Make, name: str, precision: int) -> None:
    with pytest.raises(DecodeError, match=r'column "price": ') as caught:
        decoded(decoder(Form("price", "numeric", precision=precision)), row(MALFORMED[name]))
    assert "NaN" not in str(caught.value)


async def test_decimals_beyond_their_column_are_refused(decoder: Make) -> None:
    column = Form("price", "numeric", precision=5, scale=2)
    assert decoded(decoder(column), row(numeric([999, 9900], 0, scale=2))) == [Decimal("999.99")]
    for value in (numeric([1000], 0), numeric([1, 1], 0, scale=4), numeric([1], 5000), numeric([1], -9, scale=36)):
        with pytest.raises(DecodeError, match='column "price": '):
            decoded(decoder(column), row(value))


# -- data that lie -----------------------------------------------------------------------------------------------------


LYING = {
    "a negative count": array(count=-1),
    "a negative count beside elements": array(b"\0\0\0\1", count=-1),
    "negative dimensions": array(b"\0\0\0\1", dimensions=-1),
    "more elements than there are": array(b"\0\0\0\1", count=2),
    "two thousand million elements": array(count=2**31 - 1),
    "fewer elements than there are": array(b"\0\0\0\1", b"\0\0\0\1", count=1),
    "an element of a negative length": array(count=1) + struct.pack(">i", -2),
    "an element that is longer than the array": array(count=1) + struct.pack(">i", 2**31 - 1),
    "an element of another length": array(b"\1"),
    "half a head": array(b"\0\0\0\1")[:10],
    "no head": b"",
}


@pytest.mark.parametrize("name", LYING)
async def test_arrays_that_lie_are_refused(decoder: Make, name: str) -> None:
    with pytest.raises(DecodeError, match='column "many": '):
        decoded(decoder(Form("many", "int4", is_list=True)), row(LYING[name]))


async def test_every_kind_names_its_column(decoder: Make) -> None:
    missed = []
    for kind in (*sorted(set(forms.KINDS.values())), "enum"):
        for is_list in (False, True):
            wrong = b"\xff" * 3 if kind not in ("bytea",) else b"\xff"
            if kind == "bytea" and not is_list:
                continue  # takes what comes
            try:
                decoded(
                    decoder(Form("one", kind, is_list)), row(array(wrong) if is_list and kind != "bytea" else wrong)
                )
            except DecodeError as error:
                if 'column "one": ' in str(error):
                    continue
            missed.append((kind, is_list))
    assert missed == []


@pytest.mark.parametrize("count", [0, 2, -2, 32767])
async def test_rows_that_lie_are_refused(decoder: Make, count: int) -> None:
    with pytest.raises(DecodeError, match=f"a row of {count} values where 1 are expected"):
        decoded(decoder(Form("one", "int4")), struct.pack(">h", count) + row(b"\0\0\0\1")[2:])


async def test_a_value_of_a_negative_length_is_refused(decoder: Make) -> None:
    with pytest.raises(DecodeError, match='column "one": a value of -2 bytes'):
        decoded(decoder(Form("one", "int4")), struct.pack(">hi", 1, -2))


# -- batches -----------------------------------------------------------------------------------------------------------


async def test_each_table_of_a_stream_is_one_batch(pool: Any) -> None:
    tables = [table async for table in pool.stream_arrow(NUMBERS.format(2500), batch=1000)]
    assert [len(table) for table in tables] == [1000, 1000, 500]
    assert [pa.table(table)["i"].num_chunks for table in tables] == [1, 1, 1]
    assert [value for table in tables for value in pa.table(table)["i"].to_pylist()] == list(range(1, 2501))


async def test_batches_end_before_their_text_is_too_large(pool: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forms, "MOST_BYTES", 1000)
    sql = "SELECT repeat('x', 300) AS t, repeat('y', 300)::bytea AS b FROM generate_series(1, 7)"
    table = pa.table(await pool.fetch_arrow(sql))
    assert table.num_rows == 7
    assert max(chunk.nbytes for chunk in table["t"].chunks) < 2000
    assert [len(one) async for one in pool.stream_arrow(sql)] == [2, 2, 2, 1]


GROWING = {"numeric": "1e500::numeric", "numeric[]": "ARRAY[1e500::numeric]", "uuid[]": "array_fill(u, ARRAY[14])"}


@pytest.mark.parametrize("kind", GROWING)
async def test_values_count_as_the_text_that_they_become(pool: Any, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A numeric of 10 bytes may have 130,000 digits."""
    monkeypatch.setattr(forms, "MOST_BYTES", 1000)
    uuid = "'9cb3c5f4-2f5d-4a0c-8b2f-0a8a5f8f7d01'::uuid AS u"
    sql = f"SELECT {GROWING[kind]} AS x FROM (SELECT {uuid}) AS s, generate_series(1, 6)"
    assert [len(one) async for one in pool.stream_arrow(sql)] == [2, 2, 2]
    with pytest.raises(DecodeError, match='column "x": a value of more than 1000 bytes'):
        await pool.fetch_arrow(sql.replace("1e500", "1e5000").replace("[14]", "[100]"))
    assert await pool.fetchval("SELECT 1") == 1


async def test_values_that_come_in_pieces(decoder: Make) -> None:
    """A value is put together once, however many pieces it comes in."""
    long, names = b"x" * 300_000, (b"a" * 7, None, b"")
    data = HEADER + row(long, names[0]) + row(b"", names[1]) + row(long, names[2]) + TRAILER
    for size in (1, 7, 4096):
        made = decoder(Form("long", "text"), Form("name", "text"))
        pieces = memoryview(data)
        for at in range(0, len(data), size):
            made.feed(bytes(pieces[at : at + size]))
        table = pa.table(made.take(rest=True))
        assert [len(value) for value in table["long"].to_pylist()] == [300_000, 0, 300_000]
        assert table["name"].to_pylist() == ["a" * 7, None, ""]


async def test_a_stream_without_rows_has_its_columns(pool: Any) -> None:
    tables = [table async for table in pool.stream_arrow("SELECT 1::int8 AS a, '{}'::text[] AS b WHERE false")]
    assert [(table.num_rows, table.column_names) for table in tables] == [(0, ["a", "b"])]
    assert [str(kind) for kind in pa.table(tables[0]).schema.types] == ["int64", "list<item: string>"]
    whole = [len(table) async for table in pool.stream_arrow(NUMBERS.format(20), batch=10)]
    assert whole == [10, 10], "no empty one behind those with rows"


# -- SQLite ------------------------------------------------------------------------------------------------------------


@pytest.fixture
async def lite(open_pool: Any, tmp_path: Any) -> Any:
    return await open_pool(f"sqlite:///{tmp_path}/a.db", max_size=1)


async def test_a_stream_of_sqlite_without_rows_has_its_columns(lite: Any) -> None:
    tables = [table async for table in lite.stream_arrow("SELECT 1 AS a, 'x' AS b, 2 AS a WHERE false")]
    assert [(table.num_rows, table.column_names) for table in tables] == [(0, ["a", "b", "a"])]
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20) SELECT i FROM n"
    assert [len(table) async for table in lite.stream_arrow(rows, batch=10)] == [10, 10]


@pytest.mark.parametrize(
    ("first", "later", "kept"),
    [
        ("1", "'1'", "int64"),
        ("1", "x'31'", "int64"),
        ("1", "1.0", "int64"),
        ("1", "1.5", "int64"),
        ("1.5", "'1'", "double"),
        ("'a'", "x'61'", "string"),
        ("'a'", "1", "string"),
        ("x'61'", "'a'", "binary"),
        ("NULL", "1", "null"),
    ],
)
async def test_later_batches_of_sqlite_have_the_types_of_the_first(
    lite: Any, first: str, later: str, kept: str
) -> None:
    sql = f"SELECT {first} AS x UNION ALL SELECT NULL UNION ALL SELECT {later}"
    seen = []
    with pytest.raises(DecodeError, match=f'column "x": Arrow needs one type, .* where {kept} came before'):  # noqa: PT012 -- the block is what raises
        async for table in lite.stream_arrow(sql, batch=1):
            seen.append(str(pa.table(table).schema.types[0]))
    assert seen == [kept, kept]
    assert await lite.fetchval("SELECT 1") == 1


async def test_integers_become_the_doubles_of_the_first_batch(lite: Any) -> None:
    tables = [table async for table in lite.stream_arrow("SELECT 1.5 AS x UNION ALL SELECT 2", batch=1)]
    assert [pa.table(table).to_pylist() for table in tables] == [[{"x": 1.5}], [{"x": 2.0}]]


async def test_the_row_of_the_pool_plays_no_part(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1, row=dict)
    assert pa.table(await pool.fetch_arrow("SELECT 1 AS a")).to_pylist() == [{"a": 1}]
    assert [pa.table(table).to_pylist() async for table in pool.stream_arrow("SELECT 1 AS a")] == [[{"a": 1}]]


# -- time-outs, and what is imported -----------------------------------------------------------------------------------


async def test_command_timeout_covers_the_wait_for_a_connection(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=1, command_timeout=0.05, acquire_timeout=600.0)
    async with pool.acquire():
        calls = [pool.fetch_arrow("SELECT 1 AS a"), _all(pool.stream_arrow("SELECT 1 AS a"))]
        found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PROMPT)
    assert [type(one) for one in found] == [PoolTimeout, PoolTimeout]
    assert pa.table(await pool.fetch_arrow("SELECT 1 AS a", timeout=60)).to_pylist() == [{"a": 1}]


async def _all(stream: Any) -> list[Any]:
    return [table async for table in stream]


async def test_command_timeout_covers_the_call(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1, command_timeout=0.2)
    for call in (pool.fetch_arrow, lambda sql: _all(pool.stream_arrow(sql))):
        await at_rest(pool)  # to read the catalogue may take longer than the deadline
        with pytest.raises(StatementTimeout):
            await asyncio.wait_for(call("SELECT pg_sleep(600)::text AS x"), PROMPT)
        assert await pool.fetchval("SELECT 1", timeout=60) == 1


class _Imports(importlib.abc.MetaPathFinder):
    """Notes the threads that import the modules which need pyarrow."""

    def __init__(self) -> None:
        self.threads: list[tuple[str, int]] = []

    def find_spec(self, name: str, path: Any, target: Any = None) -> None:
        if name.startswith("db_pool_rs.arrow."):
            self.threads.append((name, threading.get_ident()))


@pytest.fixture
def imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Imports]:
    """As in a process that has not imported them."""
    import db_pool_rs.arrow
    import db_pool_rs.arrow.python
    import db_pool_rs.arrow.table

    for name in ("python", "table"):
        monkeypatch.delitem(sys.modules, f"db_pool_rs.arrow.{name}")
        monkeypatch.delattr(db_pool_rs.arrow, name)
    seen = _Imports()
    sys.meta_path.insert(0, seen)
    yield seen
    sys.meta_path.remove(seen)


async def test_pyarrow_is_imported_on_a_thread(open_pool: Any, backend: Any, imports: _Imports) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    assert pa.table(await pool.fetch_arrow("SELECT 1 AS a")).to_pylist() == [{"a": 1}]
    assert [len(table) async for table in pool.stream_arrow("SELECT 1 AS a")] == [1]
    assert [name for name, thread in imports.threads if thread == threading.get_ident()] == []
