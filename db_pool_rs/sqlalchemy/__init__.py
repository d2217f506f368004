"""Dialects for SQLAlchemy 2, asyncio: `postgresql+db_pool_rs` and `sqlite+db_pool_rs`.

    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine("postgresql+db_pool_rs://user@host/database?mode=full")

SQLAlchemy finds them by their entry points. The engine's connections are sessions of a pool of this package, which
takes the place of SQLAlchemy's own: `pool_size`, `max_overflow`, `pool_timeout` and `pool_recycle` are its sizes and
times, other options of :class:`~db_pool_rs.config.PoolConfig` go into `connect_args`, the mode into the URL.

    create_async_engine(url, grouped=True)

makes a connection hold a session from BEGIN to COMMIT or ROLLBACK only. What is executed outside a transaction, on a
connection with `isolation_level="AUTOCOMMIT"`, goes to the pool and travels in groups with the statements of others.
docs/sqlalchemy.md tells what that changes.

:mod:`.postgresql` and :mod:`.sqlite` are the dialects, :mod:`.connection` what they drive, :mod:`.pools` the pool
below, :mod:`.dbapi` the module that SQLAlchemy expects of a driver, :mod:`.exceptions` its errors.
"""
