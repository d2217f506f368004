"""The dialect `postgresql+db_pool_rs`: SQLAlchemy's for an asyncio driver of PostgreSQL, with another driver."""

from __future__ import annotations

import json
from datetime import date, datetime
from decimal import Decimal
from importlib import import_module
from typing import Any, ClassVar

from sqlalchemy import util
from sqlalchemy.dialects.postgresql import HSTORE
from sqlalchemy.dialects.postgresql.asyncpg import (
    AsyncpgDate,
    AsyncpgDateTime,
    AsyncpgFloat,
    AsyncpgNumeric,
    PGDialect_asyncpg,
)
from sqlalchemy.dialects.postgresql.base import PGExecutionContext
from sqlalchemy.dialects.postgresql.pg_catalog import INT2VECTOR, OIDVECTOR
from sqlalchemy.sql import sqltypes

from ..codecs import Codec
from .dbapi import Dbapi
from .dialect import PoolDialect


class _Numeric(AsyncpgNumeric):
    """A float for a numeric is the decimal number that it is written as."""

    def bind_processor(self, dialect: Any) -> Any:
        return _decimal


class _Float(AsyncpgFloat):
    def bind_processor(self, dialect: Any) -> Any:
        return _float


class _Hstore(HSTORE):
    """Comes and goes as a dict; the cast is for where the server could not tell, as in the VALUES of many rows."""

    render_bind_cast = True

    def bind_processor(self, dialect: Any) -> Any:
        return None

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return None


class _Date(AsyncpgDate):
    """Of a datetime it is the day that counts, as with other drivers."""

    def bind_processor(self, dialect: Any) -> Any:
        return lambda value: value.date() if isinstance(value, datetime) else value


class _DateTime(AsyncpgDateTime):
    """A date is the begin of its day."""

    def bind_processor(self, dialect: Any) -> Any:
        return lambda value: datetime(value.year, value.month, value.day) if type(value) is date else value


class _Vector:
    """int2vector and oidvector come as their text: numbers with spaces between them."""

    def result_processor(self, dialect: Any, coltype: Any) -> Any:
        return lambda value: value if value is None else [int(number) for number in value.split()]


class _Int2Vector(_Vector, INT2VECTOR):
    pass


class _OidVector(_Vector, OIDVECTOR):
    pass


def _decimal(value: Any) -> Any:
    return Decimal(repr(value)) if isinstance(value, float) else value


def _float(value: Any) -> Any:
    return float(value) if isinstance(value, Decimal) else value


class _Context(PGExecutionContext):
    def create_server_side_cursor(self) -> Any:
        return self._dbapi_connection.cursor(server_side=True)


class PostgresDialect(PoolDialect, PGDialect_asyncpg):
    """See :mod:`db_pool_rs.sqlalchemy`."""

    supports_statement_cache = True
    execution_ctx_cls: Any = _Context
    isolation_levels: ClassVar[dict[str, str | None]] = {
        "AUTOCOMMIT": "autocommit",
        "READ UNCOMMITTED": "read_uncommitted",
        "READ COMMITTED": "read_committed",
        "REPEATABLE READ": "repeatable_read",
        "SERIALIZABLE": "serializable",
    }
    scheme = "postgresql"
    colspecs = util.update_copy(
        dict(PGDialect_asyncpg.colspecs),
        {
            sqltypes.Numeric: _Numeric,
            sqltypes.Float: _Float,
            sqltypes.Date: _Date,
            sqltypes.DateTime: _DateTime,
            HSTORE: _Hstore,
            INT2VECTOR: _Int2Vector,
            OIDVECTOR: _OidVector,
        },
    )

    def codecs(self) -> list[Codec]:
        """What SQLAlchemy makes of a value of JSON is its text; addresses are text too, if it is asked for."""
        loads, dumps = self._json_deserializer or json.loads, self._json_serializer or json.dumps

        def text(value: Any) -> Any:
            return value if isinstance(value, str) else dumps(value)

        codecs = [Codec(name, encoder=text, decoder=loads) for name in ("json", "jsonb")]
        if self._native_inet_types is False:
            codecs += [Codec(name, encoder=str, decoder=str) for name in ("inet", "cidr")]
        return codecs

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver."""
        return Dbapi()

    @classmethod
    def load_provisioning(cls) -> None:
        """SQLAlchemy's own tests make and empty databases as for its other drivers."""
        import_module("sqlalchemy.dialects.postgresql.provision")

    def on_connect(self) -> Any:
        """Values are those of the pool."""
