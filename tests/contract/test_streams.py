"""Rows and the data of a COPY, a piece at a time and no faster than they are taken."""

from __future__ import annotations

import asyncio
import gc
import io
from contextlib import aclosing
from typing import Any

import pytest

from db_pool_rs.errors import ArgumentError, DatabaseError, InterfaceError, PoolTimeout, StatementTimeout
from tests.contract.guarding import at_rest
from tests.contract.waiting import until
from tests.plugins.proxy import FaultProxy

pytestmark = pytest.mark.usefixtures("patient")

NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 25) SELECT i FROM n"
BELOW = f"SELECT i, i * 2 AS twice FROM ({NUMBERS}) s WHERE i < CAST($1 AS integer) ORDER BY i"
ENDLESS = "SELECT generate_series(1, 1000000000) AS i"
MANY = "SELECT i, repeat('x', 1000) AS x FROM generate_series(1, {}) AS i"


@pytest.fixture
async def pool(open_pool: Any, backend: Any) -> Any:
    return await open_pool(backend.dsn, max_size=1)


@pytest.fixture
async def pg_pool(open_pool: Any, pg_database: str) -> Any:
    return await open_pool(pg_database, max_size=1)


async def _free(pool: Any) -> None:
    """The only connection serves again, and it is the one that was opened first."""
    assert await pool.fetchval("SELECT 1") == 1
    stats = pool.stats()
    assert (stats.connects, stats.lost, stats.sessions) == (1, 0, 0)


# -- rows --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 24, 25, 26, 1000])
async def test_lists_of_rows(pool: Any, batch: int) -> None:
    async with pool.stream(NUMBERS, batch=batch) as batches:
        lists = [rows async for rows in batches]
    assert [row["i"] for rows in lists for row in rows] == list(range(1, 26))
    assert {len(rows) for rows in lists[:-1]} <= {batch}
    await _free(pool)


async def test_single_rows_and_arguments(pool: Any) -> None:
    for limit in (4, 0, 100):
        rows = [tuple(row) async for row in pool.stream(BELOW, limit, batch=3)]
        assert rows == [(i, 2 * i) for i in range(1, min(limit, 26))]
    await _free(pool)


async def test_rows_as_the_program_wants_them(pool: Any) -> None:
    async with pool.stream(BELOW, 3, row=dict) as batches:
        assert [row async for rows in batches for row in rows] == [{"i": 1, "twice": 2}, {"i": 2, "twice": 4}]
    assert [row async for row in pool.stream(BELOW, 3, row=lambda row: row["twice"])] == [2, 4]


async def test_it_is_a_session_of_its_own(open_pool: Any, backend: Any) -> None:
    pool = await open_pool(backend.dsn, max_size=2)
    async with pool.stream(NUMBERS, batch=1) as batches:
        assert [tuple(row) for row in await batches.__anext__()] == [(1,)]
        assert pool.stats().sessions == 1
        assert await pool.fetchval("SELECT 1") == 1
    await until(lambda: pool.stats().sessions == 0)


async def test_left_early(pool: Any) -> None:
    async with pool.stream(NUMBERS, batch=2) as batches:
        async for _ in batches:
            break
    await _free(pool)
    async for row in pool.stream(NUMBERS, batch=2):
        assert row[0] == 1
        break
    gc.collect()
    await until(lambda: pool.stats().sessions == 0)
    await _free(pool)
    with pytest.raises(KeyError):
        await _raise_in(pool.stream(NUMBERS, batch=2))
    await _free(pool)


async def _raise_in(stream: Any) -> None:
    async with stream as batches:
        async for _ in batches:
            raise KeyError


async def test_rows_stay_on_the_server(pg_pool: Any) -> None:
    async with pg_pool.stream(ENDLESS, batch=10) as batches:
        assert [row[0] for row in await batches.__anext__()] == list(range(1, 11))
    await _free(pg_pool)


