"""The kernel's columns -> rows.

The kernel leaves a column in a buffer; `db_pool_rs_balanced._rows`, in C too, makes Python's values and rows of it. The
values equal those of :mod:`db_pool_rs.types.decode`: a type that the kernel does not know, and a column with a value
that it does not want to judge (it is *odd*: infinity, a wrong length ...), is decoded value by value by psycopg's
loaders. They are imported when they are first needed; that takes as long as decoding 500,000 rows, so it is left to the
caller.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Sequence
from datetime import timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from struct import Struct
from typing import Any
from uuid import UUID

from db_pool_rs_balanced import ffi, lib, make_records, make_values

from ..errors import DecodeError
from ..log import logger
from ..record import Record, record_class
from ..types import oids as pg
from ..types.binary import binary_loader, doubt
from ..types.catalog import Catalog
from ..types.layout import CHEAP

#: What must be imported after :class:`LoadersMissing`.
LOADERS = "db_pool_rs.types.loaders"
_KERNEL_KINDS: dict[str, int] = {
    "bool": lib.DBP_BOOL, "int2": lib.DBP_INT2, "int4": lib.DBP_INT4, "int8": lib.DBP_INT8, "oid": lib.DBP_OID,
    "float4": lib.DBP_FLOAT4, "float8": lib.DBP_FLOAT8, "numeric": lib.DBP_NUMERIC, "str": lib.DBP_TEXT,
    "bytea": lib.DBP_BYTEA, "uuid": lib.DBP_UUID, "date": lib.DBP_DATE, "timestamp": lib.DBP_TIMESTAMP,
    "timestamptz": lib.DBP_TIMESTAMP,
}  # fmt: skip
#: What the kernel does with a type's binary form.
KINDS = {row.oid: _KERNEL_KINDS[row.kind] for row in pg.BUILTIN if row.kind in _KERNEL_KINDS}
#: Zones that never differ from UTC: nothing has to be converted.
_LIKE_UTC = frozenset(("Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal", "GMT", "Etc/GMT"))
_ZONED = frozenset(oid for row in (pg.TIMESTAMPTZ, pg.TSTZRANGE, pg.TSTZMULTIRANGE) for oid in (row.oid, row.array_oid))
_TIME_ZONE = b"TimeZone"
_TEXT_SETTINGS = (_TIME_ZONE, b"DateStyle", b"IntervalStyle")

Convert = Callable[[Any], Any]
_single = Struct("f")


class LoadersMissing(DecodeError):
    """There is something for psycopg's loaders, and :data:`LOADERS` is not imported yet."""


def kinds(oids: Sequence[int], format: int, foreign: Collection[int]) -> Any:
    """What the kernel does with columns of these types in this format, as it wants to be told.

    `foreign` are those that the catalogue reads.
    """
    known = KINDS if format else _KINDS_TEXT
    return ffi.new("int32_t[]", [lib.DBP_OTHER if oid in foreign else known.get(oid, lib.DBP_OTHER) for oid in oids])


def _float4(text: str) -> float:
    value: float = _single.unpack(_single.pack(float(text)))[0]
    return value


#: Types whose text Python reads without settings, and how; None: it is the value.
_FROM_TEXT: dict[int, Convert | None] = {
    **dict.fromkeys((pg.INT2.oid, pg.INT4.oid, pg.INT8.oid, pg.OID.oid), int),
    **dict.fromkeys((pg.TEXT.oid, pg.VARCHAR.oid, pg.BPCHAR.oid, pg.NAME.oid)),
    pg.BOOL.oid: "t".__eq__,
    pg.FLOAT4.oid: _float4,
    pg.FLOAT8.oid: float,
    pg.NUMERIC.oid: Decimal,
    pg.UUID.oid: UUID,
}
_KINDS_TEXT = dict.fromkeys(_FROM_TEXT, int(lib.DBP_TEXT))


@lru_cache(maxsize=64)
def _zone(name: bytes | None) -> tzinfo:
    """The session's time zone, by the rules of psycopg."""
    if name is None or name == b"UTC":
        return timezone.utc
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name.decode())
    except Exception:
        logger.warning("unknown time zone %r of the server; UTC is used", name.decode("utf-8", "replace"))
        return timezone.utc


def no_raw(row: int, column: int) -> bytes | None:
    """Of values that the kernel has given up."""
    raise DecodeError("a value cannot be decoded")


