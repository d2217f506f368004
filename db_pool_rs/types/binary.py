"""Values of any type in binary -> Python, where psycopg's loaders alone will not do: records, and what stands in them.

A record without a type of its own tells the types of its fields in binary only. So statements with such a column are
asked for in binary, where libpq has one format for all columns, and :func:`binary_loader` gives what reads a type then:
by the type of its fields a record, which is a tuple; as the catalogue knows them the types that are not built in; as
their text those that are text elsewhere (:mod:`.binary_text`). What it reads equals what is read from text.

`Unreadable` says what has no such form, and what helps. Nothing that the server has sent is trusted: every length is
held against the end of the value, and records are followed to a depth of :data:`MAX_DEPTH`.
Sources: record_send (rowtypes.c), array_send (arrayfuncs.c), range_send, multirange_send.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from struct import Struct
from typing import TYPE_CHECKING, Any

from ..record import record_class
from . import oids as pg
from .binary_text import PLAIN, TEXTS, versioned
from .foreign import decode_by
from .layout import array_start, part, range_parts
from .ranges import range_from_binary

if TYPE_CHECKING:
    from .catalog import Catalog, UserType

Load = Callable[[bytes], Any]

RECORDS = frozenset((pg.RECORD.oid, pg.RECORD.array_oid))
#: Records within records, at most; the same in Rust.
MAX_DEPTH = 64
_number = Struct(">i").unpack_from
_oid = Struct(">I").unpack_from
_FIELD = 8  # bytes of a field: its type and its length


class Unreadable(ValueError):
    """Values of a type cannot be read in binary."""

    def __init__(self, why: str = "the type has no binary form that can be read") -> None:
        super().__init__(why)


_REMEDY = "fields of a record come in binary; cast this one to text, or the record to a composite type"


def obstacle(catalog: Catalog, oid: int) -> str | None:
    """Why a type cannot be read in binary, whatever its value, or a part of it; None if it can be."""
    try:
        _Reader(catalog, lambda _: bytes.decode, strict=True).load_for(oid)
    except Unreadable as error:
        return str(error)
    return None


def binary_loader(catalog: Catalog, oid: int, built_in: Callable[[int], Load]) -> Load:
    """What reads a type in binary; `built_in` gives what reads one that psycopg reads in binary, walking it first.

    Unreadable if it cannot be, DecodeError if the server was not asked for it.
    """
    return _Reader(catalog, built_in).load_for(oid)


def field_loader(catalog: Catalog, oid: int, built_in: Callable[[int], Load]) -> Load:
    """The same for the field of a record; ValueError, which says what helps, if it cannot be read."""
    return _Reader(catalog, built_in).field(oid)


class _Reader:
    """Of one column: what reads its parts is made once."""

    def __init__(self, catalog: Catalog, built_in: Callable[[int], Load], strict: bool = False) -> None:
        self._catalog, self._built_in, self._strict = catalog, built_in, strict
        self._loads: dict[int, Load] = {}
        self._depth = 0

    def load_for(self, oid: int) -> Load:
        load = self._loads.get(oid)
        if load is None:
            load = self._loads[oid] = self._foreign(oid) if self._catalog.is_foreign(oid) else self._known(oid)
        return load

    def _known(self, oid: int) -> Load:
        if oid == pg.RECORD.oid:
            return self._record
        row, is_array = (pg.SCALARS[oid], False) if oid in pg.SCALARS else (pg.ARRAYS[oid], True)
        if row.binary:
            return self._built_in(oid)
        if is_array:
            return partial(array_from_binary, row.oid, self.load_for(row.oid))
        if oid not in TEXTS:
            raise Unreadable
        return TEXTS[oid]

    # -- records -------------------------------------------------------------------------------------------------

    def _record(self, data: bytes) -> tuple[Any, ...]:
        if self._depth == MAX_DEPTH:
            raise ValueError(f"records that are nested more than {MAX_DEPTH} deep")
        self._depth += 1
        try:
            return tuple(
                [
                    None if value is None else self._field(number, oid, value)
                    for number, (oid, value) in enumerate(fields_of(data), 1)
                ]
            )
        finally:
            self._depth -= 1

    def field(self, oid: int) -> Load:
        """As `load_for`, for the field of a record: the error says what helps."""
        try:
            return self.load_for(oid)
        except Unreadable as error:
            raise ValueError(f"{error}: {_REMEDY}") from error

    def _field(self, number: int, oid: int, value: bytes) -> Any:
        try:
            return (self._loads.get(oid) or self.field(oid))(value)
        except Exception as error:
            raise ValueError(f"field {number} ({self._catalog.type_name(oid)}): {error}") from error

    # -- types that are not built in -----------------------------------------------------------------------------

    def _foreign(self, oid: int) -> Load:
        found = self._catalog.found(oid)
        if found is None:
            raise Unreadable("the server does not know the type any more")
        codec = self._catalog.codec_of(found)
        if codec is not None and codec.decoder is not None:
            load = self._type(found) if codec.fields else self._text(found)
            return decode_by(codec.decoder, load) if codec.fields else _decoded(codec.decoder, load)
        ends = self._catalog.ends(oid)
        if ends is not None:
            return _clamping(self._built_in(oid), *ends)
        if oid in pg.SCALARS and oid not in pg.RANGES and oid not in pg.MULTIRANGES:
            return self._known(oid)
        return self._type(found)

    def _type(self, found: UserType) -> Load:
        match found.kind:
            case "d":
                return self.load_for(found.part)
            case "c":
                return _composite(found.fields, [self._later(oid) for _, oid in found.fields])
            case "a":
                return partial(array_from_binary, found.part, self.load_for(found.part))
            case "r":
                return partial(_range, self.load_for(found.part))
            case "m":
                ranges = self._catalog.found(found.part)
                bound = found.part if ranges is None else ranges.part
                return partial(_multirange, partial(_range, self.load_for(bound)))
            case _:
                return self._other(found)

    def _later(self, oid: int) -> Load:
        """Of a composite's field, which may be NULL always: that it cannot be read is told with its first value."""
        try:
            return self.load_for(oid)
        except Unreadable as error:
            if self._strict:
                raise
            reason = f"{error}: {_REMEDY}"

            def refuse(_: bytes) -> Any:
                raise ValueError(reason)

            return refuse

    def _other(self, found: UserType) -> Load:
        """An enum, or a type of an extension whose binary form is known by its name."""
        if found.kind == "e":
            return bytes.decode
        load = _BY_NAME.get(found.plain_name) if found.kind == "b" else None
        if load is None:
            raise Unreadable
        return load

    def _text(self, found: UserType) -> Callable[[bytes], str]:
        """What gives a codec the text that it takes."""
        if found.kind == "d":
            base = self._catalog.found(found.part) if self._catalog.is_foreign(found.part) else None
            if base is not None:
                return self._text(base)
        oid = found.part if found.kind == "d" else found.oid
        if found.kind == "e":
            return bytes.decode
        text = PLAIN.get(oid) or _TEXT_BY_NAME.get(found.plain_name if found.kind == "b" else "")
        if text is None:
            raise Unreadable("the codec of the type takes text")
        return text


