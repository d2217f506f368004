"""Arguments of a query that is copied: COPY takes none, so that they become constants of its text.

The server says what type each has, and writes the constant.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol

from ..aio import remaining
from ..drivers.base import ROWS, STATUS
from ..errors import InterfaceError
from ..scheduler.model import StatementRequest
from .exclusive import session_text
from .queries import single

if TYPE_CHECKING:
    from ..record import Record
    from ..scheduler.cost import Query
    from .pool import Pool
    from .session import Session


class Host(Protocol):
    """What the COPY calls need of the connection that they are a part of."""

    @property
    def pool(self) -> Pool: ...

    def session(self) -> Session: ...

    def lookup(self, sql: str) -> Query: ...

    async def parts(self, sql: str, timeout: float | None) -> list[str]: ...

    async def fetch(self, sql: str, /, *args: Any, timeout: float | None = None) -> list[Record]: ...

    async def fetchrow(self, sql: str, /, *args: Any, timeout: float | None = None) -> Record | None: ...


_NAME = '"db_pool_rs_copy"'
_TYPES = "SELECT pg_catalog.unnest(parameter_types)::text FROM pg_catalog.pg_prepared_statements WHERE name = "
#: A parameter, or what may look as if there were one in it.
_PARAMETER_PATTERN = (
    r"""'[^']*'|"[^"]*"|(?P<comment>/\*.*?\*/)|--[^\n\r]*"""
    r"""|\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$|[^\W\d][\w$]*|\$(?P<number>[0-9]+)"""
)
_ESCAPED = r"'(?:[^'\\]|\\.|'')*'|"
_PARAMETER = re.compile(f"[eE]{_ESCAPED}{_PARAMETER_PATTERN}", re.DOTALL)


async def with_literals(connection: Host, query: str, args: tuple[Any, ...], deadline: float | None) -> str:
    """The one statement of `query`, its parameters replaced by the arguments."""
    query = single(await connection.parts(query, remaining(deadline)))
    if not args:
        return query
    types = await _types(connection, query, remaining(deadline))
    if types:
        columns = [f"pg_catalog.quote_nullable(${number}::{name}::text)" for number, name in enumerate(types, 1)]
        values = await connection.fetchrow(f"SELECT {', '.join(columns)}", *args, timeout=remaining(deadline))
    else:  # refuses the arguments
        values = await connection.fetchrow("SELECT 1 WHERE false", *args, timeout=remaining(deadline))
    assert values is not None
    return _PARAMETER.sub(
        lambda found: _replaced(found, [f"({v}::{t})" for v, t in zip(values, types, strict=True)]), query
    )


def _replaced(found: re.Match[str], constants: list[str]) -> str:
    if found["comment"] is not None and "/*" in found["comment"][2:]:
        raise InterfaceError("query: a comment within a comment cannot be copied with arguments")
    return constants[int(found["number"]) - 1] if found["number"] is not None else found[0]


async def _types(connection: Host, query: str, timeout: float | None) -> list[str]:
    """The types of the parameters, as the server writes them."""
    texts = (f"PREPARE {_NAME} AS {query}", f"{_TYPES}'{_NAME[1:-1]}'", f"DEALLOCATE {_NAME}")
    group = [
        StatementRequest(session_text(sql, "postgresql"), (), want, None)
        for sql, want in zip(texts, (STATUS, ROWS, STATUS), strict=True)
    ]
    await connection.session().run(group, connection.pool.timeout(timeout))
    return [row[0] for row in group[1].value]
