"""What both dialects do alike: their connections are those of a pool of this package."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from sqlalchemy import util
from sqlalchemy.engine import URL

from ..codecs import Codec
from .pools import SharedPool, SharedPools, pools_of


class PoolDialect:
    """Put before a dialect of SQLAlchemy's; `grouped`: a session is held for transactions only."""

    driver = "db_pool_rs"
    is_async = True
    has_terminate = True
    supports_server_side_cursors = True
    #: Names of SQLAlchemy's, and what a connection is told of them.
    isolation_levels: ClassVar[dict[str, str | None]]
    #: That of connection strings.
    scheme: ClassVar[str]

    loaded_dbapi: Any
    _on_connect_isolation_level: Any

    def __init__(self, grouped: bool = False, **kw: Any) -> None:
        super().__init__(**kw)
        self.grouped = grouped

    @property
    def pools(self) -> SharedPools:
        """The pools below the engine."""
        pools: SharedPools = self.loaded_dbapi.pools
        return pools

    @classmethod
    def get_pool_class(cls, url: URL) -> Any:
        """SQLAlchemy keeps no connections of its own."""
        return SharedPool

    def codecs(self) -> list[Codec]:
        """How values of some types are to travel, besides what `connect_args` says."""
        return []

    @classmethod
    def engine_created(cls, engine: Any) -> None:
        """The engine is made: its driver is told of its pool below."""
        dialect = engine.dialect
        dialect.loaded_dbapi.pools = pools = pools_of(engine)
        pools.codecs = dialect.codecs()

    def create_connect_args(self, url: URL) -> Any:
        """The connection string of the pool; its mode, and whether sessions are held for transactions only."""
        query = url.query
        options = {
            "mode": str(query.get("mode", "auto")),
            "grouped": util.asbool(query.get("grouped", self.grouped)),
        }
        dsn = url.difference_update_query(list(options)).set(drivername=self.scheme)
        if dsn.database == ":memory:":
            dsn = dsn.set(database="")
        return [dsn.render_as_string(hide_password=False)], options

    def get_isolation_level_values(self, dbapi_connection: Any) -> Any:
        """What `isolation_level` may be."""
        return list(self.isolation_levels)

    def set_isolation_level(self, dbapi_connection: Any, level: Any) -> None:
        """Of the transactions of this connection from now on."""
        dbapi_connection.set_isolation(self.isolation_levels[level])

    def reset_isolation_level(self, dbapi_conn: Any) -> None:
        """Back to what the engine was made with."""
        level = self._on_connect_isolation_level
        dbapi_conn.set_isolation(level and self.isolation_levels[level.replace("_", " ").upper()])

    def detect_autocommit_setting(self, dbapi_conn: Any) -> bool:
        """Whether each statement is committed alone."""
        return bool(dbapi_conn.autocommit)

    def get_driver_connection(self, connection: Any) -> Any:
        """The session, which is used like any connection of a pool; None where there is none now (`grouped`)."""
        return connection._connection

    def do_ping(self, dbapi_connection: Any) -> Literal[True]:
        """A sign of life."""
        dbapi_connection.ping()
        return True

    def do_terminate(self, dbapi_connection: Any) -> None:
        """Close it at once."""
        dbapi_connection.terminate()

    def is_disconnect(self, e: Any, connection: Any, cursor: Any) -> bool:
        """Whether the session is lost."""
        return connection is not None and bool(connection.is_closed())
