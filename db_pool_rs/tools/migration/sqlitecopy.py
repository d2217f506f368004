"""A copy of a SQLite database to verify on.

Modes have SQLites of their own: Python's, and the one in mode full. Two copies of SQLite in one process do not see each
other's locks on a file, and may damage it while another program writes (https://www.sqlite.org/howtocorrupt.html). So
the user's file is read once, by Python's alone; both modes are asked on the copy.

Beside a database in WAL mode there are ``-wal`` and ``-shm``. A program that opens the database makes them, a read-only
connection too; but only a connection that may write removes them when it is the last to close. To remove them ourselves
would be wrong: another program may have opened the database meanwhile, and what it has committed is in the ``-wal``. So
SQLite is asked to do it, by a connection that may write and does nothing but read and close: it takes the lock that
tells whether it is the last.
"""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from ...errors import ConnectFailed

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
        contextlib.closing(sqlite3.connect(_uri(file, "ro"), uri=True)) as source,
        contextlib.closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target, progress=look, sleep=0.05)


@contextlib.contextmanager
def without_side_files(file: Path) -> Iterator[None]:
    """Have `file` read meanwhile by read-only connections, without leaving a ``-wal`` and ``-shm`` that they made.

    Files that were there before stay as they are: a ``-wal`` may hold what a program that crashed has committed, and
    would be written into the database. What cannot be written keeps its files too.
    """
    had_none = not any(file.with_name(file.name + suffix).exists() for suffix in ("-wal", "-shm"))
    try:
        yield
    finally:
        if had_none and file.with_name(file.name + "-wal").exists():
            _open_and_close(file)


def _uri(file: Path, mode: str) -> str:
    """The database in a file, as sqlite3 opens it: `ro`, or `rw`, which does not make it either."""
    return f"file:{quote(str(file.absolute()))}?mode={mode}"


def _open_and_close(file: Path) -> None:
    # Who holds a lock, or cannot be read, has been told of by the comparison: here it only means that the files stay.
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(_uri(file, "rw"), uri=True, timeout=0)
        with contextlib.closing(connection):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
