"""What :mod:`.table` measures: a function for each line, whose docstring is what the line is about."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from db_pool_rs.errors import DatabaseError, Error, PoolTimeout
from db_pool_rs.tools import _overload as overload
from db_pool_rs.tools._clients import open_client
from db_pool_rs.tools._workloads import Job
from tests.contract.test_copy_hears import SlowSource
from tests.contract.test_forks import PROGRAM
from tests.contract.test_settings import ROWS_OF, SETTINGS, _plain
from tests.contract.test_types_made_anew import KINDS as TYPES
from tests.contract.waiting import until
from tests.faults.test_reset import FarProxy
from tests.faults.test_strangers import BYSTANDERS, KINDS, TASKS, _bystander, _give_up_at_random
from tests.plugins.proxy import TO_CLIENT, TO_SERVER

#: Of each kind of call, how many are given up beside those of others.
GIVEN_UP = 400


async def _told(call: Awaitable[Any]) -> str:
    """How a call ends: its answer, or the error's name, with `sent` where it says so."""
    try:
        return str(await call)
    except Exception as error:
        state = getattr(error, "sqlstate", None) or {True: "sent", False: "not sent"}.get(getattr(error, "sent", None))
        return type(error).__name__ + (f" ({state})" if state else "")


async def reset(case: Any) -> str:
    """A connection is reset while a statement runs: longest time until the caller hears, of 10."""
    far, longest = FarProxy(case.server.port), 0.0
    try:
        for turn in range(10):
            pool = await case.open(far.dsn(case.dsn), min_size=1, max_size=1)
            await pool.fetchval("SELECT $1::int", 1)
            far.hold()
            call = asyncio.ensure_future(pool.fetchval("SELECT $1::int", 2))
            await until(far.held)
            began = time.monotonic()
            far.reset_after(turn + 1)
            await asyncio.wait((call,), timeout=30)
            assert call.done(), "it waits for ever"
            assert isinstance(call.exception(), Error)
            longest = max(longest, time.monotonic() - began)
            await pool.close()
        return f"{longest:.2f} s"
    finally:
        far.stop()


async def silent(case: Any) -> str:
    """A server that lets in and then says nothing, `connect_timeout=2`: a call."""
    proxy = await case.proxy()
    proxy.silence(100, TO_CLIENT)
    began = time.monotonic()
    told = await _told(case.open(f"{proxy.dsn(case.dsn)}?connect_timeout=2", min_size=1))
    return f"{told} after {time.monotonic() - began:.1f} s"


async def _overload(case: Any, cancelled: bool, acquires: bool) -> str:
    job = Job(contender=case.engine, workload="timeouts", tasks=1, seconds=1.0, dsn=case.dsn, max_size=1)
    client = await open_client(job)

    @asynccontextmanager
    async def call(timeout: float) -> AsyncGenerator[None, None]:
        await client.fetch("SELECT 1", timeout=timeout)
        yield

    async def measure(count: int) -> dict[str, float]:
        if cancelled:
            work = partial(overload.acquire, client) if acquires else partial(client.fetch, "SELECT 1")
            return await overload.cancel(client, work, count)
        return await overload.time_out(client if acquires else replace(client, borrow=call), count)

    try:
        await measure(100)
        gc.collect()
        before, count = sys.getallocatedblocks(), 22_000 if cancelled else 20_000
        figures = await measure(count)
        gc.collect()
        kept = (sys.getallocatedblocks() - before) / count
        return f"{figures['all_s']:.2f} s, loop held {figures['held_ms'] / 1000:.2f} s, {kept:.2f} objects of each kept"
    finally:
        await client.close()


async def timeouts(case: Any) -> str:
    """20,000 calls time out together, pool of 1."""
    return await _overload(case, cancelled=False, acquires=False)


async def acquire_timeouts(case: Any) -> str:
    """20,000 times `acquire` time out together, pool of 1."""
    return await _overload(case, cancelled=False, acquires=True)


async def cancels(case: Any) -> str:
    """22,000 queued calls are cancelled from the tail, pool of 1."""
    return await _overload(case, cancelled=True, acquires=False)


async def acquire_cancels(case: Any) -> str:
    """22,000 times `acquire` are cancelled from the tail, pool of 1."""
    return await _overload(case, cancelled=True, acquires=True)


