"""In which format rows of cursors and streams come: those after the first batch in binary, without asking further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.contract.guarding import at_rest
from tests.plugins.proxy import TO_CLIENT, FaultProxy

pytestmark = [pytest.mark.usefixtures("patient"), pytest.mark.feature("postgresql")]

#: Eight bytes as text and in binary, where the letters of its number are its bytes.
NUMBER = 0x4142434445464748
ROWS = f"SELECT {NUMBER}::int8 AS number, i, 'name'::text AS name, now() AS seen FROM generate_series(1, 25) AS i"
FLOATS = (
    "SELECT i, i * 0.1::float8 AS tenth, now() AS seen, interval '1 day' * i AS span FROM generate_series(1, 9) AS i"
)
_PREPARED = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'FETCH%' OR statement LIKE 'DECLARE%'"


@pytest.fixture
async def pool(open_pool: Any, proxy: FaultProxy, pg_database: str) -> Any:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)
    return pool


@pytest.fixture
def numbers(proxy: FaultProxy) -> Callable[[], tuple[int, int]]:
    """How often the number has come since the last call: as text, and in binary."""
    heard = bytearray()

    def hear(chunk: bytes) -> bytes:
        heard.extend(chunk)
        return chunk

    def counted() -> tuple[int, int]:
        found = heard.count(b"%d" % NUMBER), heard.count(NUMBER.to_bytes(8, "big"))
        heard.clear()
        return found

    proxy.corrupt(hear, TO_CLIENT)
    return counted


async def test_a_stream_is_text_for_one_batch_only(pool: Any, numbers: Any) -> None:
    for _ in range(2):
        async with pool.stream(ROWS, batch=10) as batches:
            rows = [row async for batch in batches for row in batch]
        assert numbers() == (10, 15)
        assert [row["number"] for row in rows] == [NUMBER] * 25
        assert rows == await _fetched(pool, rows)
        numbers()


async def _fetched(pool: Any, rows: list[Any]) -> list[Any]:
    """What `fetch` gives, but for the moment."""
    return [(number, i, name, rows[0]["seen"]) for number, i, name, _ in map(tuple, await pool.fetch(ROWS))]


async def test_so_is_a_cursor_whatever_is_taken_of_it(pool: Any, numbers: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        cursor = connection.cursor(ROWS, prefetch=4)
        other = connection.cursor("SELECT 'x' AS x, i FROM generate_series(1, 9) AS i", prefetch=2)
        assert [row["i"] for row in await cursor.fetch(1)] == [1]
        assert [tuple(row) for row in await other.fetch(1)] == [("x", 1)]
        assert [row["i"] for row in await cursor.fetch(3)] == [2, 3, 4]
        assert (await cursor.fetchrow())["i"] == 5
        assert [tuple(row) for row in await other.fetch(3)] == [("x", 2), ("x", 3), ("x", 4)]
        assert [row["i"] async for row in cursor] == list(range(6, 26))
        assert numbers() == (1, 24)


async def test_no_round_trip_is_spent_on_it(pool: Any, proxy: FaultProxy) -> None:
    async with pool.acquire() as connection:
        for temporary in (False, True):
            if temporary:  # texts of such a session are its own
                await connection.execute("CREATE TEMPORARY TABLE t (i int)")
            async with connection.transaction():
                await connection.fetchval("SELECT 1")
                before = proxy.round_trips
                assert len([row async for row in connection.cursor(ROWS, prefetch=10)]) == 25
                assert proxy.round_trips - before == 4  # three batches, and CLOSE


async def test_records_cost_one_round_trip_for_each_cursor(pool: Any, proxy: FaultProxy) -> None:
    """Their fields would come as text: so the server is asked for the types of the first rows, and those only."""
    async with pool.acquire() as connection:
        sql = f"SELECT i, ROW(i, 'x'::text) AS pair, {NUMBER}::int8 AS number FROM generate_series(1, 25) AS i"
        for trips in (5, 5):  # four without records
            async with connection.transaction():
                await connection.fetchval("SELECT 1")
                before = proxy.round_trips
                rows = [tuple(row) async for row in connection.cursor(sql, prefetch=10)]
                assert rows == [(i, (i, "x"), NUMBER) for i in range(1, 26)]
                assert proxy.round_trips - before == trips


async def test_nothing_stays_prepared(pool: Any) -> None:
    async with pool.acquire() as connection:
        for batch in range(1, 9):
            async with connection.transaction():
                assert len([row async for row in connection.cursor(ROWS, prefetch=batch)]) == 25
                assert await connection.fetchval(_PREPARED) == 0


@pytest.mark.parametrize("max_statements", [0, 1])
async def test_without_prepared_statements(
    open_pool: Any, proxy: FaultProxy, pg_database: str, numbers: Any, max_statements: int
) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1, max_statements=max_statements)
    await at_rest(pool)
    numbers()
    async with pool.stream(ROWS, batch=10) as batches:
        assert [row["i"] async for batch in batches for row in batch] == list(range(1, 26))
    assert numbers() == (10, 15)


async def test_discard_between_two_batches(pool: Any, numbers: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        cursor = connection.cursor(ROWS, prefetch=5)
        assert len(await cursor.fetch(5)) == 5
        await connection.execute("DISCARD PLANS")
        await connection.execute("DEALLOCATE ALL")
        assert len(await cursor.fetch(5)) == 5
        assert numbers() == (5, 5)


@pytest.mark.parametrize(
    "setting",
    ["extra_float_digits = 0", "DateStyle = 'German'", "IntervalStyle = 'sql_standard'", "TimeZone = 'Asia/Tokyo'"],
)
async def test_settings_that_text_depends_on(pool: Any, proxy: FaultProxy, setting: str) -> None:
    async with pool.acquire() as connection, connection.transaction():
        wanted = await connection.fetch(FLOATS)
        cursor = connection.cursor(FLOATS, prefetch=2)
        rows = await cursor.fetch(2)
        await connection.execute(f"SET LOCAL {setting}")
        rows += await cursor.fetch(2)  # is it still there? That is asked first
        before = proxy.round_trips
        rows += await cursor.fetch(2)
        assert proxy.round_trips - before == 1
        rows += [row async for row in cursor]
        assert rows == wanted
        again = [row async for row in connection.cursor(FLOATS, prefetch=2)]
        assert again == wanted


async def test_types_of_the_program_s_own(pool: Any, proxy: FaultProxy) -> None:
    await pool.execute("CREATE TYPE mood AS ENUM ('sad', 'glad')")
    await pool.execute("CREATE TYPE pair AS (a int, b mood)")
    sql = (
        f"SELECT ROW(i, 'glad')::pair AS p, 'sad'::mood AS m, {NUMBER}::int8 AS number FROM generate_series(1, 5) AS i"
    )
    async with pool.acquire() as connection, connection.transaction():
        wanted = await connection.fetch(sql)
        cursor = connection.cursor(sql, prefetch=2)
        rows = await cursor.fetch(2)
        before = proxy.round_trips
        rows += await cursor.fetch(2)
        assert proxy.round_trips - before == 1
        assert rows + [row async for row in cursor] == wanted


async def test_a_codec_that_is_set_meanwhile(pool: Any) -> None:
    async with pool.acquire() as connection, connection.transaction():
        cursor = connection.cursor(ROWS, prefetch=2)
        for _ in range(2):
            assert {row["number"] for row in await cursor.fetch(2)} == {NUMBER}
        pool.set_type_codec("int8", encoder=str, decoder=lambda text: -int(text))
        for _ in range(2):
            assert {row["number"] for row in await cursor.fetch(2)} == {-NUMBER}
        pool.set_type_codec("text", encoder=str, decoder=str.upper)  # one more, beside one that is there
        assert {row["name"] for row in await cursor.fetch(2)} == {"NAME"}
        for name in ("text", "int8"):
            pool.reset_type_codec(name)
        assert {(row["number"], row["name"]) async for row in cursor} == {(NUMBER, "name")}
