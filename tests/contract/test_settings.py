"""Settings of a session that change how values are written or SQL is read: values are those of the default settings.

Every way in which a session gets a setting, every path on which values come: a text that is run for the first time (its
rows may come as text), one that is described, with and without arguments, cursors, held sessions.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime, time, timezone
from typing import Any
from urllib.parse import quote

import pytest

from db_pool_rs.errors import ConnectFailed, Error, InterfaceError
from tests.contract.test_types import TYPES, _quoted
from tests.plugins.engines import EngineSpec

#: Columns of every type; those of one row come in one format.
ROWS_OF = {
    "styled": "SELECT date '2024-02-01', time '01:02:03.5', timetz '01:02:03+05:30', timestamp '2024-02-01 03:04:05.6',"
    " timestamptz '2024-02-01 03:04:05.6Z', timestamptz '1890-01-01 00:00Z',"
    " interval '1 year 2 mons -3 days 04:05:06.7', interval '-1 day +2:03:04', interval '0'",
    "arrays": "SELECT ARRAY[date '2024-02-01', NULL], ARRAY[timestamptz '2024-02-01 03:04Z'],"
    " ARRAY[interval '3 days -4 hours'], ARRAY[float8 '0.30000000000000004'], ARRAY[bytea '\\x00ff5c27']",
    "ranges": "SELECT tstzrange '[2024-02-01 00:00Z, 2024-02-03 00:00Z)', daterange '[2024-02-01, 2024-02-03)',"
    " tsmultirange '{[2024-02-01 03:04, 2024-02-03 03:04)}', ARRAY[tstzrange '[2024-02-01 00:00Z,)']",
    "floats": "SELECT float8 '0.30000000000000004', float4 '0.1', float8 '1e-300', float4 '3.4028235e38'",
    "bytes": "SELECT bytea '\\x00ff5c27', bytea '', ARRAY[bytea '\\x5c5c22', bytea '\\x2c7b7d']",
    "texts": "SELECT text 'é中😀', ARRAY[text 'é', '\"'], varchar 'ä', name 'ö', '{\"ü\": \"€\"}'::jsonb",
    "beside an enum": "SELECT 'über'::feeling, float8 '0.30000000000000004', date '2024-02-01', interval '3 days 2:00',"
    " timestamptz '2024-02-01 03:04:05.6Z', float4 '0.1', bytea '\\x00ff', time '01:02:03', ARRAY[float8 '0.1'],"
    " ARRAY[timestamp '2024-02-01 03:04'], ARRAY[interval '3 days 2:00'], daterange '[2024-02-01, 2024-02-03)'",
    **{
        kind: "SELECT " + ", ".join(_quoted(literal, kind) for literal, _ in values if not literal.startswith("9999"))
        for kind, values in TYPES.items()
    },
}
SETTINGS = [
    ("DateStyle", "German"),
    ("DateStyle", "SQL, DMY"),
    ("DateStyle", "Postgres, MDY"),
    ("IntervalStyle", "iso_8601"),
    ("IntervalStyle", "sql_standard"),
    ("IntervalStyle", "postgres_verbose"),
    ("extra_float_digits", "0"),
    ("extra_float_digits", "-15"),
    ("bytea_output", "escape"),
    ("TimeZone", "America/St_Johns"),
    ("TimeZone", "<+0330>-03:30"),
]
NAMES = [f"{name}={value}" for name, value in SETTINGS]
Open = Callable[..., Any]


def _way_server_settings(name: str, value: str) -> dict[str, Any]:
    return {"server_settings": {name: value}}


def _way_init(name: str, value: str) -> dict[str, Any]:
    async def init(conn: Any) -> None:
        await conn.execute(f"SET {name} = '{value}'")

    return {"init": init}


@asynccontextmanager
async def given(way: str, name: str, value: str, dsn: str, server: Any, open_pool: Open) -> AsyncIterator[Any]:
    """What has the setting: a pool, or a connection."""
    async with AsyncExitStack() as stack:
        if way in ("role", "database"):
            target = "ROLE fussy" if way == "role" else f"DATABASE {dsn.rpartition('/')[2].partition('?')[0]}"
            server.sql(f"ALTER {target} SET {name} = '{value}'")
            stack.callback(server.sql, f"ALTER {target} RESET {name}")
        options: dict[str, Any] = {}
        if way == "server_settings":
            options = _way_server_settings(name, value)
        elif way == "init":
            options = _way_init(name, value)
        elif way == "options":
            dsn = f"{dsn}{'&' if '?' in dsn else '?'}options=" + quote("-c " + f"{name}={value}".replace(" ", "\\ "))
        pool = await open_pool(dsn, max_size=1, **options)
        if way == "set_config by arguments":
            pool = await stack.enter_async_context(pool.acquire())
            await pool.fetch("SELECT set_config($1, $2, false)", name, value)
        elif way in ("SET", "set_config"):
            pool = await stack.enter_async_context(pool.acquire())
            text = f"SET {name} = '{value}'" if way == "SET" else f"SELECT set_config('{name}', '{value}', false)"
            await pool.execute(text)
        elif way == "SET LOCAL":
            pool = await stack.enter_async_context(pool.transaction())
            await pool.execute(f"SET LOCAL {name} = '{value}'")
        yield pool


HELD = ["SET", "set_config", "set_config by arguments", "SET LOCAL"]
WAYS = ["role", "database", "options", "server_settings", "init", *HELD]


@pytest.fixture
def fussy(pg_server: Any, pg_database: str) -> str:
    """A database with an enum, and a role of its own."""
    pg_server.sql("DO $$ BEGIN CREATE ROLE fussy LOGIN SUPERUSER; EXCEPTION WHEN duplicate_object THEN END $$")
    pg_server.sql("CREATE TYPE feeling AS ENUM ('sad', 'über')", "contract")
    return pg_database.replace("//postgres@", "//fussy@")


def _plain(value: Any) -> Any:
    """As it is told, whatever the time zone."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (datetime, time)) and value.tzinfo is not None:
        return value.astimezone(timezone.utc) if isinstance(value, datetime) else value.isoformat()
    if hasattr(value, "lower_inc"):
        return [_plain(value.lower), _plain(value.upper), value.lower_inc, value.upper_inc, value.isempty]
    return type(value), repr(value)


