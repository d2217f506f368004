"""Codecs of other packages: what registers itself with psycopg's adapters, and readers of JSON.

PostgreSQL has neither pgvector nor PostGIS here: types by these names stand in, which keep the text they are given.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from db_pool_rs import Codec
from db_pool_rs.errors import ArgumentError
from tests.contract.test_structured_values import STAND_IN

pytest.importorskip("psycopg")


async def test_pgvector(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    vector = pytest.importorskip("pgvector.psycopg.vector")
    from db_pool_rs.types.psycopg_codec import psycopg_codec

    pg_server.sql(STAND_IN.format(name="vector"), "contract")
    codec = psycopg_codec("vector", lambda info, context: vector.register_vector_info(context, info))
    pool = await open_pool(pg_database, max_size=2, codecs=[codec])
    given = vector.Vector([1, 2.5])
    for _ in range(3):
        found = await pool.fetchval("SELECT $1::vector", given)
        assert type(found) is vector.Vector
        assert found.to_list() == [1.0, 2.5]
        assert await pool.fetchval("SELECT $1::vector::text", given.to_numpy()) == given.to_text()
        many = await pool.fetchval("SELECT $1::vector[]", [given, None])
        assert (many[0].to_list(), many[1]) == ([1.0, 2.5], None)


async def test_shapely(open_pool: Any, pg_database: str, pg_server: Any) -> None:
    shapely = pytest.importorskip("shapely")
    from psycopg.types.shapely import register_shapely

    from db_pool_rs.types.psycopg_codec import psycopg_codec

    pg_server.sql(STAND_IN.format(name="geometry"), "contract")
    pg_server.sql("CREATE TYPE place AS (name text, shape geometry)", "contract")
    pool = await open_pool(pg_database, max_size=2)
    codec = psycopg_codec("geometry", register_shapely)
    pool.set_type_codec(codec.name, encoder=codec.encoder, decoder=codec.decoder)
    for shape in (shapely.Point(1, 2), shapely.box(0, 0, 2, 2), shapely.LineString([(0, 0), (1, 1)])):
        assert await pool.fetchval("SELECT $1::geometry", shape) == shape
        assert await pool.fetchval("SELECT $1::place", ("here", shape)) == ("here", shape)
        assert await pool.fetchval("SELECT $1::place[]", [{"name": "x", "shape": shape}]) == [("x", shape)]
    with pytest.raises(ArgumentError, match="what its codec takes"):
        await pool.fetchval("SELECT $1::geometry", object())


DOCUMENT = {"a": [1, 2.5, None, "é"], "b": {"c": True}}


@pytest.mark.parametrize("name", ["orjson", "msgspec"])
async def test_json(open_pool: Any, pg_database: str, name: str) -> None:
    package = pytest.importorskip("orjson") if name == "orjson" else pytest.importorskip("msgspec.json")
    dump, load = (package.dumps, package.loads) if name == "orjson" else (package.encode, package.decode)
    codecs = [Codec(kind, lambda value: dump(value).decode(), load) for kind in ("json", "jsonb")]
    pool = await open_pool(pg_database, max_size=2, codecs=codecs)
    for _ in range(3):
        for kind in ("json", "jsonb"):
            assert await pool.fetchval(f"SELECT $1::{kind}", DOCUMENT) == DOCUMENT
            assert await pool.fetchval(f"SELECT $1::{kind}[]", [DOCUMENT, [1], None]) == [DOCUMENT, [1], None]
        assert await pool.fetchval("SELECT '{}'::json || ''") == "{}"
    assert json.loads(await pool.fetchval("SELECT $1::json::text", DOCUMENT)) == DOCUMENT
