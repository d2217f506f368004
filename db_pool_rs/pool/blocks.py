"""The transaction blocks of a session: commands that are still to be sent for them, and what has become of those sent.

What begins a block travels with its first statement, and what undoes one of which no caller waits any more with the
next. Any of them can be stopped, with its group or before it was sent. Then

- a ROLLBACK, or what undoes a savepoint, is pending again: the next statement must not find the old block open;
- a BEGIN is not sent again: until the end of its block nothing is executed, since outside of one it would be committed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..drivers.base import STATUS, answer_by_tag
from ..scheduler.model import StatementRequest
from ..sql import StatementClass
from .queries import command_text

#: The SQLSTATE of what was stopped.
_CANCELED = "57014"
#: What undoes a savepoint begins so.
_OF_SAVEPOINTS = ("ROLLBACK TO ", "RELEASE ")
#: After these no block is open.
_ENDS = re.compile(r"(?:COMMIT|END|ABORT|ROLLBACK)(?: (?:WORK|TRANSACTION))?(?: AND NO CHAIN)?[ ;]*", re.IGNORECASE)


class Blocks:
    """Those of one session."""

    __slots__ = ("_ending", "_sent", "inside", "open", "overridden", "pending", "refused")

    def __init__(self, inside: bool) -> None:
        #: Commands that travel with the next statement: BEGIN, SAVEPOINT, and what undoes a block.
        self.pending: list[str] = []
        #: Whether the server had a transaction open, failed or not, when it last answered.
        self.inside = inside
        #: A block of the holder's is open, the outermost. Why its BEGIN was refused, until its end; the same, where the
        #: holder has ended that block by a COMMIT or ROLLBACK of its own.
        self.open = False
        self.refused: Exception | None = None
        self.overridden: Exception | None = None
        #: The commands that are on their way; the statements that end a block, and what undoes that if it is stopped.
        self._sent: Sequence[StatementRequest] = ()
        self._ending: tuple[Sequence[StatementRequest], Sequence[str]] | None = None

    def are_open(self) -> bool:
        """Whether statements called now run inside a transaction block."""
        if not (self.pending or self._sent or self._ending or self.refused):
            return self.inside
        if "ROLLBACK" in self.pending:
            return self.pending[-1] != "ROLLBACK"
        if self.pending or self.refused is not None:
            return True
        if self._ending is not None and "ROLLBACK" in self._ending[1]:
            return False  # what is called now comes behind its end
        return self._sent[-1].query.sql != "ROLLBACK" if self._sent else self.inside

    def take(self, dialect: str, statements: Sequence[StatementRequest] = ()) -> list[StatementRequest]:
        """The pending commands, which are being sent now, in front of `statements`."""
        if not self.pending:
            return []
        if _rolls_back(statements):  # nothing of savepoints is of interest then, and it must not fail by that
            self.pending = [sql for sql in self.pending if not sql.startswith(("SAVEPOINT ", *_OF_SAVEPOINTS))]
        self._sent = commands = [StatementRequest(command_text(sql, dialect), (), STATUS, None) for sql in self.pending]
        self.pending.clear()
        return commands

    def ends_with(self, statements: Sequence[StatementRequest], undo: Sequence[str]) -> None:
        """These are being sent now; if they are stopped, `undo` runs before whatever is called next."""
        self._ending = statements, undo

    def answered(self, inside: bool) -> None:
        """What was sent is answered: what was stopped of it is pending again."""
        self.inside = inside
        if not (self._sent or self._ending or self.pending):
            return
        sent, ending, self._sent, self._ending = self._sent, self._ending, (), None
        executed = (not sent or sent[-1].value is not None) and (ending is None or ending[0][-1].value is not None)
        if executed and not self.pending:
            return
        left = [one for one in sent if one.value is None]
        undo = ending[1] if ending is not None and inside and _were_stopped(ending[0]) else ()
        if left and left[0].error is not None and _begins(left[0]):
            undo = ()  # the block is not there
        again = self._again(left)
        self._forget([one.query.sql for one in left if _begins(one) and one.query.sql not in again])
        self.pending[:0] = [*again, *undo]
        self._tidy(inside)

    def _forget(self, refused: Sequence[str]) -> None:
        """What would end these savepoints fails, and with it what is called next: they are not there."""
        for command in refused:
            ends = (f"ROLLBACK TO {command}", f"RELEASE {command}")
            self.pending[:] = [one for one in self.pending if one not in ends]

    def _again(self, left: Sequence[StatementRequest]) -> list[str]:
        """Which of these commands, the first of which was not executed, are to be sent again."""
        if not left:
            return []
        first, error = left[0], left[0].error
        if error is None or (self.inside and not _begins(first) and _was_stopped(first)):
            return [one.query.sql for one in left]
        if not _begins(first):  # of what it undoes nothing is there, so that is not released either
            return self._again([one for one in left[1:] if one.query.sql != _release_of(first)])
        if not self.inside and self.open:
            self.refused = error
        return []

    def add(self, commands: Sequence[str], busy: bool) -> None:
        """These, which end a block, are to be sent before whatever is called next."""
        self.pending.extend(commands)
        self._tidy(busy or self.inside)

    def _tidy(self, inside: bool) -> None:
        """What stands before a ROLLBACK has no effect, nor has what undoes a block where no transaction can be open."""
        pending = self.pending
        while pending and not inside and pending[0].startswith(_OF_SAVEPOINTS):
            del pending[0]
        if "ROLLBACK" in pending:
            behind = len(pending) - pending[::-1].index("ROLLBACK")
            del pending[: behind - inside]

    def end_refused(self, statement: StatementRequest) -> None:
        """The holder ends a block whose BEGIN was refused: it is told what PostgreSQL says in one that has failed."""
        self.refused, self.overridden = None, self.refused
        self.pending.clear()
        answer_by_tag(statement, "ROLLBACK")

    def end(self) -> None:
        """The holder's outermost block is over, whatever has become of it."""
        self.open, self.refused, self.overridden = False, None, None


def ends_block(statements: Sequence[StatementRequest]) -> bool:
    """Whether it is one COMMIT or ROLLBACK after which no block is open."""
    only = statements[0].query if len(statements) == 1 else None
    if only is None or only.kind is not StatementClass.CONTROL:
        return False
    from ..sql.without_values import without_values  # its patterns are of no use before

    return _ENDS.fullmatch(without_values(only.sql)) is not None


def _rolls_back(statements: Sequence[StatementRequest]) -> bool:
    """Whether it is one ROLLBACK of all that is open."""
    return ends_block(statements) and statements[0].query.sql.upper().startswith(("ROLLBACK", "ABORT"))


def _begins(command: StatementRequest) -> bool:
    """Whether it begins a block; else it undoes one."""
    return command.query.sql.startswith(("BEGIN", "SAVEPOINT"))


def _release_of(undo: StatementRequest) -> str:
    """What stands behind the command that rolls back to a savepoint."""
    return undo.query.sql.replace("ROLLBACK TO", "RELEASE", 1)


def _were_stopped(statements: Sequence[StatementRequest]) -> bool:
    """Whether the last was not executed, and none has an error that it would have again."""
    return statements[-1].value is None and all(one.value is not None or _was_stopped(one) for one in statements)


def _was_stopped(statement: StatementRequest) -> bool:
    """Whether it was not executed, and would be if it were sent again."""
    return statement.value is None and getattr(statement.error, "sqlstate", _CANCELED) == _CANCELED
