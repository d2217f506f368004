"""Records of any type go into a table by COPY: what has no binary form here, and what a codec has, travels as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timezone
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from db_pool_rs import Codec, Range
from db_pool_rs.errors import ArgumentError, DatabaseError
from tests.contract.guarding import at_rest
from tests.plugins.proxy import FaultProxy

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN feeling AS mood;
CREATE TYPE pair AS (number int, name text);
CREATE TYPE item AS (pair pair, moods mood[], span daterange);
CREATE DOMAIN chosen AS pair;
CREATE TABLE t (id int, value text);
"""


class Mood(Enum):
    """The enum type's values."""

    SAD = "sad"
    HAPPY = "happy"


@dataclass
class Pair:
    """The composite type's fields."""

    number: int
    name: str


MOOD = Codec("mood", lambda mood: str(mood.value), Mood)
ITEM = ((1, 'a "b" \\ \t'), ["happy", None], Range(date(2024, 1, 1), None))
#: Type of the column, and a value as it comes out.
VALUES: list[tuple[str, Any]] = [
    ("pair", (7, "tab\t, line\n, return\r, back\\slash, \\N, 'x' (,)")),
    ("pair[]", [(1, ""), None, (None, None)]),
    ("chosen", (1, "a")),
    ("item", ITEM),
    ("item[]", [ITEM, None]),
    ("mood[]", ["sad", None]),
    ("int4range", Range(1, 5)),
    ("tstzmultirange", [Range(datetime(2024, 1, 1, tzinfo=timezone.utc), None)]),
    ("point", "(1.5,-2)"),
    ("bit(3)", "101"),
    ("macaddr8[]", ["08:00:2b:01:02:03:04:05", None]),
    ("pg_lsn", "16/B374D848"),
    ("xid8", "42"),
    ("tid", "(1,2)"),
]


@pytest.fixture
async def pool(open_pool: Any, pg_database: str, pg_server: Any) -> Any:
    """A pool on a database with types of its own."""
    pg_server.sql(SCHEMA, "contract")
    return await open_pool(pg_database, max_size=2)


async def _copied(pool: Any, kind: str, values: list[Any]) -> list[Any]:
    """What a column of this type holds after a COPY, beside a number."""
    async with pool.acquire() as connection:
        await connection.execute(f"DROP TABLE IF EXISTS v; CREATE TABLE v (n int, v {kind})")
        status = await connection.copy_records_to_table("v", records=list(enumerate(values)))
        assert status == f"COPY {len(values)}"
    return [row["v"] for row in await pool.fetch("SELECT v FROM v ORDER BY n")]


async def test_xml_is_not_read_in_the_encoding_that_it_declares(pg_pool: Any) -> None:
    """What a client sends as text is in the client's encoding, whatever the declaration says; in binary it is not."""
    await pg_pool.execute("CREATE TABLE kept (value xml)")
    xml = "<?xml version='1.0' encoding='iso-8859-1'?><a>\u00e9</a>"
    await pg_pool.execute("INSERT INTO kept VALUES ($1)", xml)
    async with pg_pool.acquire() as connection:
        assert await connection.copy_records_to_table("kept", records=[(xml,), (None,)]) == "COPY 2"
    assert await pg_pool.fetch("SELECT value::text FROM kept") == [(xml,), (xml,), (None,)]


async def test_values_come_out_as_they_went_in(pool: Any) -> None:
    for kind, value in VALUES:
        assert await _copied(pool, kind, [value, None, value]) == [value, None, value], kind


async def test_composites_from_mappings_and_dataclasses(pool: Any) -> None:
    given_values: list[Mapping[str, Any] | Pair | str] = [{"name": "a", "number": 1}, Pair(2, "b"), '(3,"c d")']
    assert await _copied(pool, "pair", given_values) == [(1, "a"), (2, "b"), (3, "c d")]
    with pytest.raises(ArgumentError, match=r'record 1, column "v": pair expected .*"number"'):
        await _copied(pool, "pair", [(1, "a"), ("1", "a")])
    assert await pool.fetchval("SELECT count(*) FROM v") == 0


