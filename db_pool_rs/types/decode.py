"""Results -> rows, by psycopg's own loaders: the one module of this package that needs psycopg.

psycopg's default mapping is the canonical one (json as objects, inet as `ipaddress` ...), but for ranges. Its
`Transformer` does the work, in C where psycopg has its C implementation.

libpq has one result format for all columns of a statement, chosen once: text where `oids.reads_faster_in_text`, else
binary if every column has a binary loader that agrees with the text one, or one is a record without a type of its own
(see :mod:`.binary`), else text. A value is the same in both formats: float4 is read in text with the precision that it
has in binary, and types whose two loaders differ are asked for in text: "char", whose zero byte is '' in text. Types
that psycopg does not know (enums, extensions, money ...) come as `str`.

A timestamptz is returned in the session's TimeZone, and in text format dates depend on the session's DateStyle and
intervals on its IntervalStyle. Loaders read these settings once, when they are made; so a `RowDecoder` belongs to the
settings of the session that it was made with, and says whether it `fits` another session (or the same, later).

Nothing that the server has sent is handed to a loader before it was walked (:mod:`.layout`): in binary psycopg's
loaders trust the lengths inside a value. In text one of those in C writes beyond its buffer for a backslash that
PostgreSQL would have quoted, and another reads beside its table for bytes that are no ASCII: there psycopg's loaders in
Python take over.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import repeat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from psycopg import pq
from psycopg.adapt import AdaptersMap, Transformer
from psycopg.pq import Format

from ..errors import DecodeError
from ..record import Record, record_class
from . import oids as pg
from .adapters import ADAPTERS, ZONED, ByTypeLoader, adapters_of, context_of
from .binary import RECORDS, binary_loader, doubt
from .catalog import Catalog
from .layout import CHEAP, FIXED_SIZES, Check, Sift, check_for, sift_for
from .loaders import binary_parts

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

#: From so many columns on, values that are walked are had by rows.
FEW = 3
#: Has psycopg's loaders in C decode UTF-8 without looking up its name.
_NO_SETTINGS = None if pq.__impl__ == "python" else SimpleNamespace(pgconn=pq.PGconn())
# What loaders ask a session for: in binary only the zone of a timestamptz, in text the styles, too.
_BINARY_SETTINGS = (b"TimeZone",)
_TEXT_SETTINGS = (b"TimeZone", b"DateStyle", b"IntervalStyle")


class RowDecoder:
    """Decodes the results of one statement: column names, their type OIDs and the one format (0 text, 1 binary).

    `catalog` knows the types that are not built in, if there are any.
    `session` is a live connection whose settings apply (None: UTC, ISO). It is asked for them here and never again, so
    the decoder goes on working when that connection is closed. `decode(result)` gives the rows; `record` is their
    class.
    """

    __slots__ = (
        "_catalog", "_checks", "_format", "_names", "_oids", "_raw", "_settings", "_short", "_transformer", "_values",
        "_version", "dear", "record",
    )  # fmt: skip

    def __init__(
        self,
        names: Sequence[str],
        oids: Sequence[int],
        format: int,
        session: PGconn | None = None,
        catalog: Catalog | None = None,
    ) -> None:
        if catalog is None and format and not RECORDS.isdisjoint(oids):
            catalog = Catalog()
        self._catalog, self._version = catalog, 0 if catalog is None else catalog.version
        self._names = tuple(names)
        self._oids = tuple(oids)
        self._format = Format(format)
        self._settings = self._depends_on()
        #: Columns that are walked before they are loaded: number, width (-1: not fixed), walk, and what spares it.
        self._checks = _checks(self._oids) if self._format is Format.BINARY else ()
        #: Gives what is walked as it was sent, where one call for all of it costs less than one for each value.
        self._raw = _raw(self._oids, self._checks)
        self._values = _values(session, self._settings)
        #: A result of one row holds next to nothing, so it may live until the next one comes.
        self._short = all(oid in FIXED_SIZES for oid in oids)
        #: Columns whose values take time by their length.
        self.dear = tuple(column for column, oid in enumerate(oids) if oid not in CHEAP)
        self.record: type[Record] = record_class(self._names)
        settings = SimpleNamespace(pgconn=session) if session is not None else None
        settings = settings if self._settings else _NO_SETTINGS
        text = self._format is Format.TEXT
        adapters = adapters_of(oids, catalog) if text or catalog is None else self._by_type(catalog)
        self._transformer = Transformer(context_of(adapters, settings))
        self._transformer.set_loader_types(list(self._oids), self._format)  # psycopg 3.2 takes nothing but a list
        for oid in self._oids:
            if oid in pg.ARRAYS and (
                text or pg.in_binary(oid)
            ):  # else made at the first value, when the connection may be gone
                self._transformer.get_loader(pg.ARRAYS[oid].oid, self._format)

    def _depends_on(self) -> tuple[bytes, ...]:
        if self._format is Format.TEXT:
            return () if pg.reads_faster_in_text(self._oids) else _TEXT_SETTINGS
        return () if self._catalog is None and ZONED.isdisjoint(self._oids) else _BINARY_SETTINGS

    def _by_type(self, catalog: Catalog) -> AdaptersMap:
        """What reads records, and the columns beside them, in binary."""
        built_in = binary_parts(dict(zip(self._settings, self._values, strict=False)))
        own = AdaptersMap(adapters_of(self._oids))
        for oid in self._oids:
            if catalog.is_foreign(oid) or not pg.in_binary(oid):
                make = staticmethod(partial(binary_loader, catalog, built_in=built_in))
                own.register_loader(oid, type("ByTypeLoader", (ByTypeLoader,), {"make": make}))
        return own

    def fits(self, session: PGconn) -> bool:
        """Whether results of this session can be decoded: its settings, where they matter, are still the same."""
        if self._catalog is not None and self._catalog.version != self._version:
            return False
        return not self._settings or self._values == _values(session, self._settings)

    def decode(self, result: PGresult, first: int = 0, end: int | None = None) -> list[Record]:
        """Rows of a result, by default all. A value that Python cannot hold raises DecodeError, naming its column."""
        if result.nfields != len(self._oids):  # psycopg's implementation in C does not look
            raise DecodeError(f"the server sent {result.nfields} columns where it had described {len(self._oids)}")
        transformer = self._transformer
        transformer.set_pgresult(result, set_loaders=False)
        count = result.ntuples
        last = count if end is None else min(end, count)
        try:
            if last - first == 1:
                get = result.get_value
                for column, width, check, _ in self._checks:
                    data = get(first, column)
                    if data is not None and len(data) != width:
                        check(data)
            elif self._checks and last > first:
                self._walk_all(result, first, last)
            return transformer.load_rows(first, last, self.record)
        except Exception as error:
            explained = self._explain(result, first)
            if explained is None:
                raise
            raise explained from error
        finally:
            if not (self._short and last - first == 1):  # else the result lives as long as the decoder
                transformer.set_pgresult(None, set_loaders=False)
                if self._raw is not None:
                    self._raw.set_pgresult(None, set_loaders=False)

    def _walk_all(self, result: PGresult, first: int, last: int) -> None:
        """ValueError if a value is malformed."""
        raw, rows = self._raw, range(first, last)
        columns: list[tuple[bytes | None, ...]] = []
        if raw is not None:
            raw.set_pgresult(result, set_loaders=False)
            columns = [*zip(*raw.load_rows(first, last, tuple), strict=True)]
        for column, width, check, sift in self._checks:
            values = columns[column] if columns else [*map(result.get_value, rows, repeat(column))]
            _walk(values, width, check, sift)

    def load(self, row: int, column: int, data: bytes | None) -> Any:
        """One value; DecodeError if Python cannot hold it."""
        oid = self._oids[column]
        try:
            if data is None:
                return None
            if self._format is Format.BINARY and (check := check_for(oid)) is not None:
                check(data)
            return self._transformer.get_loader(oid, self._format).load(data)
        except Exception as error:
            where = f'column "{self._names[column]}" ({pg.type_name(oid)}) of row {row + 1}'
            if self._catalog is not None:  # a type may have changed
                doubt(self._catalog, self._oids, oid, data or b"")
            raise DecodeError(f"{where}: {error}") from error

    def _explain(self, result: PGresult, first: int) -> DecodeError | None:
        """Find the value that could not be loaded."""
        for row in range(first, result.ntuples):
            for column in range(len(self._oids)):
                try:
                    self.load(row, column, result.get_value(row, column))
                except DecodeError as error:
                    return error
        return None


def _checks(oids: Sequence[int]) -> tuple[tuple[int, int, Check, Sift], ...]:
    found = [(column, FIXED_SIZES.get(oid, -1), check_for(oid), sift_for(oid)) for column, oid in enumerate(oids)]
    return tuple((column, width, check, sift) for column, width, check, sift in found if check is not None)


def _raw(oids: Sequence[int], checks: Sequence[tuple[int, int, Check, Sift]]) -> Any:
    """A Transformer that reads columns that are walked as bytes, of the others the first byte: libpq always has one."""
    if len(checks) < FEW:
        return None
    walked = {column for column, *_ in checks}
    raw = Transformer(context_of(ADAPTERS))
    types = [pg.BYTEA.oid if column in walked else pg.BOOL.oid for column in range(len(oids))]
    raw.set_loader_types(types, Format.BINARY)
    return raw


def _walk(values: Sequence[bytes | None], width: int, check: Check, sift: Sift) -> None:
    """ValueError if a value of a column is malformed."""
    found: Sequence[bytes] = values  # type: ignore[assignment]
    try:
        sizes = [*map(len, found)]
    except TypeError:  # there are NULLs
        found = [data for data in values if data is not None]
        sizes = [*map(len, found)]
    if width < 0:
        for data in sift(found, sizes):
            check(data)
    elif sizes.count(width) != len(sizes):
        raise ValueError("a value of the wrong width")


def _values(session: PGconn | None, settings: tuple[bytes, ...]) -> list[bytes | None]:
    return [] if session is None else [session.parameter_status(name) for name in settings]
