"""The files that SQLite keeps beside a database in WAL mode.

Whoever opens such a database makes ``-wal`` and ``-shm``, a read-only connection too; but only a connection that may
write removes them when it is the last to close. To remove them ourselves would be wrong: another program may have
opened the database meanwhile, and what it has committed is in the ``-wal``. So SQLite is asked to do it, by a
connection that may write and does nothing but read and close: it takes the lock that tells whether it is the last.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote


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


def uri(file: Path, mode: str) -> str:
    """The database in a file, as sqlite3 opens it: `ro`, or `rw`, which does not make it either."""
    return f"file:{quote(str(file.absolute()))}?mode={mode}"


def _open_and_close(file: Path) -> None:
    # Who holds a lock, or cannot be read, has been told of by the comparison: here it only means that the files stay.
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(uri(file, "rw"), uri=True, timeout=0)
        with contextlib.closing(connection):
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