class Plan:
    """How the columns of one statement are decoded, in one format and under one session's settings."""

    __slots__ = (
        "_catalog", "_convert", "_format", "_loaders", "_names", "_oids", "_settings", "_version", "_zones",
        "count", "dear", "kinds", "record", "values",
    )  # fmt: skip

    def __init__(
        self, names: Sequence[str], oids: Sequence[int], format: int, session: Any, catalog: Catalog | None = None
    ) -> None:
        #: Knows the types that are not built in, if there are any.
        self._catalog, self._version = catalog, 0 if catalog is None else catalog.version
        self._names = tuple(names)
        self._oids = tuple(oids)
        self._format = format
        self._settings: tuple[bytes, ...] = ()
        if not format and not all(oid in _FROM_TEXT for oid in oids):
            self._settings = _TEXT_SETTINGS
        elif format and (catalog is not None or not _ZONED.isdisjoint(oids)):
            self._settings = (_TIME_ZONE,)
        self.values = [session.parameter_status(name) for name in self._settings]
        self.record: type[Record] = record_class(self._names)
        self.count = len(oids)
        #: Columns whose values take time by their length.
        self.dear = tuple(number for number, oid in enumerate(oids) if oid not in CHEAP)
        self._loaders: list[Convert | None] = [None] * self.count
        foreign = () if catalog is None else catalog.foreign(oids)
        self.kinds = kinds(oids, format, foreign)
        self._zones: list[tzinfo | None] = [None] * self.count
        self._convert: list[Convert | None] = [
            None if format or oid in foreign else _FROM_TEXT.get(oid) for oid in oids
        ]
        for number, oid in enumerate(oids):
            if format and oid == pg.TIMESTAMPTZ.oid:
                self._set_zone(number, _zone(self.values[0]))

    def fits(self, session: Any) -> bool:
        """Whether the session's settings, where they matter, are those that this was made with."""
        if self._catalog is not None and self._catalog.version != self._version:
            return False
        return not self._settings or self.values == [session.parameter_status(name) for name in self._settings]

    def _set_zone(self, number: int, zone: tzinfo) -> None:
        """Timestamps arrive in UTC."""
        if zone is timezone.utc or str(zone) in _LIKE_UTC:
            self._zones[number] = zone
        else:
            self._zones[number] = timezone.utc
            self._convert[number] = lambda moment: moment.astimezone(zone)

    def rows(self, block: Any, raw: Callable[[int, int], bytes | None], first: int = 0) -> list[Record]:
        """The rows in a block; `raw(row, column)` is the value as it was sent, `first` the number of the first row."""
        if not self.count:
            return [self.record(()) for _ in range(block.rows)]
        address = int(ffi.cast("uintptr_t", block))
        columns = [self._values(number, block, address, raw, first) for number in range(self.count)]
        rows: list[Record] = make_records(self.record, columns)
        return rows

    def _values(self, number: int, block: Any, address: int, raw: Any, first: int) -> list[Any]:
        if block.odd and block.columns[number].odd:
            return self._canonical(number, block.rows, raw, first)
        convert = self._convert[number]
        try:
            values: list[Any] = make_values(address, number, self._zones[number])
            if convert is not None:
                values = [None if value is None else convert(value) for value in values]
        except (ArithmeticError, ValueError):  # a hostile text, or a zone that leads beyond year 9999
            return self._canonical(number, block.rows, raw, first)
        return values

    def _canonical(self, number: int, rows: int, raw: Any, first: int) -> list[Any]:
        """By psycopg's loaders."""
        return [self.load(row, number, raw(row, number)) for row in range(first, first + rows)]

    def load(self, row: int, number: int, data: bytes | None) -> Any:
        """One value by psycopg's loader, which is made when it is first needed."""
        try:
            load = self._loaders[number]
            if load is None:
                load = self._loaders[number] = self._loader(number)
            return None if data is None else load(data)
        except LoadersMissing:
            raise
        except Exception as error:
            where = f'column "{self._names[number]}" ({pg.type_name(self._oids[number])}) of row {row + 1}'
            if self._catalog is not None:  # a type may have changed
                doubt(self._catalog, self._oids, self._oids[number], data or b"")
            raise DecodeError(f"{where}: {error}") from error

    def _loader(self, number: int) -> Convert:
        loaders: Any = sys.modules.get(LOADERS)
        if getattr(loaders, "binary_parts", None) is None:  # or a thread is about to import it
            raise LoadersMissing("psycopg is not imported yet")
        value_loader = loaders.value_loader
        oid = self._oids[number]
        if self._catalog is not None and self._format:  # records, and what stands beside them
            parts = loaders.binary_parts(dict(zip(self._settings, self.values, strict=True)))
            return binary_loader(self._catalog, oid, parts)
        matters = self._settings if not self._format or oid in _ZONED else ()
        values = dict(zip(self._settings, self.values, strict=True)) if matters else {}
        if self._catalog is not None and not self._format:
            return self._catalog.loader(oid, lambda part: value_loader(part, 0, values))
        load: Convert = value_loader(oid, self._format, values)
        return load
