"""The end of a group on a link: results become what callers want, and are reported.

Rows may have columns of types that are not built in, and that the pool does not know yet: the server is asked about
them first, in a round trip of its own. The group is final then, whatever becomes of that.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any

from ...errors import Error
from ...record import Status
from ...scheduler.model import StatementRequest
from ..base import RESULT, Done
from .dialect import executed
from .prepared import Prepared
from .results import LONG, LongResults
from .socket import Wire
from .statements import TYPES, Host, details_of
from .types_query import types_query

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

logger = logging.getLogger("db_pool_rs")


class GroupEnd(Wire):
    """What a link does when all of a group has been answered. Its fields are those of `PostgresConnection`."""

    _driver: Host
    _prepared: Prepared
    _pgconn: PGconn
    _group: Sequence[StatementRequest]
    _done: Done | None
    _steps: list[Any]
    _step: int
    _sent: int
    _earlier: int
    _describing: bool
    _ok: bool
    _started: float
    _long: LongResults
    #: Types that the server is being asked about.
    _unknown: tuple[int, ...]
    #: It is being asked about columns; it was, for this group.
    _reading = _looked_up = False

    # -- types of columns ----------------------------------------------------------------------------------------

    def _looks_up(self) -> bool:
        """Whether the server must be asked about types of columns first, which it is then."""
        if self._looked_up or not (unknown := self._unknown_columns()):
            return False
        self._unknown, self._reading, self._looked_up = unknown, True, True
        self._steps, self._step, self._earlier = [], 0, len(self._group)
        try:
            self._write_types(self._steps)  # rule 4.7
            self._pgconn.pipeline_sync()
            self._flush()
        except self._libpq_error as error:
            self._broke(error)
        return True

    def _unknown_columns(self) -> tuple[int, ...]:
        found: list[int] = []
        for statement in self._group:
            if not statement.want:
                continue
            described = statement.described
            if described is None:
                described = statement.described = self._driver.direct(statement.query, statement.value)
            if described.foreign_columns:
                found += described.foreign_columns
        return self._driver.catalog.missing(found) if found else ()

    def _write_types(self, steps: list[Any]) -> None:
        """Ask for what is unknown of types."""
        self._pgconn.send_query_params(types_query(self._unknown).encode(), None)
        steps.append(TYPES)

    def _types_failed(self, error: Exception) -> None:
        """The server did not tell of columns: their rows cannot be read, but nothing else has failed."""
        logger.warning("the server could not be asked about types: %s", error)

    # -- results -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        """Decode and report the group."""
        if self._done is None:  # the connection was lost meanwhile
            return
        if self._ok and self._looks_up():
            return
        size = self._decode(self._group if self._ok else executed(self._group, self.in_transaction()))
        if self._long.todo:  # the group is answered, whatever happens to the connection now
            self._long.start(self._watch, lambda: self._report(self._ok, size))
        else:
            self._report(self._ok, size)

    def _report(self, ok: bool, size: int) -> None:
        done, self._done, self._group, self._describing, self._steps = self._done, None, (), False, []
        if done is not None:
            done(ok, monotonic() - self._started, size)

    def _decode(self, group: Sequence[StatementRequest]) -> int:
        """Turn results into what callers want; the size of the largest in bytes."""
        largest, session, known = 0, self._pgconn, None
        for statement in group:
            result, described = statement.value, statement.described
            if statement.want:
                try:
                    if statement.want is RESULT:
                        statement.details = details_of(result)
                    if described is None:
                        described = self._driver.direct(statement.query, result)
                    size = described.size(result)
                    if size > largest:
                        largest = size
                    if size > LONG:
                        self._long.todo.append((statement, described.decoder_for(session)))
                    else:
                        statement.value = described.decoder_for(session).decode(result)
                except Error as error:
                    statement.error = error
            else:
                tag = result.command_status or b""
                if tag != known:  # those of a group are mostly alike
                    known, status = tag, self._status(tag)
                statement.value = status
        return largest

    def _status(self, tag: bytes) -> Status:
        if tag in (b"DISCARD ALL", b"DEALLOCATE ALL"):
            self._prepared.clear()
        return Status(tag.decode())