async def _read(target: Any) -> dict[Any, Any]:
    """All rows, each text run for the first time and again, with and without an argument."""
    found: dict[Any, Any] = {}
    for name, sql in ROWS_OF.items():
        try:
            for number in range(3):
                found[name, number] = _plain(await target.fetchrow(sql))
            found[name, "argument"] = _plain(await target.fetchrow(f"{sql} WHERE $1", True))
        except InterfaceError as error:
            found[name, "refused"] = str(error)
    return found


async def _read_cursors(conn: Any) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, sql in ROWS_OF.items():
        try:
            async with conn.transaction():
                rows = conn.cursor(f"{sql} FROM generate_series(1, 3)", prefetch=2)
                found[name, "cursor"] = [_plain(row) async for row in rows]
        except InterfaceError as error:
            found[name, "refused"] = str(error)
    return found


def _check(found: dict[Any, Any], expected: dict[Any, Any], engine: str, setting: str) -> None:
    """Equal; or refused in so many words, where libpq has one format for all columns of a row and one has no binary."""
    for name, path in expected:
        reason = found.get((name, "refused"))
        if reason is None:
            assert found[name, path] == expected[name, path], (name, path)
        else:
            assert (name, engine != "full") == ("beside an enum", True), reason
            assert f"cannot be read under the {setting} of this session" in reason


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("name", "value"), SETTINGS, ids=NAMES)
async def test_values_are_those_of_the_default_settings(
    fussy: str, pg_server: Any, engine: EngineSpec, open_pool: Open, name: str, value: str, way: str
) -> None:
    plain = await open_pool(fussy, max_size=1)
    expected = await _read(plain)
    async with plain.acquire() as conn:
        expected_of_cursors = await _read_cursors(conn)
    async with given(way, name, value, fussy, pg_server, open_pool) as target, AsyncExitStack() as stack:
        _check(await _read(target), expected, engine.name, name)
        conn = target if way in HELD else await stack.enter_async_context(target.acquire())
        _check(await _read_cursors(conn), expected_of_cursors, engine.name, name)


