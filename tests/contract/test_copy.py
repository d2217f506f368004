"""COPY in and out of tables and queries."""

from __future__ import annotations

import asyncio
import io
import ipaddress
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError, UniqueViolation

pytestmark = pytest.mark.usefixtures("patient")

TABLE = "CREATE TABLE t (id int PRIMARY KEY, name text)"


@pytest.fixture
async def connection(open_pool: Any, pg_database: str) -> Any:
    pool = await open_pool(pg_database, max_size=2)
    async with pool.acquire() as connection:
        await connection.execute(TABLE)
        yield connection


async def _pieces(*pieces: bytes) -> Any:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece


async def test_records_in_and_out(connection: Any) -> None:
    records = [(number, f"row {number}" if number % 3 else None) for number in range(20_000)]
    assert await connection.copy_records_to_table("t", records=records) == "COPY 20000"
    assert [tuple(row) for row in await connection.fetch("SELECT * FROM t ORDER BY id")] == records
    output = io.BytesIO()
    assert await connection.copy_from_table("t", output=output, format="csv", columns=["id"]) == "COPY 20000"
    assert output.getvalue().split() == [str(number).encode() for number in range(20_000)]
    assert await connection.copy_records_to_table("t", records=[]) == "COPY 0"


async def test_records_of_every_kind(connection: Any) -> None:
    await connection.execute(
        "CREATE TYPE mood AS ENUM ('sad', 'happy'); CREATE DOMAIN cents AS bigint CHECK (VALUE >= 0);"
        'CREATE TABLE "Odd ""name" (a mood, "B c" cents, i inet, c cidr, n numeric, u uuid, ts timestamptz, j jsonb,'
        " l int[], b bytea, made int GENERATED ALWAYS AS (1) STORED)"
    )
    names = ["a", "B c", "i", "c", "n", "u", "ts", "j", "l", "b"]
    row = (
        *("happy", 7, ipaddress.ip_address("10.0.0.1"), ipaddress.ip_network("10.0.0.0/8"), Decimal("1.50")),
        *(uuid.UUID(int=5), datetime(2026, 1, 2, tzinfo=timezone.utc), {"a": [1]}, [1, None, 3], b"\0\xff"),
    )

    async def records() -> Any:
        yield row
        yield (None,) * len(names)

    assert await connection.copy_records_to_table('Odd "name', records=records(), schema_name="public") == "COPY 2"
    columns = ", ".join('"' + name + '"' for name in names)
    first, second = await connection.fetch(f'SELECT {columns} FROM "Odd ""name"')
    assert tuple(first) == row
    assert tuple(second) == (None,) * len(names)
    await connection.copy_records_to_table('Odd "name', records=[("1.2.3.0/24", 3)], columns=["i", "B c"])
    assert await connection.fetchval('SELECT i FROM "Odd ""name" WHERE "B c" = 3') == ipaddress.ip_interface(
        "1.2.3.0/24"
    )
    with pytest.raises(DatabaseError) as caught:
        await connection.copy_records_to_table('Odd "name', records=[(-1,)], columns=["B c"])
    assert caught.value.sqlstate == "23514"


