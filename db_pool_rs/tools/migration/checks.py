"""Questions that any database can be asked without a table: types, parameters, errors, groups, sessions, transactions.

A check is asked of both modes; it knows its pool and its `Site`, nothing of modes. One whose point is an error says so
by `fails`; any other that fails alike in both modes says nothing about them, and is counted as left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import uuid
from collections.abc import Awaitable, Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from ...errors import Error
from .answers import together

if TYPE_CHECKING:
    from ...abc import Pool

#: The same statement several times: unknown to the pool, described, prepared.
TIMES = 3


class Site(NamedTuple):
    """Where a check may make tables: names begin with `prefix` ("schema." on PostgreSQL)."""

    database: str
    prefix: str


class Check(NamedTuple):
    """One question."""

    area: str
    name: str
    ask: Callable[[Pool, Site], Awaitable[Any]]
    fails: bool = False


#: Literals by PostgreSQL type: usual values, limits, and what Python cannot represent.
LITERALS: dict[str, tuple[str, ...]] = {
    "bool": ("true", "false"),
    "int2": ("-32768", "32767"),
    "int4": ("-2147483648", "2147483647"),
    "int8": ("-9223372036854775808", "9223372036854775807"),
    "oid": ("0", "4294967295"),
    "float4": ("1.5", "0.1", "NaN", "-Infinity", "-0"),
    "float8": ("1.5", "0.1", "1e-320", "NaN", "Infinity", "-0"),
    "numeric": ("0", "-0.00", "1.10", "1e-30", "123456789012345678901234567890.5", "NaN"),
    "money": ("12.34",),
    "text": ("", "text", "Zoë 😀", "a\\b"),
    "varchar": ("varchar",),
    "bpchar": ("padded  ",),
    "name": ("name",),
    '"char"': ("a",),
    "bytea": ("", "\\x00ff10"),
    "date": ("2024-02-29", "0001-01-01", "9999-12-31", "infinity", "4000-01-01 BC"),
    "time": ("00:00", "23:59:59.999999", "24:00"),
    "timetz": ("12:00:00.5+02", "12:00-11:30"),
    "timestamp": ("2024-02-29 12:00:00.000001", "infinity", "10000-01-01"),
    "timestamptz": ("2024-01-01 12:00+00", "2024-07-01 12:00+00", "-infinity", "9999-12-31 23:59+00"),
    "interval": ("1 day 02:03:04.5", "-1 us", "1 mon", "1 year 2 mons"),
    "uuid": ("00112233-4455-6677-8899-aabbccddeeff",),
    "json": ('{"a": [1, 2.5, null, "x"]}', "null", '"text"'),
    "jsonb": ('{"a": [1, 2.5, null, "x"]}', "12345678901234567890.5"),
    "inet": ("192.0.2.1", "192.0.2.1/24", "2001:db8::1"),
    "cidr": ("192.0.2.0/24",),
    "macaddr": ("08:00:2b:01:02:03",),
    "bit": ("1",),
    "varbit": ("10101",),
    "point": ("(1,2)",),
    "int4range": ("[1,5)", "empty", "(,7]"),
    "numrange": ("[1.5,2.5]",),
    "tstzrange": ("[2024-01-01 00:00+00,infinity)",),
    "int4multirange": ("{[1,3),[5,7)}",),
    "int4[]": ("{1,NULL,3}", "{}", "{{1,2},{3,4}}", "[0:1]={1,2}"),
    "text[]": ('{a,"b,c",NULL,"NULL",""}',),
    "tsvector": ("'a':1 'b':2",),
    "xml": ("<a/>",),
    "pg_lsn": ("0/16B3748",),
}
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "bool": (True, False),
    "int2": (7, -(2**15)),
    "int4": (7, 2**31 - 1),
    "int8": (7, -(2**63)),
    "float4": (1.5, 0.1),
    "float8": (0.1, float("inf"), 3),
    "numeric": (Decimal("1.10"), Decimal("-1e-20"), 10**30),
    "text": ("", "Zoë 😀", "a'b\\c"),
    "bytea": (b"", b"\x00\xff"),
    "date": (dt.date(2024, 2, 29),),
    "time": (dt.time(12, 30, 15, 5),),
    "timestamp": (dt.datetime(2024, 2, 29, 12),),
    "timestamptz": (dt.datetime(2024, 2, 29, 12, tzinfo=dt.timezone.utc),),
    "interval": (dt.timedelta(days=-1, microseconds=1),),
    "uuid": (uuid.UUID(int=7),),
    "jsonb": ({"a": [1, None, "x"]}, [], "text"),
    "int4[]": ([], [1, None, 3], [[1, 2], [3, 4]]),
    "text[]": (["a,b", '"', None],),
    "timestamptz[]": ([dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)],),
}
#: Statements that must fail, and their arguments.
ERRORS: dict[str, tuple[Any, ...]] = {
    "SELECT 1 / $1::int": (0,),
    "SELECT no_such_column": (),
    "SELECT * FROM no_such_table_anywhere": (),
    "SELEC 1": (),
    "SELECT no_such_function()": (),
    "SELECT 'x'::int": (),
    "SELECT $1::int + 1": ("not a number",),
    "SELECT $1::int8": (2**80,),
    "SELECT $1::date": (dt.timedelta(1),),
    "SELECT $1::text": (object,),
    "SELECT $1::int, $2::int": (1,),
    "SELECT 1": (1,),
    "SELECT 1; SELECT 2": (),
    "SELECT 'a\0b'": (),
    "SELECT $1::text AS nul": ("a\0b",),
    "BEGIN": (),
    "COMMIT": (),
}
SQLITE_LITERALS = ("NULL", "1", "-9223372036854775808", "1.5", "9e999", "''", "'Zoë 😀'", "x''", "x'00ff'", "date(0)")
SQLITE_PARAMETERS = (None, True, 7, -(2**63), 0.1, "", "Zoë 😀", b"", b"\x00\xff")
SQLITE_ERRORS: dict[str, tuple[Any, ...]] = {
    **{sql: args for sql, args in ERRORS.items() if "::" not in sql and "function" not in sql},
    "SELECT abs(-9223372036854775808)": (),
    "SELECT $1 AS big": (2**80,),
    "SELECT $1 AS strange": (object,),
}


def checks(database: str) -> Iterator[Check]:
    """Every check that needs no table."""
    if database == "sqlite":
        yield from (_statement("types", f"SELECT {text} AS value") for text in SQLITE_LITERALS)
        yield from (_statement("parameters", "SELECT $1 AS value", value) for value in SQLITE_PARAMETERS)
        yield from (_statement("errors", sql, *args, fails=True) for sql, args in SQLITE_ERRORS.items())
        yield from (Check("calls", name, ask) for name, ask in CALLS.items())
        return
    for typename, texts in LITERALS.items():
        yield from (_literal(typename, text) for text in texts)
    for typename, values in PARAMETERS.items():
        yield from (_statement("parameters", f"SELECT $1::{typename} AS value", value) for value in (*values, None))
    yield from (_statement("errors", sql, *args, fails=True) for sql, args in ERRORS.items())
    for area, questions in (("calls", {**CALLS, **MORE_CALLS}), ("sessions", SESSIONS), ("transactions", TRANSACTIONS)):
        yield from (Check(area, name, ask) for name, ask in questions.items())


def _statement(area: str, sql: str, *args: Any, fails: bool = False) -> Check:
    async def ask(pool: Pool, site: Site) -> Any:
        results = [(await together([pool.fetch(sql, *args)]))[0] for _ in range(TIMES)]
        if all(isinstance(result, Error) for result in results):
            # The last: the words of the first may be those of another format.
            raise results[-1]
        return results

    shown = f"{sql} <- {', '.join(map(repr, args))}" if args else sql
    return Check(area, shown.replace("\0", "\\0"), ask, fails)


def _literal(typename: str, text: str) -> Check:
    quoted = "'" + text.replace("'", "''") + "'"
    array = "ARRAY[v, NULL]" if not typename.endswith("[]") else "ARRAY[v, v]"
    # A value that Python cannot represent is an error, and as such has to be the same.
    sql = f"SELECT v AS value, {array} AS many, NULL::{typename} AS nothing FROM (SELECT {quoted}::{typename} AS v) s"
    return _statement("types", sql)._replace(name=f"{typename} {text}", fails=_is_beyond_python(typename, text))


def _is_beyond_python(typename: str, text: str) -> bool:
    return typename in ("date", "timestamp", "timestamptz", "time", "tstzrange") and any(
        mark in text for mark in ("infinity", "BC", "10000", "24:00", "9999-12-31 23")
    )


async def _group(pool: Pool, site: Site) -> Any:
    """Many at once, some of which fail: each caller gets its own."""
    # On SQLite, where dividing by zero is no error, abs() of the least integer is one.
    sql = "60 / $1::int" if site.database == "postgresql" else "abs($1 - 9223372036854775807 - 1)"
    return await together([pool.fetch(f"SELECT {sql} AS value", i % 5) for i in range(60)])


async def _empty(pool: Pool, site: Site) -> Any:
    texts = ("", " -- nothing", "/* nothing */ ;")
    return [[await pool.fetch(text), await pool.execute(text)] for text in texts]


async def _forms(pool: Pool, site: Site) -> Any:
    sql = "SELECT 1 AS a, 'x' AS b, NULL AS a UNION ALL SELECT 2, 'y', NULL ORDER BY 1"
    none = "SELECT 1 AS a WHERE 1 = 0"
    return [
        [await pool.fetchrow(sql), await pool.fetchval(sql), await pool.fetchval(sql, column=1)],
        [await pool.fetchrow(none), await pool.fetchval(none), await pool.fetch(none)],
        [await pool.execute(sql), (await pool.execute(sql)).rows],
    ]


async def _long(pool: Pool, site: Site) -> Any:
    return await pool.fetch("SELECT i, repeat('é', i % 9) AS t, i / 3.0 AS n FROM generate_series(1, 3000) AS i")


async def _deadline(pool: Pool, site: Site) -> Any:
    """What is over time fails, and the pool goes on."""
    late = await together([pool.fetch("SELECT pg_sleep(30)", timeout=0.2)])
    return [late, await pool.fetchval("SELECT 1")]


async def _settings(pool: Pool, site: Site) -> Any:
    """What the sessions are set to, from wherever it comes."""
    sources = "('client', 'session', 'database', 'user', 'database user')"
    return await pool.fetch(f"SELECT name, setting, source FROM pg_settings WHERE source IN {sources} ORDER BY name")


async def _reset(pool: Pool, site: Site) -> Any:
    async with pool.acquire() as connection:
        await connection.execute("SET statement_timeout = '77s'")
        inside = await connection.fetchval("SHOW statement_timeout")
    return [inside, sorted(await asyncio.gather(*(pool.fetchval("SHOW statement_timeout") for _ in range(20))))]


async def _script(pool: Pool, site: Site) -> Any:
    async with pool.acquire() as connection:
        status = await connection.execute("SELECT 1; SELECT 2 UNION ALL SELECT 3")
        return [status, await together([connection.execute("SELECT 1; SELECT 1 / 0; SELECT 2")])]


async def _zone(pool: Pool, site: Site) -> Any:
    found = []
    async with pool.acquire() as connection:
        for zone in ("UTC", "Asia/Kolkata", "America/St_Johns"):
            await connection.execute(f"SET TIME ZONE '{zone}'")
            found.append(await connection.fetchval("SELECT '2024-07-01 12:00+00'::timestamptz"))
    return found


async def _isolation(pool: Pool, site: Site) -> Any:
    found = []
    for isolation in (None, "read_committed", "repeatable_read", "serializable"):
        for readonly in (False, True):
            async with pool.transaction(isolation=isolation, readonly=readonly) as connection:
                show = [await connection.fetchval(f"SHOW transaction_{what}") for what in ("isolation", "read_only")]
                found.append([show, connection.is_in_transaction()])
    return found


async def _failed_block(pool: Pool, site: Site) -> Any:
    """After an error everything in the block is refused, and the block rolls back."""
    errors: list[Any] = []
    async with pool.acquire() as connection:
        with contextlib.suppress(_GivenUp):
            async with connection.transaction():
                for sql in ("SELECT 1 / 0", "SELECT 1"):
                    errors += await together([connection.fetch(sql)])
                raise _GivenUp
        return [errors, connection.is_in_transaction(), await connection.fetchval("SELECT 1")]


async def _savepoints(pool: Pool, site: Site) -> Any:
    """A savepoint that fails leaves the block around it as it was."""
    found: list[Any] = []
    async with pool.transaction() as connection:
        for divisor in (1, 0, 2):
            try:
                async with connection.transaction():
                    found.append(await connection.fetchval("SELECT 60 / $1::int", divisor))
            except Error as error:
                found.append(error)
    return found


class _GivenUp(Exception):
    """Leaves a block."""


CALLS = {"groups": _group, "empty statements": _empty, "forms of a result": _forms}
MORE_CALLS = {"a long result": _long, "a deadline": _deadline}
SESSIONS = {"settings": _settings, "reset after release": _reset, "scripts": _script, "time zone": _zone}
TRANSACTIONS = {"isolation levels": _isolation, "a failed block": _failed_block, "savepoints": _savepoints}