FIXED = [("client_encoding", "LATIN1", "UTF8"), ("standard_conforming_strings", "off", "on")]


@pytest.mark.parametrize(("name", "value", "usual"), FIXED)
async def test_settings_that_a_session_must_not_have_are_refused(
    open_pool: Open, pg_database: str, name: str, value: str, usual: str
) -> None:
    pool = await open_pool(pg_database, max_size=1)
    texts = [
        f"SET {name} = '{value}'",
        f"set local {name} TO {value}",
        f"SELECT set_config('{name}', '{value}', false)",
    ]
    texts += ["SET NAMES 'latin1'"] if name == "client_encoding" else []
    async with pool.acquire() as conn:
        for text in (*texts, f"SELECT 1; SET {name} = {value}"):
            with pytest.raises(InterfaceError, match=usual):
                await conn.execute(text)
        await conn.execute(f"SET {name} = '{usual}'")
        assert await conn.fetchrow(r"SELECT 'é' AS a, 'a\' AS b") == ("é", "a\\")
    for text in texts:
        with pytest.raises(InterfaceError, match=usual):
            await pool.execute(text)
    with pytest.raises(Error, match=usual):
        await open_pool(pg_database, **_way_init(name, value))


@pytest.mark.parametrize("text", ["a; SET NAMES latin1", "SET client_encoding = latin1"])
async def test_a_literal_that_reads_like_a_setting_is_a_literal(open_pool: Open, backend: Any, text: str) -> None:
    pool = await open_pool(backend.dsn, max_size=1)
    assert await pool.fetchval(f"SELECT '{text}' AS said") == text
    async with pool.acquire() as conn:
        await conn.execute(f"CREATE TABLE said (what text); INSERT INTO said VALUES ('{text}')")
        assert await conn.fetchval("SELECT what FROM said") == text


async def test_a_server_that_does_not_conform_is_refused(open_pool: Open, fussy: str, pg_server: Any) -> None:
    name = "standard_conforming_strings"
    pg_server.sql(f"ALTER ROLE fussy SET {name} = off")
    try:
        with pytest.raises(ConnectFailed, match=name) as caught:
            await open_pool(fussy)
        assert caught.value.permanent
        pool = await open_pool(fussy, server_settings={name: "on"})
        assert await pool.fetchval(r"SELECT 'a\'") == "a\\"
    finally:
        pg_server.sql(f"ALTER ROLE fussy RESET {name}")


@pytest.mark.parametrize("way", ["role", "database"])
async def test_a_client_encoding_of_the_server_is_not_taken(
    open_pool: Open, fussy: str, pg_server: Any, way: str
) -> None:
    async with given(way, "client_encoding", "LATIN1", fussy, pg_server, open_pool) as pool:
        assert await pool.fetchval("SELECT 'é中😀'") == "é中😀"


async def test_what_changes_while_a_session_is_held_counts_at_once(open_pool: Open, fussy: str) -> None:
    """Within one script, inside a transaction that is rolled back, and for the next borrower."""
    pool = await open_pool(fussy, max_size=1)
    sql = "SELECT float8 '0.30000000000000004', interval '3 days 2:00', timestamptz '2024-02-01 00:00Z'"
    expected = _plain(await pool.fetchrow(sql))
    async with pool.acquire() as conn:
        await conn.execute("SELECT 1; SET extra_float_digits = 0; SET IntervalStyle = iso_8601; SET DateStyle = German")
        assert _plain(await conn.fetchrow(f"{sql} AS first")) == expected
        await conn.execute("BEGIN")
        await conn.execute("SET extra_float_digits = 3; SET IntervalStyle = postgres; SET DateStyle = ISO")
        assert _plain(await conn.fetchrow(f"{sql} AS second")) == expected
        await conn.execute("ROLLBACK")
        assert _plain(await conn.fetchrow(f"{sql} AS third")) == expected
    assert _plain(await pool.fetchrow(f"{sql} AS fourth")) == expected
