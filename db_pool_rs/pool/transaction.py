"""A transaction block on a session, or a savepoint inside another block."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import DatabaseError, Error, InterfaceError, StatementTimeout, database_error
from .lease import Lease
from .session import Session
from .together import not_begun

if TYPE_CHECKING:
    from .. import abc


class Transaction:
    """Made by :meth:`Connection.transaction`: an ``async with`` block, or begun and ended by calls."""

    __slots__ = ("_connection", "_lease", "_name", "_options", "_over", "_session", "_start")

    def __init__(
        self, connection: abc.Connection, lease: Lease, isolation: str | None, readonly: bool, deferrable: bool
    ) -> None:
        self._connection = connection
        self._lease = lease
        self._options = (isolation, readonly, deferrable)
        self._session: Session
        self._name = ""
        self._start = ""
        self._over = False

    async def __aenter__(self) -> abc.Connection:
        session = self._lease.session()
        if self._start:
            raise InterfaceError("this transaction block was used already; make a new one")
        if not session.can_send:
            await session.wait_idle()
        if session.in_transaction():
            if any(self._options):
                raise InterfaceError("isolation, readonly and deferrable belong to the outermost transaction")
            session.savepoints += 1
            self._name = f"db_pool_rs_{session.savepoints}"
            self._start = f"SAVEPOINT {self._name}"
        else:
            self._start = session.database.begin(*self._options)
            session.readonly = self._options[1]
            session.blocks.open = True
        session.blocks.pending.append(self._start)
        self._session = session
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._over:
            return
        try:
            await self._end(error is None, quietly=error is not None)
        except Error as refused:
            refused.__traceback__ = None
            raise refused

    async def start(self) -> None:
        """Begin it, like ``async with``; `commit` or `rollback` ends it."""
        await self.__aenter__()

    async def commit(self) -> None:
        """End what `start` began, and keep what was done."""
        self._check_open()
        try:
            await self._end(True)
        except Error as refused:
            refused.__traceback__ = None
            raise refused

    async def rollback(self) -> None:
        """End what `start` began, and undo what was done."""
        self._check_open()
        await self._end(False)

    def _check_open(self) -> None:
        if not self._start or self._over:
            raise InterfaceError(f"this transaction {'has ended' if self._over else 'was not begun: call start()'}")

    async def _end(self, commit: bool, *, quietly: bool = False) -> None:
        """`quietly`: the block has an error of its own, which the caller is to see."""
        self._over = True
        if self._lease.ended:
            if commit:
                raise InterfaceError("the connection was given back to its pool, and the transaction rolled back")
            return
        session = self._session
        if self._name:
            session.doubts += not commit  # cursors that were declared in it end
        else:
            session.cursors = set()  # they end with the transaction
            session.readonly = False
        try:
            if session.blocks.refused is not None:
                self._end_refused(session, session.blocks.refused, commit)
                return
            if commit and session.blocks.overridden is not None and not session.in_transaction():
                raise _rolled_back("it was not begun", session.blocks.overridden)
            unknown = self._start in session.blocks.pending  # the server does not know of it: nothing was executed
            if session.pieces is not None and not unknown:
                session.end_pieces()
            if unknown and not (commit and session.gate.taken):
                session.take_back(self._start)
            elif commit:
                await self._commit(session)
            elif not session.is_answered:  # a call was cancelled or timed out: the caller is not kept waiting
                session.defer(*self._undo())
            elif session.in_transaction():  # else the holder has ended it, or the connection is lost
                await self._roll_back(session, quietly)
        except BaseException:
            session.doubts += 1
            raise
        finally:
            if not self._name:
                session.blocks.end()

    def _end_refused(self, session: Session, refused: Exception, commit: bool) -> None:
        """The outermost block was never begun: nothing that was called in it is sent any more."""
        if self._start in session.blocks.pending:
            session.take_back(self._start)
        if not self._name:
            session.blocks.pending.clear()
            session.defer()
        if commit:
            raise not_begun(refused)

    async def _commit(self, session: Session) -> None:
        timeout = self._lease.context.timeout(None)
        if self._name:
            await session.command(f"RELEASE SAVEPOINT {self._name}", timeout=timeout, undo=self._undo())
            return
        before = session.blocks.overridden
        try:
            tag = await session.command("COMMIT", timeout=timeout, undo=self._undo())
        except StatementTimeout as error:
            if not error.sent:
                raise
            why = "the deadline passed during COMMIT: the outcome of the transaction is unknown"
            raise StatementTimeout(why, sent=True) from None
        if (refused := session.blocks.overridden) is not None and refused is not before:
            raise not_begun(refused)
        if tag == "ROLLBACK":
            raise _rolled_back("a statement in it had failed")

    async def _roll_back(self, session: Session, quietly: bool) -> None:
        """The pool asks for it, so it has a deadline where calls have none (rule 5.9).

        If it is cancelled, or its deadline passes, it is done before whatever is called next.
        """
        timeouts = (self._lease.context.timeout(None), session.executor.clean_timeout)
        timeout = min((t for t in timeouts if t is not None), default=None)
        undo = self._undo()
        try:
            await session.command(*undo, timeout=timeout, undo=undo)
        except Exception as error:
            session.executor.last_error = error
            if not quietly:
                raise

    def _undo(self) -> tuple[str, ...]:
        if self._name:
            return (f"ROLLBACK TO SAVEPOINT {self._name}", f"RELEASE SAVEPOINT {self._name}")
        return ("ROLLBACK",)


def _rolled_back(why: str, cause: Exception | None = None) -> DatabaseError:
    message = f"the transaction was rolled back, not committed: {why}"
    error = database_error({"severity": "ERROR", "sqlstate": "25P02", "message": message})
    error.__cause__ = cause
    return error