async def _strangers(case: Any, kind: str) -> str:
    pool = await case.open(max_size=3, acquire_timeout=120)
    await pool.execute("CREATE TABLE t (id int)")
    giving_up = [_give_up_at_random(KINDS[kind], pool, GIVEN_UP // TASKS, Random(n)) for n in range(TASKS)]
    cancelling = asyncio.gather(*giving_up)
    bystanders = [_bystander(pool, number, cancelling.done) for number in range(BYSTANDERS)]
    served = await asyncio.gather(*bystanders, return_exceptions=True)
    await cancelling
    hit = sum(1 for one in served if isinstance(one, BaseException))
    return f"{hit} strangers hit, {pool.stats().lost} connections lost, of {GIVEN_UP}"


async def copy_out(case: Any) -> str:
    """A cancelled `copy_from_query`, beside statements of 30 ms."""
    return await _strangers(case, "copy_out")


async def copy_in(case: Any) -> str:
    """A cancelled COPY IN, beside statements of 30 ms."""
    return await _strangers(case, "copy_in")


async def raises(case: Any) -> str:
    """A function, a block that commits, and EXECUTE raise 26000 and 42P05: executions of each."""
    pool = await case.open(max_size=1)
    case.sql(
        "CREATE SEQUENCE n; CREATE FUNCTION f(code text) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM nextval('n'); RAISE EXCEPTION USING ERRCODE = code; END $$"
    )
    block = "DO $$ BEGIN PERFORM nextval('n'); COMMIT; RAISE EXCEPTION USING ERRCODE = '{}'; END $$"
    told = []
    for code in ("26000", "42P05"):
        told += [await _told(pool.fetchval("SELECT f($1)", code)), await _told(pool.execute(block.format(code)))]
    unknown = await _told(pool.execute("EXECUTE strange"))
    (count,) = case.sql("SELECT last_value FROM n")
    await pool.fetchval("SELECT 1 + $1::int", 1)
    prepared = await pool.fetchval("SELECT count(*) > 0 FROM pg_prepared_statements WHERE name > ''")
    assert all("26000" in one or "42P05" in one for one in [*told, unknown])
    return f"{int(count[0]) / len(told):g}; names given up: {not prepared}"


async def anew(case: Any) -> str:
    """A type is dropped and made anew under INSERT ... RETURNING: told as failed, of those that are there."""
    failed = there = 0
    for kind, how in TYPES.items():
        if kind == "extension":
            continue
        case.sql(
            f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {how.make}; CREATE TABLE item (id int, value kind)"
        )
        pool = await case.open(max_size=2)
        insert = "INSERT INTO item VALUES ($2::int, $1) RETURNING value"
        for _ in range(4):
            await pool.fetchval(insert, how.argument, 1)
        case.sql(f"DROP TABLE item; DROP TYPE kind CASCADE; {how.other}; CREATE TABLE item (id int, value kind)")
        for _ in range(4):
            try:
                assert await pool.fetchval(insert, how.other_argument, 1) == how.other_value
            except Error:
                failed += 1
        there += int(case.sql("SELECT count(*) FROM item")[0][0])
        await pool.close()
    return f"{failed} of {there}"


async def leaks(case: Any) -> str:
    """Prepared statements on the server after 300 texts that fail in a function, `max_statements=20`."""
    case.sql(
        "CREATE FUNCTION f(code text) RETURNS int LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION USING ERRCODE = code; END $$"
    )
    pool = await case.open(max_size=1, max_statements=20)
    for number in range(300):
        with suppress(DatabaseError):
            await pool.fetch(f"SELECT f($1) + {number}", "42883")
    return str(await pool.fetchval("SELECT count(*) FROM pg_prepared_statements WHERE name > ''"))


async def silent_session(case: Any) -> str:
    """A call of a session times out on a silent link, then another call."""
    proxy = await case.proxy()
    pool = await case.open(proxy.dsn(case.dsn), max_size=1)
    async with pool.acquire() as conn:
        await conn.fetchval("SELECT 1")
        proxy.stall()
        first = await _told(conn.fetchval("SELECT 2", timeout=0.1))
        second = await _told(conn.fetchval("SELECT 3", timeout=20))
    proxy.resume()
    return f"{first}, then {second}"


async def slow_source(case: Any) -> str:
    """The server refuses the first row of COPY IN while the source is slow: told after."""
    pool = await case.open(max_size=1)
    await pool.execute("CREATE TABLE t (id int)")
    async with pool.acquire() as conn:
        began = time.monotonic()
        told = await _told(asyncio.wait_for(conn.copy_to_table("t", source=SlowSource(b"x\n")), 20))
    return f"{told} after {time.monotonic() - began:.2f} s"


async def listens(case: Any) -> str:
    """LISTEN after one that was rolled back, and after UNLISTEN *: heard of 2."""
    pool, heard = await case.open(max_size=2), Counter[str]()

    def hear(connection: Any, pid: int, channel: str, payload: str) -> None:
        heard[payload] += 1

    async with pool.acquire() as conn:
        with suppress(LookupError):
            async with conn.transaction():
                await conn.add_listener("news", hear)
                raise LookupError
        await conn.add_listener("news", hear)
        await pool.execute("SELECT pg_notify('news', 'rolled back')")
        await until(lambda: heard["rolled back"], 5)
        await conn.execute("UNLISTEN *")
        await conn.add_listener("news", hear)
        await pool.execute("SELECT pg_notify('news', 'unlisten')")
        await until(lambda: heard["unlisten"], 5)
    return str(len(heard))


async def idle_session(case: Any) -> str:
    """idle_session_timeout (57P05) crosses an INSERT on its way: told, rows."""
    proxy = await case.proxy()
    pool = await case.open(proxy.dsn(case.dsn), max_size=1, server_settings={"idle_session_timeout": "1s"})
    await pool.execute("CREATE TABLE t (a int)")
    proxy.stall(TO_SERVER, links="live")
    told = await _told(asyncio.wait_for(pool.execute("INSERT INTO t VALUES (1)"), 20))
    return f"{told}, {case.sql('SELECT count(*) FROM t')[0][0]}"


async def forks(case: Any) -> str:
    """Fork while the pool is open: ways of the child to end that the parent notices."""
    endings = ("exit", "kill", "close", "collect", "loop")
    noticed = []
    for ending in endings:
        command = [sys.executable, "-c", PROGRAM, case.dsn, case.engine, ending, case.loop]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60, check=False)
        noticed += [ending] if done.returncode else []
    return f"{len(noticed)} of {len(endings)} {' '.join(noticed)}".strip()


async def closes(case: Any) -> str:
    """`gather(pool.close(), pool.close())`, and `terminate()` after it."""
    pool = await case.open(max_size=2)
    await pool.fetchval("SELECT 1")
    told = await asyncio.gather(_told(pool.close()), _told(pool.close()))
    pool.terminate()
    return ", ".join(told)


async def too_long(case: Any) -> str:
    """An argument of 1.1 GB: told, bytes sent."""
    proxy = await case.proxy()
    pool = await case.open(proxy.dsn(case.dsn), max_size=1)
    sql = "SELECT length($1::bytea)"
    await pool.fetchval(sql, b"abc")
    await until(lambda: pool.explain(sql).guarded and pool.stats().idle == pool.stats().size)
    before = proxy.bytes_to_server
    told = await _told(pool.fetchval(sql, bytes(1_100_000_000)))
    return f"{told}, {proxy.bytes_to_server - before}"


async def one_sqlite(case: Any) -> str:
    """The standard library reads the SQLite file of the pool: committed rows not seen at once, of 200."""
    with tempfile.TemporaryDirectory() as folder:
        path, missed = Path(folder, "one.db"), 0
        pool = await case.open(f"sqlite:///{path}", max_size=2)
        await pool.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            for number in range(1, 201):
                await pool.execute("INSERT INTO t VALUES ($1)", number)
                missed += other.execute("SELECT count(*) FROM t").fetchone()[0] != number
        await pool.close()
    return str(missed)


async def settings(case: Any) -> str:
    """Settings of a session that change how values are read: rows that are altered, and refused, of all."""
    pool, altered, refused, count = await case.open(max_size=1), 0, 0, 0
    texts = [ROWS_OF[name] for name in ("styled", "arrays", "ranges", "floats", "bytes")]
    wanted = [_plain(row) for row in [await pool.fetchrow(sql) for sql in texts]]
    for name, value in SETTINGS:
        async with pool.acquire() as conn:
            await conn.execute(f"SET {name} = '{value}'")
            for sql, right in zip(texts, wanted, strict=True):
                count += 1
                try:
                    altered += _plain(await conn.fetchrow(sql)) != right
                except Error:
                    refused += 1
    return f"{altered} and {refused} of {count}"


async def returns(case: Any) -> str:
    """The server is away for 4 s, 100 tasks: attempts to connect, then seconds from its return to an answer."""
    pool = await case.open(max_size=10, acquire_timeout=60)
    await pool.fetchval("SELECT 1")
    running = True

    async def call() -> None:
        while running:
            with suppress(Error, PoolTimeout):
                await pool.fetchval("SELECT 1", timeout=30)

    calls = [asyncio.ensure_future(call()) for _ in range(100)]
    await asyncio.to_thread(case.server.stop, "immediate")
    before = pool.stats()
    await asyncio.sleep(4)
    attempts = pool.stats().connect_failures - before.connect_failures
    await asyncio.to_thread(case.server.start)
    began, statements = time.monotonic(), pool.stats().statements
    await until(lambda: pool.stats().statements > statements, 30)
    took, running = time.monotonic() - began, False
    await asyncio.gather(*calls)
    return f"{attempts}, {took:.2f} s"


Figure = Callable[[Any], Awaitable[str]]
#: Every line by its name.
FIGURES: dict[str, Figure] = {
    figure.__name__: figure
    for figure in (
        *(reset, silent, timeouts, acquire_timeouts, cancels, acquire_cancels, copy_out, copy_in, raises, anew, leaks),
        *(silent_session, slow_source, listens, idle_session, forks, closes, too_long, one_sqlite, settings, returns),
    )
}