async def test_hstore(pool: Any, pg_server: Any) -> None:
    if not pg_server.sql("SELECT FROM pg_available_extensions WHERE name = 'hstore'"):
        pytest.skip("this PostgreSQL has no hstore (postgresql-contrib)")
    pg_server.sql("CREATE EXTENSION IF NOT EXISTS hstore", "contract")
    assert await _copied(pool, "hstore", [{"a": "1\t2", "b": None}, {}]) == [{"a": "1\t2", "b": None}, {}]


async def test_codecs(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    pg_server.sql(SCHEMA, "contract")
    pool = await open_pool(pg_database, max_size=2, codecs=[MOOD])
    for kind in ("mood", "feeling"):
        assert await _copied(pool, kind, [Mood.SAD, None, Mood.HAPPY]) == [Mood.SAD, None, Mood.HAPPY]
    item = ((1, "a"), [Mood.HAPPY, None], None)
    assert await _copied(pool, "item", [item]) == [item]
    pool.set_type_codec("int8", encoder=lambda value: str(value * 100), decoder=lambda text: int(text) // 100)
    assert await _copied(pool, "int8", [7, None]) == [7, None]
    assert await _copied(pool, "int8[]", [[7, None]]) == [[7, None]]
    assert await pool.fetchval("SELECT v[1]::text FROM v") == "700"
    with pytest.raises(ArgumentError, match='record 0, column "v": mood expected'):
        await _copied(pool, "mood", ["sad"])


async def test_types_are_asked_for_once_and_again_when_they_changed(pool: Any, pg_server: Any) -> None:
    assert await _copied(pool, "pair", [(1, "a")]) == [(1, "a")]
    await pool.execute("ALTER TYPE pair ADD ATTRIBUTE more numeric CASCADE")
    assert await _copied(pool, "pair", [(1, "a", Decimal("1.5"))]) == [(1, "a", Decimal("1.5"))]
    pg_server.sql("ALTER TYPE pair DROP ATTRIBUTE more CASCADE", "contract")  # another program does
    async with pool.acquire() as connection:
        with pytest.raises(DatabaseError):
            await connection.copy_records_to_table("v", records=[(1, (1, "a", 2))], columns=["n", "v"])
        assert await connection.copy_records_to_table("v", records=[(1, (1, "a"))]) == "COPY 1"
        with pytest.raises(ArgumentError, match="it has 2 fields, 3 values were given"):
            await connection.copy_records_to_table("v", records=[(1, (1, "a", 2))])


# rule 4.7
async def test_the_question_for_types_is_asked_once_in_a_pool(
    open_pool: Any, proxy: FaultProxy, pg_database: str, pg_server: Any
) -> None:
    pg_server.sql(SCHEMA + "CREATE TABLE plain (n int, m mood); CREATE TABLE v (n int, v item);", "contract")
    pool = await open_pool(proxy.dsn(pg_database), max_size=1)
    await at_rest(pool)

    async def trips(table: str, record: Any) -> int:
        async with pool.acquire() as connection:
            await connection.fetchval("SELECT 1")  # what the last use has left to be done is done
            before = proxy.round_trips
            await connection.copy_records_to_table(table, records=[record])
            return proxy.round_trips - before

    plain = [await trips("plain", (1, "sad")) for _ in range(3)]
    assert plain[0] > plain[1] == plain[2], "the question for columns is described once"
    typed = [await trips("v", (1, ITEM)) for _ in range(3)]
    assert typed[1] == typed[2] == plain[2], "nothing is asked but for the columns"
    assert typed[0] > plain[2]
    await pool.execute("ALTER TYPE pair ADD ATTRIBUTE more numeric CASCADE")
    await at_rest(pool)
    changed = ((1, "a", Decimal(1)), [], None)
    again = [await trips("v", (1, changed)) for _ in range(3)]
    assert again[0] > again[2] == plain[2], "types that changed are asked for once more"


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


async def test_any_text_in_a_composite(pool: Any) -> None:
    """Three layers of quotes: the composite's, the array's, COPY's."""
    rows: list[Any] = []

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.lists(st.none() | st.tuples(st.none() | st.integers(0, 9), st.none() | TEXTS), max_size=3))
    def collect(value: list[Any]) -> None:
        rows.append(value)

    collect()
    assert await _copied(pool, "pair[]", rows) == rows
