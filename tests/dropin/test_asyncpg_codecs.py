"""`set_type_codec` of `db_pool_rs.asyncpg`: text, binary and tuple forms, beside asyncpg's own."""

from __future__ import annotations

import json
import struct
from collections.abc import AsyncIterator
from typing import Any

import asyncpg as original
import pytest

import db_pool_rs.asyncpg as asyncpg
from db_pool_rs.asyncpg.forms import BINARY, TUPLES

#: Values of each type whose form asyncpg has, as SQL.
VALUES = {
    "date": ("2000-01-04", "1999-12-31", "0044-03-15 BC", "294276-12-31", "infinity", "-infinity", "4713-01-01 BC"),
    "time": ("00:01:00", "23:59:59.999999", "24:00:00", "00:00:00.5"),
    "timetz": ("00:01:00-03:30", "12:00:00.25+14", "01:02:03+00", "01:02:03-00:00:07"),
    "timestamp": ("2000-01-01 00:01", "1999-12-31 23:59:59.999999", "0001-02-28 01:02:03 BC", "infinity", "-infinity"),
    "timestamptz": (
        "2000-01-01 00:01+00",
        "1970-01-01 12:00:00.5-08",
        "294000-01-01 00:00+00",
        "infinity",
        "-infinity",
    ),
    "interval": ("2 mons 3 days 00:00:00.000001", "-1 year 2 mons -3 days -04:05:06.7", "0", "1 year", "9000000 hours"),
    "text": ("", "naïve text"),
    "varchar": ("x",),
    "bpchar": ("x",),
    "name": ("x",),
    "json": ('{"a": [1]}',),
    "jsonb": ('{"a": [1]}',),
    "jsonpath": ('$."a"',),
    "xml": ("<a/>",),
    "bytea": ("\\x", "\\x00ff"),
    "bool": ("t", "f"),
    "int2": ("-32768", "7"),
    "int4": ("-2147483648", "7"),
    "int8": ("-9223372036854775808", "7"),
    "oid": ("4294967295",),
    "float4": ("0.1", "-Infinity", "1e-45", "NaN"),
    "float8": ("0.1", "5e-324", "NaN"),
    "uuid": ("14058ad9-0118-4b7e-ac15-01bc13e2ccd1",),
    "bit": ("1",),
    "varbit": ("", "101", "1010101011"),
}
#: asyncpg itself reads and writes arrays of these without their codec.
ALONE = ("text", "varchar", "bpchar", "name", "json", "jsonb", "oid")
CASES = [
    (form, name)
    for form, names in (("tuple", TUPLES), ("binary", BINARY))
    for name in names
    if name in VALUES and not (form == "tuple" and name not in TUPLES)
]


@pytest.fixture
async def pool(engine: Any, pg_database: str) -> AsyncIterator[Any]:
    """A pool of one connection, whose zone is not UTC."""
    settings = {"TimeZone": "America/St_Johns"}
    async with asyncpg.create_pool(
        pg_database, mode=engine.name, min_size=1, max_size=1, server_settings=settings
    ) as made:
        yield made


async def there_and_back(connection: Any, form: str, name: str) -> list[Any]:
    """What a decoder is given for each value, and the text of what the encoder gave for it."""
    seen: list[Any] = []
    keep = tuple if form == "tuple" else bytes
    await connection.set_type_codec(name, schema="pg_catalog", encoder=keep, decoder=keep, format=form)
    for text in VALUES[name]:
        value = await connection.fetchval(f"SELECT '{text}'::{name}")
        array = name if name in ALONE else await connection.fetchval(f"SELECT $1::{name}[]", [value, None])
        equal = await connection.fetchval(f"SELECT ($1::{name})::text = ('{text}'::{name})::text", value)
        seen.append((text, value, array, equal))
    await connection.reset_type_codec(name, schema="pg_catalog")
    return seen


async def test_coders_are_given_what_asyncpg_gives_them(pool: Any, pg_database: str) -> None:
    theirs = await original.connect(pg_database, server_settings={"TimeZone": "America/St_Johns"})
    try:
        async with pool.acquire() as ours:
            for form, name in CASES:
                expected = await there_and_back(theirs, form, name)
                assert await there_and_back(ours, form, name) == expected, (form, name)
                assert all(equal for *_, equal in expected)
    finally:
        await theirs.close()


def test_every_built_in_form_is_tried() -> None:
    of_extensions = {"citext", "ltree", "lquery", "ltxtquery", "geometry", "geography", "raster", "hstore", "unknown"}
    assert {*TUPLES, *BINARY} - of_extensions - {"vector", "halfvec", "sparsevec"} == {*VALUES}


