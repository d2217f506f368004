"""asyncpg's transactions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError
from .calls import guarded

if TYPE_CHECKING:
    from ..abc import Transaction as Block

#: What cannot be begun or ended any more, by its state.
_OVER = {
    "committed": "the transaction is already committed",
    "rolledback": "the transaction is already rolled back",
    "failed": "the transaction is in error state",
}


class Transaction:
    """Made by `Connection.transaction`; inside another one it is a savepoint, whose options are those of the other."""

    __slots__ = ("_block", "_connection", "_isolation", "_managed", "_modes", "_state")

    def __init__(self, connection: Any, isolation: str | None, readonly: bool, deferrable: bool) -> None:
        self._connection = connection
        self._isolation = isolation
        self._modes = {"readonly": readonly, "deferrable": deferrable}
        self._block: Block
        self._state = "new"
        #: By `async with`, which ends it.
        self._managed = False

    @guarded
    async def start(self) -> None:
        """Begin it."""
        self._check_not_over("start")
        if self._state == "started":
            raise InterfaceError("cannot start; the transaction is already started")
        connection = self._connection
        options: dict[str, Any] = {}
        if connection._top_xact is not None:
            await self._check_isolation(connection._top_xact)
        elif connection.is_in_transaction():
            raise InterfaceError("cannot use Connection.transaction() in a manually started transaction")
        else:
            options = {"isolation": self._isolation, **self._modes}
        self._state = "failed"
        async with self._connection._errors():
            self._block = connection._session_.transaction(**options)
            await self._block.start()
        self._state = "started"
        if options:
            connection._top_xact = self

    @guarded
    async def commit(self) -> None:
        """End it and keep what was done."""
        self._check_manual("commit")
        async with self._ending("committed"):
            await self._block.commit()

    @guarded
    async def rollback(self) -> None:
        """End it and undo what was done."""
        self._check_manual("rollback")
        async with self._ending("rolledback"):
            await self._block.rollback()

    async def __aenter__(self) -> None:
        if self._managed:
            raise InterfaceError("cannot enter context: already in an `async with` block")
        self._managed = True
        try:
            await self.start()
        except BaseException:
            self._managed = False
            raise

    async def __aexit__(self, *exc: Any) -> None:
        self._managed = False
        async with self._ending("committed" if exc[0] is None else "rolledback"):
            await self._block.__aexit__(*exc)

    @asynccontextmanager
    async def _ending(self, state: str) -> AsyncIterator[None]:
        """In error state while it ends, unless it ends well; errors on the way out are also asyncpg's."""
        self._state = "failed"
        if self._connection._top_xact is self:
            self._connection._top_xact = None
        async with self._connection._errors():
            yield
        self._state = state

    def _check_not_over(self, what: str) -> None:
        if self._state in _OVER:
            raise InterfaceError(f"cannot {what}; {_OVER[self._state]}")

    def _check_manual(self, what: str) -> None:
        if self._managed:
            raise InterfaceError(f"cannot manually {what} from within an `async with` block")
        self._check_not_over(what)
        if self._state == "new":
            raise InterfaceError(f"cannot {what}; the transaction is not yet started")

    async def _check_isolation(self, top: Transaction) -> None:
        """A savepoint has the isolation of its transaction."""
        if self._isolation is not None:
            outer = top._isolation or await _isolation_of(self._connection)
            if outer != self._isolation:
                what = f"current {self._isolation!r} != outer {outer!r}"
                raise InterfaceError(f"nested transaction has a different isolation level: {what}")

    def __repr__(self) -> str:
        modes = (name for name, given in self._modes.items() if given)
        words = (f"state:{self._state}", *([self._isolation] if self._isolation else []), *modes)
        return f"<asyncpg.{type(self).__name__} {' '.join(words)} {id(self):#x}>"


async def _isolation_of(connection: Any) -> str:
    """That of the transaction that is open, by asyncpg's names."""
    return str(await connection.fetchval("SHOW transaction_isolation")).replace(" ", "_")
