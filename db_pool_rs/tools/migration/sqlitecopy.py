"""A copy of a SQLite database to verify on.

Modes have SQLites of their own: Python's, and the one in mode full. Two copies of SQLite in one process do not see each
other's locks on a file, and may damage it while another program writes (https://www.sqlite.org/howtocorrupt.html). So
the user's file is read once, by Python's alone; both modes are asked on the copy.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from ...errors import ConnectFailed
from .sidefiles import uri, without_side_files

#: SQLITE_BUSY and SQLITE_LOCKED, for which Python has names from 3.11 on.
_HELD = (5, 6)
#: How long another program may hold the lock, in seconds.
PATIENCE = 5.0


@contextlib.contextmanager
def copied(file: Path) -> Iterator[Path]:
    """What `file` holds at this moment, in a temporary folder; ConnectFailed if it cannot be read."""
    with tempfile.TemporaryDirectory(prefix="db-pool-verify-") as folder:
        copy = Path(folder) / file.name
        try:
            with without_side_files(file):
                _copy(file, copy)
        except sqlite3.Error as error:
            reason = str(error) if file.exists() else "it does not exist"
            raise ConnectFailed("the database cannot be read", [f"{file}: {reason}"]) from error
        yield copy


def _copy(file: Path, copy: Path) -> None:
    until = time.monotonic() + PATIENCE

    def look(status: int, remaining: int, total: int) -> None:
        if status in _HELD and time.monotonic() > until:
            raise sqlite3.OperationalError("database is locked")  # else `backup` would try for ever

    with (
        contextlib.closing(sqlite3.connect(uri(file, "ro"), uri=True)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target, progress=look, sleep=0.05)
