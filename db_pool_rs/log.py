"""The log of the pools: `db_pool_rs` of the standard library's.

Filters and handlers are the program's own, and are called in the middle of the work, while answers are read say. What
they raise is reported by the event loop, as with a listener, and harms no call.
"""

from __future__ import annotations

import asyncio
import logging
import traceback

_logger = logging.getLogger("db_pool_rs")
#: Frames between the line that logs and the library's.
_FRAMES = 3


class Log:
    """Takes lines as a `logging.Logger` does, and never raises an Exception."""

    def log(self, level: int, text: str, *args: object) -> None:
        """A line of this level."""
        _write(level, text, args, None)

    def debug(self, text: str, *args: object, exc_info: BaseException | bool | None = None) -> None:
        """A line for those who look for a fault."""
        _write(logging.DEBUG, text, args, exc_info)

    def warning(self, text: str, *args: object) -> None:
        """Something that is to be looked at."""
        _write(logging.WARNING, text, args, None)

    def error(self, text: str, *args: object, exc_info: BaseException | bool | None = None) -> None:
        """Something that has failed."""
        _write(logging.ERROR, text, args, exc_info)

    def exception(self, text: str, *args: object) -> None:
        """The same, with the exception that is being handled."""
        _write(logging.ERROR, text, args, True)


def _write(level: int, text: str, args: tuple[object, ...], exc_info: BaseException | bool | None) -> None:
    try:
        _logger.log(level, text, *args, exc_info=exc_info, stacklevel=_FRAMES)
    except Exception as error:
        _report(error)


def _report(error: Exception) -> None:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        traceback.print_exception(error)
    else:
        loop.call_exception_handler({"message": "a filter or handler of the log failed", "exception": error})


logger = Log()
