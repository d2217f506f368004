"""COPY hears the server: a refusal, its end and notifications, while the caller's part takes its time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest

from db_pool_rs.errors import ConnectionLost, DatabaseError, InterfaceError
from tests.contract.test_notifications import Heard
from tests.contract.waiting import until

pytestmark = pytest.mark.usefixtures("patient")

TABLE = "CREATE TABLE t (id int PRIMARY KEY, name text)"
#: Nothing here waits for it to pass, unless something is broken.
PATIENCE = 30.0


class SlowSource:
    """Gives its pieces, then nothing more for ever; knows whether it was ended."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.waits, self.ended = asyncio.Event(), asyncio.Event()

    async def __aiter__(self) -> Any:
        try:
            for piece in self.pieces:
                yield piece
            self.waits.set()
            await asyncio.Event().wait()
        finally:
            self.ended.set()


async def test_a_refusal_is_told_while_the_source_is_slow(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    async with pg_pool.acquire() as connection:
        for _ in range(3):
            source = SlowSource(b"no number\t1\n", b"1\tone\n" * 20_000)
            with pytest.raises(DatabaseError) as caught:
                await asyncio.wait_for(connection.copy_to_table("t", source=source), PATIENCE)
            assert caught.value.sqlstate == "22P02"
            await asyncio.wait_for(source.ended.wait(), PATIENCE)
            assert await connection.fetchval("SELECT count(*) FROM t") == 0
        assert await connection.copy_to_table("t", source=_pieces(b"1\tone\n")) == "COPY 1"
    assert pg_pool.stats().lost == 0


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_a_source_that_calls_its_own_connection_is_refused(pg_pool: Any, inside: bool) -> None:
    """It would wait for the COPY, and the COPY for it."""
    await pg_pool.execute(TABLE)

    async def source() -> Any:
        yield b"1\tone\n"
        await connection.fetchval("SELECT 1")

    async with pg_pool.acquire() as connection:
        block = connection.transaction()
        if inside:
            await block.start()
            await connection.fetchval("SELECT 1")
        with pytest.raises(InterfaceError, match="busy with a COPY"):
            await connection.copy_in("t", source=source())
        if inside:
            await block.rollback()
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("call", ["fetchval", "transaction", "executemany"])
async def test_a_sink_that_calls_its_own_connection_is_refused(pg_pool: Any, call: str) -> None:
    await pg_pool.execute(TABLE)

    async def sink(piece: bytes) -> None:
        if call == "fetchval":
            await connection.fetchval("SELECT 1")
        elif call == "executemany":
            await connection.executemany("INSERT INTO t VALUES ($1, 'x')", [(1,), (2,)])
        else:
            async with connection.transaction():
                await connection.execute("SELECT 1")

    async with pg_pool.acquire() as connection:
        with pytest.raises(InterfaceError, match="busy with a COPY"):
            await connection.copy_from_query("SELECT 1", output=sink)
        assert await connection.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
async def test_a_loop_over_pieces_that_calls_its_own_connection_is_refused(pg_pool: Any, inside: bool) -> None:
    async def called() -> None:
        await connection.fetchval("SELECT 1")

    async with pg_pool.acquire() as connection:
        block = connection.transaction()
        if inside:
            await block.start()
            await connection.fetchval("SELECT 1")
        async with aclosing(connection.copy_out("SELECT 1")) as pieces:
            async for _ in pieces:
                for call in (called(), asyncio.ensure_future(called()), connection.execute("SELECT 1; SELECT 2")):
                    with pytest.raises(InterfaceError, match="busy with a COPY"):
                        await asyncio.wait_for(call, PATIENCE)
        assert await connection.fetchval("SELECT 1") == 1
        if inside:
            await block.rollback()


async def test_calls_after_a_loop_that_was_left_wait_for_the_end_of_its_copy(pg_pool: Any) -> None:
    """Nothing closes the pieces here but the interpreter, when the last reference to them is gone."""
    async with pg_pool.acquire() as connection:
        async for _ in connection.copy_out("SELECT repeat('x', 1000) FROM generate_series(1, 100000)"):
            break
        assert await asyncio.wait_for(connection.fetchval("SELECT 1"), PATIENCE) == 1


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_loop_that_was_left_does_not_keep_a_block_from_its_end(pg_pool: Any, size: int) -> None:
    """A COPY that is stopped on the server fails the block, as any statement does. The program still has the pieces: it
    is told that they are not all, if it goes on."""
    await pg_pool.execute(TABLE)
    query = f"SELECT repeat('x', 1000) FROM generate_series(1, {size})"
    async with pg_pool.acquire() as connection:
        block = connection.transaction()
        await block.start()
        await connection.execute("INSERT INTO t VALUES (1, 'x')")
        pieces = connection.copy_out(query)
        async for _ in pieces:
            break
        told = await asyncio.gather(asyncio.wait_for(block.commit(), PATIENCE), return_exceptions=True)
        codes = {getattr(one, "sqlstate", one) for one in told}
        assert codes == ({"25P02"} if size > 1 else codes & {None, "25P02"})
        assert await connection.fetchval("SELECT count(*) FROM t") == (codes == {None})
        with pytest.raises(InterfaceError, match="was stopped"):
            await anext(pieces)


@pytest.mark.parametrize("size", [1, 100_000])
async def test_a_loop_that_was_left_does_not_cost_the_connection(open_pool: Any, pg_database: str, size: int) -> None:
    pool = await open_pool(pg_database, max_size=1)
    async with pool.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        pieces = connection.copy_out(f"SELECT repeat('x', 1000) FROM generate_series(1, {size})")
        async for _ in pieces:
            break
    async with pool.acquire() as connection:
        assert await asyncio.wait_for(connection.fetchval("SELECT pg_backend_pid()"), PATIENCE) == pid
    assert pool.stats().lost == 0


async def test_loops_within_each_other(open_pool: Any, pg_database: str) -> None:
    """What is called in the inner one is inside of the outer one, too; after it, only of the outer one."""
    pool = await open_pool(pg_database, max_size=3)
    async with pool.acquire() as one, pool.acquire() as other:

        async def refused(connection: Any) -> None:
            with pytest.raises(InterfaceError, match="busy with a COPY"):
                await asyncio.wait_for(connection.fetchval("SELECT 1"), PATIENCE)

        for _ in range(3):
            async for _ in one.copy_out("SELECT 1 FROM generate_series(1, 3)"):
                async for _ in other.copy_out("SELECT 2"):
                    await refused(one)
                    await refused(other)
                await refused(one)
                assert await other.fetchval("SELECT 3") == 3

        async def source() -> Any:
            async for piece in other.copy_out("SELECT 1"):
                await refused(one)
                yield piece
            await refused(one)

        await one.execute("CREATE TABLE u (a int)")
        assert await one.copy_to_table("u", source=source()) == "COPY 1"


async def test_an_inner_loop_that_was_left_does_not_hide_the_outer_one(open_pool: Any, pg_database: str) -> None:
    """The program still has the pieces of the inner one. A third connection is of neither."""
    pool = await open_pool(pg_database, max_size=3)
    async with pool.acquire() as one, pool.acquire() as other, pool.acquire() as third:
        kept: list[Any] = []
        async for _ in one.copy_out("SELECT repeat('x', 1000000) FROM generate_series(1, 3)"):
            if kept:
                await kept[-1].aclose()
            kept.append(other.copy_out("SELECT 2"))
            async for _ in kept[-1]:
                break
            for connection in (one, other):
                with pytest.raises(InterfaceError, match="busy with a COPY"):
                    await asyncio.wait_for(connection.fetchval("SELECT 1"), PATIENCE)
            async with third.transaction():
                assert await asyncio.gather(third.fetchval("SELECT 1"), third.fetchval("SELECT 2")) == [1, 2]
        assert len(kept) > 1, "several pieces"
        assert await third.fetchval("SELECT 3") == 3


async def test_another_task_waits_for_a_loop_over_pieces(pg_pool: Any) -> None:
    out = asyncio.Event()

    async def called() -> Any:
        await out.wait()
        return await connection.fetchval("SELECT 1")

    async with pg_pool.acquire() as connection:
        other = asyncio.ensure_future(called())
        await asyncio.sleep(0)
        async for _ in connection.copy_out("SELECT 2"):
            out.set()
            await pg_pool.fetchval("SELECT 3")
        assert await asyncio.wait_for(other, PATIENCE) == 1


async def test_a_source_may_use_another_connection(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)

    async def source() -> Any:
        yield (await pg_pool.fetchval("SELECT 1::text || chr(9) || 'one'") + "\n").encode()

    async with pg_pool.acquire() as connection:
        assert await connection.copy_in("t", source=source()) == "COPY 1"
        assert await connection.fetchval("SELECT count(*) FROM t") == 1


async def test_a_refusal_inside_a_transaction(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    async with pg_pool.transaction() as connection:
        with pytest.raises(DatabaseError):
            async with connection.transaction():
                await asyncio.wait_for(connection.copy_to_table("t", source=SlowSource(b"x\n")), PATIENCE)
        await connection.execute("INSERT INTO t VALUES (5)")
    assert await pg_pool.fetchval("SELECT array_agg(id) FROM t") == [5]


async def test_warnings_are_no_refusal(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    await pg_pool.execute(
        "CREATE FUNCTION warns() RETURNS trigger LANGUAGE plpgsql AS "
        "$$BEGIN RAISE WARNING 'row %', NEW.id; PERFORM pg_sleep(0.01); RETURN NEW; END$$"
    )
    await pg_pool.execute("CREATE TRIGGER w BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION warns()")

    async def rows() -> Any:
        for number in range(40):
            await asyncio.sleep(0.02)
            yield b"%d\t%s\n" % (number, b"x" * 8000)

    async with pg_pool.acquire() as connection:
        assert await connection.copy_to_table("t", source=rows()) == "COPY 40"
    assert await pg_pool.fetchval("SELECT count(*) FROM t") == 40


async def test_the_end_of_the_server_process_is_told_while_the_source_is_slow(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    async with pg_pool.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        source = SlowSource(b"1\tone\n")
        copy = asyncio.ensure_future(connection.copy_to_table("t", source=source))
        await asyncio.wait_for(source.waits.wait(), PATIENCE)
        assert await pg_pool.fetchval("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(ConnectionLost, match=r"57P01|administrator"):
            await asyncio.wait_for(copy, PATIENCE)
        await asyncio.wait_for(source.ended.wait(), PATIENCE)
        with pytest.raises(ConnectionLost):
            await connection.fetchval("SELECT 1")
    assert await pg_pool.fetchval("SELECT count(*) FROM t") == 0


@pytest.mark.parametrize("how", ["the source waits", "the source gives", "the server does not read"])
async def test_last_words_that_come_together_with_the_end_are_told(pg_pool: Any, pg_server: Any, how: str) -> None:
    """The loop has no tick between them: the server is asked on its thread until the process is gone."""
    await pg_pool.execute(TABLE)
    if how == "the server does not read":
        await pg_pool.execute(
            "CREATE FUNCTION sleeps() RETURNS trigger LANGUAGE plpgsql AS "
            "$$BEGIN PERFORM pg_sleep(60); RETURN NEW; END$$"
        )
        await pg_pool.execute("CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION sleeps()")
    waits, go_on = asyncio.Event(), asyncio.Event()

    async def source() -> Any:
        yield b"1\tone\n" * 10_000
        waits.set()
        await go_on.wait()
        while True:
            yield b"2\ttwo\n" * 10_000

    async with pg_pool.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        copy = asyncio.ensure_future(connection.copy_to_table("t", source=source()))
        await asyncio.wait_for(waits.wait(), PATIENCE)
        if how != "the source waits":
            go_on.set()
        if how == "the server does not read":
            await until(
                lambda: pg_server.sql(f"SELECT FROM pg_stat_activity WHERE pid = {pid} AND wait_event = 'PgSleep'")
            )
        while pg_server.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = {pid}"):
            pass
        with pytest.raises(ConnectionLost, match=r"57P01|administrator"):
            await asyncio.wait_for(copy, PATIENCE)


async def test_the_end_of_the_server_process_is_told_while_the_sink_is_slow(pg_pool: Any) -> None:
    waits = asyncio.Event()

    async def sink(data: bytes) -> None:
        waits.set()
        await asyncio.Event().wait()

    async with pg_pool.acquire() as connection:
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        copy = asyncio.ensure_future(connection.copy_from_query("SELECT generate_series(1, 100000000)", output=sink))
        await asyncio.wait_for(waits.wait(), PATIENCE)
        assert await pg_pool.fetchval("SELECT pg_terminate_backend($1)", pid)
        copy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await copy
        with pytest.raises(ConnectionLost):
            await connection.fetchval("SELECT 1")
    assert await pg_pool.fetchval("SELECT 1") == 1


async def test_notifications_that_arrive_during_copy(pg_pool: Any) -> None:
    await pg_pool.execute(TABLE)
    heard, go_on = Heard(), asyncio.Event()

    async def source() -> Any:
        yield b"1\tone\n"
        await go_on.wait()

    async def sink(data: bytes) -> None:
        await pg_pool.execute("SELECT pg_notify('news', 'while it gave')")

    async with pg_pool.acquire() as connection:
        await connection.add_listener("news", heard)
        copy = asyncio.ensure_future(connection.copy_to_table("t", source=source()))
        await pg_pool.execute("SELECT pg_notify('news', 'while it took')")
        go_on.set()
        assert await copy == "COPY 1"
        assert await heard.wait(1) == [("news", "while it took")]
        assert await connection.copy_from_query("SELECT 1", output=sink) == "COPY 1"
        assert await heard.wait(2) == [("news", "while it took"), ("news", "while it gave")]


@pytest.mark.parametrize(
    "sql",
    [
        "COPY t FROM STDIN",
        'copy public."t" (id) from /* or */ stdin with (format csv)',
        "COPY t FROM STDOUT",
        "COPY t TO STDOUT",
        "COPY (SELECT 'from stdin' FROM t) TO STDOUT CSV",
        "COPY BINARY t TO STDOUT",
    ],
)
async def test_through_execute_it_is_a_clear_error(pg_pool: Any, sql: str) -> None:
    await pg_pool.execute(TABLE)
    for call in (pg_pool.execute, pg_pool.fetch, pg_pool.fetchval):
        with pytest.raises(InterfaceError, match=r"copy_to_table|copy_from_query"):
            await call(sql)
    async with pg_pool.transaction() as connection:
        await connection.execute("INSERT INTO t VALUES (1)")
        for call in (connection.execute, connection.fetch, connection.fetchval, connection.prepare):
            with pytest.raises(InterfaceError, match=r"copy_to_table|copy_from_query"):
                await call(sql)
        with pytest.raises(InterfaceError, match=r"copy_to_table|copy_from_query"):
            await connection.execute(f"SELECT 1; {sql}")
        with pytest.raises(InterfaceError, match=r"copy_to_table|copy_from_query"):
            await connection.executemany(sql, [()])
    assert await pg_pool.fetchval("SELECT count(*) FROM t") == 1
    assert pg_pool.stats().lost == 0


async def test_copy_to_and_from_the_servers_files_is_the_servers(pg_pool: Any) -> None:
    await pg_pool.execute("CREATE TABLE stdin (stdout int)")
    for sql in ("COPY stdin (stdout) TO PROGRAM 'cat > /dev/null'", "COPY (SELECT stdout FROM stdin) TO '/dev/null'"):
        assert await pg_pool.execute(sql) == "COPY 0"
    assert await pg_pool.execute("COPY stdin FROM '/dev/null'") == "COPY 0"


async def _pieces(*pieces: bytes) -> Any:
    for piece in pieces:
        await asyncio.sleep(0)
        yield piece
