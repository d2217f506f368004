"""What it costs a client to fetch rows, in instructions: each mode, asyncpg and psycopg, under valgrind's callgrind.

    python -m db_pool_rs.tools.benchmark_decoding [--rows 10000] [--dsn postgresql://...] [--beside PYTHON]

One table, in millions of instructions for all rows, whatever else the machine does; those of all threads count. With
`--beside`, the modes that another interpreter has installed stand beside those of this one: an older version, say.
It needs `valgrind`. A contender that is not installed is left out.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from ..cli.guard import guarded
from ..modes import MODES, unavailable
from . import _decoding
from ._database import postgresql


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; the exit code is 0 if each contender was measured."""
    return guarded(partial(_run, arguments))


def _run(arguments: Sequence[str] | None) -> int:
    add = argparse.ArgumentParser(
        prog="python -m db_pool_rs.tools.benchmark_decoding",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add.add_argument("--dsn", help="postgresql://... (default: a new server)")
    add.add_argument("--rows", type=int, default=10_000)
    add.add_argument("--beside", metavar="PYTHON", help="another interpreter that has this package")
    add.add_argument("--contenders", help="a list with commas (default: all that are installed)")
    options = add.parse_args(arguments)
    if shutil.which("valgrind") is None:
        raise RuntimeError("valgrind is needed. On Debian: apt-get install valgrind")
    modes = [mode for mode in MODES if unavailable(mode) is None]
    rivals = [name for name in ("asyncpg", "psycopg") if importlib.util.find_spec(name) is not None]
    chosen = options.contenders.split(",") if options.contenders else [*modes, *rivals]
    runs = [(name, sys.executable, name) for name in chosen]
    if options.beside:
        runs += [(f"{name}, beside", options.beside, name) for name in chosen if name in modes]
    with postgresql(options.dsn) as (dsn, server):
        print(f"{options.rows:,} rows, millions of instructions, {server}", file=sys.stderr)
        print(f"| | {' | '.join(_decoding.ROWS)} |\n|---|" + "---:|" * len(_decoding.ROWS))
        for label, python, contender in runs:
            counts = instructions(python, contender, dsn, options.rows)
            print(f"| {label} | {' | '.join(f'{count / 1e6:,.1f}' for count in counts)} |", flush=True)
    return 0


def instructions(python: str, contender: str, dsn: str, rows: int) -> list[int]:
    """What each set of rows takes."""
    with tempfile.TemporaryDirectory(prefix="db-pool-callgrind-") as folder:
        command = (
            *("valgrind", "--quiet", "--tool=callgrind", "--dump-before=sched_yield"),
            *(f"--callgrind-out-file={folder}/out", python, _decoding.__file__, contender, dsn, str(rows)),
        )
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{contender} under valgrind: {done.stderr[-2000:]}")
        # The first part ends before the first set, the next one behind it, and so on.
        parts = [Path(folder, f"out.{2 * number}") for number in range(1, len(_decoding.ROWS) + 1)]
        return [_total(part.read_text(encoding="utf-8", errors="replace")) for part in parts]


def _total(part: str) -> int:
    found = re.search(r"^(?:totals|summary): (\d+)", part, re.MULTILINE)
    if found is None:
        raise RuntimeError("callgrind has written no total")
    return int(found[1])


if __name__ == "__main__":
    sys.exit(main())
