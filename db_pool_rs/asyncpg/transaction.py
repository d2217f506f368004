"""asyncpg's transactions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InterfaceError
from .calls import also_theirs

if TYPE_CHECKING:
    from ..abc import Transaction as Block


class Transaction:
    """Made by `Connection.transaction`; inside another one it is a savepoint, whose options are those of the other."""

    __slots__ = ("_block", "_connection", "_options", "_outermost")

    def __init__(self, connection: Any, options: dict[str, Any]) -> None:
        self._connection = connection
        self._options = options
        self._block: Block | None = None
        self._outermost = False

    async def start(self) -> None:
        """Begin it."""
        if self._block is not None:
            raise InterfaceError("cannot start; the transaction is already started")
        connection, isolation = self._connection, self._options["isolation"]
        async with also_theirs():
            self._outermost = not connection.is_in_transaction()
            if self._outermost:
                connection._isolation = isolation
            elif isolation is not None:
                outer = connection._isolation or await _isolation_of(connection)
                if outer != isolation:
                    what = f"current {isolation!r} != outer {outer!r}"
                    raise InterfaceError(f"nested transaction has a different isolation level: {what}")
            options = self._options if self._outermost else {}
            block = connection._session_.transaction(**options)
            await block.start()
            self._block = block

    async def commit(self) -> None:
        """End it and keep what was done."""
        async with also_theirs():
            await self._begun("commit").commit()

    async def rollback(self) -> None:
        """End it and undo what was done."""
        async with also_theirs():
            await self._begun("rollback").rollback()

    def _begun(self, what: str) -> Block:
        if self._block is None:
            raise InterfaceError(f"cannot {what}; the transaction is not yet started")
        return self._block

    async def __aenter__(self) -> None:
        await self.start()

    async def __aexit__(self, *exc: Any) -> None:
        async with also_theirs():
            await self._begun("end").__aexit__(*exc)


async def _isolation_of(connection: Any) -> str:
    """That of the transaction that is open, by asyncpg's names."""
    return str(await connection.fetchval("SHOW transaction_isolation")).replace(" ", "_")
