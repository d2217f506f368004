"""Checks that need tables of their own: changes, constraints, transactions that commit or do not, groups that write.

Each makes its tables below the prefix of its `Site`; the caller removes them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ...errors import Error
from .answers import together
from .checks import Check, Site

if TYPE_CHECKING:
    from ...abc import Connection, Pool


def writing_checks(database: str) -> Iterator[Check]:
    """Every check that writes."""
    for name, ask in QUESTIONS.items():
        yield Check("writing", name, ask)
    if database == "postgresql":
        yield Check("writing", "types in columns", _columns)
        yield Check("writing", "a constraint checked at commit", _deferred)


async def _changes(pool: Pool, site: Site) -> Any:
    """Status and count of each kind of statement."""
    table = f"{site.prefix}changes"
    texts = [
        f"CREATE TABLE {table} (id integer PRIMARY KEY, v text)",
        f"INSERT INTO {table} VALUES (1, 'a'), (2, 'b'), (3, NULL)",
        f"UPDATE {table} SET v = 'c' WHERE id > 1",
        f"DELETE FROM {table} WHERE id = 3",
        f"ALTER TABLE {table} ADD COLUMN more integer",
        f"SELECT * FROM {table}",
    ]
    statuses = [(status, status.rows) for status in [await pool.execute(text) for text in texts]]
    return [statuses, await pool.fetch(f"SELECT * FROM {table} ORDER BY id")]


async def _returning(pool: Pool, site: Site) -> Any:
    table = f"{site.prefix}returning"
    await pool.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY, v text)")
    rows = await pool.fetch(f"INSERT INTO {table} VALUES ($1, $2) RETURNING id, v", 1, "x")
    return [rows, await pool.fetchval(f"UPDATE {table} SET v = $1 RETURNING v", "y")]


async def _constraints(pool: Pool, site: Site) -> Any:
    """The error of each kind of constraint, and that nothing of it stayed."""
    one, many = f"{site.prefix}one", f"{site.prefix}many"
    await pool.execute(f"CREATE TABLE {one} (id integer PRIMARY KEY, v integer NOT NULL CHECK (v > 0))")
    await pool.execute(f"CREATE TABLE {many} (id integer REFERENCES {one} (id))")
    await pool.execute(f"INSERT INTO {one} VALUES (1, 1)")
    wrong = [
        f"INSERT INTO {one} VALUES (1, 1)",
        f"INSERT INTO {one} VALUES (2, 0)",
        f"INSERT INTO {one} VALUES (2, NULL)",
        f"INSERT INTO {many} VALUES (7)",
    ]
    errors = [await together([pool.execute(text)]) for text in wrong]
    return [errors, *[await pool.fetchval(f"SELECT count(*) FROM {table}") for table in (one, many)]]


async def _transactions(pool: Pool, site: Site) -> Any:
    """Committed, given up, and rolled back to a savepoint."""
    table = f"{site.prefix}transactions"
    await pool.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY)")
    insert = f"INSERT INTO {table} VALUES ($1)"
    async with pool.transaction() as tx:
        await tx.execute(insert, 1)
        with contextlib.suppress(Error):
            async with tx.transaction():
                await tx.execute(insert, 2)
                await tx.execute(insert, 1)
        await tx.execute(insert, 3)
    with contextlib.suppress(_GivenUp):
        await _give_up(pool, insert)
    return await pool.fetch(f"SELECT id FROM {table} ORDER BY id")


async def _give_up(pool: Pool, insert: str) -> None:
    async with pool.transaction() as tx:
        await tx.execute(insert, 4)
        raise _GivenUp


class _GivenUp(Exception):
    """Rolls a block back."""


async def _group(pool: Pool, site: Site) -> Any:
    """Many inserts at once, some of which fail: the others are there, each caller is told its own."""
    table = f"{site.prefix}grouped"
    await pool.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY)")
    await pool.executemany(f"INSERT INTO {table} VALUES ($1)", [(i,) for i in range(0, 60, 6)])
    results = await together([pool.execute(f"INSERT INTO {table} VALUES ($1)", i) for i in range(60)])
    return [results, await pool.fetch(f"SELECT count(*) AS n, sum(id) AS total FROM {table}")]


async def _many(pool: Pool, site: Site) -> Any:
    """executemany is all or nothing."""
    table = f"{site.prefix}many_rows"
    await pool.execute(f"CREATE TABLE {table} (id integer PRIMARY KEY)")
    failed = await together([pool.executemany(f"INSERT INTO {table} VALUES ($1)", [(1,), (2,), (1,)])])
    return [failed, await pool.fetchval(f"SELECT count(*) FROM {table}")]


async def _columns(pool: Pool, site: Site) -> Any:
    """Types of the user's making, in a table."""
    mood, part, short, table = (f"{site.prefix}{name}" for name in ("mood", "part", "short", "typed"))
    async with pool.acquire() as connection:
        await connection.execute(
            f"CREATE TYPE {mood} AS ENUM ('sad', 'glad'); CREATE TYPE {part} AS (a int, b text); "
            f"CREATE DOMAIN {short} AS varchar(5); CREATE TABLE {table} (m {mood}, p {part}, s {short}, ms {mood}[])"
        )
    await pool.execute(f"INSERT INTO {table} VALUES ('glad', ROW(1, 'x,y'), 'abc', '{{sad,glad}}')")
    await pool.execute(f"INSERT INTO {table} (m, s) VALUES ($1, $2)", "sad", "abcde")
    wrong = await together([pool.execute(f"INSERT INTO {table} (m) VALUES ($1)", "angry")])
    return [wrong, await pool.fetch(f"SELECT * FROM {table} ORDER BY m")]


async def _deferred(pool: Pool, site: Site) -> Any:
    """A failure that shows at COMMIT reaches the caller, alone and in a group."""
    table = f"{site.prefix}deferred"
    await pool.execute(f"CREATE TABLE {table} (id int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    insert = f"INSERT INTO {table} VALUES ($1)"

    async def twice(connection: Connection) -> None:
        await connection.execute(insert, 1)
        await connection.execute(insert, 1)

    async def block() -> None:
        async with pool.transaction() as tx:
            await twice(tx)

    alone = await together([block()])
    await pool.execute(insert, 2)
    grouped = await together([pool.execute(insert, i) for i in (2, 3, 4)])
    return [alone, grouped, await pool.fetch(f"SELECT id FROM {table} ORDER BY id")]


QUESTIONS = {
    "changes": _changes,
    "RETURNING": _returning,
    "constraints": _constraints,
    "transactions": _transactions,
    "inserts in groups": _group,
    "executemany": _many,
}
