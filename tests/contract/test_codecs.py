"""Codecs of the caller's, once for a pool: values of a type are read and written by them wherever it is a part."""

from __future__ import annotations

import asyncio
import json
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from db_pool_rs import Codec, Range
from db_pool_rs.errors import ArgumentError, ConfigError, DecodeError, InterfaceError

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'very happy');
CREATE SCHEMA IF NOT EXISTS other;
DROP TYPE IF EXISTS other.mood CASCADE;
CREATE TYPE other.mood AS ENUM ('sad');
CREATE DOMAIN feeling AS mood;
CREATE TYPE span AS RANGE (subtype = mood, multirange_type_name = spans);
CREATE TYPE person AS (name text, mood mood, feelings feeling[], span span, data jsonb, amount numeric);
CREATE DOMAIN document AS jsonb;
"""


class Mood(Enum):
    """The enum type's values."""

    SAD = "sad"
    HAPPY = "very happy"

    def __lt__(self, other: Mood) -> bool:
        return self is Mood.SAD and other is Mood.HAPPY


class Document(dict[str, Any]):
    """What a codec of jsonb makes."""


def to_text(mood: Mood) -> str:
    return str(mood.value)


MOOD = Codec("mood", to_text, Mood, schema="public")
#: Type, and a value as it comes out.
MOODS: list[tuple[str, Any]] = [
    ("mood", Mood.HAPPY),
    ("mood[]", [Mood.SAD, None, Mood.HAPPY]),
    ("mood[]", [[Mood.SAD], [Mood.HAPPY]]),
    ("feeling", Mood.SAD),
    ("feeling[]", [Mood.SAD, None]),
    ("span", Range(Mood.SAD, Mood.HAPPY)),
    ("spans", [Range(Mood.SAD, Mood.HAPPY)]),
    ("span[]", [Range(Mood.SAD, None)]),
    ("person", ("Ada", Mood.SAD, [Mood.HAPPY], Range(Mood.SAD, None), {"a": 1}, Decimal("1.50"))),
    ("person[]", [("Ada", None, [], None, None, None)]),
    ("other.mood", "sad"),
]


@pytest.fixture
async def coded(open_pool: Any, pg_database: str, pg_server: Any) -> Any:
    """A pool with a codec for the enum type."""
    pg_server.sql(SCHEMA, "contract")
    return await open_pool(pg_database, max_size=2, codecs=[MOOD])


@pytest.mark.parametrize(("kind", "value"), MOODS, ids=[f"{n}-{one[0]}" for n, one in enumerate(MOODS)])
async def test_what_a_type_is_part_of_follows(coded: Any, kind: str, value: Any) -> None:
    for _ in range(3):
        assert await coded.fetchval(f"SELECT $1::{kind}", value) == value
        assert await coded.fetchrow(f"SELECT $1::{kind} AS a, 7 AS b", value) == (value, 7)
    async with coded.transaction() as connection:
        assert await connection.fetchval(f"SELECT $1::{kind} AS other", value) == value
    rows = await asyncio.gather(*[coded.fetchrow(f"SELECT $1::{kind} AS v, $2::int", value, i) for i in range(9)])
    assert rows == [(value, i) for i in range(9)]


#: Built-in type, how its values are written and read, and what comes out of a value of the first kind.
BUILT_IN: list[tuple[str, Any, Any, Any]] = [
    ("jsonb", lambda value: json.dumps(value), lambda text: Document(json.loads(text)), Document(a=[1, None])),
    ("json", lambda value: json.dumps(value), lambda text: Document(json.loads(text)), Document(a=1)),
    ("numeric", str, float, 1.5),
    ("int4", lambda value: str(int(value.imag)), lambda text: complex(0, int(text)), 7j),
    ("text", lambda value: value[::-1], lambda text: text[::-1], "abc"),
    ("date", lambda value: str(date.fromordinal(value)), lambda text: date.fromisoformat(text).toordinal(), 738000),
    ("point", lambda value: f"({value.real},{value.imag})", lambda text: complex(*eval(text)), 1 + 2j),
    ("bool", lambda value: value, lambda text: text, "t"),
]


@pytest.mark.parametrize(("name", "encoder", "decoder", "value"), BUILT_IN, ids=[one[0] for one in BUILT_IN])
async def test_built_in_types_may_have_codecs(
    open_pool: Any, pg_database: str, name: str, encoder: Any, decoder: Any, value: Any
) -> None:
    """Statements that are known take them at once."""
    pool = await open_pool(pg_database, max_size=2)
    sql = f"SELECT $1::{name}", f"SELECT $1::{name}[]", f"SELECT $1::{name} AS v, $2::int8 AS n"
    text = encoder(value).replace("'", "''")
    direct = f"SELECT '{text}'::{name} AS v"
    for _ in range(2):
        usual = await pool.fetchval(direct)
        assert type(usual) is not type(value) or usual != value
        await pool.fetchval(sql[0], usual)
        await pool.fetchval(sql[1], [usual])
        await pool.fetchval(sql[2], usual, 1)
    pool.set_type_codec(name, encoder=encoder, decoder=decoder)
    for _ in range(3):
        for found in (await pool.fetchval(direct), await pool.fetchval(sql[0], value)):
            assert (type(found), found) == (type(value), value)
        assert await pool.fetchval(sql[1], [value, None]) == [value, None]
        assert await pool.fetchrow(sql[2], value, 2) == (value, 2)
        assert await pool.fetchval("SELECT $1::int8 AS untouched", 5) == 5
    rows = await asyncio.gather(*[pool.fetchrow(sql[2], value, i) for i in range(9)])
    assert rows == [(value, i) for i in range(9)]
    assert pool.stats().lost == 0


