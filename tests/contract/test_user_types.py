"""Arguments for types that are not built in: domains, composites, enums, and arrays of these."""

from __future__ import annotations

import asyncio
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from db_pool_rs.errors import ArgumentError, Error
from db_pool_rs.types.catalog import Catalog
from tests.contract.guarding import at_rest
from tests.plugins.proxy import FaultProxy

#: Nothing here waits for it to pass, unless something is broken.
PATIENCE = 20.0

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN stored AS document CHECK (VALUE IS NOT NULL);
CREATE DOMAIN note AS text;
CREATE DOMAIN flag AS bool;
CREATE DOMAIN numbers AS int[];
CREATE DOMAIN feelings AS mood[];
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN couple AS pair;
CREATE TYPE card AS (d document, n note, m mood, w float8, p point, b bytea, "from" date, i interval);
CREATE TYPE nest AS (p pair, ns int[], f bool, ps pair[], ds document[]);
CREATE TYPE times AS (t time, tz timetz, ts timestamp, tstz timestamptz, f4 real, n numeric, u uuid, ip inet);
CREATE TYPE span AS RANGE (subtype = note);
"""

#: What goes in, and PostgreSQL's own text of what has arrived.
CASES: list[tuple[str, Any, str]] = [
    ("document", [], "[]"),
    ("document", {}, "{}"),
    ("document", [1, {"a": [None, True]}], '[1, {"a": [null, true]}]'),
    ("document", True, "true"),
    ("document", 5, "5"),
    ("document", "text", '"text"'),
    ("document", '{"a": []}', '"{\\"a\\": []}"'),
    ("stored", {"a": 1}, '{"a": 1}'),
    ("document[]", [[], {"a": 1}, "x", None], '{[],"{\\"a\\": 1}","\\"x\\"",NULL}'),
    ("note", "[]", "[]"),
    ("note[]", [["a", "b,c"], ["{}", ""]], '{{a,"b,c"},{"{}",""}}'),
    ("flag", True, "true"),
    ("numbers", [], "{}"),
    ("numbers", [1, None], "{1,NULL}"),
    ("numbers", (1, 2), "{1,2}"),
    ("feelings", ["sad", None, "very happy"], '{sad,NULL,"very happy"}'),
    ("mood", "sad", "sad"),
    ("mood[]", ["sad", "very happy"], '{sad,"very happy"}'),
    ("mood[]", "{sad}", "{sad}"),
    ("pair", (1, 'x "y\\'), '(1,"x ""y\\\\")'),
    ("pair", (None, ""), '(,"")'),
    ("pair", "(1,a)", "(1,a)"),
    ("couple", (1, "a"), "(1,a)"),
    ("pair[]", [(1, "a"), None, (2, None)], '{"(1,a)",NULL,"(2,)"}'),
    ("pair[]", [[(1, "a")], [(2, "b")]], '{{"(1,a)"},{"(2,b)"}}'),
    ("couple[]", [(1, "a")], '{"(1,a)"}'),
    ("nest", ((1, "a b"), [1, 2], True, [(3, "c")], [[], {}]),
     '("(1,""a b"")","{1,2}",t,"{""(3,c)""}","{[],""{}""}")'),
    ("card", ({"k": "v,w"}, "n", "very happy", 0.1, "(1,2)", b"\x00\xff", date(2000, 2, 29), timedelta(1, 2, 3)),
     '("{""k"": ""v,w""}",n,"very happy",0.1,"(1,2)","\\\\x00ff",2000-02-29,"1 day 00:00:02.000003")'),
    ("times", (time(1, 2, 3, 4), time(1, 2, tzinfo=timezone(timedelta(hours=-3))), datetime(1, 1, 1),
               datetime(2020, 1, 1, tzinfo=timezone(timedelta(hours=2))), 0.1, Decimal("-1.50"), UUID(int=7), "::1"),
     '(01:02:03.000004,01:02:00-03,"0001-01-01 00:00:00","2019-12-31 22:00:00+00",0.1,-1.50,'
     "00000000-0000-0000-0000-000000000007,::1)"),
    ("span", "[a,b)", "[a,b)"),
    ("span[]", ["[a,b)"], '{"[a,b)"}'),
    ("information_schema.sql_identifier", "x", "x"),
]  # fmt: skip


@pytest.fixture
async def typed(open_pool: Any, pg_database: str, pg_server: Any) -> Any:
    """A pool on a database with these types, in a session in UTC."""
    pg_server.sql(SCHEMA, "contract")
    return await open_pool(pg_database, max_size=2, server_settings={"TimeZone": "UTC"})


@pytest.mark.parametrize(
    ("kind", "value", "text"), CASES, ids=[f"{number}-{one[0]}" for number, one in enumerate(CASES)]
)
async def test_what_goes_in_is_what_arrives(typed: Any, kind: str, value: Any, text: str) -> None:
    sql = f"SELECT $1::{kind}::text"
    for _ in range(3):
        assert await typed.fetchval(sql, value) == text
    async with typed.transaction() as connection:
        assert await connection.fetchval(sql, value) == text
        assert await connection.fetchval(f"SELECT $1::{kind}::text AS other", value) == text
    assert kind == "stored" or await typed.fetchval(sql, None) is None


REFUSED: list[tuple[str, Any, str]] = [
    ("pair", [1, "x"], "tuple of 2 values"),
    ("pair", (1, 2, 3), "it has 2 fields, 3 values were given"),
    ("pair", ("1", "x"), 'field "a"'),
    ("pair[]", [(1, "a"), (1,)], "element 2"),
    ("flag", 7.5, "flag expected \\(bool\\), got float 7.5"),
    ("numbers", 1, "list or tuple"),
    ("numbers", ["1"], "element 1"),
    ("note", 5, "note expected \\(str\\)"),
    ("document", b"x", "JSON"),
    ("card", ({1, 2}, *[None] * 7), 'field "d"'),
]


@pytest.mark.parametrize(("kind", "value", "reason"), REFUSED)
async def test_what_does_not_fit_is_refused(typed: Any, kind: str, value: Any, reason: str) -> None:
    for _ in range(3):
        with pytest.raises(ArgumentError, match=reason):
            await typed.fetchval(f"SELECT $1::{kind}", value)
    async with typed.transaction() as connection:
        with pytest.raises(ArgumentError, match=reason):
            await connection.fetchval(f"SELECT $1::{kind}", value)
        assert await connection.fetchval("SELECT 1") == 1
    assert typed.stats().lost == 0


async def test_prepared_statements_and_executemany_know_them_too(typed: Any) -> None:
    await typed.execute("CREATE TABLE kept (p pair, d document)")
    async with typed.acquire() as connection:
        statement = await connection.prepare("INSERT INTO kept VALUES ($1, $2) RETURNING d")
        assert await statement.fetchval((1, "a"), []) == []
        await connection.executemany("INSERT INTO kept VALUES ($2, $1)", [([n], (n, "b")) for n in range(3)])
    await typed.executemany("INSERT INTO kept (d, p) VALUES ($1, $2)", [({"n": n}, (n, "c")) for n in range(3)])
    assert await typed.fetchval("SELECT count(*) FROM kept") == 7
    rows = await asyncio.gather(
        *[typed.fetchrow("SELECT $1::pair::text AS p, $2::document AS d", (n, "x"), [n]) for n in range(20)]
    )
    assert rows == [(f"({n},x)", [n]) for n in range(20)]


# rule 4.7
async def test_the_fields_of_a_composite_change(typed: Any, pg_server: Any) -> None:
    """By a statement of the pool, and by another program."""
    sql = "SELECT $1::pair::text"
    assert await typed.fetchval(sql, (1, "1")) == "(1,1)"
    await typed.execute("ALTER TYPE pair ALTER ATTRIBUTE b TYPE jsonb")
    assert await typed.fetchval(sql, (1, "1")) == '(1,"""1""")'
    await asyncio.get_running_loop().run_in_executor(None, pg_server.sql, "ALTER TYPE pair ADD ATTRIBUTE c int[]",
                                                     "contract")  # fmt: skip
    assert await typed.fetchval(sql, (1, [], [1])) == "(1,[],{1})"
    with pytest.raises(ArgumentError, match="3 fields"):
        await typed.fetchval(sql, (1, []))
    await asyncio.get_running_loop().run_in_executor(None, pg_server.sql, "ALTER TYPE pair DROP ATTRIBUTE c",
                                                     "contract")  # fmt: skip
    assert await typed.fetchval("SELECT $1::pair::text AS never_seen", (1, [])) == "(1,[])"
    async with typed.transaction() as connection:
        await connection.execute("ALTER TYPE pair DROP ATTRIBUTE b")
        assert await connection.fetchval("SELECT $1::pair::text AS inside", (1,)) == "(1)"


async def test_a_type_that_is_made_in_a_transaction(typed: Any) -> None:
    async with typed.transaction() as connection:
        await connection.execute("CREATE TYPE fresh AS (a jsonb)")
        assert await connection.fetchval("SELECT $1::fresh::text", ([],)) == "([])"
        await connection.execute("DROP TYPE fresh")
        await connection.execute("CREATE DOMAIN fresh AS jsonb")
        assert await connection.fetchval("SELECT $1::fresh::text AS again", []) == "[]"


async def test_unknown_types_in_a_failed_transaction_are_the_servers_error(typed: Any) -> None:
    async with typed.acquire() as connection:
        await connection.execute("BEGIN")
        with pytest.raises(Error):
            await connection.fetchval("SELECT 1/0")
        with pytest.raises(Error, match="aborted"):
            await connection.fetchval("SELECT $1::pair", (1, "a"))
        await connection.execute("ROLLBACK")
        assert await connection.fetchval("SELECT $1::pair::text", (1, "a")) == "(1,a)"


# rule 4.7
async def test_types_are_asked_for_once_in_a_pool(
    open_pool: Any, proxy: FaultProxy, pg_database: str, pg_server: Any
) -> None:
    pg_server.sql(SCHEMA, "contract")
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)
    before = proxy.round_trips
    await pool.fetchval("SELECT $1::int", 1)
    assert proxy.round_trips - before == 2, "built-in types: Describe, then the statement"
    before = proxy.round_trips
    await pool.fetchval("SELECT $1::nest", None)
    assert proxy.round_trips - before == 3, "one question more"
    before = proxy.round_trips
    await pool.fetchval("SELECT $1::document, $2::pair, $3::nest", [], (1, "a"), None)
    assert proxy.round_trips - before == 2, "what they are made of is known"
    before = proxy.round_trips
    for _ in range(5):
        await pool.fetchval("SELECT $1::document, $2::pair, $3::nest", [], (1, "a"), None)
    assert proxy.round_trips - before == 5


async def test_what_cannot_be_encoded_for_a_reason_of_the_packages_own(
    pg_pool: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that call's: none waits for ever, and the pool goes on."""
    await pg_pool.execute("CREATE TYPE mood AS ENUM ('sad')")
    await at_rest(pg_pool)

    def fails(self: Catalog, oid: int) -> Any:
        raise ZeroDivisionError("a bug")

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "encoder", fails)
        calls = (pg_pool.fetchval("SELECT $1::mood", "sad"), pg_pool.fetchval("SELECT 1"))
        failed, one = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE)
        assert isinstance(failed, ZeroDivisionError)
        assert one == 1
    assert await pg_pool.fetchval("SELECT $1::mood", "sad") == "sad"
