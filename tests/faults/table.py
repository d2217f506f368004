"""The faults that were found by reports of others and by load, measured again: one line each, a column for each engine.

    python -m tests.faults.table                          # every engine that is installed, on asyncio
    python -m tests.faults.table --loop uvloop --engines simple,full --rows overload,reset

The tests hold each line; this tells its figure on this machine. It starts a PostgreSQL server of its own. A line whose
measurement fails says so in its place, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from db_pool_rs import create_pool
from tests.faults.figures import FIGURES
from tests.plugins.engines import ENGINES
from tests.plugins.installation import find_installation
from tests.plugins.postgresql import ServerFarm
from tests.plugins.proxy import FaultProxy
from tests.plugins.server import PostgresServer

#: Seconds that a line may take.
LIMIT = 120.0


class Case:
    """One engine and an empty database; what is opened is closed at the end."""

    def __init__(self, engine: str, server: PostgresServer, loop: str, stack: AsyncExitStack) -> None:
        self.engine, self.server, self.loop = engine, server, loop
        self.dsn = server.dsn("measured")
        self._stack = stack

    async def open(self, dsn: str = "", **options: Any) -> Any:
        """A pool of the engine."""
        pool = await create_pool(dsn or self.dsn, mode=self.engine, **options)
        self._stack.push_async_callback(pool.close, timeout=5)
        return pool

    async def proxy(self) -> FaultProxy:
        """A link to the server that can be disturbed."""
        return await self._stack.enter_async_context(FaultProxy("127.0.0.1", self.server.port))

    def sql(self, query: str) -> Any:
        """Ask the database, beside the pool."""
        return self.server.sql(query, "measured")


async def _measured(figure: Any, engine: str, server: PostgresServer, loop: str) -> str:
    server.sql("DROP DATABASE IF EXISTS measured WITH (FORCE)")
    server.sql("CREATE DATABASE measured")
    async with AsyncExitStack() as stack:
        return str(await asyncio.wait_for(figure(Case(engine, server, loop, stack)), LIMIT))


def _run(work: Any, loop: str) -> Any:
    if loop == "uvloop":
        return importlib.import_module("uvloop").run(work)
    return asyncio.run(work)


def main() -> int:
    """Measure and print the table; 1 if a line could not be measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.table", description=__doc__)
    installed = [spec.name for spec in ENGINES if spec.installed]
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    parser.add_argument("--engines", type=lambda text: text.split(","), default=installed)
    parser.add_argument("--rows", type=lambda text: text.split(","), default=list(FIGURES), help=",".join(FIGURES))
    options = parser.parse_args()
    logging.getLogger("db_pool_rs").addHandler(logging.NullHandler())  # losses are what is measured
    failed = 0
    with tempfile.TemporaryDirectory(prefix="db-pool-table-", ignore_cleanup_errors=True) as folder:
        farm = ServerFarm(find_installation(Path(folder)), Path(folder))
        server = farm.make()
        try:
            print(f"| {options.loop} | {' | '.join(options.engines)} |\n|---|{'---|' * len(options.engines)}")
            for row in options.rows:
                cells = []
                for engine in options.engines:
                    try:
                        cells.append(_run(_measured(FIGURES[row], engine, server, options.loop), options.loop))
                    except Exception as error:
                        failed += 1
                        cells.append(f"FAILED: {type(error).__name__}: {error}".splitlines()[0])
                print(f"| {str(FIGURES[row].__doc__).rstrip('.')} | {' | '.join(cells)} |", flush=True)
        finally:
            server.remove()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
