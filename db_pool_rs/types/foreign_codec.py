"""The arguments of a statement with types that are not built in: :class:`ForeignCodec`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from .catalog import Catalog, TypesUnknown
from .parameters import Encoded, ParameterCodec


class ForeignCodec:
    """The `ParameterCodec` of a statement with types that are not built in: made once they are known."""

    __slots__ = ("_catalog", "_codec", "_param_oids", "_sql", "learned", "oids")

    def __init__(self, param_oids: Sequence[int], sql: str, catalog: Catalog) -> None:
        self._param_oids = param_oids
        self._sql = sql
        self._catalog = catalog
        self._codec: ParameterCodec | None = None
        #: Those that are not built in.
        self.oids = catalog.foreign(param_oids)
        self.learned = time.monotonic()

    def is_outdated(self) -> bool:
        """Whether types have changed since the server told of these."""
        return self.learned <= self._catalog.altered

    def missing(self) -> tuple[int, ...]:
        """Types that the server must be asked about before anything is encoded."""
        return () if self._codec is not None else self._catalog.missing(self.oids)

    def may_be_stale(self) -> bool:
        """Whether arguments were judged by what was known before the statement was described; then it is forgotten."""
        stale = self._catalog.is_older(self.oids, self.learned)
        if stale:
            self._catalog.forget(self.oids)
            self._codec = None
        return stale

    def encode(self, args: Sequence[Any]) -> Encoded:
        """As `ParameterCodec.encode`; TypesUnknown if the server must be asked first."""
        if self.is_outdated():
            raise TypesUnknown("types may have changed")
        if self._codec is None:
            self._codec = ParameterCodec(self._param_oids, self._sql, self._catalog.encoder)
        return self._codec.encode(args)
