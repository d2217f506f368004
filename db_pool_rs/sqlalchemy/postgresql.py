"""The dialect `postgresql+db_pool_rs`: SQLAlchemy's for an asyncio driver of PostgreSQL, with another driver."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from importlib import import_module
from typing import Any, ClassVar

from sqlalchemy import util
from sqlalchemy.dialects.postgresql import json as pg_json
from sqlalchemy.dialects.postgresql.asyncpg import (
    AsyncpgDate,
    AsyncpgFloat,
    AsyncpgJSON,
    AsyncpgJSONB,
    AsyncpgNumeric,
    PGDialect_asyncpg,
)
from sqlalchemy.dialects.postgresql.base import PGExecutionContext
from sqlalchemy.dialects.postgresql.pg_catalog import INT2VECTOR, OIDVECTOR
from sqlalchemy.sql import cast, sqltypes, type_coerce

from .dbapi import Dbapi
from .dialect import PoolDialect


class _Numeric(AsyncpgNumeric):
    """A float for a numeric is the decimal number that it is written as."""

    def bind_processor(self, dialect: Any) -> Any:
        return _decimal


class _Float(AsyncpgFloat):
    def bind_processor(self, dialect: Any) -> Any:
        return _float


class _JsonBind:
    """JSON travels as the text that SQLAlchemy makes of it, so that its serializer has the last word."""

    render_bind_cast = False

    def bind_expression(self, bindvalue: Any) -> Any:
        return cast(cast(bindvalue, sqltypes.Text()), self)  # type: ignore[arg-type]


class _JSON(_JsonBind, AsyncpgJSON):
    pass


class _JSONB(_JsonBind, AsyncpgJSONB):
    pass


class _AsText:
    """With a deserializer of the program's JSON comes as text, for it to read."""

    def column_expression(self, colexpr: Any) -> Any:
        return type_coerce(cast(colexpr, sqltypes.Text()), self)  # type: ignore[arg-type]


class _TextJSON(_JsonBind, _AsText, pg_json.JSON):
    pass


class _TextJSONB(_JsonBind, _AsText, pg_json.JSONB):
    pass


class _Date(AsyncpgDate):
    """Of a datetime it is the day that counts, as with other drivers."""

    def bind_processor(self, dialect: Any) -> Any:
        return lambda value: value.date() if isinstance(value, datetime) else value


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
            sqltypes.JSON: _JSON,
            pg_json.JSONB: _JSONB,
            sqltypes.Date: _Date,
            INT2VECTOR: _Int2Vector,
            OIDVECTOR: _OidVector,
        },
    )

    def __init__(self, grouped: bool = False, **kw: Any) -> None:
        super().__init__(grouped=grouped, **kw)
        if self._native_inet_types is False:
            raise NotImplementedError("native_inet_types=False: addresses are those of the module ipaddress")
        if self._json_deserializer is not None:
            self.colspecs = {**self.colspecs, sqltypes.JSON: _TextJSON, pg_json.JSONB: _TextJSONB}

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
