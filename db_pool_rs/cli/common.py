"""What the subcommands share: options that name a database, opening a pool, errors in one line, Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from .. import create_pool
from ..errors import DatabaseError, Error
from ..modes import MODES

if TYPE_CHECKING:
    from ..abc import Pool

LIBRARY_DEFAULT = "the pool `default` of config.yaml, else DATABASE_URL, else an empty SQLite database in memory"


class UsageError(Exception):
    """The command line asks for something that cannot be; the message says what, in one line."""


def add_database_options(parser: Any, where: Any = None, default: str = LIBRARY_DEFAULT) -> None:
    """Add `--dsn` (to the group `where` if there is one) and `--mode`."""
    (where or parser).add_argument(
        "--dsn",
        help="postgresql://user@host/database, sqlite:///path or sqlite://. Leave a password to PGPASSWORD or "
        f"~/.pgpass: every user of this machine can see a command line. (default: {default})",
    )
    parser.add_argument("--mode", choices=("auto", *MODES), default="auto", help="the engine (default: auto)")


def positive(text: str) -> float:
    """For argparse: a finite number above zero."""
    value = float(text)
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def count(text: str) -> int:
    """For argparse: a whole number above zero."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return value


def make_pool(options: argparse.Namespace, **pool_options: Any) -> Pool:
    """The pool that `--dsn` and `--mode` ask for, not yet opened; without a DSN the default pool of the library."""
    return create_pool(options.dsn, mode=options.mode, **pool_options)


def database_of(pool: Pool) -> str:
    """What the pool connects to: "postgresql" or "sqlite"."""
    return pool.config.target.database_system


def one_line(error: BaseException) -> str:
    """What went wrong, in one line without secrets: message, SQLSTATE, detail, hint."""
    said = error.reason if isinstance(error, DatabaseError) else str(error)
    lines = [line.strip() for line in said.splitlines()] or [type(error).__name__]
    text = "; ".join(line for line in lines if line)
    if isinstance(error, Error) and error.sqlstate and error.sqlstate not in text:
        text += f" (SQLSTATE {error.sqlstate})"
    return text


def run_until_interrupted(main: Callable[[], Awaitable[int]]) -> int:
    """Run on a new event loop. Ctrl-C and SIGTERM cancel `main`, which then cleans up; CancelledError comes out."""

    async def guarded() -> int:
        task = asyncio.current_task()
        assert task is not None
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # Not on Windows, not outside the main thread: there KeyboardInterrupt does what it always does.
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, task.cancel)
        return await main()

    return asyncio.run(guarded())
