"""The driver for PostgreSQL, over ``psycopg.pq``: opens links, and keeps what is known of statement texts.

Mode balanced inherits from it, with another binding of libpq; psycopg is imported by the first driver that uses it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from random import SystemRandom
from typing import TYPE_CHECKING

from ...conninfo import ConnectConfig
from ...scheduler.cost import Query
from ..base import ConnectionListener
from .connect import connect
from .dialect import PREPARABLE, PostgresDialect
from .libpq import Libpq, psycopg_libpq
from .link import PostgresConnection
from .staleness import CONFIRM_AFTER
from .statements import Description

if TYPE_CHECKING:
    from psycopg.pq.abc import PGresult

    from ...config import PoolConfig


class PostgresDriver(PostgresDialect):
    """A :class:`~db_pool_rs.drivers.base.Driver`."""

    #: How results are described and decoded.
    description_type: type[Description] = Description

    def __init__(self, config: PoolConfig, libpq: Libpq | None = None) -> None:
        super().__init__(config)
        assert isinstance(config.target, ConnectConfig)
        self.libpq = libpq or psycopg_libpq()
        self.max_statements = config.max_statements
        #: Prepared statements have names. Given up where a proxy turns out to mix up server connections.
        self.named = config.max_statements > 0
        #: A name was taken: until it is known whether a proxy deals statements out to other connections, none is used.
        self.doubted = False
        self._target = config.target
        #: Of descriptions: part of their names, so that a text described anew has another one.
        self.version = 0
        self._altered = 0.0

    def _describe_again(self, queries: Iterable[Query]) -> None:
        """Known texts are described again, and prepared under other names."""
        super()._describe_again(queries)
        self.version += 1

    def set_target(self, target: ConnectConfig, queries: Iterable[Query]) -> None:
        """Connections that are opened from now on lead there."""
        self._target = target
        super().set_target(target, queries)

    async def connect(self, listener: ConnectionListener) -> PostgresConnection:
        """Open a connection; ConnectFailed lists every attempt."""
        return PostgresConnection(await connect(self._target, libpq=self.libpq), self, listener)

    def describe(self, query: Query) -> None:
        """Only the server knows the types."""

    def described(self, query: Query, result: PGresult) -> Description:
        """What a result tells of a text."""
        described = self.description_type.of_result(query.sql, result, self.version, self.catalog)
        if query.own:  # a name would be that of the text under the search path of the others
            described.name = b""
        return described

    def learn(self, query: Query, result: PGresult) -> None:
        """The server answered a Describe. What was known of the text stays if it is still right."""
        known: Description | None = query.description
        found = self.described(query, result)
        if known is not None and known.agrees(found) and not known.is_outdated():
            known.learned = found.learned
            return
        if known is not None:
            self.forget(query, known)
            found = self.described(query, result)
        query.description = found

    def direct(self, query: Query, result: PGresult) -> Description:
        """Rows of a text that was run without asking first; if it is worth preparing, the pool knows it from now on."""
        if query.lexical.command in PREPARABLE and query.description is None:
            query.description = self.described(query, result)
        described = self.described(query, result)
        described.result_format = int(result.fformat(0)) if described.oids else 0
        return described

    def forget(self, query: Query, described: Description) -> None:
        """What was known of a text is out of date; its next name is another one."""
        if described.foreign is not None:
            self.catalog.forget(described.foreign.oids)
        if query.description is described:
            query.description = None
            self.version += 1

    def doubt_names(self) -> None:
        """A name was taken on a connection. The next names are none that another client can have guessed."""
        if self.named:
            self.named, self.doubted = False, True
        self.version += SystemRandom().getrandbits(48)

    def judge_names(self, direct: bool) -> None:
        """Whether a connection leads to the process that it was opened to. If not, names mean nothing there."""
        self.named, self.doubted = self.doubted and direct, False

    def may_be_stale(self, query: Query) -> bool:
        """Whether the types of a text may have changed; then they are forgotten, and the server is asked again."""
        described: Description | None = query.description
        if described is None:
            return False
        if described.types_missing():
            return True
        confirmed = described.learned > max(self._altered, time.monotonic() - CONFIRM_AFTER)
        if confirmed and described.foreign is None:
            return False
        self.forget(query, described)
        return True

    def schema_changed(self, certain: bool) -> None:
        """Tables were changed, or may have been: what was learned before may be out of date."""
        self.catalog.schema_changed()
        self._altered = self.catalog.altered
        self.on_altered(certain)
