"""Run under callgrind by benchmark_decoding, and by any interpreter: one contender fetches each set of rows once.

`python _decoding.py CONTENDER DSN ROWS`: `os.sched_yield`, which is called for nothing else, stands before and after
each.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

_FROM = "FROM generate_series(1, {}::int4) AS i"
#: Rows by name; how many there are stands at {}.
ROWS = {
    "mixed": "SELECT i, i::int8 * 7 AS b, 'name ' || i AS c, (i / 7.0)::numeric(12, 2) AS d, i * 0.37::float8 AS e, "
    f"'2026-01-01'::timestamptz + i * '1 second'::interval AS f, i % 3 = 0 AS g, md5(i::text)::uuid AS h {_FROM}",
    "int4[]": f"SELECT ARRAY[i, i + 1, i + 2, i + 3, i + 4, i + 5, i + 6, i + 7] AS a {_FROM}",
    "text[]": f"SELECT ARRAY['a' || i, 'customer ' || i, '', 'abcdefg'] AS a {_FROM}",
    "numeric[]": f"SELECT ARRAY[i / 7.0, i, 0.5, 1000.25]::numeric(12, 2)[] AS a {_FROM}",
}
Fetch = Callable[[str, int], Awaitable[list[Any]]]
#: Fetches of a few rows before: what is made once is made then.
_WARM = 6


async def _each(fetch: Fetch, placeholder: str, rows: int) -> None:
    for sql in ROWS.values():
        for _ in range(_WARM):
            await fetch(sql.format(placeholder), 20)
        os.sched_yield()
        found = await fetch(sql.format(placeholder), rows)
        os.sched_yield()
        assert len(found) == rows


async def _run(contender: str, dsn: str, rows: int) -> None:
    if contender == "asyncpg":
        import asyncpg

        connection = await asyncpg.connect(dsn)
        await _each(connection.fetch, "$1", rows)
        await connection.close()
    elif contender == "psycopg":
        import psycopg

        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as link:

            async def fetch(sql: str, count: int) -> list[Any]:
                async with link.cursor(binary=True) as cursor:
                    await cursor.execute(sql.replace(" % 3", " %% 3").encode(), (count,), prepare=True)
                    return await cursor.fetchall()

            await _each(fetch, "%s", rows)
    else:
        import db_pool_rs

        # In `simple` slices of long results end by the clock, and under valgrind little is done in that time.
        vars(importlib.import_module("db_pool_rs.drivers.postgres.results"))["SLICE"] = 3600.0
        async with db_pool_rs.create_pool(dsn, mode=contender, min_size=1, max_size=1) as pool:  # type: ignore[arg-type]
            await _each(pool.fetch, "$1", rows)


if __name__ == "__main__":
    name, target, number = sys.argv[1:]
    asyncio.run(_run(name, target, int(number)))