def _decoded(decoder: Callable[[Any], Any], text: Callable[[bytes], str]) -> Load:
    return lambda data: decoder(text(data))


def _clamping(load: Load, first: Any, last: Any) -> Load:
    """Infinite dates and timestamps, which have the lowest and the highest of all numbers, as these."""

    def read(data: bytes) -> Any:
        if data[1:].count(b"\0") == len(data) - 1 and data[:1] == b"\x80":
            return first
        return last if data[1:].count(b"\xff") == len(data) - 1 and data[:1] == b"\x7f" else load(data)

    return read


# -- structures: walked while they are read


def fields_of(data: bytes) -> list[tuple[int, bytes | None]]:
    """Types and values of a record's or composite's fields; ValueError if it is malformed."""
    size, at = len(data), 4
    count = _number(data)[0] if size >= at else -1
    if not 0 <= count * _FIELD <= size - at:
        raise ValueError(f"a record of {count} fields in {size} bytes")
    found: list[tuple[int, bytes | None]] = []
    for _ in range(count):
        if at + _FIELD > size:
            raise ValueError("a field is cut off")
        (oid,) = _oid(data, at)
        start, end = part(data, at + 4, size)
        found.append((oid, None if end < 0 else data[start:end]))
        at = max(start, end)
    if at != size:
        raise ValueError(f"{size - at} bytes behind the end of a record")
    return found


