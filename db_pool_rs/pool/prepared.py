"""A statement that the database has checked, and what it has told of it: parameters and columns."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..described import Attribute, Type
from ..errors import InterfaceError
from ..record import Result, Status
from ..rows import Row
from .cursor import PREFETCH
from .lease import Lease, Types

if TYPE_CHECKING:
    from .. import abc

_TYPES = """
SELECT t.oid::pg_catalog.int8, CASE WHEN e.oid IS NULL THEN t.typname ELSE e.typname || '[]' END, t.typtype, n.nspname,
       e.oid IS NOT NULL
FROM pg_catalog.pg_type t
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid
WHERE t.oid = ANY ($1::pg_catalog.oid[])"""
_KINDS = {"b": "scalar", "c": "composite", "d": "domain", "e": "enum", "p": "pseudo", "r": "range", "m": "multirange"}


async def types_of(lease: Lease, told: Types | None, timeout: float | None) -> dict[int, Type]:
    """What the types of a statement are called; the ones that are not built in are asked for."""
    from ..types import oids as built_in

    oids = () if told is None else (*told[0], *(column.type_oid for column in told[1]))
    found: dict[int, Type] = {}
    asked = []
    for oid in dict.fromkeys(oids):
        if (scalar := built_in.SCALARS.get(oid)) is not None:
            kind = "multirange" if oid in built_in.MULTIRANGES else scalar.kind.removeprefix("zoned_")
            kind = kind if kind in ("range", "multirange", "composite") else "scalar"
            found[oid] = Type(oid, scalar.name.strip('"'), kind, "pg_catalog")
        elif (element := built_in.ARRAYS.get(oid)) is not None:
            found[oid] = Type(oid, element.name.strip('"') + "[]", "array", "pg_catalog")
        else:
            asked.append(oid)
    if asked:
        for oid, name, kind, schema, is_array in await lease.ask(_TYPES, (asked,), timeout):
            found[oid] = Type(oid, name, "array" if is_array else _KINDS.get(kind, "scalar"), schema)
    return found


class PreparedStatement:
    """Made by :meth:`Connection.prepare`. Its calls are those of the connection, without the text.

    Every text that is run is prepared anyway, where that helps: this handle adds that a mistake in the text is found
    when it is made.
    """

    __slots__ = ("_connection", "_row", "_sql", "_told", "_types")

    def __init__(
        self, connection: abc.Connection, sql: str, row: Row[Any] | None, told: Types | None, types: dict[int, Type]
    ) -> None:
        self._connection = connection
        self._sql = sql
        self._row = row
        self._told = told
        self._types = types

    @property
    def query(self) -> str:
        """The text."""
        return self._sql

    def get_parameters(self) -> tuple[Type, ...]:
        """The types of its parameters. InterfaceError on SQLite, whose parameters have none."""
        return tuple(map(self._type, self._known()[0]))

    def get_attributes(self) -> tuple[Attribute, ...]:
        """Its columns, none for a statement without rows.

        InterfaceError on SQLite, which tells the columns with the rows: `fetch_result` has them.
        """
        return tuple(Attribute(column.name, self._type(column.type_oid)) for column in self._known()[1])

    def _type(self, oid: int) -> Type:
        return self._types.get(oid) or Type(oid, "???", "scalar", "")

    def _known(self) -> Types:
        if self._told is None:
            raise InterfaceError("SQLite tells nothing of a statement before it is run: fetch_result() has its columns")
        return self._told

    async def fetch(self, /, *args: Any, timeout: float | None = None) -> list[Any]:
        """Every row."""
        return await self._connection.fetch(self._sql, *args, timeout=timeout, row=self._row)

    async def fetch_result(self, /, *args: Any, timeout: float | None = None) -> Result:
        """Its rows, its columns and its command tag."""
        return await self._connection.fetch_result(self._sql, *args, timeout=timeout)

    async def fetchrow(self, /, *args: Any, timeout: float | None = None) -> Any:
        """The first row, or None."""
        return await self._connection.fetchrow(self._sql, *args, timeout=timeout, row=self._row)

    async def fetchval(self, /, *args: Any, column: int = 0, timeout: float | None = None) -> Any:
        """One value of the first row, or None if there is no row."""
        return await self._connection.fetchval(self._sql, *args, column=column, timeout=timeout)

    async def execute(self, /, *args: Any, timeout: float | None = None) -> Status:
        """The command tag."""
        return await self._connection.execute(self._sql, *args, timeout=timeout)

    async def executemany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> None:
        """Once for each element of `args`, in one transaction."""
        await self._connection.executemany(self._sql, args, timeout=timeout)

    async def fetchmany(self, args: Iterable[Iterable[Any]], /, *, timeout: float | None = None) -> list[Any]:
        """The same with the rows of all executions."""
        return await self._connection.fetchmany(self._sql, args, timeout=timeout, row=self._row)

    def cursor(self, /, *args: Any, prefetch: int = PREFETCH, timeout: float | None = None) -> abc.Cursor[Any]:
        """Its rows a few at a time; see :meth:`Connection.cursor`."""
        return self._connection.cursor(self._sql, *args, prefetch=prefetch, timeout=timeout, row=self._row)

    def __repr__(self) -> str:
        return f"<PreparedStatement {self._sql[:60]!r}>"
