"""When what the pool knows of a text is out of date: tables change, and a session may see other tables than others do.

What the server told of a text is kept for the whole pool, as long as nothing speaks against it:

- an error that proves it: the plan's result type changed, the statement is unknown there, its name is taken. Alone and
  outside a transaction the text is then described anew and run once more, else the error is reported;
- an error that may come of it: parameters have the wrong types. Then the server is asked for the types first, and the
  statement runs once more only if they are others;
- other columns than expected in the first result after it was prepared on a connection (a `search_path` of the
  session's own, a table made anew): the result is read as what it is;
- DDL of the pool's own, or of others where the guard notices it: what has arguments is described again at its next use,
  since the server casts a value of the former type to the present one (0.1 as a float4 is another float8);
- an argument that does not fit, if the description is older than the last ALTER or DROP of the pool's, or than
  :data:`CONFIRM_AFTER`: the server is asked again before the argument is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import DatabaseError, DecodeError
from ...errors.conditions import MISTYPED, NAME_TAKEN, TYPE_GONE, UNKNOWN_STATEMENT
from ...scheduler.model import StatementRequest
from ...sql import DATA, StatementClass
from .dialect import PREPARABLE, alters
from .statements import Description, Host, Prepared, columns_of

#: Seconds after which an argument that does not fit is a reason to ask the server again.
CONFIRM_AFTER = 1.0

#: Asks which process serves a connection: another than it was opened to, behind a proxy that deals statements out.
PID = b"SELECT pg_backend_pid()"


_TYPES = "types"
#: The context of an error about a parameter, in any language: "unnamed portal parameter $1 = '...'".
_PARAMETER = re.compile(r"""[^"'\n]*\$\d+( = [^\n]*)?""")


class Healing:
    """What one link does about statements that fail because something the pool knows is out of date.

    An error counts only if it is provably about this pool's own prepared statement: not if a function or block raised
    it, nor if the statement is itself an EXECUTE. Each cause makes a statement be sent again once.
    """

    __slots__ = ("_altered", "_driver", "_prepared", "failed", "suspect", "tried")

    def __init__(self, driver: Host, prepared: Prepared) -> None:
        self._driver = driver
        self._prepared = prepared
        #: Whether DDL is not committed yet, as `alters_schema` has it.
        self._altered: bool | None = None
        #: The step that the server answered with an error: a statement, or what was sent in front of one.
        self.failed: Any = None
        #: Causes for which the running statement was sent again.
        self.tried: set[object] = set()
        #: A description whose types may be out of date, and the error that says so: the server is asked again first.
        self.suspect: tuple[Description, DatabaseError] | None = None

    def forget(self) -> None:
        """Another group runs now."""
        self.tried.clear()
        self.suspect = None

    def note_altering(self, group: Sequence[StatementRequest], in_transaction: Callable[[], bool]) -> None:
        """A group, or its beginning, was executed: tables may have changed. Others see it when that is committed."""
        altered = alters(group, self._altered)
        if altered is not None:
            self._driver.schema_changed(altered)
            self._altered = altered if in_transaction() else None

    def heal(self, statement: StatementRequest) -> bool:
        """Forget what the statement's error proves to be out of date; True if it may be sent again."""
        error, self.suspect = statement.error, None
        if not isinstance(error, DatabaseError) or (cause := self._cause(statement, error)) is None:
            return False
        described: Description = statement.described
        if cause == UNKNOWN_STATEMENT:
            self._prepared.discard(described.name)
        elif cause == NAME_TAKEN:
            self._driver.doubt_names()
        elif isinstance(cause, bytes):
            self._prepared.discard(cause)
        if cause in self.tried:
            return False
        self.tried.add(cause)
        if not isinstance(cause, bytes):
            self._driver.forget(statement.query, described)
        if cause == _TYPES:
            self.suspect = described, error
        return True

    def acquits(self, statement: StatementRequest | None) -> bool:
        """The server told the types again: True if they are the same, so that the error was the statement's own."""
        if self.suspect is None or statement is None:
            return False
        (old, error), self.suspect = self.suspect, None
        new: Description | None = statement.query.description
        if new is None or (new.param_oids, new.oids, new.names) != (old.param_oids, old.oids, old.names):
            return False
        statement.query.description, statement.error = old, error
        return True

    def _cause(self, statement: StatementRequest, error: DatabaseError) -> object:
        """What is out of date, as far as it is certain that it is ours; None if it is not."""
        step, code = self.failed, error.sqlstate
        described: Description | None = statement.described
        if described is None or statement.query.lexical.command not in PREPARABLE or _raised_inside(error.where):
            return None
        if code == UNKNOWN_STATEMENT:
            name = step if isinstance(step, bytes) else described.name
            return (name if step is name else code) if name.decode() in error.message else None
        if code == NAME_TAKEN:
            return code if step is described and described.name.decode() in error.message else None
        if code == "0A000":  # feature_not_supported is many things; this is the one function that we mean
            return code if error.__dict__.get("routine") == "RevalidateCachedQuery" else None
        unexecuted = error.where is not None or statement.query.kind in DATA
        return _TYPES if unexecuted and described.param_oids and code in (*MISTYPED, *TYPE_GONE) else None


def _raised_inside(where: str | None) -> bool:
    """Whether an error came from inside a function or block: what the server adds about a parameter is one line."""
    return where is not None and not _PARAMETER.fullmatch(where)


def first_format(statement: StatementRequest) -> int:
    """The format of the rows of what is prepared just now: text if it changes data.

    The columns may turn out to be others than were described when the change is committed: text can be read then.
    """
    return int(statement.query.kind is StatementClass.READ)


def check_columns(group: Sequence[StatementRequest], fresh: Sequence[Description], driver: Host) -> None:
    """Hold the results against the descriptions, where these were prepared on the connection just now."""
    suspects, seen = set(fresh), dict[tuple[Description, int], Description]()
    for statement in group:
        described: Description | None = statement.described
        if described is None or described not in suspects:
            continue
        if not statement.value.nfields and not described.oids:
            continue
        key = described, int(statement.value.fformat(0))
        if key not in seen:
            seen[key] = _as_it_is(described, statement.value, driver)
        actual = statement.described = seen[key]
        if (actual.oids, actual.names) != (described.oids, described.names):
            driver.forget(statement.query, described)
            if actual.result_format and not actual.has_binary():
                statement.error = DecodeError("the columns are of other types than when the statement was described")


def _as_it_is(described: Description, result: Any, driver: Host) -> Description:
    names, oids = columns_of(result)
    format = int(result.fformat(0)) if oids else described.result_format
    if tuple(oids) == described.oids and tuple(names) == described.names and format == described.result_format:
        return described
    actual = driver.description_type(described.sql.decode(), (), names, oids, driver.version, driver.catalog)
    actual.result_format = format  # it was asked for
    return actual
