"""One sqlite3 connection: opened, asked and closed on worker threads, by one thread at a time."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import quote

from ...conninfo import SqliteConfig
from ...errors import ConnectFailed, sqlite_error
from .errors import is_busy, is_interrupted

#: SQLite's own waiting for other processes sleeps on the thread and cannot be interrupted: so it is done in slices.
SLICE = 0.05
_SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}
_DEFERRED = re.compile(r"\bINITIALLY\b.*\bDEFERRED\b", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Settings:
    """How the connections of one pool are opened; `busy_timeout` in seconds."""

    uri: str
    shown: str
    cached_statements: int
    busy_timeout: float = 5.0
    foreign_keys: bool = True
    synchronous: str = "full"
    read_only: bool = False
    memory: bool = False

    @classmethod
    def of(cls, target: SqliteConfig, cached_statements: int, memory_name: str) -> Settings:
        """The settings for a configured database; all connections to `memory_name` share one in-memory database."""
        if target.path is None:
            uri, shown = f"file:/{memory_name}?vfs=memdb", "in-memory database"
        else:
            shown = str(Path(target.path).absolute())
            uri = f"file:{quote(shown)}?mode={target.mode}"
        return cls(
            uri, shown, cached_statements,
            busy_timeout=target.busy_timeout, foreign_keys=target.foreign_keys, synchronous=target.synchronous,
            read_only=target.mode == "ro", memory=target.memory,
        )  # fmt: skip


class Stop:
    """A request to stop, set on the event loop's thread and looked at between statements and between slices."""

    __slots__ = ("cancelled",)

    def __init__(self) -> None:
        self.cancelled = False


