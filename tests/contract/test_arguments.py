"""Arguments that do not fit a statement are refused, by name, before anything of it is sent."""

from __future__ import annotations

import asyncio
import re
import uuid
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from time import monotonic
from typing import Any

import pytest

from db_pool_rs.drivers.postgres.staleness import CONFIRM_AFTER
from db_pool_rs.errors import ArgumentError, DatabaseError, Error
from tests.contract.guarding import at_rest
from tests.plugins.proxy import FaultProxy

INSERT = "INSERT INTO item VALUES ($1, $2)"
MOST = 65_535
AWARE = timezone.utc

#: Type, an argument that does not fit it, and what the message must name besides the parameter.
UNFIT: list[tuple[str, Any, tuple[str, ...]]] = [
    ("bool", 1, ("bool", "int")),
    ("bool", "true", ("bool", "str")),
    ("int2", 32768, ("int2", "-32768", "32767")),
    ("int4", 2**31, ("int4", "2147483647")),
    ("int4", "5", ("int4", "str")),
    ("int4", 5.0, ("int4", "float")),
    ("int8", 2**63, ("int8",)),
    ("int8", Decimal(5), ("int8", "Decimal")),
    ("oid", -1, ("oid",)),
    ("float4", 1e39, ("float4", "float")),
    ("float8", "1.5", ("float8", "str")),
    ("numeric", 0.1, ("numeric", "float")),
    ("numeric", "1", ("numeric", "str")),
    ("text", 5, ("text", "int")),
    ("text", b"x", ("text", "bytes")),
    ("text", "a\0b", ("text", "str")),
    ("text", "\ud800", ("text", "str")),
    ("bytea", "x", ("bytea", "str")),
    ("date", datetime(2024, 1, 1), ("date", "datetime")),
    ("date", "2024-01-01", ("date", "str")),
    ("time", time(1, tzinfo=AWARE), ("time",)),
    ("timetz", time(1), ("timetz",)),
    ("timestamp", date(2024, 1, 1), ("timestamp", "date")),
    ("timestamp", datetime(2024, 1, 1, tzinfo=AWARE), ("timestamp", "datetime")),
    ("timestamptz", datetime(2024, 1, 1), ("timestamptz", "datetime")),
    ("interval", 5, ("interval", "int")),
    ("uuid", "no uuid", ("uuid", "str")),
    ("uuid", 5, ("uuid", "int")),
    ("json", object(), ("json", "object")),
    ("jsonb", {1, 2}, ("jsonb", "set")),
    ("inet", 5, ("inet", "int")),
    ("int4[]", [1, "x"], ("int4", "str")),
    ("int4[]", 5, ("int4[]", "int")),
    ("int4[]", [[1], [2, 3]], ("int4[]",)),
    ("text[]", "abc", ("text[]", "str")),
]


async def _refused(call: Any, *names: str) -> ArgumentError:
    with pytest.raises(ArgumentError) as caught:
        await call
    for name in names:
        assert name in str(caught.value)
    assert not caught.value.safe_to_retry
    return caught.value


@pytest.mark.parametrize("args", [(), (1,), (1, "a", "b"), (1, "a", None, None)])
async def test_wrong_number_is_refused_without_effect(pool: Any, args: tuple[Any, ...]) -> None:
    await pool.execute("CREATE TABLE item (id int, name text)")
    async with pool.acquire() as conn:
        for known in (False, True):
            for one in (pool, conn):
                for call in (one.fetch, one.fetchrow, one.fetchval, one.execute):
                    await _refused(call(INSERT, *args), "2", str(len(args)))
                with pytest.raises(ArgumentError, match="2"):
                    await one.executemany(INSERT, [args])
            if not known:
                await pool.execute(INSERT, 0, "known from now on")
    assert await pool.fetchval("SELECT count(*) FROM item") == 1


async def test_arguments_for_a_text_without_parameters_are_refused(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int, name text)")
    async with pool.acquire() as conn:
        for _ in range(4):
            for one in (pool, conn):
                await _refused(one.execute("INSERT INTO item VALUES (1, 'x')", 1), "1")
                await _refused(one.fetch("SELECT 1", None))
    assert await pool.fetchval("SELECT count(*) FROM item") == 0


