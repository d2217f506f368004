"""The dialect `sqlite+db_pool_rs`: SQLAlchemy's for SQLite, asyncio, over a pool of this package."""

from __future__ import annotations

from importlib import import_module
from typing import Any, ClassVar

from sqlalchemy.dialects.sqlite.base import SQLiteExecutionContext
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.engine import URL

from .dbapi import Dbapi
from .dialect import PoolDialect


class _Context(SQLiteExecutionContext):
    def create_server_side_cursor(self) -> Any:
        """All rows at once: a cursor of SQLite's would need a transaction, which keeps others from writing."""
        return self._dbapi_connection.cursor()


class SqliteDialect(PoolDialect, SQLiteDialect_pysqlite):
    """See :mod:`db_pool_rs.sqlalchemy`. A transaction begins with the first statement that is no query."""

    default_paramstyle = "numeric_dollar"
    supports_statement_cache = True
    supports_sane_multi_rowcount = False
    execution_ctx_cls = _Context
    isolation_levels: ClassVar[dict[str, str | None]] = {"AUTOCOMMIT": "autocommit", "SERIALIZABLE": None}
    scheme = "sqlite"

    def create_connect_args(self, url: URL) -> Any:
        """Foreign keys are not enforced unless it is asked for: that is SQLite's default, which programs rely on."""
        args, options = super().create_connect_args(url)
        return args, options if "foreign_keys" in url.query else {**options, "foreign_keys": False}

    @classmethod
    def import_dbapi(cls) -> Any:
        """The driver."""
        return Dbapi()

    @classmethod
    def load_provisioning(cls) -> None:
        """SQLAlchemy's own tests make and empty databases as for its other drivers."""
        import_module("sqlalchemy.dialects.sqlite.provision")

    def on_connect(self) -> Any:
        """Connections cannot be given functions in Python."""
        return None

    def get_default_isolation_level(self, dbapi_conn: Any) -> Any:
        """SQLite has one."""
        return "SERIALIZABLE"

    def get_isolation_level(self, dbapi_connection: Any) -> Any:
        """That of the transactions of this connection."""
        return "AUTOCOMMIT" if dbapi_connection.autocommit else "SERIALIZABLE"
