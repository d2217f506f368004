"""Groups of statements, carried out on a worker thread.

READs of a group are executed in one read transaction, WRITEs in one write transaction, so that a group costs one
snapshot or one commit. Each statement nevertheless has the outcome that it would have alone:

- A statement that fails is undone by SQLite itself, alone and exactly as far as it would be outside a transaction
  (`OR FAIL` keeps what came before the failing row), and the transaction goes on. A savepoint for each statement would
  cost twice the time and get `OR FAIL` wrong.
- Where one statement ends the transaction of all (`ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)`, a full disk, an
  interrupt) or COMMIT fails, nothing of the group was done. The group is answered with ``ok=False`` and the scheduler
  has each statement sent again alone.
- Where deferred foreign keys are declared, one statement could cure what another one violated: there WRITEs are sent
  alone from the start.

Sessions run their statements one after another up to the first error; several of them outside a transaction block that
do not control transactions themselves (a script) are one transaction. What ends a transaction, or begins or ends a part
of one, is executed though its caller has gone: else the transaction would be another one than its blocks say.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import count
from time import perf_counter
from typing import Any

from ...record import Column, Record, Status, record_class
from ...scheduler.model import StatementRequest
from ..base import RESULT, Done, answer_by_tag
from .database import Database, Stop
from .errors import (
    canceled,
    failed_transaction,
    is_busy,
    is_interrupted,
    no_cursor,
    no_transaction,
    statement_error,
)
from .plan import ALWAYS, BEGIN_READ_WRITE, Description, Lock, Role
from .types import estimate

_checks = count()


class Job:
    """A group on its way: what is to be done, and what came of it."""

    __slots__ = (
        "done", "failure", "group", "in_block", "no_grouping", "notices", "ok", "running", "seconds", "size", "stop",
        "waiting", "work",
    )  # fmt: skip

    def __init__(
        self, work: Callable[[Database, Job], None], group: Sequence[StatementRequest], done: Done, in_block: bool
    ) -> None:
        self.work = work
        self.group = group
        self.done = done
        self.stop = Stop()
        self.running = False
        #: On the thread, but held up by another process: that is no stall, and to send it again alone would not help.
        self.waiting = False
        self.ok = True
        #: The statements must not share a transaction, now and later.
        self.no_grouping = False
        #: Time on the thread, without waiting for it and for the lock.
        self.seconds = 0.0
        self.size = 0.0
        #: Whether a transaction block is open; while the job runs: may be.
        self.in_block = in_block
        self.notices: list[Exception] = []
        #: What should not have happened.
        self.failure: Exception | None = None


def carry_out(database: Database, job: Job) -> None:
    """Do the work; never raises."""
    began = perf_counter()
    try:
        if database.interrupted:  # by an earlier job's cancel
            database.end_cursors()
        job.work(database, job)
    except Exception as error:
        if job.stop.cancelled and is_interrupted(error):
            database.roll_back()
            stopped(job)
        else:
            job.failure = error
    job.seconds = perf_counter() - began
    job.in_block = database.in_block


def stopped(job: Job) -> None:
    """Nothing of the group counts: each statement is to be sent again; one that is alone hears of the cancel."""
    job.ok = False
    for statement in job.group:
        statement.value, statement.error = None, canceled(statement.query.sql)


@lru_cache(maxsize=1024)
def _row_class(description: tuple[tuple[Any, ...], ...]) -> type[Record]:
    return record_class(tuple([column[0] for column in description]))


def _details(cursor: sqlite3.Cursor, status: Status) -> tuple[tuple[Column, ...], Status]:
    return tuple([Column(name, 0, -1) for name, *_ in cursor.description or ()]), status


# -- READs of the pool -----------------------------------------------------------------------------------------------


def run_reads(database: Database, job: Job) -> None:
    """One snapshot, outcomes of their own."""
    cursor, group = database.cursor, job.group
    execute, fetchall = cursor.execute, cursor.fetchall
    several, longest = len(group) > 1, 0
    known: Description | None = None  # within one snapshot a text keeps its columns
    row: type[Record] = Record
    if several:
        execute("BEGIN")
    for statement in group:
        if job.stop.cancelled:
            stopped(job)
            break
        description = statement.described
        try:
            try:
                execute(description.sql, statement.params)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
                database.execute_again(description.sql, statement.params, job.stop)
            rows = fetchall()
        except Exception as error:
            known = None
            if _failed(statement, error, job):
                continue
            break
        if description is not known:
            known, row = description, _row_class(cursor.description)
        statement.value = list(map(row, rows)) if statement.want else description.status(len(rows))
        if statement.want is RESULT:
            statement.details = _details(cursor, description.status(len(rows)))
        if len(rows) > longest:  # the others are hardly larger, or are when their text comes first
            longest = len(rows)
            job.size = max(job.size, estimate(rows))
    if several and database.connection.in_transaction:
        database.surely("COMMIT")


def _failed(statement: StatementRequest, error: Exception, job: Job) -> bool:
    """A statement failed: whether that concerns no other statement."""
    statement.error = statement_error(error, statement.query.sql)
    if is_interrupted(error) or (job.stop.cancelled and is_busy(error)):
        job.ok = False
    return job.ok


# -- WRITEs of the pool ----------------------------------------------------------------------------------------------


def run_writes(database: Database, job: Job) -> None:
    """One commit, outcomes of their own."""
    if not _begin_writes(database, job):
        return
    for statement in job.group:
        if job.stop.cancelled:
            stopped(job)
        else:
            _write(database, statement, job)
        if not job.ok:
            database.roll_back()
            return
    try:
        database.execute("COMMIT", (), job.stop)
    except Exception as error:
        database.roll_back()
        job.ok = False
        for statement in job.group:
            statement.value, statement.error = None, statement_error(error, statement.query.sql)


def _begin_writes(database: Database, job: Job) -> bool:
    """Begin their transaction; False if they are through already."""
    several = len(job.group) > 1
    job.waiting = True
    try:
        database.execute(BEGIN_READ_WRITE, (), job.stop)
        job.waiting = False
    except sqlite3.Error as error:
        if is_busy(error) or is_interrupted(error):
            for statement in job.group:
                _failed(statement, error, job)
        else:  # the database cannot be written to: each statement hears its own reason
            job.ok = False
            if not several:
                _write(database, job.group[0], job)
        return False
    if several and database.defers():
        database.roll_back()
        job.no_grouping, job.ok = True, False
    return job.ok


def _write(database: Database, statement: StatementRequest, job: Job) -> None:
    """Execute one; ``job.ok`` tells whether the transaction goes on."""
    try:
        _carry_out(database, statement, job)
    except Exception as error:
        _failed(statement, error, job)
        if not database.connection.in_transaction:
            job.ok = False


def _carry_out(database: Database, statement: StatementRequest, job: Job) -> None:
    """Execute one and take its result.

    SQLite writes everything before it gives the first row. If that cannot be read, for the name of a column or for a
    value, the transaction is rolled back: what is told as failed must not be done.
    """
    description: Description = statement.described
    written = False
    try:
        cursor = database.execute(description.sql, statement.params, job.stop)
        written = description.writes
        _answer(database, statement, cursor, job)
    except Exception as error:
        if written or (description.writes and isinstance(error, UnicodeDecodeError)):
            database.roll_back()
        raise


def _answer(database: Database, statement: StatementRequest, cursor: sqlite3.Cursor, job: Job) -> None:
    """Take the result from the cursor."""
    description: Description = statement.described
    if cursor.description is None:
        rows: list[Any] = []
        count = cursor.rowcount
        if count < 0 and description.writes:
            count = database.changes()
    else:
        rows = cursor.fetchall()
        job.size = max(job.size, estimate(rows))
        count = database.changes() if description.writes else len(rows)
    if not statement.want:
        statement.value = description.status(count)
    else:
        statement.value = list(map(_row_class(cursor.description), rows)) if rows else rows
    if statement.want is RESULT:
        statement.details = _details(cursor, description.status(count))


# -- sessions, and whatever runs alone -------------------------------------------------------------------------------


def run_session(database: Database, job: Job) -> None:
    """One after another, up to the first error."""
    group = job.group
    script = len(group) > 1 and not database.in_block and all(one.described.role is Role.PLAIN for one in group)
    statement = group[0]
    try:
        if script:
            writes = any(one.described.lock is Lock.WRITE for one in group)
            database.execute(BEGIN_READ_WRITE if writes else "BEGIN", (), job.stop)
        for statement in group:
            if job.stop.cancelled and not (statement.described.role in ALWAYS and database.in_block):
                raise canceled(statement.query.sql)
            _step(database, statement, job)
        if script:
            database.execute("COMMIT", (), job.stop)
    except Exception as error:
        statement.value, statement.error = None, statement_error(error, statement.query.sql)
        job.ok = False
        if script:
            database.roll_back()
            database.failed = False
    if database.read_only and not database.in_block:
        database.end_read_only()


def check(database: Database, job: Job) -> None:
    """Have SQLite compile a statement; what the driver makes of several is its own affair.

    The number makes each text another one: EXPLAIN of one that was compiled before tells of tables as they were then.
    """
    (statement,) = job.group
    description: Description = statement.described
    if description.role is Role.PLAIN or description.role is Role.OUTSIDE:
        try:
            nulls = description.encode((None,) * description.count)
            database.execute(f"EXPLAIN /* {next(_checks)} */ {description.sql}", nulls, job.stop).fetchall()
        except Exception as error:
            statement.error, job.ok = statement_error(error, statement.query.sql), False


def _step(database: Database, statement: StatementRequest, job: Job) -> None:
    role = statement.described.role
    if role is Role.RESET:
        database.reopen(job.stop)
        answer_by_tag(statement, "DISCARD ALL")
    elif database.failed:
        if role is not Role.COMMIT and role is not Role.ROLLBACK:
            raise failed_transaction(statement.query.sql)
        database.failed = False
        database.close_cursors()
        answer_by_tag(statement, "ROLLBACK")
    elif role is Role.COMMIT or role is Role.ROLLBACK:
        _end(database, statement, job)
    elif role is Role.BEGIN_READ_ONLY:
        database.execute("BEGIN", (), job.stop)
        database.execute("PRAGMA query_only = ON", (), job.stop)
        database.read_only = True
        answer_by_tag(statement, "BEGIN")
    elif statement.described.cursor:
        _use_cursor(database, statement, job)
    else:
        _execute(database, statement, job)


def _use_cursor(database: Database, statement: StatementRequest, job: Job) -> None:
    """What PostgreSQL does for DECLARE, FETCH and CLOSE."""
    description: Description = statement.described
    name, cursors = description.cursor, database.cursors
    if description.role is Role.DECLARE:
        cursors[name] = database.declare(description.sql, statement.params, job.stop)
        answer_by_tag(statement, description.tag)
        return
    if name not in cursors:
        raise no_cursor(name, statement.query.sql)
    cursor = cursors[name]
    if description.role is Role.CLOSE:
        del cursors[name]
        if cursor is not None:
            cursor.close()
        answer_by_tag(statement, "CLOSE CURSOR")
        return
    if cursor is None:
        raise canceled(statement.query.sql)
    rows = cursor.fetchmany(description.rows)
    job.size = max(job.size, estimate(rows))
    if statement.want:
        statement.value = list(map(_row_class(cursor.description), rows))
    else:
        statement.value = Status(f"FETCH {len(rows)}")
    if statement.want is RESULT:
        statement.details = _details(cursor, Status(f"FETCH {len(rows)}"))


def _end(database: Database, statement: StatementRequest, job: Job) -> None:
    """COMMIT or ROLLBACK: as in PostgreSQL, the block has ended afterwards, whatever comes of it."""
    description: Description = statement.described
    database.close_cursors()
    if not database.connection.in_transaction:
        job.notices.append(no_transaction(description.tag))
    else:
        _commit(database, description.sql, job)
    answer_by_tag(statement, description.tag)


def _commit(database: Database, sql: str, job: Job) -> None:
    """End the transaction by this command, or by rolling it back if that fails."""
    try:
        database.finish(sql, job.stop)
    except Exception:
        database.roll_back()
        raise


def _execute(database: Database, statement: StatementRequest, job: Job) -> None:
    connection, description = database.connection, statement.described
    before = connection.in_transaction
    no_grouping = description.returns and not before  # a transaction of its own, that can be rolled back
    if no_grouping:
        database.execute(BEGIN_READ_WRITE, (), job.stop)
    try:
        if before and description.role in ALWAYS:
            database.finish(description.sql, job.stop)
            answer_by_tag(statement, description.tag)
        else:
            _carry_out(database, statement, job)
    except Exception:
        database.failed = before and not connection.in_transaction
        raise
    finally:
        if no_grouping and connection.in_transaction:
            _commit(database, "COMMIT", job)