@pytest.mark.parametrize("sql", ["CREATE TABLE other (id int)", "SET search_path = public", "SHOW work_mem", "FETCH c"])
async def test_arguments_for_a_command_without_parameters_are_refused(pg_pool: Any, sql: str) -> None:
    """Such a text is not prepared, and it is asked about once: a server that is asked again says the same for ever."""
    if not sql.startswith("FETCH"):
        await _refused(pg_pool.fetch(sql, 1, timeout=20), "0 arguments, 1 was given")
    async with pg_pool.acquire() as conn:
        await _refused(conn.execute(sql, 1, timeout=20), "0 arguments, 1 was given")
        async with conn.transaction():
            await conn.execute("DECLARE c CURSOR FOR SELECT 1")
            await _refused(conn.fetch(sql, None, timeout=20), "0 arguments, 1 was given")
            assert await conn.fetchval("FETCH c") == 1
        prepared = await conn.prepare(sql)
        await _refused(prepared.fetch(1, 2, timeout=20), "0 arguments, 2 were given")
    assert await pg_pool.fetchval("SELECT to_regclass('other')") is None


async def test_arguments_for_a_cursor_without_parameters_are_refused(pg_pool: Any) -> None:
    async with pg_pool.transaction() as tx:
        await _refused(tx.cursor("SELECT 1", 5, timeout=20).fetch(1), "0 arguments, 1 was given")
        assert await tx.fetchval("SELECT 1") == 1


async def test_a_gap_in_the_parameters(pool: Any) -> None:
    """What the highest number is decides: `$1` may be missing, as in a plain connection."""
    for _ in range(3):
        with pytest.raises(Error):
            await pool.fetchval("SELECT $2 || 'x'", "a")
    assert await pool.fetchval("SELECT 1") == 1


async def test_as_many_parameters_as_are_possible(pg_pool: Any) -> None:
    """The protocol counts to 65,535; a libpq before 18 cannot, and the error says how far it goes."""
    most = MOST
    try:
        assert await pg_pool.fetchval(_cardinality(MOST), *range(MOST)) == MOST
    except ArgumentError as error:
        found = re.search(r"at most (\d+) arguments are possible with a libpq before 18", str(error))
        most = int(found[1]) if found else 0
    assert most in (MOST, 7_498)
    for _ in range(2):
        assert await pg_pool.fetchval(_cardinality(most), *range(most)) == most
        with pytest.raises(ArgumentError, match=f"at most {most} arguments"):
            await pg_pool.fetchval(_cardinality(most + 1), *range(most + 1))
    assert await pg_pool.fetchval("SELECT 1") == 1
    assert pg_pool.stats().lost == 0


async def test_a_text_with_more_parameters_than_can_be_told(pg_pool: Any) -> None:
    """However the server is asked about it: what a libpq cannot read is refused, and costs no connection."""
    texts = (_cardinality(8_000).replace("SELECT", f"SELECT {number} +") for number in range(10))
    args = range(8_000)

    async def prepared() -> Any:
        async with pg_pool.acquire() as connection:
            return await (await connection.prepare(next(texts))).fetchval(*args)

    async def batched(atomic: bool) -> Any:
        async with pg_pool.batch(atomic=atomic) as batch:
            result, other = batch.fetchval(next(texts), *args), batch.fetchval("SELECT $1::int + 17", 1)
        assert other.result() == 18
        return result.result()

    async def copied() -> Any:
        return [piece async for piece in pg_pool.copy_out(next(texts), *args)]

    calls = (prepared, lambda: batched(True), lambda: batched(False), copied, lambda: pg_pool.fetchval(next(texts), 1))
    for call in calls:
        answer = (await asyncio.gather(call(), return_exceptions=True))[0]
        if isinstance(answer, BaseException):
            assert isinstance(answer, (ArgumentError, DatabaseError))
            assert re.search("at most 7498 arguments|takes 8000 arguments|1664 entries", str(answer))
        assert await pg_pool.fetchval("SELECT 1") == 1
    assert pg_pool.stats().lost == 0


async def test_a_parameter_number_beyond_the_protocol(pg_pool: Any) -> None:
    for number in (65_536, 100_000, 2**31, 10**30):
        for args in ((), (1,), (1, 2)):
            with pytest.raises(Error):
                await pg_pool.fetchval(f"SELECT ${number}::int4", *args)
            assert await pg_pool.fetchval("SELECT 1") == 1


def _cardinality(count: int) -> str:
    """A text with so many parameters, and that number as its value."""
    parts = [",".join(f"${i}::int" for i in range(i, min(i + 1000, count + 1))) for i in range(1, count + 1, 1000)]
    return "SELECT " + " + ".join(f"cardinality(ARRAY[{part}])" for part in parts)


@pytest.mark.parametrize(("kind", "value", "names"), UNFIT, ids=[f"{kind}-{n}" for n, (kind, *_) in enumerate(UNFIT)])
async def test_wrong_type_names_parameter_type_and_value(
    pg_pool: Any, kind: str, value: Any, names: tuple[str, ...]
) -> None:
    await pg_pool.execute(f"CREATE TABLE item (id int4, value {kind})")
    async with pg_pool.acquire() as conn:
        for known in (False, True):
            for one in (pg_pool, conn):
                await _refused(one.fetch(INSERT, 1, value), "$2", *names)
                await _refused(one.execute(INSERT, 1, value), "$2", *names)
            if not known:
                await pg_pool.execute(INSERT, 0, None)
    assert await pg_pool.fetchval("SELECT count(*) FROM item") == 1
    assert pg_pool.stats().lost == 0


