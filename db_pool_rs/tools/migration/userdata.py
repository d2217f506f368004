"""The user's own tables: the first rows of each, read by both modes in one snapshot (on PostgreSQL).

Views are left out, since they may call functions that write; so are tables that the user may not read. On PostgreSQL
one mode exports its snapshot and the other takes it, so both see the same rows however busy the database is.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...abc import Connection, Pool

TABLES_LIMIT = 200
ROWS_LIMIT = 200

_POSTGRESQL = """
    SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) AS name
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't'
       AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relispopulated
       AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')
     ORDER BY 1 LIMIT $1
"""
_SQLITE = """
    SELECT '"' || replace(name, '"', '""') || '"' AS name FROM sqlite_master
     WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql NOT LIKE 'CREATE VIRTUAL%'
     ORDER BY 1 LIMIT $1
"""


async def table_names(pool: Pool, database: str) -> list[str]:
    """Quoted names of the tables that can be read, TABLES_LIMIT at most."""
    rows = await pool.fetch(_POSTGRESQL if database == "postgresql" else _SQLITE, TABLES_LIMIT)
    return [row["name"] for row in rows]


def first_rows(table: str) -> str:
    """The statement that reads a table's first rows, the same ones each time within one snapshot."""
    return f"SELECT * FROM {table} LIMIT {ROWS_LIMIT}"


@contextlib.asynccontextmanager
async def one_snapshot(pools: tuple[Pool, Pool], database: str) -> AsyncIterator[tuple[Connection, Connection]]:
    """A session of each pool, both looking at the same state of the database."""
    if database == "sqlite":
        # Two transactions of a file that may be written would wait for each other.
        async with pools[0].acquire() as one, pools[1].acquire() as other:
            yield one, other
        return
    first, second = (pool.transaction(isolation="repeatable_read", readonly=True) for pool in pools)
    async with first as one, second as other:
        snapshot = await one.fetchval("SELECT pg_export_snapshot()")
        await other.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        for connection in (one, other):
            # Where a scan begins, and who helps, must not decide which rows come first.
            await connection.execute("SET LOCAL synchronize_seqscans = off")
            await connection.execute("SET LOCAL max_parallel_workers_per_gather = 0")
        yield one, other
