"""Results -> rows, by psycopg's own loaders: the one module of this package that needs psycopg.

psycopg's default mapping is the canonical one (json as objects, inet as `ipaddress` ...), but for ranges. Its
`Transformer` does the work, in C where psycopg has its C implementation.

libpq has one result format for all columns of a statement; `oids.result_format` decides once per statement: binary if
every column has a binary loader that agrees with the text one, or one is a record without a type of its own (see
:mod:`.binary`), else text. A value is the same in both formats: float4 is read in text with the precision that it has
in binary, and types whose two loaders differ are asked for in text: "char", whose zero byte is '' in text. Types that
psycopg does not know (enums, extensions, money ...) come as `str`.

A timestamptz is returned in the session's TimeZone, and in text format dates depend on the session's DateStyle and
intervals on its IntervalStyle. Loaders read these settings once, when they are made; so a `RowDecoder` belongs to the
settings of the session that it was made with, and says whether it `fits` another session (or the same, later).

Nothing that the server has sent is handed to a loader before it was walked (:mod:`.layout`): in binary psycopg's
loaders trust the lengths inside a value. In text one of those in C writes beyond its buffer for a backslash that
PostgreSQL would have quoted, and another reads beside its table for bytes that are no ASCII: there psycopg's loaders in
Python take over.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import cache, partial
from itertools import repeat
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from psycopg import DataError, adapters, pq
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap, Loader, RecursiveLoader, Transformer
from psycopg.pq import Format
from psycopg.types.array import ArrayLoader
from psycopg.types.datetime import IntervalBinaryLoader, IntervalLoader
from psycopg.types.uuid import UUIDLoader

from ..errors import DecodeError
from ..record import Record, record_class
from . import oids as pg
from .binary import RECORDS, doubt
from .catalog import Catalog
from .layout import CHEAP, FIXED_SIZES, Check, Sift, check_for, sift_for
from .ranges import multirange_from_binary, multirange_from_text, range_from_binary, range_from_text

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn, PGresult

#: From so many columns on, values that are walked are had by rows.
FEW = 3
#: Has psycopg's loaders in C decode UTF-8 without looking up its name.
_NO_SETTINGS = None if pq.__impl__ == "python" else SimpleNamespace(pgconn=pq.PGconn())
_float4 = struct.Struct("f")
_ESCAPE = re.compile(rb"\\(?:\\|[0-3][0-7][0-7])")


class _Float4TextLoader(Loader):
    """float4 in text, with the value that binary has: the single precision number itself, not its shortest decimal."""

    def load(self, data: Buffer) -> float:
        value: float = _float4.unpack(_float4.pack(float(bytes(data))))[0]
        return value


class _ByteaTextLoader(Loader):
    """bytea in text, whatever `bytea_output` is.

    psycopg's loader in C (3.3) has libpq read on to the next NUL character, so that an element of an array gets what
    comes behind it.
    """

    def load(self, data: Buffer) -> bytes:
        text = bytes(data)
        if text.startswith(b"\\x"):
            return bytes.fromhex(text[2:].decode())
        if text.count(b"\\") != sum(1 + (found == b"\\\\") for found in _ESCAPE.findall(text)):
            raise DataError("malformed bytea")
        return _ESCAPE.sub(lambda found: b"\\" if found[0] == b"\\\\" else bytes([int(found[0][1:], 8)]), text)


class _IntervalTextLoader(IntervalLoader):
    """psycopg's loader in Python: the one in C (3.3) cuts the days to 32 bits, so that a long interval is altered.

    Both take an infinite interval (PostgreSQL 17) for one of length 0.
    """

    def load(self, data: Buffer) -> timedelta:
        if bytes(data).endswith(b"infinity"):
            raise DataError(f"can't parse interval {bytes(data).decode()!r}")
        return super().load(data)


class _IntervalBinaryLoader(IntervalBinaryLoader):
    """The same in binary."""


class _UUIDTextLoader(UUIDLoader):
    """psycopg's loader in Python: the one in C (3.3) takes bytes from 128 on for negative numbers of its table."""


class _ForeignLoader(Loader):
    """A type that is not built in, as the pool's catalogue reads it."""

    catalog: Catalog

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load = self.catalog.loader(oid, self._built_in)

    def _built_in(self, part: int) -> Callable[[bytes], Any]:
        return Transformer(_context(adapters_of((part,)), self.connection)).get_loader(part, Format.TEXT).load

    def load(self, data: Buffer) -> Any:
        return self._load(bytes(data))


class _ByTypeLoader(Loader):
    """A type that psycopg does not read in binary, or that is not built in: see :mod:`.binary`."""

    format = Format.BINARY
    make: Callable[[int], Callable[[bytes], Any]]

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load: Callable[[bytes], Any] | None = None

    def load(self, data: Buffer) -> Any:
        load = self._load
        if load is None:  # made with the first value, whose error names the column
            load = self._load = type(self).make(self.oid)
        return load(bytes(data))


class _ArrayTextLoader(ArrayLoader):
    """By psycopg's loader in C, unless there are backslashes (see the module)."""

    #: That loader's class.
    fast: type[Loader]

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._fast = self.fast(oid, self._tx).load

    def load(self, data: Buffer) -> list[Any]:
        whole = bytes(data)
        rows: list[Any] = super().load(whole) if b"\\" in whole else self._fast(whole)
        return rows