async def test_cancelled_while_it_waits_for_rows(pg_pool: Any) -> None:
    async def read() -> None:
        async for _ in pg_pool.stream("SELECT i FROM generate_series(1, 5) AS i, pg_sleep(60)"):
            pass

    task = asyncio.ensure_future(read())
    await until(lambda: pg_pool.stats().sessions == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _free(pg_pool)


async def test_wrong_use_of_rows(pool: Any) -> None:
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    for stream, error in (
        (pool.stream("INSERT INTO t VALUES (1)"), InterfaceError),
        (pool.stream("SELECT 1; SELECT 2"), InterfaceError),
        (pool.stream(NUMBERS, batch=0), InterfaceError),
        (pool.stream(BELOW), ArgumentError),
        (pool.stream("SELECT nonsense"), DatabaseError),
    ):
        with pytest.raises(error):
            await read(stream)
    stream = pool.stream(NUMBERS)
    await read(stream)
    with pytest.raises(InterfaceError, match="used already"):
        await read(stream)
    async with pool.acquire():
        with pytest.raises(PoolTimeout):
            await read(pool.stream(NUMBERS, timeout=0.05))
    await _free(pool)


# -- COPY out ----------------------------------------------------------------------------------------------------------


async def _all(pieces: Any) -> bytes:
    return b"".join([piece async for piece in pieces])


async def test_copy_out_of_queries_and_tables(pg_pool: Any) -> None:
    await pg_pool.execute('CREATE TABLE "Odd" (a int, "b c" text)')
    await pg_pool.execute("DROP SCHEMA IF EXISTS other CASCADE")
    await pg_pool.execute("CREATE SCHEMA other CREATE TABLE t (a int)")
    await pg_pool.execute("INSERT INTO \"Odd\" VALUES (1, 'x'), (2, NULL)")
    assert await _all(pg_pool.copy_out("Odd")) == b"1\tx\n2\t\\N\n"
    assert await _all(pg_pool.copy_out("Odd", format="csv", columns=["b c"], header=True)) == b"b c\nx\n\n"
    assert await _all(pg_pool.copy_out("t", schema_name="other")) == b""
    assert await _all(pg_pool.copy_out('SELECT a FROM "Odd" WHERE a > $1', 1)) == b"2\n"
    assert await _all(pg_pool.copy_out('TABLE "Odd"', format="csv")) == b"1,x\n2,\n"
    async with pg_pool.transaction() as tx:
        await tx.execute('DELETE FROM "Odd" WHERE a = 1')
        assert await _all(tx.copy_out("VALUES (1), (2)")) == b"1\n2\n"
        assert await _all(tx.copy_out("Odd", columns=["a"])) == b"2\n"
    await _free(pg_pool)


async def test_copy_out_no_faster_than_it_is_taken(open_pool: Any, pg_database: str, proxy: FaultProxy) -> None:
    """What is not taken stays with the server, but for what the network holds."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    count = 50_000
    size = len(await _all(pool.copy_out(MANY.format(1)))) * count
    taken, before = 0, proxy.bytes_to_client
    async with aclosing(pool.copy_out(MANY.format(count))) as pieces:
        taken += len(await pieces.__anext__())
        moved = -1
        while moved != proxy.bytes_to_client:  # until nothing comes any more
            moved = proxy.bytes_to_client
            await asyncio.sleep(0.05)
        assert proxy.bytes_to_client - before < size / 2
        async for piece in pieces:
            taken += len(piece)
    assert taken >= size
    await _free(pool)


async def test_copy_out_left_early(pg_pool: Any) -> None:
    async with aclosing(pg_pool.copy_out(ENDLESS)) as pieces:
        async for piece in pieces:
            assert piece.startswith(b"1\n2\n")
            break
    await _free(pg_pool)
    async for _ in pg_pool.copy_out(ENDLESS):
        break
    gc.collect()
    await _free(pg_pool)
    async with pg_pool.acquire() as connection:
        async with aclosing(connection.copy_out(ENDLESS)) as pieces:
            await pieces.__anext__()
        assert await connection.fetchval("SELECT 2") == 2
    await _free(pg_pool)


async def test_copy_out_that_fails(pg_pool: Any) -> None:
    pieces = pg_pool.copy_out("SELECT 10 / (3 - i) FROM generate_series(1, 5) AS i")
    with pytest.raises(DatabaseError) as caught:
        await _all(pieces)
    assert caught.value.sqlstate == "22012"
    for call in (
        pg_pool.copy_out("no_table"),
        pg_pool.copy_out("t", 5),
        pg_pool.copy_out("SELECT 1", columns=["a"]),
        pg_pool.copy_out("SELECT 1", format="xml"),
        pg_pool.copy_out(5),
    ):
        with pytest.raises((DatabaseError, InterfaceError)):
            await _all(call)
    await at_rest(pg_pool)
    with pytest.raises(StatementTimeout):
        await _all(pg_pool.copy_out("SELECT 1 FROM pg_sleep(60)", timeout=0.5))
    await _free(pg_pool)


async def test_copy_out_cancelled_while_it_waits(pg_pool: Any) -> None:
    task = asyncio.ensure_future(_all(pg_pool.copy_out("SELECT 1 FROM pg_sleep(60)")))
    await until(lambda: pg_pool.stats().sessions == 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _free(pg_pool)


# -- COPY in -----------------------------------------------------------------------------------------------------------


async def _each(*items: Any) -> Any:
    for item in items:
        await asyncio.sleep(0)
        yield item


SOURCES = {
    "list of records": lambda path: [(1, "a"), (2, None)],
    "iterator of records": lambda path: iter([(1, "a"), (2, None)]),
    "asynchronous records": lambda path: _each((1, "a"), [2, None]),
    "nothing": lambda path: [],
    "bytes": lambda path: b"1\ta\n2\t\\N\n",
    "pieces": lambda path: [b"1\ta\n2", bytearray(b"\t\\N\n")],
    "asynchronous pieces": lambda path: _each(b"1\ta\n2", memoryview(b"\t\\N\n")),
    "file": lambda path: io.BytesIO(b"1\ta\n2\t\\N\n"),
    "path": lambda path: path,
}


@pytest.mark.parametrize("kind", SOURCES)
async def test_copy_in(pg_pool: Any, tmp_path: Any, kind: str) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"1\ta\n2\t\\N\n")
    await pg_pool.execute("CREATE TABLE t (id int, name text)")
    expected = [] if kind == "nothing" else [(1, "a"), (2, None)]
    assert await pg_pool.copy_in("t", source=SOURCES[kind](path)) == f"COPY {len(expected)}"
    assert [tuple(row) for row in await pg_pool.fetch("SELECT * FROM t ORDER BY id")] == expected
    async with pg_pool.transaction() as tx:
        await tx.copy_in("t", source=SOURCES[kind](path), columns=["id", "name"], where="id > 1", schema_name="public")
        assert await tx.fetchval("SELECT count(*) FROM t") == len(expected) * 3 // 2
    await _free(pg_pool)


async def test_copy_in_options_and_errors(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE t (id int, name text)")
    assert await pg_pool.copy_in("t", source=b"1;a\n", format="csv", delimiter=";") == "COPY 1"
    closed: list[str] = []

    async def endless() -> Any:
        try:
            while True:
                yield b"1\ta\n" * 100
                await asyncio.sleep(0)
        finally:
            closed.append("endless")

    async def silent() -> Any:
        await asyncio.sleep(60)
        yield b""

    for source, options, error in (
        ([(1, "a")], {"format": "csv"}, InterfaceError),
        ([("x", "a")], {}, ArgumentError),
        (b"x\ta\n", {}, DatabaseError),
        (5, {}, InterfaceError),
        ([b"1\ta\n", "text"], {}, InterfaceError),
        (endless(), {"timeout": 0.2}, StatementTimeout),
        (silent(), {"timeout": 0.2}, StatementTimeout),
    ):
        await at_rest(pg_pool)  # to read the catalogue may take longer than the deadline
        with pytest.raises(error):
            await pg_pool.copy_in("t", source=source, **options)
    gc.collect()  # where the COPY was still using it
    await until(lambda: closed == ["endless"])
    assert await pg_pool.fetchval("SELECT count(*) FROM t") == 1
    await _free(pg_pool)


async def test_from_one_database_to_another(pg_pool: Any, open_pool: Any, pg_database: str) -> None:
    """No piece is kept: what comes out goes in."""
    other = await open_pool(pg_database, max_size=1)
    await pg_pool.execute("CREATE TABLE t (i int, x text)")
    await other.copy_in("t", source=pg_pool.copy_out(MANY.format(20_000), format="binary"), format="binary")
    assert await other.fetchval("SELECT count(*) FROM t") == 20_000
    await _free(pg_pool)


async def test_sqlite_has_no_copy(open_pool: Any) -> None:
    pool = await open_pool("sqlite://")
    with pytest.raises(InterfaceError, match="COPY is PostgreSQL's"):
        await _all(pool.copy_out("SELECT 1"))
    with pytest.raises(InterfaceError, match="COPY is PostgreSQL's"):
        await pool.copy_in("t", source=[(1,)])
