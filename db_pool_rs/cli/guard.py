"""How every program of this package ends: an exit code, and an error as one line, without traceback or secrets.

0 for success, 1 for failure, 2 for a wrong command line (argparse), 130 after Ctrl-C.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from collections.abc import Callable

from ..errors import Error
from .common import UsageError, one_line
from .embedded import EmbeddedError
from .terminal import Terminal

SUCCESS, FAILURE, INTERRUPTED = 0, 1, 130


def guarded(program: Callable[[], int]) -> int:
    """Run a program, command line and all, and give its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Data that the stream's encoding lacks is shown escaped instead of failing.
            stream.reconfigure(errors="backslashreplace")
    # What the package logs on its way (a failed connect, say) comes back as the error that is printed.
    logging.getLogger("db_pool_rs").addHandler(logging.NullHandler())
    try:
        code = program()
        sys.stdout.flush()
        return code
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _fail("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader has seen enough (`| head`). What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except (Error, UsageError, EmbeddedError, OSError) as error:
        return _fail(one_line(error), FAILURE)


def _fail(message: str, code: int) -> int:
    terminal = Terminal(sys.stderr)
    terminal.line(f"{terminal.style('error:', 'red')} {message}")
    return code