async def test_where(connection: Any) -> None:
    records = [(number, None) for number in range(10)]
    assert await connection.copy_records_to_table("t", records=records, where="id > 6") == "COPY 3"


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([(1, "a"), ("2", "b")], r'record 1, column "id": int4 expected'),
        ([(1, 2)], r'record 0, column "name": text expected'),
        ([(1,)], "record 0: 2 values expected, got 1"),
        ([(1, "a"), 5], "record 1: a sequence"),
    ],
)
async def test_records_that_do_not_fit(connection: Any, records: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        await connection.copy_records_to_table("t", records=records)
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_what_the_database_refuses_leaves_nothing(connection: Any) -> None:
    with pytest.raises(UniqueViolation):
        await connection.copy_records_to_table("t", records=[(1, "a"), (1, "b")])
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    with pytest.raises(DatabaseError) as caught:
        await connection.copy_to_table("t", source=_pieces(*[b"no number\n"] * 100_000), columns=["id"])
    assert caught.value.sqlstate == "22P02"
    with pytest.raises(DatabaseError) as caught:
        await connection.copy_to_table("missing", source=_pieces(b"1\n"))
    assert caught.value.sqlstate == "42P01"
    assert await connection.fetchval("SELECT 1") == 1


async def test_in_a_transaction(connection: Any) -> None:
    await connection.execute("BEGIN")
    await connection.copy_records_to_table("t", records=[(1, "a")])
    assert await connection.fetchval("SELECT count(*) FROM t") == 1
    await connection.execute("ROLLBACK")
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    async with connection.transaction():
        with pytest.raises(UniqueViolation):
            async with connection.transaction():
                await connection.copy_records_to_table("t", records=[(1, "a"), (1, "b")])
        assert await connection.copy_records_to_table("t", records=[(2, "b")]) == "COPY 1"
    assert await connection.fetchval("SELECT array_agg(id) FROM t") == [2]


async def test_files_and_streams(connection: Any, tmp_path: Any) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"id;name\n1;one\n2;-\n")
    options = {"format": "csv", "delimiter": ";", "header": True, "null": "-"}
    assert await connection.copy_to_table("t", source=path, **options) == "COPY 2"
    with path.open("rb") as file, pytest.raises(UniqueViolation):
        await connection.copy_to_table("t", source=file, **options)
    assert await connection.copy_to_table("t", source=_pieces(b"3\tthr", b"ee\n", b"4\t\\N\n")) == "COPY 2"
    taken: list[bytes] = []

    async def take(data: bytes) -> None:
        await asyncio.sleep(0)
        taken.append(data)

    query = "SELECT * FROM t WHERE id <> $1 AND name <> $2 OR name IS NULL AND '$1' <> $2 ORDER BY id; -- $1"
    assert await connection.copy_from_query(query, 1, "it's \\", output=take) == "COPY 3"
    assert b"".join(taken) == b"2\t\\N\n3\tthree\n4\t\\N\n"
    assert await connection.copy_from_table("t", output=str(path), force_quote=True, format="csv") == "COPY 4"
    assert path.read_bytes() == b'"1","one"\n"2",\n"3","three"\n"4",\n'
    assert await connection.copy_from_query("SELECT 1 WHERE false", output=path) == "COPY 0"
    assert path.read_bytes() == b""


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])), st.integers(-(2**63), 2**63 - 1))
async def test_arguments_of_a_query_keep_their_values(connection: Any, text: str, number: int) -> None:
    taken = io.BytesIO()
    sql = 'SELECT $1::text /* $1 */, $2::bigint, \'$2\', "$2" FROM (SELECT $$ $1 $$ AS "$2") s WHERE $3::text IS NULL'
    await connection.copy_from_query(sql, text, number, None, output=taken, format="binary")
    header, trailer = 19, 2
    data = taken.getvalue()[header:-trailer]
    encoded = text.encode()
    begin = b"\0\4" + len(encoded).to_bytes(4, "big") + encoded + b"\0\0\0\x08" + number.to_bytes(8, "big", signed=True)
    assert data.startswith(begin)
    assert data[len(begin) :] == b"\0\0\0\x02$2\0\0\0\4 $1 "


class _Counted(io.BytesIO):
    """A file that counts how often it is read and written."""

    reads = writes = 0

    def read(self, size: int | None = -1) -> bytes:
        self.reads += 1
        return super().read(size)

    def write(self, data: Any) -> int:
        self.writes += 1
        return super().write(data)


async def test_files_are_read_and_written_in_large_pieces(connection: Any) -> None:
    data = b"".join(b"%d\t%s\n" % (number, b"x" * 1000) for number in range(5_000))
    source, output = _Counted(data), _Counted()
    assert await connection.copy_to_table("t", source=source) == "COPY 5000"
    assert await connection.copy_from_table("t", output=output) == "COPY 5000"
    assert sorted(output.getvalue().split(b"\n")) == sorted(data.split(b"\n"))
    assert source.reads <= len(data) // 500_000 + 2
    assert output.writes <= len(data) // 500_000 + 1


async def test_rows_that_arrive_together_are_given_together(connection: Any) -> None:
    taken: list[bytes] = []

    async def take(data: bytes) -> None:
        taken.append(data)

    assert await connection.copy_from_query("SELECT generate_series(1, 10000)", output=take) == "COPY 10000"
    assert b"".join(taken) == b"".join(b"%d\n" % number for number in range(1, 10001))
    assert len(taken) < 1000


async def test_streams_that_fail(connection: Any) -> None:
    async def fails() -> Any:
        yield b"1\tone\n"
        raise ZeroDivisionError("in the source")

    async def refuses(data: bytes) -> None:
        raise ZeroDivisionError("in the sink")

    with pytest.raises(ZeroDivisionError, match="in the source"):
        await connection.copy_to_table("t", source=fails())
    assert await connection.fetchval("SELECT count(*) FROM t") == 0
    with pytest.raises(ZeroDivisionError, match="in the sink"):
        await connection.copy_from_query("SELECT generate_series(1, 100000000)", output=refuses)
    with pytest.raises(InterfaceError, match="bytes expected, got str"):
        await connection.copy_to_table("t", source=_pieces("1\tone\n"))  # type: ignore[arg-type]
    assert await connection.fetchval("SELECT 1") == 1


