"""Changes of the schema by an engine: what the pool knows of texts may be out of date then.

Outside a transaction the pool heals that itself, by sending a statement again. Inside one an error has ended it: so,
once the engine has executed DDL, each text is described again before its next use on a session, by one more round trip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..sql import DATA, StatementClass, classify

if TYPE_CHECKING:
    from ..abc import Connection

#: Commands that change tables or types, by the first word of their tags.
_ALTERING = ("ALTER", "CREATE", "DROP", "IMPORT", "DO")
#: Texts that are known to be described anew; all are forgotten if there are more.
_MOST = 1000


class SchemaChanges:
    """How often an engine has changed the schema, and the texts that were described since."""

    __slots__ = ("_described", "count")

    def __init__(self) -> None:
        self.count = 0
        self._described: set[str] = set()

    def note(self, tag: str, sql: str) -> None:
        """A statement succeeded that is no query and changes no rows; what is temporary does not count."""
        if tag.startswith(_ALTERING) and classify(sql).kind is StatementClass.OTHER:
            self.count += 1
            self._described.clear()

    async def describe(self, session: Connection, sql: str) -> None:
        """Have the server tell the types of a text, unless it did so since the last change."""
        if sql in self._described or classify(sql).kind not in DATA:
            return
        await session.prepare(sql)
        if len(self._described) >= _MOST:
            self._described.clear()
        self._described.add(sql)