async def test_out_of_range_is_refused_on_both_databases(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id bigint, name text)")
    for _ in range(4):
        for value in (2**63, -(2**63) - 1, 10**40):
            await _refused(pool.execute(INSERT, value, "x"), "$1", "int")
        for text in ("a\0b", "\ud800"):
            if text != "a\0b":
                await _refused(pool.execute(INSERT, 1, text), "$2", "str")
        await _refused(pool.execute(INSERT, 1, object()), "$2", "object")
    assert await pool.fetchval("SELECT count(*) FROM item") == 0
    for value in (2**63 - 1, -(2**63)):
        await pool.execute(INSERT, value, "x")
    assert await pool.fetch("SELECT id FROM item ORDER BY id") == [(-(2**63),), (2**63 - 1,)]


async def test_nothing_is_sent_for_a_known_text(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    """The server is asked once a second at most whether it still has the types that speak against an argument."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)
    learned, asked = monotonic(), 0
    await pool.fetchval("SELECT $1::int4", 1)
    for args in ((), (1, 2), ("x",), (2**31,), (1.5,)):
        before = (proxy.bytes_to_server, proxy.round_trips)
        await _refused(pool.fetchval("SELECT $1::int4", *args))
        asked += (proxy.bytes_to_server, proxy.round_trips) != before
    assert asked <= (monotonic() - learned) / CONFIRM_AFTER
    assert await pool.fetchval("SELECT $1::int4", 2) == 2


async def test_nothing_is_executed_for_an_unknown_text(open_pool: Any, proxy: FaultProxy, pg_database: str) -> None:
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await pool.execute("CREATE SEQUENCE s")
    await _refused(pool.fetchval("SELECT nextval('s') + $1::int4", "x"))
    await _refused(pool.fetchval("SELECT nextval('s') + $1::int8"))
    assert await pool.fetchval("SELECT is_called FROM s") is False


async def test_a_refused_argument_does_not_disturb_neighbours(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    for turn in range(4):
        calls = [pool.execute(INSERT, turn * 100 + i, object() if i % 5 == 0 else "x") for i in range(50)]
        results = await asyncio.gather(*calls, return_exceptions=True)
        refused = [i for i, result in enumerate(results) if isinstance(result, ArgumentError)]
        assert refused == list(range(0, 50, 5))
        assert [r for r in results if not isinstance(r, ArgumentError)] == ["INSERT 0 1"] * 40
    assert await pool.fetchval("SELECT count(*) FROM item") == 160


async def test_a_refused_argument_leaves_the_transaction_usable(pool: Any) -> None:
    await pool.execute("CREATE TABLE item (id int PRIMARY KEY, name text)")
    for known in (False, True):
        async with pool.transaction() as conn:
            await _refused(conn.execute(INSERT, 1 + known, object()))
            await conn.execute("INSERT INTO item VALUES ($1, 'good')", 10 + known)
            await _refused(conn.execute(INSERT, 1 + known))
            await conn.execute("INSERT INTO item VALUES ($1, 'good')", 20 + known)
        await pool.execute(INSERT, 30 + known, "x")
    assert await pool.fetchval("SELECT count(*) FROM item") == 6


async def test_a_value_the_server_refuses_is_its_own_error(pg_pool: Any) -> None:
    for _ in range(4):
        with pytest.raises(DatabaseError) as caught:
            await pg_pool.fetch("SELECT $1::inet", "no address")
        assert caught.value.sqlstate == "22P02"
        with pytest.raises(DatabaseError) as caught:
            await pg_pool.fetch("SELECT $1::varchar::date", "2024-02-31")
        assert caught.value.sqlstate == "22008"


async def test_subclasses_are_taken_as_what_they_are(pg_pool: Any) -> None:
    class Number(int):
        pass

    class Text(str):
        __slots__ = ()

    sql = "SELECT $1::int4, $2::text, $3::numeric, $4::uuid, $5::interval"
    given = (Number(7), Text("x"), Decimal(3), uuid.UUID(int=5), timedelta(days=1))
    for _ in range(3):
        assert await pg_pool.fetchrow(sql, *given) == given
        assert await pg_pool.fetchrow(sql, True, "x", 3, str(uuid.UUID(int=5)), timedelta(1)) == (
            1,
            *("x", 3),
            *given[3:],
        )