async def test_ranges_and_domains_of_built_in_types_follow(coded: Any) -> None:
    coded.set_type_codec("int4", encoder=lambda value: str(int(value.imag)), decoder=lambda text: complex(0, int(text)))
    coded.set_type_codec("jsonb", encoder=json.dumps, decoder=lambda text: Document(json.loads(text)))
    found = await coded.fetchval("SELECT $1::int4range", Range(1j, 5j))
    assert (found.lower, found.upper) == (1j, 5j)
    assert await coded.fetchval("SELECT $1::int4range[]", [Range(1j, 5j), None]) == [Range(1j, 5j), None]
    assert await coded.fetchval("SELECT $1::int4multirange", [Range(1j, 5j)]) == [Range(1j, 5j)]
    assert type(await coded.fetchval("SELECT $1::document", {"a": 1})) is Document
    person = await coded.fetchval("SELECT $1::person", ("x", None, None, None, {"a": 1}, None))
    assert type(person["data"]) is Document


async def test_an_encoder_or_a_decoder_alone(coded: Any) -> None:
    coded.set_type_codec("jsonb", decoder=lambda text: text.upper())
    assert await coded.fetchval("SELECT $1::jsonb", {"a": [1]}) == '{"A": [1]}'
    coded.set_type_codec("numeric", encoder=lambda value: value.replace(",", "."))
    assert await coded.fetchval("SELECT $1::numeric", "1,50") == Decimal("1.50")
    coded.set_type_codec("jsonb", decoder=json.loads)
    assert await coded.fetchval("SELECT $1::jsonb", {"a": [1]}) == {"a": [1]}


async def test_what_codecs_raise(coded: Any) -> None:
    for _ in range(2):
        with pytest.raises(ArgumentError, match=r"what its codec takes.*'str' object has no attribute 'value'"):
            await coded.fetchval("SELECT $1::mood", "sad")
        with pytest.raises(ArgumentError, match="element 2: mood expected, got int 5"):
            await coded.fetchval("SELECT $1::mood[]", [Mood.SAD, 5])
    coded.set_type_codec("mood", schema="public", encoder=lambda value: 5, decoder=int)
    for _ in range(2):
        with pytest.raises(ArgumentError, match="must return str, got int"):
            await coded.fetchval("SELECT $1::mood", "sad")
        with pytest.raises(DecodeError, match=r'column "v" .* invalid literal for int'):
            await coded.fetchval("SELECT 'sad'::mood AS v")
    assert coded.stats().lost == 0


async def test_what_is_no_codec(open_pool: Any, pg_database: str, coded: Any) -> None:
    for options, reason in (
        ({"name": 5, "encoder": str}, "name: str expected, got int"),
        ({"name": "x", "encoder": "str"}, "encoder: a callable or None expected, got str"),
        ({"name": "x"}, "needs an encoder or a decoder"),
        ({"name": "x", "decoder": str, "schema": b"x"}, "schema: str expected, got bytes"),
    ):
        with pytest.raises(InterfaceError, match=reason):
            Codec(**options)  # type: ignore[arg-type]  # what is tested
        with pytest.raises(InterfaceError, match=reason):
            coded.set_type_codec(**options)
    with pytest.raises(ConfigError, match="codecs"):
        await open_pool(pg_database, codecs=["mood"])


async def test_sqlite_has_none(open_pool: Any, tmp_path: Any) -> None:
    pool = await open_pool(f"sqlite:///{tmp_path / 'codecs.db'}", codecs=[MOOD])
    assert await pool.fetchval("SELECT 1") == 1
    with pytest.raises(InterfaceError, match="SQLite has no types"):
        pool.set_type_codec("text", encoder=str)


class Panic(BaseException):
    """What an extension in Rust raises when it panics is no Exception."""


async def test_a_codec_that_panics_ends_its_statement_alone(open_pool: Any, pg_database: str) -> None:
    pool = await open_pool(pg_database, max_size=1)
    await pool.execute("CREATE TYPE panicking AS ENUM ('a')")

    def panic(value: Any) -> Any:
        raise Panic("mine")

    pool.set_type_codec("panicking", decoder=panic)
    others = asyncio.gather(*(pool.fetchval("SELECT $1::int", number) for number in range(10)))
    with pytest.raises(DecodeError, match="Panic: mine"):
        await asyncio.wait_for(pool.fetch("SELECT 'a'::panicking"), 20)
    assert await others == [*range(10)]
    async with pool.transaction() as tx:
        with pytest.raises(DecodeError, match="mine"):
            await asyncio.wait_for(tx.fetch("SELECT ARRAY['a']::panicking[]"), 20)
        assert await tx.fetchval("SELECT 1") == 1
    pool.set_type_codec("panicking", encoder=panic)
    with pytest.raises(ArgumentError, match="mine"):
        await asyncio.wait_for(pool.fetch("SELECT $1::panicking", "a"), 20)
    assert await pool.fetchval("SELECT 1") == 1
