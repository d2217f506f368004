"""PostgreSQL as mode full knows it: texts are told to the engine, which keeps what the server says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..simple.dialect import PREPARABLE, PostgresDialect
from ..statement import StatementClass

if TYPE_CHECKING:
    from db_pool_rs_full import Pool as Native

    from ..simple.cost import Text

_KINDS = {StatementClass.READ: "read", StatementClass.WRITE: "write"}


class FullDriver(PostgresDialect):
    """A :class:`~db_pool_rs.simple.driver.Database`; `native` is set when the pool is opened."""

    native: Native

    def describe(self, text: Text) -> None:
        """Tell the engine; a text's description is the engine's name for it."""
        kind, lexical = _KINDS.get(text.kind, "other"), text.lexical
        preparable, asks = lexical.command in PREPARABLE, "$" in text.sql
        text.description = self.native.learn(text.sql, kind, text.groupable, lexical.dirties, preparable, asks)

    def doubts(self, text: Text) -> bool:
        """The engine has doubts of its own."""
        return False
