"""The command line, `python -m db_pool_rs`.

    demo      the pool at work: a mixed concurrent load on an embedded database, with figures
    doctor    what is installed, which mode is chosen and why, can the database be reached
    query     run one statement and print its rows
    top       a live view of the pools of running programs

Results go to standard output, everything else to standard error; an error is one line, without traceback and without
secrets. The exit code is 0 for success, 1 for failure, 2 for a wrong command line, 130 after Ctrl-C. Colours, the
progress bar and layouts that depend on the width appear on terminals only, colours never with NO_COLOR.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Sequence
from functools import partial

from .. import __version__
from . import demo, doctor, query, top
from .common import run_until_interrupted
from .guard import guarded

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of this process) and give its exit code."""
    return guarded(partial(_run, argv))


def _run(argv: Sequence[str] | None) -> int:
    options = _parser().parse_args(argv)
    with options.around(options):
        return run_until_interrupted(partial(options.run, options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m db_pool_rs",
        description="A database connection pool that serves many tasks over few connections.",
    )
    parser.set_defaults(around=contextlib.nullcontext)
    parser.add_argument("--version", action="version", version=f"db-pool-rs {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, doctor, query, top):
        command.add_parser(subparsers)
    return parser
