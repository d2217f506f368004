"""Names that a program gives to prepared statements: `Connection.prepare(sql, name=...)`.

The pool names the statements that it prepares itself, prepares them anew after a change of a table, and does not tell
what they are called. A name of the program's is therefore a statement of its own: `PREPARE "name" AS ...`, which
`EXECUTE` and pg_prepared_statements know, and of which the server says whether the name is taken. PREPARE takes queries
and writes only; the names of other texts (SHOW, DDL ...) are kept here, and EXECUTE does not know them.

A name is free again when its `PreparedStatement` is forgotten, as with asyncpg, and after a reset.
"""

from __future__ import annotations

import re
import weakref
from typing import Any

from ..errors import database_error
from ..sql import StatementClass, classify

#: What PREPARE takes.
_PREPARABLE = frozenset(("SELECT", "VALUES", "TABLE", "WITH", "INSERT", "UPDATE", "DELETE", "MERGE"))
_INTO = re.compile(r"\bINTO\b", re.IGNORECASE)
#: Without arguments and values, whose types may have codecs.
_THERE = "SELECT NULL FROM pg_catalog.pg_prepared_statements WHERE name = {}"


class Names:
    """The names that are in use on one connection."""

    __slots__ = ("__weakref__", "_forgotten", "_kept", "_owners")

    def __init__(self) -> None:
        #: Of texts that PREPARE does not take.
        self._kept: set[str] = set()
        #: Which `take` a name is of: the program may free it itself, and take it again.
        self._owners: dict[str, object] = {}
        #: Those on the server whose statements are forgotten.
        self._forgotten: set[str] = set()

    async def take(self, session: Any, name: str, query: str, timeout: float | None) -> object:
        """Name a text that the server has checked, and say who has it; a DuplicatePreparedStatement if taken."""
        if self._forgotten:
            await self._free(session, timeout)
        if name in self._kept:
            raise _taken(name)
        if _is_preparable(query):
            await session.execute(f"PREPARE {_identifier(name)} AS {query}", timeout=timeout)
        elif await session.fetch(_THERE.format(quoted(name)), timeout=timeout):
            raise _taken(name)
        else:
            self._kept.add(name)
        owner = self._owners[name] = object()
        return owner

    def free_with(self, statement: Any, name: str, owner: object) -> None:
        """When `statement` is forgotten, its name is free."""
        weakref.finalize(statement, _forget, weakref.ref(self), name, owner).atexit = False

    def clear(self) -> None:
        """The session is in its initial state."""
        self._kept.clear()
        self._owners.clear()
        self._forgotten.clear()

    def forget(self, name: str, owner: object) -> None:
        """Its statement is gone; the server is told when the next name is taken."""
        if self._owners.get(name) is owner:
            del self._owners[name]
            if name in self._kept:
                self._kept.discard(name)
            else:
                self._forgotten.add(name)

    async def _free(self, session: Any, timeout: float | None) -> None:
        """Only what is still there: the program may have said DEALLOCATE itself, and an error ends a transaction."""
        forgotten, self._forgotten = sorted(self._forgotten - {*self._owners}), set()
        for name in forgotten:
            if await session.fetch(_THERE.format(quoted(name)), timeout=timeout):
                await session.execute(f"DEALLOCATE {_identifier(name)}", timeout=timeout)


def _is_preparable(query: str) -> bool:
    """Whether PREPARE takes it: SELECT INTO is none of the others either, and may be where INTO stands in a string."""
    lexical = classify(query)
    is_into = lexical.kind is StatementClass.OTHER and _INTO.search(query) is not None
    return lexical.command in _PREPARABLE and not is_into


def _forget(names: weakref.ref[Names], name: str, owner: object) -> None:
    if (found := names()) is not None:
        found.forget(name, owner)


def quoted(text: str) -> str:
    """A literal; the pool sees to standard_conforming_strings."""
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _taken(name: str) -> Exception:
    fields = {"severity": "ERROR", "sqlstate": "42P05", "message": f'prepared statement "{name}" already exists'}
    return database_error(fields)
