"""The types that are not built in, as far as a pool had to ask for them: what they are made of, sent and read.

The server names the type of a parameter or a column by its OID. One that `oids` does not have is an enum, a domain, a
composite, a range, a type of an extension, or an array of these: `drivers.postgres.types_query` asks which, and what it
is made of. An engine asks where a description names such a type for the first time in the pool: once, in
front of the statement.
Programs that use built-in types only never ask.

    domain       as its base type
    composite    from a tuple, a mapping or a dataclass, by the types of its fields (`composites`); a Record
    array        a list of what its element is
    range        a Range of what its bounds are; multirange: a list of such
    hstore, vector, halfvec   see `extensions`
    all others   text, see `foreign`; enums and types of extensions among them

They travel as text both ways, which every type has; only within records, and beside them, they come in binary
(:mod:`.binary`). A column is asked about after the first rows that have it, in front
of reading them. What is known may become out of date: a type that is dropped and made again
has another OID, but the fields of a composite can change under the same one. So what was learned before the last DDL
(`altered`) is asked for again, and so is what refuses an argument (`forget`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timezone
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import ArgumentError, DecodeError
from . import foreign, oids
from .arrays import IsInner, is_list, is_list_of_lists, is_plain_list, never, text_array
from .encode import TEXT, Encoder, encoder
from .literals import is_inner_of, literal
from .ranges import multirange_from_text, multirange_literal, range_from_text, range_literal
from .scalars import encode_text

if TYPE_CHECKING:
    from ..codecs import Codec

Encode = Callable[[Any], bytes]
Load = Callable[[bytes], Any]


#: What the infinite values of a type are read as, where they are clamped.
_ENDS: dict[int, tuple[Any, Any]] = {
    oids.DATE.oid: (date.min, date.max),
    oids.TIMESTAMP.oid: (datetime.min, datetime.max),
    oids.TIMESTAMPTZ.oid: (datetime.min.replace(tzinfo=timezone.utc), datetime.max.replace(tzinfo=timezone.utc)),
}


#: Seconds for which the fields of a composite are taken for what they were: another program may alter them unseen.
FRESH = 60.0


class TypesUnknown(ArgumentError):
    """Arguments cannot be encoded before the server was asked for their types (again)."""


class UserType(NamedTuple):
    """One row of the answer to `drivers.postgres.types_query`."""

    oid: int
    name: str
    plain_name: str
    schema: str
    kind: str
    part: int
    delimiter: str
    fields: tuple[tuple[str, int], ...]


class Catalog:
    """The types that the server has told a pool of; one that does not exist is known as well."""

    __slots__ = ("_clamps", "_codecs", "_encoders", "_learned", "_types", "_whole", "altered", "overridden", "version")

    def __init__(self) -> None:
        self._types: dict[int, UserType | None] = {}
        self._whole: dict[int, float] = {}
        self._encoders: dict[int, Encoder] = {}
        self._learned: dict[int, float] = {}
        #: When types were last changed, by the clock of `time.monotonic`: what was learned before is out of date.
        self.altered = float("-inf")
        #: Counts what has changed: loaders that were made before may be out of date.
        self.version = 0
        self._codecs: dict[tuple[str | None, str], Codec] = {}
        self._clamps = False
        #: Built-in types that codecs, or codecs of their parts, make like those that are not built in.
        self.overridden: frozenset[int] = frozenset()

    def set_codec(self, codec: Codec) -> None:
        """Read and write a type in another way from now on; texts must be described again."""
        self._codecs[codec.schema, codec.name] = codec
        if codec.schema in (None, "pg_catalog"):
            self._override({row.oid for row in oids.BUILTIN if row.name.strip('"') == codec.name})
        self._changed()

    def reset_codec(self, name: str, schema: str | None) -> None:
        """Undo `set_codec`: the type is read and written as usual again."""
        kept = [codec for key, codec in self._codecs.items() if key != (schema, name)]
        self._codecs, self.overridden = {}, frozenset()
        if self._clamps:
            self.clamp()
        self._changed()
        for codec in kept:
            self.set_codec(codec)

    def _changed(self) -> None:
        self.version += 1
        self._encoders.clear()
        self._whole.clear()

    def clamp(self) -> None:
        """Read infinite dates and timestamps as the first and the last that Python has, not as errors."""
        self._clamps = True
        self._override(set(_ENDS))

    def _override(self, own: set[int]) -> None:
        own |= {oid for bounds in (oids.RANGES, oids.MULTIRANGES) for oid, bound in bounds.items() if bound in own}
        self.overridden |= own | {oid for oid, row in oids.ARRAYS.items() if row.oid in own}

    @property
    def has_codecs(self) -> bool:
        """Whether any type has a codec of the caller's."""
        return bool(self._codecs)

    def codec_of(self, found: UserType) -> Codec | None:
        """The caller's codec of a type, if it has one."""
        return self._codecs.get((found.schema, found.plain_name)) or self._codecs.get((None, found.plain_name))

    def is_foreign(self, oid: int) -> bool:
        """Whether a type is not built in, or a codec has it."""
        return (oid not in oids.SCALARS and oid not in oids.ARRAYS) or oid in self.overridden

    def foreign(self, found: Iterable[int]) -> tuple[int, ...]:
        """Those of the types that are, each once."""
        return tuple(dict.fromkeys(oid for oid in found if self.is_foreign(oid)))

    def missing(self, asked: Iterable[int]) -> tuple[int, ...]:
        """Those that are not known, or of which a part is not, or that may be others by now."""
        now = time.monotonic()
        return tuple(oid for oid in asked if self._whole.get(oid, 0.0) <= now and self._until(oid) <= now)

    def _until(self, oid: int) -> float:
        """Until when what is known of a type and its parts may be relied on."""
        if not self.is_foreign(oid):
            return inf
        if oid not in self._types:
            return 0.0
        found, until = self._types[oid], inf
        if found is not None:
            parts = [part for _, part in found.fields] + [found.part] * (found.part != 0)
            own = self._learned[oid] + FRESH if found.kind == "c" else inf
            until = min([own, *map(self._until, parts)])
        self._whole[oid] = until
        return until

    def learn(self, asked: Sequence[int], rows: Iterable[Sequence[str | None]]) -> None:
        """The server's answer, in text; a type that was asked for and is not in it does not exist.

        DecodeError if it is no such answer.
        """
        self.version += 1
        try:
            found = [_user_type(*row) for row in rows]
        except (TypeError, ValueError) as error:
            raise DecodeError(f"the server's answer about types cannot be read: {error}") from error
        self._types.update(dict.fromkeys(asked))
        self._types.update({one.oid: one for one in found})
        self._learned.update(dict.fromkeys((*asked, *(one.oid for one in found)), time.monotonic()))
        self._encoders.clear()
        self._whole.clear()

    def schema_changed(self) -> None:
        """Types may have changed."""
        self.altered = time.monotonic()
        self.version += 1
        self._types.clear()
        self._encoders.clear()
        self._whole.clear()

    def outdated(self, asked: Iterable[int]) -> tuple[int, ...]:
        """Those that are not known, or were learned before types changed."""
        unknown = self.foreign(asked)
        return unknown if self.is_older(unknown, self.altered) else self.missing(unknown)

    def is_older(self, asked: Iterable[int], moment: float) -> bool:
        """Whether one of these is known, from before this moment by the clock of `time.monotonic`."""
        return any(oid in self._types and self._learned[oid] < moment for oid in asked)

    def forget(self, gone: Iterable[int]) -> None:
        """What is known of these may be out of date."""
        self.version += 1
        for oid in gone:
            self._types.pop(oid, None)
        self._encoders.clear()
        self._whole.clear()

    def encoder(self, oid: int) -> Encoder:
        """How a parameter of any type is sent; TypesUnknown if the server must be asked first."""
        if not self.is_foreign(oid):
            return encoder(oid)
        made = self._encoders.get(oid)
        if made is None:
            if oid not in self._types:
                raise TypesUnknown(f"type {oid} is not known yet")
            made = self._encoders[oid] = self._make(oid)
        return made

    def text_encoder(self, oid: int) -> Encoder:
        """How a value of any type is sent as text; TypesUnknown as of `encoder`."""
        made = self.encoder(oid)
        return made if self.is_foreign(oid) else Encoder(made.name, TEXT, literal(oid), made.accepts)

    def _make(self, oid: int) -> Encoder:
        found = self._types[oid]
        if found is None:
            return encoder(oid)
        return Encoder(found.name, TEXT, *self._encode(found))

    def _encode(self, found: UserType) -> tuple[Encode, str]:
        """What writes a type as text, and what it accepts."""
        codec = self.codec_of(found)
        if codec is not None and codec.encoder is not None:
            return foreign.encode_by(codec, self._fields(found)[0] if codec.fields else None), "what its codec takes"
        match found.kind:
            case "d":
                encode, accepts, _ = self._text(found.part)
                return encode, accepts
            case "c":
                return self._fields(found)
            case "a":
                return self._array(found)
            case "r":
                encode, accepts, _ = self._text(found.part)
                return range_literal(encode, accepts), f"Range of {accepts}, or str"
            case "m":
                encode, accepts, _ = self._text(found.part)
                return multirange_literal(encode), f"list of {accepts}, or str"
            case "b" if (known := foreign.extension(found.plain_name)) is not None:
                return known[:2]
            case _ if found.oid in oids.SCALARS:
                return literal(found.oid), encoder(found.oid).accepts
            case _:
                return foreign.encode_foreign, foreign.ACCEPTS

    def _fields(self, found: UserType) -> tuple[Encode, str]:
        """The same of a composite's fields."""
        if found.kind != "c":  # told when there is a value
            return foreign.without_fields(found.name), "what its codec takes"
        from .composites import Field, composite_literal

        parts = [Field(name, *self._text(part)[:2]) for name, part in found.fields]
        accepts = f"tuple of {len(parts)} values, mapping or dataclass with the fields, or str"
        return composite_literal(parts), accepts

    def _array(self, found: UserType) -> tuple[Encode, str]:
        encode, accepts, is_inner = self._text(found.part)
        whole = text_array(encode, self._delimiter(found), accepts, is_inner)

        def encode_array(value: Any) -> bytes:
            return encode_text(value) if isinstance(value, str) else whole(value)

        return encode_array, f"list of {accepts}"

    def _delimiter(self, array: UserType) -> str:
        element = self._types.get(array.part)
        return "," if element is None else element.delimiter

    def _text(self, oid: int) -> tuple[Encode, str, IsInner]:
        """The encode function of a type in text, what it accepts, and what tells inner lists in an array of it."""
        if oid in oids.ARRAYS and not self.is_foreign(oid):  # elements of a domain over an array
            return literal(oid), encoder(oid).accepts, never
        if not self.is_foreign(oid):
            return literal(oid), encoder(oid).accepts, is_inner_of(oid)
        found = self._types.get(oid)
        if found is not None and found.kind == "d" and self.codec_of(found) is None:
            return self._text(found.part)
        made = self.encoder(oid)
        if found is not None and (found.kind in ("a", "m") or foreign.extension(found.plain_name) is not None):
            return made.encode, made.name, never if found.kind == "a" else is_list_of_lists
        if oid in oids.SCALARS:
            codec, is_inner = None if found is None else self.codec_of(found), is_inner_of(oid)
            own = codec is not None and codec.encoder is not None and is_inner is is_list
            return made.encode, made.name, is_plain_list if own else is_inner  # its encoder may take tuples
        return made.encode, made.name, is_plain_list

    # -- reading -------------------------------------------------------------------------------------------------

    def found(self, oid: int) -> UserType | None:
        """What the server told of a type that is not built in, None if it has none; DecodeError if it was not asked."""
        if oid not in self._types:
            raise DecodeError(f"the server did not tell what type {oid} is")
        return self._types[oid]

    def ends(self, oid: int) -> tuple[Any, Any] | None:
        """What the infinite values of a type are read as, where they are clamped."""
        return _ENDS.get(oid) if self._clamps else None

    def type_name(self, oid: int) -> str:
        """The name of a type in SQL, as far as it is known."""
        found = self._types.get(oid)
        return oids.type_name(oid) if found is None else found.name

    def loader(self, oid: int, built_in: Callable[[int], Load]) -> Load:
        """What reads a value of this type from text; `built_in` gives what reads one of a built-in type.

        DecodeError if the server was not asked for the type, or did not tell it.
        """
        if not self.is_foreign(oid):
            return built_in(oid)
        found = self.found(oid)
        if found is None:
            return bytes.decode
        codec = self.codec_of(found)
        if codec is not None and codec.decoder is not None:
            if codec.fields and found.kind != "c":
                raise DecodeError(f"its codec has fields, and {found.name} is no composite type")
            load = self._loader(found, lambda part: self.loader(part, built_in)) if codec.fields else None
            return foreign.decode_by(codec.decoder, load)
        if (ends := self.ends(oid)) is not None:
            return _clamping(built_in(oid), *ends)
        if found.oid in oids.SCALARS and found.oid not in oids.RANGES and found.oid not in oids.MULTIRANGES:
            return built_in(oid)
        return self._loader(found, lambda part: self.loader(part, built_in))

    def _loader(self, found: UserType, part_loader: Callable[[int], Load]) -> Load:
        """What reads a type by those of its parts."""
        from .structures import array_from_text, record_from_text

        match found.kind:
            case "d":
                return part_loader(found.part)
            case "c":
                names = [name for name, _ in found.fields]
                return record_from_text(names, [part_loader(part) for _, part in found.fields])
            case "a":
                return array_from_text(part_loader(found.part), self._delimiter(found))
            case "r":
                bound = part_loader(found.part)
                return lambda data: range_from_text(data, bound)
            case "m":
                ranges = self._types.get(found.part)
                bound = part_loader(0 if ranges is None else ranges.part)
                return lambda data: multirange_from_text(data, bound)
            case "b" if (known := foreign.extension(found.plain_name)) is not None:
                return known.load
            case _:
                return bytes.decode


def _clamping(load: Load, first: Any, last: Any) -> Load:
    ends = {b"-infinity": first, b"infinity": last}
    return lambda data: ends[data] if data in ends else load(data)


def _user_type(
    oid: str | None, name: str | None, kind: str | None, part: str | None, delimiter: str | None, fields: str | None,
    plain_name: str | None, schema: str | None,
) -> UserType:  # fmt: skip
    if not (oid and name and kind and part and delimiter and plain_name and schema):
        raise ValueError("a value is missing")
    made = tuple((str(field), int(of)) for field, of in json.loads(fields or "[]"))
    return UserType(int(oid), name, plain_name, schema, kind, int(part), delimiter, made)
