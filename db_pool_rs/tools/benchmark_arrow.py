"""How long it takes until a large result is a DataFrame of polars: this package, asyncpg, connectorx and ADBC.

    python -m db_pool_rs.tools.benchmark_arrow [--rows 1000000] [--rounds 5] [--dsn postgresql://...]

The rows are (id int4, name text, at timestamptz, price numeric(12, 2), score float8, ok bool). Contenders take turns.
The figures are medians of wall time and of CPU time of this process, in seconds. One that is not installed is left out.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from .. import create_pool
from ..cli.guard import guarded
from ..modes import MODES, unavailable
from ._database import postgresql

_TABLE = "db_pool_rs_arrow"
_QUERY = f"SELECT id, name, at, price, score, ok FROM {_TABLE}"
_MAKE = f"""
    CREATE UNLOGGED TABLE {_TABLE} AS
    SELECT i::int4 AS id, 'customer ' || i AS name, '2026-01-01'::timestamptz + i * '1 second'::interval AS at,
           (i % 100000 / 7.0)::numeric(12, 2) AS price, i * 0.37::float8 AS score, i % 3 = 0 AS ok
    FROM generate_series(1, {{}}) AS i"""
#: A contender gives the number of rows of the frame that it made.
Contender = Callable[[str], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 if each contender gave every row."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    add = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.benchmark_arrow",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("--dsn", help="postgresql://... (default: a new server)")
    add.add_argument("--rows", type=int, default=1_000_000)
    add.add_argument("--rounds", type=int, default=5)
    options = add.parse_args(arguments)
    with postgresql(options.dsn) as (dsn, server):
        asyncio.run(_execute(dsn, _MAKE.format(options.rows)))
        try:
            print(f"{options.rows} rows to polars, median of {options.rounds} rounds, {server}", file=sys.stderr)
            _report(_measured(dsn, options.rows, options.rounds))
        finally:
            asyncio.run(_execute(dsn, f"DROP TABLE {_TABLE}"))
    return 0


async def _execute(dsn: str, sql: str) -> None:
    async with create_pool(dsn, max_size=1) as pool:
        await pool.execute(sql)


def _measured(dsn: str, rows: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    contenders = _contenders()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            cpu, began = _cpu(), time.perf_counter()
            if (count := run(dsn)) != rows:
                raise RuntimeError(f"{name} gave {count} rows where {rows} are expected")
            found[name].append((time.perf_counter() - began, _cpu() - cpu))
    return found


def _report(found: dict[str, list[tuple[float, float]]]) -> None:
    print("| | wall s | CPU s |\n|---|---|---|")
    for name, times in found.items():
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _contenders() -> dict[str, Contender]:
    contenders: dict[str, Contender] = {
        f"fetch_arrow, {mode}": partial(_ours, mode) for mode in MODES if unavailable(mode) is None
    }
    for name, module, run in (
        ("asyncpg + polars", "asyncpg", _asyncpg),
        ("connectorx", "connectorx", _connectorx),
        ("ADBC", "adbc_driver_postgresql", _adbc),
    ):
        if importlib.util.find_spec(module) is not None:
            contenders[name] = run
    return contenders


def _ours(mode: Any, dsn: str) -> int:
    import polars

    async def run() -> int:
        async with create_pool(dsn, mode=mode, max_size=1) as pool:
            return polars.DataFrame(await pool.fetch_arrow(_QUERY)).height

    return asyncio.run(run())


def _asyncpg(dsn: str) -> int:
    import asyncpg
    import polars

    async def run() -> int:
        connection = await asyncpg.connect(dsn)
        try:
            rows = await connection.fetch(_QUERY)
        finally:
            with suppress(Exception):
                await connection.close()
        names = list(rows[0].keys())
        columns = {name: [row[number] for row in rows] for number, name in enumerate(names)}
        return polars.DataFrame(columns).height

    return asyncio.run(run())


def _connectorx(dsn: str) -> int:
    import connectorx

    socket = re.fullmatch(r"(postgresql://[^@/]*@)/(\w*)\?host=(%2F[^&]*)", dsn)  # it wants it in the host's place
    url = f"{socket[1]}{socket[3]}/{socket[2]}" if socket else dsn
    return len(connectorx.read_sql(url, _QUERY, return_type="polars"))


def _adbc(dsn: str) -> int:
    import adbc_driver_postgresql.dbapi
    import polars

    with adbc_driver_postgresql.dbapi.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute(_QUERY)
        return polars.DataFrame(cursor.fetch_arrow_table()).height


if __name__ == "__main__":
    sys.exit(main())
