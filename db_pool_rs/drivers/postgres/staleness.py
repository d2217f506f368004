"""When what the pool knows of a text is out of date: tables change, and a session may see other tables than others do.

What the server told of a text is kept for the whole pool, as long as nothing speaks against it:

- an error that says so: the plan's result type changed, the statement is unknown there, its parameters have the wrong
  types. Alone and outside a transaction the text is then described anew and run once more, else the error is reported;
- other columns than expected in the first result after it was prepared on a connection (a `search_path` of the
  session's own, a table made anew): the result is read as what it is;
- an argument that does not fit, if the description is older than the last ALTER or DROP of the pool's, or than
  :data:`CONFIRM_AFTER`: the server is asked again before the argument is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ...errors import DatabaseError, DecodeError
from ...errors.conditions import MISTYPED, NAME_TAKEN, UNKNOWN_STATEMENT
from ...scheduler.model import Statement
from ...sql import StatementClass
from .dialect import alters_schema
from .statements import Description, columns_of

if TYPE_CHECKING:
    from .driver import PostgresDriver

#: Seconds after which an argument that does not fit is a reason to ask the server again.
CONFIRM_AFTER = 1.0

#: Statements that cannot commit before the Sync.
REVOCABLE = frozenset((StatementClass.READ, StatementClass.WRITE))


def may_heal(statement: Statement, error: DatabaseError) -> bool:
    """Whether preparing the statement again may help."""
    if error.sqlstate == "0A000":  # feature_not_supported is many things; this is the one function that we mean
        return getattr(error, "routine", None) == "RevalidateCachedQuery"
    if error.sqlstate in MISTYPED:
        return statement.described is not None and statement.text.kind in REVOCABLE
    return error.sqlstate in (UNKNOWN_STATEMENT, NAME_TAKEN)


def alters(group: Sequence[Statement]) -> bool:
    """Whether a group that succeeded may have changed types of parameters, or what the guard has found."""
    return not group[0].text.groupable and any(alters_schema(one.text) for one in group)


def check_columns(group: Sequence[Statement], fresh: Sequence[Description], driver: PostgresDriver) -> None:
    """Hold the results against the descriptions, where these were prepared on the connection just now."""
    suspects, seen = set(fresh), dict[Description, Description]()
    for statement in group:
        described: Description | None = statement.described
        if described is None or described not in suspects:
            continue
        if described not in seen:
            seen[described] = _as_it_is(described, statement.value, driver)
        actual = statement.described = seen[described]
        if actual is not described:
            driver.forget(statement.text, described)
            if actual.result_format and not actual.best_format():
                statement.error = DecodeError("the columns are of other types than when the statement was described")


def _as_it_is(described: Description, result: Any, driver: PostgresDriver) -> Description:
    names, oids = columns_of(result)
    if tuple(oids) == described.oids and tuple(names) == described.names:
        return described
    sql = described.sql.decode()
    actual = driver.description_type(sql, described.param_oids, names, oids, driver.version)
    actual.result_format = described.result_format  # it was asked for
    return actual
