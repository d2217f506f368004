"""Types and tables that are dropped and created again under texts that the pool knows."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from db_pool_rs import Range
from db_pool_rs.errors import ConnectionLost, DatabaseError
from tests.contract.guarding import at_rest
from tests.contract.waiting import until_async
from tests.plugins.proxy import TO_CLIENT, FaultProxy


class Anew(NamedTuple):
    """A type `kind`: how it is made, a value of a column of it, and what is read."""

    make: str
    argument: Any
    value: Any
    other: str
    other_argument: Any
    other_value: Any


KINDS = {
    "enum": Anew(
        "CREATE TYPE kind AS ENUM ('a', 'b')", "a", "a", "CREATE TYPE kind AS ENUM ('c', 'b', 'a')", "c", "c"
    ),
    "domain": Anew("CREATE DOMAIN kind AS text", "a", "a", "CREATE DOMAIN kind AS int", 7, 7),
    "composite": Anew(
        "CREATE TYPE kind AS (x int, y text)", "(1,a)", (1, "a"), "CREATE TYPE kind AS (x int)", "(1)", (1,)
    ),
    "range": Anew(
        "CREATE TYPE kind AS RANGE (subtype = float8)", "[1,2)", Range(1.0, 2.0),
        "CREATE TYPE kind AS RANGE (subtype = text)", "[a,b)", Range("a", "b"),
    ),
    "extension": Anew("CREATE EXTENSION hstore; CREATE DOMAIN kind AS hstore", '"a"=>"1"', {"a": "1"},
        "CREATE EXTENSION hstore; CREATE DOMAIN kind AS hstore", '"b"=>"2"', {"b": "2"}),
    "builtin": Anew("CREATE DOMAIN kind AS int", 5, 5, "CREATE TYPE kind AS ENUM ('five')", "five", "five"),
    "money": Anew("CREATE DOMAIN kind AS int", 5, 5, "CREATE DOMAIN kind AS money", "5", "$5.00"),
}  # fmt: skip
TEXTS = (
    "SELECT value FROM item WHERE id = 1",
    "SELECT value, id FROM item WHERE value = $1::kind",
    "SELECT $1::kind AS value",
    "SELECT ARRAY[$1::kind]::text AS value",
)
WRITES = (
    "INSERT INTO item VALUES ($2::int, $1) RETURNING value",
    "UPDATE item SET value = $1 WHERE id = $2::int RETURNING value",
    "INSERT INTO item VALUES (2, $1)",
)


@pytest.fixture(params=[(kind, many) for kind in KINDS for many in (False, True)], ids=lambda one: f"{one[0]}-{one[1]}")
def anew(request: Any, pg_database: str, pg_server: Any) -> tuple[Anew, bool]:
    """A kind of type, and whether the column is an array of it."""
    kind, many = request.param
    if kind == "extension" and not pg_server.sql("SELECT FROM pg_available_extensions WHERE name = 'hstore'"):
        pytest.skip("this PostgreSQL has no hstore (postgresql-contrib)")
    return KINDS[kind], many


def _make(pg_server: Any, how: str, many: bool) -> None:
    column = "kind[]" if many else "kind"
    pg_server.sql(
        "SET client_min_messages TO error; DROP SCHEMA public CASCADE; CREATE SCHEMA public; "
        f"{how}; CREATE TABLE item (id int, value {column})",
        "contract",
    )


def _texts(many: bool) -> Sequence[str]:
    return [
        sql.replace("::kind", "::kind[]") if many and "ARRAY" not in sql else sql for sql in TEXTS[: 3 if many else 4]
    ]


async def _all(queries: Any, many: bool, argument: Any, value: Any) -> None:
    """Every text, with the value of now."""
    given = [argument] if many else argument
    await queries.execute("DELETE FROM item")
    for sql in WRITES:
        rows = await queries.fetch(sql, given, *([1] if "$2" in sql else []))
        assert rows == ([] if "RETURNING" not in sql else [(_read(many, value),)])
    for sql in _texts(many):
        rows = await queries.fetch(sql, *([given] if "$1" in sql else []))
        assert rows
        if "ARRAY" not in sql:
            assert rows[0]["value"] == _read(many, value)


def _read(many: bool, value: Any) -> Any:
    return [value] if many else value


# rule 4.4
@pytest.mark.parametrize("cure", ["", "expire"])
async def test_healed_outside_a_transaction(
    open_pool: Any, pg_database: str, pg_server: Any, anew: tuple[Anew, bool], cure: str
) -> None:
    how, many = anew
    _make(pg_server, how.make, many)
    pool = await open_pool(pg_database, max_size=3)
    async with pool.acquire() as first:
        for _ in range(4):
            await _all(first, many, how.argument, how.value)
        for turn in range(2):
            now = (how.other, how.other_argument, how.other_value) if turn % 2 == 0 else how[:3]
            await asyncio.get_running_loop().run_in_executor(None, _make, pg_server, now[0], many)
            if cure:
                pool.expire_connections()
            for _ in range(3):
                await _all(first, many, now[1], now[2])
            async with pool.acquire() as second:
                await _all(second, many, now[1], now[2])
            await asyncio.gather(*[pool.fetch(sql, *_given(sql, many, now[1])) for sql in (*_texts(many), *WRITES)])
    assert pool.stats().lost == 0


def _given(sql: str, many: bool, argument: Any) -> list[Any]:
    return [[argument] if many else argument] * ("$1" in sql) + [1] * ("$2" in sql)


async def test_told_once_inside_a_transaction(
    open_pool: Any, pg_database: str, pg_server: Any, anew: tuple[Anew, bool]
) -> None:
    how, many = anew
    _make(pg_server, how.make, many)
    pool = await open_pool(pg_database, max_size=1)
    for _ in range(4):
        await _all(pool, many, how.argument, how.value)
    await asyncio.get_running_loop().run_in_executor(None, _make, pg_server, how.make, many)
    for sql in (*WRITES, *_texts(many)):
        told = 0
        for _ in range(4):
            try:
                async with pool.transaction() as conn:
                    await conn.execute("SELECT 1")
                    await conn.fetch(sql, *_given(sql, many, how.argument))
            except DatabaseError:
                told += 1
        assert told <= 1
        assert await pool.fetch(sql, *_given(sql, many, how.argument)) is not None


# rule 4.6
@pytest.mark.parametrize("column", ["kind", "kind[]", "money", "point", "text", "pair"])
async def test_what_is_committed_is_never_told_as_failed(
    open_pool: Any, pg_database: str, pg_server: Any, column: str
) -> None:
    """A new connection prepares the text anew, and sends it in the same round trip."""
    make = "CREATE TYPE kind AS ENUM ('a'); CREATE TYPE pair AS (x int, y int); CREATE TABLE item (id serial, value {})"
    pg_server.sql(make.format("int"), "contract")
    pool = await open_pool(pg_database, max_size=4)
    sql = "INSERT INTO item DEFAULT VALUES RETURNING value"
    keyed = "UPDATE item SET id = id WHERE id <= $1 RETURNING value, id"
    async with pool.acquire() as first:
        for _ in range(4):
            await first.fetch(sql)
            await first.fetch(keyed, 0)
        await first.execute("DROP TABLE item")
        await first.execute(f"CREATE TABLE item (id serial, value {column})")
        async with pool.acquire() as second, pool.acquire() as third:
            for conn in (second, third):
                assert await conn.fetch(sql) == [(None,)]
                rows = await conn.fetch(keyed, 100)
                assert len(rows) == await conn.fetchval("SELECT count(*) FROM item")
        results = await asyncio.gather(*[pool.fetch(sql) for _ in range(8)])
    assert results == [[(None,)]] * 8
    assert await pool.fetchval("SELECT count(*) FROM item") == 10


ALTER = "ALTER TABLE item ALTER value TYPE text"
PUT = "INSERT INTO item VALUES ($1)"


@pytest.mark.parametrize(
    "script",
    [
        f"BEGIN; {ALTER}; COMMIT; SELECT 1 / 0",
        f"{ALTER}; COMMIT; SELECT nothing",
        f"BEGIN; {ALTER}; SAVEPOINT s; SELECT 1 / 0",
    ],
)
async def test_what_a_script_has_changed_before_it_failed(pg_pool: Any, script: str) -> None:
    """An argument is not refused for what the column was before."""
    await pg_pool.execute("CREATE TABLE item (value int)")
    async with pg_pool.acquire() as connection:
        await pg_pool.execute(PUT, 1)
        with pytest.raises(DatabaseError):
            await connection.execute(script)
        if connection.is_in_transaction():
            await connection.execute("ROLLBACK TO s; COMMIT")
    assert await pg_pool.execute(PUT, "two") == "INSERT 0 1"


async def test_what_was_changed_when_the_connection_was_lost(
    open_pool: Any, pg_pool: Any, pg_database: str, proxy: FaultProxy
) -> None:
    """The ALTER is executed, its answer does not arrive."""
    pool = await open_pool(proxy.dsn(pg_database), max_size=2)
    await pool.execute("CREATE TABLE item (value int)")
    changed = "SELECT data_type = 'text' FROM information_schema.columns WHERE table_name = 'item'"
    async with pool.acquire() as connection:
        await pool.execute(PUT, 1)
        proxy.stall(TO_CLIENT, links="live")
        altering = asyncio.ensure_future(connection.execute(ALTER))
        await until_async(lambda: pg_pool.fetchval(changed))
        await proxy.drop()
        with pytest.raises(ConnectionLost):
            await altering
    assert await pool.execute(PUT, "two") == "INSERT 0 1"


async def _kept(caller: Any, *values: Any) -> bool:
    """Whether the table takes these values as they are."""
    await caller.execute("INSERT INTO plain VALUES ($1, $2)", *values)
    return bool(await caller.fetchval("DELETE FROM plain RETURNING (number, word) = (0.1::float8, 'a  '::text)"))


RETYPE = "ALTER TABLE plain ALTER number TYPE float8, ALTER word TYPE text"


# rule 4.8
@pytest.mark.parametrize("inside", [False, True], ids=["on the pool", "on a session"])
async def test_values_are_not_cast_from_the_types_that_columns_had(pg_pool: Any, inside: bool) -> None:
    """What the former types take, the server casts to the present ones, and the value is another one."""
    await pg_pool.execute("CREATE TABLE plain (number float4, word char(5))")
    for _ in range(5):
        await _kept(pg_pool, 0.1, "a  ")
    async with pg_pool.acquire() as connection:
        if inside:
            async with connection.transaction():
                await connection.execute(RETYPE)
                assert await _kept(connection, 0.1, "a  ")
        else:
            await pg_pool.execute(RETYPE)
        assert await _kept(connection, 0.1, "a  ")
    for _ in range(5):
        assert await _kept(pg_pool, 0.1, "a  ")


async def test_what_others_altered_is_noticed_with_the_catalogue(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=2, guard_refresh=0.05)
    others = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TABLE plain (number float4, word char(5))")
    for _ in range(5):
        await _kept(pool, 0.1, "a  ")
    await at_rest(pool)
    await others.execute(RETYPE)
    await until_async(lambda: _kept(pool, 0.1, "a  "))
    assert await _kept(pool, 0.1, "a  ")
