"""The command line, `python -m db_pool_rs`.

    demo      the pool at work: a mixed concurrent load on an embedded database, with figures
    doctor    what is installed, which mode is chosen and why, can the database be reached
    query     run one statement and print its rows

Results go to standard output, everything else to standard error; an error is one line, without traceback and without
secrets. The exit code is 0 for success, 1 for failure, 2 for a wrong command line, 130 after Ctrl-C. Colours, the
progress bar and layouts that depend on the width appear on terminals only, colours never with NO_COLOR.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial

from .. import __version__
from ..errors import Error
from . import demo, doctor, query
from .common import UsageError, one_line, run_until_interrupted
from .embedded import EmbeddedError
from .terminal import Terminal

__all__ = ["main"]

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: that of this process) and give its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Data that the stream's encoding lacks is shown escaped instead of failing.
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(argv)
    # What the package logs on its way (a failed connect, say) comes back as the error that is printed.
    logging.getLogger("db_pool_rs").addHandler(logging.NullHandler())
    try:
        code = _run(options)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader has seen enough (`| head`). What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE


def _run(options: argparse.Namespace) -> int:
    try:
        with options.around(options):
            return run_until_interrupted(partial(options.run, options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _fail("interrupted", INTERRUPTED)
    except (Error, UsageError, EmbeddedError, OSError) as error:
        if isinstance(error, BrokenPipeError):
            raise
        return _fail(one_line(error), FAILURE)


def _fail(message: str, code: int) -> int:
    terminal = Terminal(sys.stderr)
    terminal.line(f"{terminal.style('error:', 'red')} {message}")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m db_pool_rs",
        description="A database connection pool that serves many tasks over few connections.",
    )
    parser.set_defaults(around=contextlib.nullcontext)
    parser.add_argument("--version", action="version", version=f"db-pool-rs {__version__}")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, doctor, query):
        command.add_parser(subparsers)
    return parser