async def program(connection: Any) -> list[Any]:
    """Codecs of a program's: of composites, enums, extensions, and of the words of SQL."""
    seen: list[Any] = []
    await connection.execute("CREATE TYPE complex AS (r float8, i float8, label text)")
    await connection.execute("CREATE TYPE mood AS ENUM ('sad', 'über')")
    await connection.execute("CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext")
    await connection.set_type_codec(
        "complex", encoder=lambda one: (one.real, one.imag, None), decoder=lambda two: complex(*two[:2]), format="tuple"
    )
    seen.append(await connection.fetchval("SELECT $1::complex", 1 + 2j))
    seen.append(await connection.fetchval("SELECT array_agg(a) FROM unnest($1::complex[]) AS t(a, b, c)", [3 + 4j]))
    seen.append(await connection.fetchval("SELECT ($1::complex).label IS NULL", 1j))
    await connection.set_type_codec("mood", encoder=str.encode, decoder=lambda data: bytes(data), format="binary")
    seen.append(await connection.fetchval("SELECT $1::mood", "über"))
    for name in ("hstore", "ltree", "citext"):
        await connection.set_type_codec(name, encoder=bytes, decoder=bytes, format="binary")
    for text in ("", '"a b"=>"c\\"\\\\,", d=>NULL, "=>"=>""', 'x=>"y, z"'):
        value = await connection.fetchval("SELECT $1::text::hstore", text)
        seen.append((value, await connection.fetchval("SELECT $1::hstore = $2::text::hstore", value, text)))
    seen.append(await connection.fetchval("SELECT $1::ltree", b"\x01a.b"))
    seen.append(await connection.fetchval("SELECT $1::citext = 'AB'", b"ab"))
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        encoder=lambda value: b"\x01" + json.dumps(value).encode(),
        decoder=lambda data: json.loads(data[1:].decode()),
        format="binary",
    )
    seen.append(await connection.fetchval("SELECT $1::jsonb || '{\"b\": 2}'", {"a": [1, None]}))
    await connection.set_type_codec("double precision", schema="pg_catalog", encoder=str, decoder=str)
    seen.append(await connection.fetchval("SELECT 0.5::float8"))
    return seen


async def test_a_program_with_codecs(pool: Any, pg_database: str) -> None:
    base, _, name = pg_database.rpartition("/")
    await pool.execute(f'DROP DATABASE IF EXISTS "{name}_codecs"')
    await pool.execute(f'CREATE DATABASE "{name}_codecs"')
    theirs = await original.connect(f"{base}/{name}_codecs")
    try:
        expected = await program(theirs)
    finally:
        await theirs.close()
    async with pool.acquire() as ours:
        assert await program(ours) == expected


async def test_what_has_no_codec_is_refused_as_by_asyncpg(pool: Any, pg_database: str) -> None:
    await pool.execute(
        "CREATE DOMAIN few AS int; CREATE TYPE pair AS (a int, b int); CREATE TYPE span AS RANGE (subtype = int)"
    )
    cases = (
        ("few", "text"),
        ("pair", "text"),
        ("pair", "binary"),
        ("span", "text"),
        ("span", "tuple"),
        ("_pair", "text"),
    )
    theirs = await original.connect(pg_database)
    try:
        async with pool.acquire() as ours:
            for name, form in cases:
                for module, connection in ((original, theirs), (asyncpg, ours)):
                    with pytest.raises(
                        (module.UnsupportedClientFeatureError, module.InterfaceError), match=r"custom|only tuple"
                    ):
                        await connection.set_type_codec(name, encoder=str, decoder=str, format=form)
            with pytest.raises(NotImplementedError, match=r"numeric.*uuid"):
                await ours.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="binary")
            with pytest.raises(ValueError, match="format: one of text"):
                await ours.set_type_codec("numeric", schema="pg_catalog", encoder=str, decoder=str, format="json")
    finally:
        await theirs.close()


def test_vectors_and_geometries() -> None:
    point = "0101000000000000000000F03F0000000000000040"
    for name, text, data in (
        ("vector", "[1.0,-2.5]", struct.pack("!HHff", 2, 0, 1, -2.5)),
        ("halfvec", "[1.0,-2.5]", struct.pack("!HHee", 2, 0, 1, -2.5)),
        ("sparsevec", "{1:1.5,3:2.0}/5", struct.pack("!iiiiiff", 5, 2, 0, 0, 2, 1.5, 2)),
        ("sparsevec", "{}/5", struct.pack("!iii", 5, 0, 0)),
        ("geometry", point.lower(), bytes.fromhex(point)),
    ):
        assert BINARY[name].of_text(text) == data
        assert BINARY[name].text(data) == text
    assert BINARY["geometry"].of_text(point) == bytes.fromhex(point)


async def test_init_sets_codecs(engine: Any, pg_database: str) -> None:
    async def init(connection: Any) -> None:
        await connection.set_type_codec(
            "json", schema="pg_catalog", encoder=lambda value: json.dumps(value), decoder=lambda text: json.loads(text)
        )

    async with asyncpg.create_pool(pg_database, mode=engine.name, min_size=1, max_size=2, init=init) as pool:
        for _ in range(2):  # each reset is followed by another `init`, whose codec is the same: nothing is asked again
            async with pool.acquire() as one, pool.acquire() as other:
                await one.execute("SET work_mem = '5MB'")
                assert await other.fetchval("SELECT $1::json", [1, None]) == [1, None]


async def test_the_same_codec_again_changes_nothing(pool: Any) -> None:
    kept: list[Any] = []
    async with pool.acquire() as connection:
        for place in (1, 1, 2):

            def decode(text: str, place: int = place) -> Any:
                return text, place

            await connection.set_type_codec("json", schema="pg_catalog", encoder=str, decoder=decode)
            assert await connection.fetchval("SELECT '5'::json") == ("5", place)
            kept.append(pool._pool_._context.database.catalog._codecs["pg_catalog", "json"])
    assert kept[0] is kept[1] is not kept[2]
