"""What is done with a connection that serves no caller: a new one is prepared, a used one restored.

The user's `init` and `reset` are called with a :class:`~db_pool_rs.pool.connection.Connection`: so this is above it.
Executors of engines call it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from ..aio import Expired
from ..drivers.base import ROWS, STATUS
from ..errors import ConnectFailed
from ..scheduler.model import StatementRequest
from .lease import Lease
from .queries import command_text, session_text

if TYPE_CHECKING:
    from ..scheduler.cost import Query
    from .context import Context
    from .executor import Executor
    from .session import AcquiredConnection, Session


async def call_with(hook: Callable[[Any], Awaitable[Any]], context: Context, session: Session) -> None:
    """Call the user's `init` or `reset` with a connection; what is left of the call cannot use it."""
    from .connection import Connection  # with cursors, COPY and listeners: not before one is needed

    lease = Lease(context, session, _keep)
    try:
        await hook(Connection(lease))
    finally:
        lease.end()


async def prepare(executor: Executor, conn: AcquiredConnection) -> float | None:
    """Have `init` prepare a new connection, then look at it; the seconds of a round trip, if one was made.

    ConnectFailed if that takes longer than the executor's `prepare_timeout`.
    """
    if executor.driver.startup_query is None and executor.config.init is None:
        return None
    try:
        round_trip = await executor.in_time(conn, _prepare(executor, conn), executor.prepare_timeout)
    except Expired as error:
        message = f"a new connection was not prepared in time (connect_timeout, after its login): {error}"
        raise ConnectFailed(message) from None
    if conn.link.loss is not None:  # behind the last answer
        raise conn.link.loss
    return round_trip


async def _prepare(executor: Executor, conn: AcquiredConnection) -> float | None:
    init, query = executor.config.init, executor.driver.startup_query
    try:
        if init is not None:
            await call_with(init, executor.context, executor.use(conn))
        return None if query is None else await _ask(executor, executor.use(conn), query)
    finally:
        executor.sessions.pop(conn.id, None)


async def _ask(executor: Executor, session: Session, query: str) -> float:
    """Learn what the driver wants to know of this connection: servers, roles and `init` differ."""
    row = (await _run(session, session_text(query, session.database.dialect), ROWS))[0]
    session.link.note_float_digits(int(row[-1]))
    executor.limit_grouping(executor.driver.on_startup_result(row))
    return session.seconds


async def clean(executor: Executor, conn: AcquiredConnection, session: Session) -> None:
    """Bring a session back to its initial state."""
    for sql in session.link.reset_statements():
        await _run(session, command_text(sql, session.database.dialect), STATUS)
    session.link.after_reset()
    if executor.config.init is not None:
        await call_with(executor.config.init, executor.context, executor.use(conn))


async def _run(session: Session, text: Query, want: bool) -> Any:
    """Run a statement on the pool's own account: it is not counted."""
    statement = StatementRequest(text, (), want, None)
    await session.start((statement,))
    if statement.error is not None:
        raise statement.error
    return statement.value


def _keep(session: Session) -> None:
    """The pool has the session itself."""