async def test_cancelled(connection: Any) -> None:
    begun, never = asyncio.Event(), asyncio.Event()

    async def hangs() -> Any:
        yield b"1\tone\n"
        begun.set()
        await never.wait()
        yield b""

    async def hangs_too(data: bytes) -> None:
        begun.set()
        await never.wait()

    for call in (
        lambda: connection.copy_to_table("t", source=hangs()),
        lambda: connection.copy_from_query("SELECT generate_series(1, 100000000)", output=hangs_too),
    ):
        begun.clear()
        task = asyncio.ensure_future(call())
        await asyncio.wait_for(begun.wait(), 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_terminated_in_the_middle(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute(TABLE)
    begun, never = asyncio.Event(), asyncio.Event()

    async def hangs() -> Any:
        begun.set()
        await never.wait()
        yield b""

    async def copy() -> None:
        async with pool.acquire() as connection:
            await connection.copy_to_table("t", source=hangs())

    task = asyncio.ensure_future(copy())
    await asyncio.wait_for(begun.wait(), 10)
    pool.terminate()
    with pytest.raises(Exception, match="closed"):
        await task


async def test_wrong_use(connection: Any) -> None:
    for call, message in (
        (lambda: connection.copy_to_table("", source=b""), "table_name"),
        (lambda: connection.copy_to_table("t", source=5), "source: a path"),
        (lambda: connection.copy_to_table("t", source=_pieces(), columns="id"), "columns: a list"),
        (lambda: connection.copy_to_table("t", source=_pieces(), columns=[]), "at least one name"),
        (lambda: connection.copy_from_table("t", output=5), "output: a path"),
        (lambda: connection.copy_from_table("t", output=io.BytesIO(), format="xml"), "one of text, csv, binary"),
        (lambda: connection.copy_from_table("t", output=io.BytesIO(), header="yes"), "header: True or False"),
        (lambda: connection.copy_from_table("t", output=io.BytesIO(), wrong=1), "wrong"),
        (lambda: connection.copy_records_to_table("t", records=5), "records: an iterable"),
        (lambda: connection.copy_records_to_table("t", records=[], columns=["nope"]), "no column 'nope'"),
        (lambda: connection.copy_from_query("SELECT 1; SELECT 2", output=io.BytesIO()), "one statement"),
        (lambda: connection.copy_from_query("SELECT /* /* */ */ $1::int", 1, output=io.BytesIO()), "comment within"),
    ):
        with pytest.raises(InterfaceError, match=message):
            await call()
    with pytest.raises(ArgumentError):
        await connection.copy_from_query("SELECT 1", 5, output=io.BytesIO())
    assert await connection.fetchval("SELECT 1") == 1


async def test_names_are_quoted(connection: Any) -> None:
    await connection.execute('CREATE TABLE "a""; DROP TABLE t; --" (x int)')
    assert await connection.copy_records_to_table('a"; DROP TABLE t; --', records=[(1,)]) == "COPY 1"
    for call in (
        connection.copy_from_table("t; DROP TABLE t", output=io.BytesIO()),
        connection.copy_from_table("t", columns=['id") TO STDOUT; DROP TABLE t; --'], output=io.BytesIO()),
    ):
        with pytest.raises(DatabaseError):
            await call
    assert await connection.fetchval("SELECT count(*) FROM t") == 0


async def test_sqlite_has_none(open_pool: Any) -> None:
    pool = await open_pool("sqlite://")
    async with pool.acquire() as connection:
        await connection.execute("CREATE TABLE t (a)")
        for call in (
            connection.copy_records_to_table("t", records=[(1,)]),
            connection.copy_to_table("t", source=_pieces(b"1")),
            connection.copy_from_query("SELECT 1", output=io.BytesIO()),
        ):
            with pytest.raises(InterfaceError, match="COPY is PostgreSQL's"):
                await call
        assert await connection.fetchval("SELECT 1") == 1


@pytest.mark.parametrize("wrong", ["ab", b"ab", {"a": 1, "b": 2}, {"a", "b"}])
async def test_what_is_no_record_is_refused(open_pool: Any, pg_database: str, wrong: Any) -> None:
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TABLE pairs (a text, b text)")
    async with pool.acquire() as connection:
        with pytest.raises(ArgumentError, match=f"record 1: a sequence of values expected, got {type(wrong).__name__}"):
            await connection.copy_records_to_table("pairs", records=[("x", "y"), wrong])
    assert await pool.fetchval("SELECT count(*) FROM pairs") == 0