class Database:
    """A connection in auto-commit mode. Only `interrupt` may be called from another thread, while a group runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        #: Whether readers and writers are in each other's way.
        self.one_lock = True
        #: SQLite rolled the open transaction back by itself; nothing is executed until its end is asked for.
        self.failed = False
        #: The open transaction is read-only by BEGIN READ ONLY.
        self.read_only = False
        self.connection: sqlite3.Connection
        self.cursor: sqlite3.Cursor
        #: Those of the open transaction, by name; None for one that an interrupt has ended.
        self.cursors: dict[str, sqlite3.Cursor | None] = {}
        #: Set by an interrupt, until what it leaves behind is done away with.
        self.interrupted = False
        self._schema = -1
        self._defers = False

    def open(self, stop: Stop) -> None:
        """Open and set up; ConnectFailed says why not."""
        try:
            self.connection = sqlite3.connect(
                self.settings.uri,
                uri=True,
                timeout=min(SLICE, self.settings.busy_timeout),
                isolation_level=None,
                check_same_thread=False,
                cached_statements=self.settings.cached_statements,
            )
        except sqlite3.Error as error:
            raise _connect_failed(error, self.settings) from error
        self.cursor = self.connection.cursor()
        try:
            self._set_up(stop)
        except sqlite3.Error as error:
            self.close()
            raise _connect_failed(error, self.settings) from error

    def _set_up(self, stop: Stop) -> None:
        self.failed = self.read_only = False
        self._schema = -1
        self.execute(f"PRAGMA foreign_keys = {'ON' if self.settings.foreign_keys else 'OFF'}", (), stop)
        if not self.settings.memory:  # its one lock may be taken: everything else would have to wait
            self.execute(f"PRAGMA synchronous = {_SYNCHRONOUS[self.settings.synchronous]}", (), stop)
            self.one_lock = self._journal_mode(stop) != "wal"

    def _journal_mode(self, stop: Stop) -> str:
        """Have WAL if possible. Reading the mode is also the first access to the file: what is no database shows."""
        mode: str = self.execute("PRAGMA journal_mode", (), stop).fetchone()[0]
        if mode != "wal" and not self.settings.read_only:
            with contextlib.suppress(sqlite3.OperationalError):  # a file that cannot be written has the mode it has
                mode = self.execute("PRAGMA journal_mode = WAL", (), stop).fetchone()[0]
        return mode

    def close(self) -> None:
        """Close; an open transaction is rolled back."""
        with contextlib.suppress(sqlite3.Error):
            self.close_cursors()
            self.cursor.close()  # a statement that it still refers to would keep the file open
            self.connection.close()

    def reopen(self, stop: Stop) -> None:
        """A new connection in the place of this one: no setting, temporary table or attached file is left."""
        self.close()
        self.open(stop)

    def interrupt(self) -> None:
        """Have the running statement fail. Without effect if none is running at this moment."""
        self.interrupted = True
        with contextlib.suppress(sqlite3.ProgrammingError):  # closed meanwhile
            self.connection.interrupt()

    @property
    def in_block(self) -> bool:
        """Whether a transaction block is open, failed or not."""
        try:
            return self.failed or self.connection.in_transaction
        except sqlite3.ProgrammingError:  # opening it anew failed
            return False

    # -- statements ----------------------------------------------------------------------------------------------

    def execute(self, sql: str, params: Any, stop: Stop) -> sqlite3.Cursor:
        """Execute one statement, waiting for other processes' locks for `busy_timeout` at most."""
        try:
            return self.cursor.execute(sql, params)
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
        return self.execute_again(sql, params, stop)

    def execute_again(self, sql: str, params: Any, stop: Stop) -> sqlite3.Cursor:
        """Execute a statement that was locked out. It has done nothing yet, so that it may simply be repeated."""
        until = monotonic() + self.settings.busy_timeout
        while True:
            try:
                return self.cursor.execute(sql, params)
            except sqlite3.OperationalError as error:
                if not is_busy(error) or stop.cancelled or monotonic() >= until:
                    raise

    def declare(self, sql: str, params: Any, stop: Stop) -> sqlite3.Cursor:
        """A cursor of its own for one statement, whose rows are fetched later."""
        usual, self.cursor = self.cursor, self.connection.cursor()
        try:
            return self.execute(sql, params, stop)
        finally:
            self.cursor = usual

    def close_cursors(self) -> None:
        """The transaction of the declared cursors ends."""
        self.end_cursors()
        self.cursors.clear()

    def end_cursors(self) -> None:
        """End them, but keep their names.

        As long as one is open, an interrupt stays in effect: every statement would fail, and no cursor could go on.
        """
        self.interrupted = False
        for name, cursor in self.cursors.items():
            if cursor is not None:
                cursor.close()
                self.cursors[name] = None

    def roll_back(self) -> None:
        """Roll back whatever is open."""
        self.close_cursors()
        if self.connection.in_transaction:
            self.surely("ROLLBACK")

    def end_read_only(self) -> None:
        """A read-only transaction has ended: the connection may write again."""
        self.surely("PRAGMA query_only = OFF")
        self.read_only = False

    def finish(self, sql: str, stop: Stop) -> None:
        """Execute what begins or ends a part of a transaction, or ends it: no cancel keeps that from being done."""
        while True:
            try:
                self.execute(sql, (), stop)
                return
            except sqlite3.OperationalError as error:
                if not is_interrupted(error) or not self.connection.in_transaction:
                    raise
            self.end_cursors()

    def surely(self, sql: str) -> None:
        """Execute what must not be stopped by a late interrupt; each interrupt hits one attempt at most."""
        while True:
            try:
                self.cursor.execute(sql)
                return
            except sqlite3.OperationalError as error:
                if not is_interrupted(error):
                    raise

    def changes(self) -> int:
        """Rows that the last INSERT, UPDATE or DELETE changed, where the cursor does not tell (WITH, RETURNING)."""
        count: int = self.connection.execute("SELECT changes()").fetchone()[0]
        return count

    def defers(self) -> bool:
        """Whether a COMMIT may fail for what an earlier statement did: a deferred foreign key is declared somewhere.

        Then statements cannot share a transaction: one might even cure what another has violated.
        """
        version = self.cursor.execute("PRAGMA schema_version").fetchone()[0]
        if version != self._schema:
            self._defers = self.settings.foreign_keys and self._look_for_deferred()
            self._schema = version
        return self._defers

    def _look_for_deferred(self) -> bool:
        attached = "SELECT count(*) FROM pragma_database_list WHERE name NOT IN ('main', 'temp')"
        if self.cursor.execute(attached).fetchone()[0]:
            return True  # by `init`; their schemas have versions of their own, so do not ask further
        tables = self.cursor.execute("SELECT sql FROM sqlite_master WHERE sql LIKE '%deferred%'").fetchall()
        return any(_DEFERRED.search(sql) for (sql,) in tables)


def _connect_failed(error: sqlite3.Error, settings: Settings) -> ConnectFailed:
    reason = str(error)
    path = Path(settings.shown)
    if reason == "unable to open database file":
        if path.is_dir():
            reason += ": it is a directory"
        elif not path.parent.is_dir():
            reason += ": its directory does not exist"
        elif not path.exists():
            reason += ": it does not exist"
    return ConnectFailed(
        "the database cannot be opened",
        [f"{settings.shown}: {reason}"],
        sqlstate=sqlite_error(error).sqlstate,
        permanent=not is_busy(error),
    )
