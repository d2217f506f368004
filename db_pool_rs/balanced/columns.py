"""The kernel's columns -> rows.

The kernel leaves a column in a buffer; here each becomes a list in a few calls, whatever its length. The values equal
those of :mod:`db_pool_rs.types.decode`: a type that the kernel does not know, and a column with a value that it does
not want to judge (it is *odd*: infinity, a wrong length ...), is decoded value by value by psycopg's loaders, which
are imported then.
"""

from __future__ import annotations

import logging
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timezone, tzinfo
from decimal import Decimal
from functools import lru_cache
from itertools import chain, repeat
from struct import Struct
from typing import Any
from uuid import UUID, SafeUUID

from db_pool_rs_balanced import ffi, lib

from ..errors import DecodeError
from ..record import Record, record_class
from ..simple.description import FIXED_SIZES
from ..types import oids as pg

logger = logging.getLogger("db_pool_rs")

#: What the kernel does with a type's binary form.
KINDS: dict[int, int] = {
    pg.BOOL.oid: lib.DBP_BOOL, pg.INT2.oid: lib.DBP_INT2, pg.INT4.oid: lib.DBP_INT4, pg.INT8.oid: lib.DBP_INT8,
    pg.OID.oid: lib.DBP_OID, pg.FLOAT4.oid: lib.DBP_FLOAT4, pg.FLOAT8.oid: lib.DBP_FLOAT8, pg.TEXT.oid: lib.DBP_TEXT,
    pg.VARCHAR.oid: lib.DBP_TEXT, pg.BPCHAR.oid: lib.DBP_TEXT, pg.NAME.oid: lib.DBP_TEXT, pg.BYTEA.oid: lib.DBP_BYTEA,
    pg.DATE.oid: lib.DBP_DATE, pg.TIMESTAMP.oid: lib.DBP_TIMESTAMP, pg.TIMESTAMPTZ.oid: lib.DBP_TIMESTAMP,
    pg.UUID.oid: lib.DBP_UUID, pg.NUMERIC.oid: lib.DBP_NUMERIC,
}  # fmt: skip
#: Zones that never differ from UTC: nothing has to be converted.
_LIKE_UTC = frozenset(("Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal", "GMT", "Etc/GMT"))
_ZONED = frozenset(oid for row in (pg.TIMESTAMPTZ, pg.TSTZRANGE, pg.TSTZMULTIRANGE) for oid in (row.oid, row.array_oid))
_TIME_ZONE = b"TimeZone"
_TEXT_SETTINGS = (_TIME_ZONE, b"DateStyle", b"IntervalStyle")

Build = Callable[[Any, int], list[Any]]
unpack = ffi.unpack
#: It takes the ten bytes of its own pickled form, too: a third of the time of the call with seven numbers.
_datetime: Any = datetime
_TEN, _SIXTEEN = Struct("10s"), Struct("16s")
_new = object.__new__
_from_bytes: Any = int.from_bytes
_set_int = UUID.__dict__["int"].__set__
_set_safe = UUID.__dict__["is_safe"].__set__


def is_hot(oids: Sequence[int]) -> bool:
    """Whether the kernel knows every one of these types."""
    return all(oid in KINDS for oid in oids)


def kinds(oids: Sequence[int], format: int) -> Any:
    """What the kernel does with columns of these types in this format, as it wants to be told."""
    known: dict[int, int] = KINDS if format else _KINDS_TEXT
    return ffi.new("int32_t[]", [known.get(oid, lib.DBP_OTHER) for oid in oids])


# -- one column -------------------------------------------------------------------------------------------------------


def _bools(column: Any, rows: int) -> list[Any]:
    return list(map(bool, _bytes(column)))


def _bytes(column: Any) -> bytes:
    data: bytes = unpack(column.data, column.size) if column.size else b""
    return data


def _ints(column: Any, rows: int) -> list[Any]:
    values: list[Any] = unpack(column.ints, rows)
    return values


def _floats(column: Any, rows: int) -> list[Any]:
    values: list[Any] = unpack(column.doubles, rows)
    return values


def _texts(column: Any, rows: int) -> list[Any]:
    values: list[Any] = _bytes(column).decode().split("\0")
    values.pop()
    return values


def _blobs(column: Any, rows: int) -> list[Any]:
    data, ends = _bytes(column), unpack(column.ends, rows)
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _dates(column: Any, rows: int) -> list[Any]:
    return list(map(date.fromordinal, _ints(column, rows)))


def _pieces(column: Any, cut: Struct) -> Iterator[bytes]:
    return chain.from_iterable(cut.iter_unpack(_bytes(column)))


def _timestamps(column: Any, rows: int) -> list[Any]:
    return list(map(_datetime, _pieces(column, _TEN)))


def _uuids(column: Any, rows: int) -> list[Any]:
    values = list(map(_new, repeat(UUID, rows)))
    # UUID refuses to be changed; its slots can be filled, which spares a call of UUID(bytes=...) for each.
    deque(map(_set_int, values, map(_from_bytes, _pieces(column, _SIXTEEN), repeat("big"))), 0)
    deque(map(_set_safe, values, repeat(SafeUUID.unknown)), 0)
    return values


def _decimals(column: Any, rows: int) -> list[Any]:
    return list(map(Decimal, _texts(column, rows)))


def _zoned(zone: tzinfo, like_utc: bool) -> Build:
    def build(column: Any, rows: int) -> list[Any]:
        if like_utc:
            return list(map(_datetime, _pieces(column, _TEN), repeat(zone)))
        return [_datetime(state, timezone.utc).astimezone(zone) for state in _pieces(column, _TEN)]

    return build