def _composite(fields: Sequence[tuple[str, int]], loads: Sequence[Load]) -> Load:
    record, oids = record_class(tuple(name for name, _ in fields)), [oid for _, oid in fields]

    def read(data: bytes) -> Any:
        found = fields_of(data)
        if [oid for oid, _ in found] != oids:
            raise ValueError(f"a composite without the {len(oids)} fields that its type has")
        return record([None if one[1] is None else load(one[1]) for load, one in zip(loads, found, strict=True)])

    return read


def array_from_binary(element: int, load: Load, data: bytes) -> list[Any]:
    """Read an array whose elements, of this type, `load` reads, as nested lists."""
    count, at = array_start(data, element)
    items: list[Any] = []
    for _ in range(count):
        start, end = part(data, at, len(data))
        items.append(None if end < 0 else load(data[start:end]))
        at = max(start, end)
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes behind the end of an array")
    lengths = [_number(data, start)[0] for start in range(12, 12 + 8 * _number(data)[0], 8)]
    for length in lengths[:0:-1]:
        items = [items[first : first + length] for first in range(0, len(items), length)]
    return items


def _range(load: Load, data: bytes) -> Any:
    range_parts(data)
    return range_from_binary(data, load)


def _multirange(load: Load, data: bytes) -> list[Any]:
    size, at = len(data), 4
    count = _number(data)[0] if size >= at else -1
    if not 0 <= count * 5 <= size:
        raise ValueError(f"a multirange of {count} ranges in {size} bytes")
    ranges: list[Any] = []
    for _ in range(count):
        start, at = part(data, at, size)
        ranges.append(load(data[start:at] if at >= 0 else b""))
    if at != size:
        raise ValueError(f"{size - at} bytes behind the end of a multirange")
    return ranges


# -- types of extensions, told by their names as in `extensions`


def _hstore(data: bytes) -> dict[str, str | None]:
    size, at = len(data), 4
    count = _number(data)[0] if size >= at else -1
    if not 0 <= count * 8 <= size:
        raise ValueError("malformed hstore")
    found: dict[str, str | None] = {}
    for _ in range(count):
        start, at = part(data, at, size)
        key = data[start:at].decode() if at >= 0 else ""
        start, end = part(data, max(start, at), size)
        found[key] = None if end < 0 else data[start:end].decode()
        at = max(start, end)
    if at != size:
        raise ValueError("malformed hstore")
    return found


def _vector(code: str, data: bytes) -> list[float]:
    """pgvector's: how many numbers, 2 bytes of nothing, the numbers."""
    (count,) = Struct(">h").unpack_from(data)
    return [*Struct(f">h2x{max(count, 0)}{code}").unpack(data)[1:]]


_TEXT_BY_NAME: dict[str, Callable[[bytes], str]] = {
    "citext": bytes.decode,
    **dict.fromkeys(("ltree", "lquery", "ltxtquery"), versioned),
}
_BY_NAME: dict[str, Load] = {
    **_TEXT_BY_NAME,
    "hstore": _hstore,
    "vector": partial(_vector, "f"),
    "halfvec": partial(_vector, "e"),
}


def types_in(data: bytes, found: set[int], depth: int = 0) -> None:
    """Add the types of all values in a record, or in an array of records (`depth` 0: also of such). Never raises."""
    try:
        fields = fields_of(data)
    except ValueError:  # told when it is read
        return
    for oid, value in fields:
        if value is None:
            continue
        if oid == pg.RECORD.oid and depth < MAX_DEPTH:
            types_in(value, found, depth + 1)
        elif oid == pg.RECORD.array_oid and depth < MAX_DEPTH:
            types_in_array(value, found, depth + 1)
        else:
            found.add(oid)


def types_in_array(data: bytes, found: set[int], depth: int = 0) -> None:
    """The same of an array of records."""
    try:
        array_from_binary(pg.RECORD.oid, lambda one: types_in(one, found, depth), data)
    except ValueError:
        return


def doubt(catalog: Catalog, oids: Sequence[int], oid: int, data: bytes) -> None:
    """A value of type `oid`, in a row of `oids`, could not be read: its types may have changed."""
    within: set[int] = set()
    if oid == pg.RECORD.oid:
        types_in(data, within)
    elif oid == pg.RECORD.array_oid:
        types_in_array(data, within)
    catalog.forget(catalog.foreign((*oids, *within)))