class _RangeLoader(RecursiveLoader):
    """A range or multirange: `read` takes it apart, the loader of its bounds' type reads these."""

    bound: int
    read: Callable[[bytes, Callable[[bytes], Any]], Any]

    def __init__(self, oid: int, context: Any = None) -> None:
        super().__init__(oid, context)
        self._load = self._tx.get_loader(self.bound, self.format).load

    def load(self, data: Buffer) -> Any:
        return type(self).read(bytes(data), self._load)


def register_ranges(adapters: AdaptersMap) -> None:
    """Have ranges read as ours, not as psycopg's."""
    for oid in (*pg.RANGES, *pg.MULTIRANGES):
        for loader in _range_loaders(oid):
            adapters.register_loader(oid, loader)


def _range_loaders(oid: int) -> tuple[type[Loader], ...]:
    """Those of a range or multirange."""
    bound = pg.RANGES.get(oid)
    reads: tuple[Callable[..., Any], ...] = (range_from_text, range_from_binary)
    if bound is None:
        bound, reads = pg.MULTIRANGES[oid], (multirange_from_text, multirange_from_binary)
    return tuple(
        type(f"{pg.type_name(oid)}Loader", (_RangeLoader,), {"bound": bound, "read": staticmethod(read), "format": one})
        for one, read in zip((Format.TEXT, Format.BINARY), reads, strict=True)
    )


def _array_loaders(oid: int) -> tuple[type[Loader], ...]:
    """That of an array in text, where psycopg's will not do."""
    row, fast = pg.ARRAYS[oid], _adapters.get_loader(oid, Format.TEXT)
    members = {"base_oid": row.oid, "delimiter": row.delimiter.encode(), "fast": fast}
    if fast is None:  # a type that psycopg does not know, as pg_snapshot
        return (type(f"{row.name}ArrayLoader", (ArrayLoader,), members),)
    if pq.__impl__ != "python" and hasattr(fast, "base_oid"):
        return (type(f"{row.name}ArrayLoader", (_ArrayTextLoader,), members),)
    return ()


@cache
def _own_loaders(oid: int) -> tuple[type[Loader], ...]:
    """Those of ours for a type that is built in. There are many: one is made when it is first needed."""
    if oid in pg.ARRAYS:
        return _array_loaders(oid)
    return _range_loaders(oid) if oid in pg.RANGES or oid in pg.MULTIRANGES else ()


_adapters = AdaptersMap(adapters)
_adapters.register_loader(pg.FLOAT4.oid, _Float4TextLoader)
_adapters.register_loader(pg.BYTEA.oid, _ByteaTextLoader)
_adapters.register_loader(pg.INTERVAL.oid, _IntervalTextLoader)
_adapters.register_loader(pg.INTERVAL.oid, _IntervalBinaryLoader)
_adapters.register_loader(pg.UUID.oid, _UUIDTextLoader)

ZONED = frozenset(oid for row in (pg.TIMESTAMPTZ, pg.TSTZRANGE, pg.TSTZMULTIRANGE) for oid in (row.oid, row.array_oid))
# What loaders ask a session for: in binary only the zone of a timestamptz, in text the styles, too.
_BINARY_SETTINGS = (b"TimeZone",)
_TEXT_SETTINGS = (b"TimeZone", b"DateStyle", b"IntervalStyle")


def adapters_of(oids: Sequence[int], catalog: Catalog | None = None) -> AdaptersMap:
    """What reads these types: psycopg's loaders, and ours where its will not do."""
    wanted = dict.fromkeys(oids)
    wanted |= dict.fromkeys(pg.ARRAYS[oid].oid for oid in wanted if oid in pg.ARRAYS)
    made = [(oid, loader) for oid in wanted for loader in _own_loaders(oid)]
    if catalog is not None:
        made += [(oid, type("ForeignLoader", (_ForeignLoader,), {"catalog": catalog})) for oid in catalog.foreign(oids)]
    own = AdaptersMap(_adapters) if made else _adapters
    for oid, loader in made:
        own.register_loader(oid, loader)
    return own


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
        self._transformer = Transformer(_context(adapters, settings))
        self._transformer.set_loader_types(list(self._oids), self._format)  # psycopg 3.2 takes nothing but a list
        for oid in self._oids:
            if oid in pg.ARRAYS and (
                text or pg.in_binary(oid)
            ):  # else made at the first value, when the connection may be gone
                self._transformer.get_loader(pg.ARRAYS[oid].oid, self._format)

    def _depends_on(self) -> tuple[bytes, ...]:
        if self._format is Format.TEXT:
            return _TEXT_SETTINGS
        return () if self._catalog is None and ZONED.isdisjoint(self._oids) else _BINARY_SETTINGS

    def _by_type(self, catalog: Catalog) -> AdaptersMap:
        """What reads records, and the columns beside them, in binary."""
        from .loaders import binary_parts  # which needs this module

        built_in = binary_parts(dict(zip(self._settings, self._values, strict=False)))
        own = AdaptersMap(adapters_of(self._oids))
        for oid in self._oids:
            if catalog.is_foreign(oid) or not pg.in_binary(oid):
                make = staticmethod(partial(catalog.binary_loader, built_in=built_in))
                own.register_loader(oid, type("ByTypeLoader", (_ByTypeLoader,), {"make": make}))
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
    raw = Transformer(_context(_adapters))
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


def _context(adapters: AdaptersMap, connection: Any = None) -> Any:
    """What a Transformer takes for a context: loaders ask its connection's `pgconn` for settings, and nothing else."""
    return SimpleNamespace(adapters=adapters, connection=connection)