def _nulls(column: Any, rows: int) -> list[Any]:
    """A column that the kernel does not decode and does not call odd has no values."""
    return [None] * rows


def _from_text(convert: Callable[[str], Any]) -> Build:
    return lambda column, rows: list(map(convert, _texts(column, rows)))


def _singles(column: Any, rows: int) -> list[Any]:
    return array("f", map(float, _texts(column, rows))).tolist()


_BUILD: dict[int, Build] = {
    lib.DBP_BOOL: _bools, lib.DBP_INT2: _ints, lib.DBP_INT4: _ints, lib.DBP_INT8: _ints, lib.DBP_OID: _ints,
    lib.DBP_FLOAT4: _floats, lib.DBP_FLOAT8: _floats, lib.DBP_TEXT: _texts, lib.DBP_BYTEA: _blobs,
    lib.DBP_DATE: _dates, lib.DBP_TIMESTAMP: _timestamps, lib.DBP_UUID: _uuids, lib.DBP_NUMERIC: _decimals,
}  # fmt: skip
#: Types whose text the kernel can split and Python reads without settings.
_BUILD_TEXT: dict[int, Build] = {
    **{row.oid: _from_text(int) for row in (pg.INT2, pg.INT4, pg.INT8, pg.OID)},
    **{row.oid: _texts for row in (pg.TEXT, pg.VARCHAR, pg.BPCHAR, pg.NAME)},
    pg.BOOL.oid: _from_text("t".__eq__),
    pg.FLOAT4.oid: _singles,
    pg.FLOAT8.oid: _from_text(float),
    pg.NUMERIC.oid: _from_text(Decimal),
    pg.UUID.oid: _from_text(UUID),
}
_KINDS_TEXT = dict.fromkeys(_BUILD_TEXT, int(lib.DBP_TEXT))


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


def check_width(oid: int, data: bytes) -> None:
    """ValueError for a value in binary whose length is not that of its type."""
    size = FIXED_SIZES.get(oid)
    if oid == pg.NUMERIC.oid:
        size = 8 + 2 * int.from_bytes(data[:2], "big")
    if size is not None and len(data) != size:
        raise ValueError(f"{len(data)} bytes where {size} are expected")


# -- all columns ------------------------------------------------------------------------------------------------------


class Plan:
    """How the columns of one statement are decoded, in one format and under one session's settings."""

    __slots__ = ("_builders", "_format", "_names", "_oids", "_settings", "count", "kinds", "record", "values")

    def __init__(self, names: Sequence[str], oids: Sequence[int], format: int, session: Any) -> None:
        self._names = tuple(names)
        self._oids = tuple(oids)
        self._format = format
        self._settings: tuple[bytes, ...] = ()
        if not format and not all(oid in _BUILD_TEXT for oid in oids):
            self._settings = _TEXT_SETTINGS
        elif format and not _ZONED.isdisjoint(oids):
            self._settings = (_TIME_ZONE,)
        self.values = [session.parameter_status(name) for name in self._settings]
        self.record: type[Record] = record_class(self._names)
        self.count = len(oids)
        self.kinds = kinds(oids, format)
        self._builders = [self._builder(oid) for oid in oids]

    def fits(self, session: Any) -> bool:
        """Whether the session's settings, where they matter, are those that this was made with."""
        return not self._settings or self.values == [session.parameter_status(name) for name in self._settings]

    def _builder(self, oid: int) -> Build:
        if not self._format:
            return _BUILD_TEXT.get(oid, _nulls)
        if oid == pg.TIMESTAMPTZ.oid:
            zone = _zone(self.values[0])
            return _zoned(zone, zone is timezone.utc or str(zone) in _LIKE_UTC)
        return _BUILD[KINDS[oid]] if oid in KINDS else _nulls

    def rows(self, block: Any, rows: int, raw: Callable[[int, int], bytes | None], first: int = 0) -> list[Record]:
        """The rows in a block; `raw(row, column)` is the value as it was sent, `first` the number of the first row."""
        if not rows:
            return []
        if not self.count:
            return [self.record(()) for _ in range(rows)]
        every = block.columns
        columns = [self._values(number, every[number], rows, raw, first) for number in range(self.count)]
        return list(map(self.record, zip(*columns)))  # noqa: B905 - all of them have `rows` values

    def _values(self, number: int, column: Any, rows: int, raw: Any, first: int) -> list[Any]:
        if column.odd:
            return self._canonical(number, rows, raw, first)
        try:
            values = self._builders[number](column, rows)
        except (ArithmeticError, ValueError):  # a hostile text, or a zone that leads beyond year 9999
            return self._canonical(number, rows, raw, first)
        if column.nulls:
            missing = ffi.buffer(column.missing, rows)[:]
            values = [None if gone else value for value, gone in zip(values, missing, strict=True)]
        return values

    def _canonical(self, number: int, rows: int, raw: Any, first: int) -> list[Any]:
        """By psycopg's loaders."""
        from ..types.loaders import value_loader

        oid = self._oids[number]
        matters = self._settings if not self._format or oid in _ZONED else ()
        values = dict(zip(self._settings, self.values, strict=True)) if matters else {}
        load, done = value_loader(oid, self._format, values), []
        for row in range(first, first + rows):
            data = raw(row, number)
            try:
                if data is not None and self._format:
                    check_width(oid, data)  # psycopg's loaders in C read beyond the end of a value that is too short
                done.append(None if data is None else load(data))
            except Exception as error:
                where = f'column "{self._names[number]}" ({pg.type_name(oid)}) of row {row + 1}'
                raise DecodeError(f"{where}: {error}") from error
        return done
