"""Codecs of what is registered with psycopg's adapters, as packages for it do (needs psycopg).

from pgvector.psycopg.vector import register_vector_info
from psycopg.types.shapely import register_shapely

codecs = [
    psycopg_codec("vector", lambda info, adapters: register_vector_info(adapters, info)),
    psycopg_codec("geometry", register_shapely),
]
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from psycopg import adapters
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.pq import Format
from psycopg.types import TypeInfo

from ..codecs import Codec

#: Stand for those of the server: values travel as text, so that they are told to nothing but the adapters.
_OID, _ARRAY_OID = 2_000_000_000, 2_000_000_001


def psycopg_codec(name: str, register: Callable[[TypeInfo, Any], Any], *, schema: str | None = None) -> Codec:
    """The codec of a type that `register(info, context)` registers: loaders and dumpers of psycopg's, in text.

    `info` is the type's TypeInfo, `context` has the adapters, which are the codec's own.
    """
    context: Any = SimpleNamespace(adapters=AdaptersMap(adapters), connection=None)
    register(TypeInfo(name, _OID, _ARRAY_OID), context)
    transformer = Transformer(context)

    def encode(value: Any) -> str:
        data = transformer.get_dumper(value, PyFormat.TEXT).dump(value)
        if data is None:
            raise ValueError("NULL is None")
        return bytes(data).decode()

    def decode(text: str) -> Any:
        return transformer.get_loader(_OID, Format.TEXT).load(text.encode())

    return Codec(name, encode, decode, schema)
