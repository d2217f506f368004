"""The types that are not built in, as far as a pool had to ask for them: what they are made of, and how they are sent.

The server names the type of a parameter by its OID. One that `oids` does not have is an enum, a domain, a composite, a
range, a type of an extension, or an array of these: `drivers.postgres.types_query` asks which, and what it is made of.
An engine asks where a description names such a type for the first time in the pool: once, in front of the statement.
Programs that use built-in types only never ask.

    domain       as its base type: the same Python values are accepted
    composite    a tuple with a value for each field, by the field's type
    array        a list of what its element takes
    all others   as their text, see `foreign`

They travel as text, which every type reads. What is known may become out of date: a type that is dropped and made again
has another OID, but the fields of a composite can change under the same one. So what was learned before the last DDL
(`altered`) is asked for again, and so is what refuses an argument (`forget`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ArgumentError, DecodeError
from . import foreign, oids
from .arrays import IsInner, text_array
from .encode import TEXT, Encoder, encoder
from .explain import Rejected
from .literals import is_inner_of, literal
from .parameters import Encoded, ParameterCodec
from .scalars import encode_text

Encode = Callable[[Any], bytes]


class TypesUnknown(ArgumentError):
    """Arguments cannot be encoded before the server was asked for their types (again)."""


@dataclass(frozen=True, slots=True)
class UserType:
    """One row of the answer to `drivers.postgres.types_query`."""

    oid: int
    name: str
    kind: str
    part: int
    delimiter: str
    fields: tuple[tuple[str, int], ...]


def foreign_oids(found: Iterable[int]) -> tuple[int, ...]:
    """Those of the types that are not built in, each once."""
    return tuple(dict.fromkeys(oid for oid in found if oid not in oids.SCALARS and oid not in oids.ARRAYS))


class Catalog:
    """The types that the server has told a pool of; one that does not exist is known as well."""

    __slots__ = ("_encoders", "_learned", "_types", "altered")

    def __init__(self) -> None:
        self._types: dict[int, UserType | None] = {}
        self._encoders: dict[int, Encoder] = {}
        self._learned: dict[int, float] = {}
        #: When types were last changed, by the clock of `time.monotonic`: what was learned before is out of date.
        self.altered = float("-inf")

    def missing(self, asked: Iterable[int]) -> tuple[int, ...]:
        """Those that are not known."""
        return tuple(oid for oid in asked if oid not in self._types)

    def learn(self, asked: Sequence[int], rows: Iterable[Sequence[str | None]]) -> None:
        """The server's answer, in text; a type that was asked for and is not in it does not exist.

        DecodeError if it is no such answer.
        """
        try:
            found = [_user_type(*row) for row in rows]
        except (TypeError, ValueError) as error:
            raise DecodeError(f"the server's answer about types cannot be read: {error}") from error
        self._types.update(dict.fromkeys(asked))
        self._types.update({one.oid: one for one in found})
        self._learned.update(dict.fromkeys((*asked, *(one.oid for one in found)), time.monotonic()))
        self._encoders.clear()

    def alter(self) -> None:
        """Types may have changed."""
        self.altered = time.monotonic()
        self._types.clear()
        self._encoders.clear()

    def is_older(self, asked: Iterable[int], moment: float) -> bool:
        """Whether one of these is known, from before this moment by the clock of `time.monotonic`."""
        return any(oid in self._types and self._learned[oid] < moment for oid in asked)

    def forget(self, gone: Iterable[int]) -> None:
        """What is known of these may be out of date."""
        for oid in gone:
            self._types.pop(oid, None)
        self._encoders.clear()

    def encoder(self, oid: int) -> Encoder:
        """How a parameter of any type is sent; TypesUnknown if the server must be asked first."""
        if oid in oids.SCALARS or oid in oids.ARRAYS:
            return encoder(oid)
        made = self._encoders.get(oid)
        if made is None:
            if oid not in self._types:
                raise TypesUnknown(f"type {oid} is not known yet")
            made = self._encoders[oid] = self._make(oid)
        return made

    def _make(self, oid: int) -> Encoder:
        found = self._types[oid]
        if found is None:
            return encoder(oid)
        if found.kind == "d":
            encode, accepts, _ = self._text(found.part)
            return Encoder(found.name, TEXT, encode, accepts)
        if found.kind == "c":
            parts = [(name, *self._text(part)) for name, part in found.fields]
            return Encoder(found.name, TEXT, _composite(parts), f"tuple of {len(parts)} values, or str")
        if found.kind == "a":
            return self._array(found)
        return Encoder(found.name, TEXT, foreign.encode_foreign, foreign.ACCEPTS)

    def _array(self, found: UserType) -> Encoder:
        encode, accepts, is_inner = self._text(found.part)
        element = self._types.get(found.part)
        delimiter = "," if element is None else element.delimiter
        whole = text_array(encode, delimiter, accepts, is_inner)

        def encode_array(value: Any) -> bytes:
            return encode_text(value) if isinstance(value, str) else whole(value)

        return Encoder(found.name, TEXT, encode_array, f"list of {accepts}")

    def _text(self, oid: int) -> tuple[Encode, str, IsInner]:
        """The encode function of a type in text, what it accepts, and what tells inner lists in an array of it."""
        if oid in oids.SCALARS or oid in oids.ARRAYS:
            return literal(oid), encoder(oid).accepts, is_inner_of(oid)
        found = self._types.get(oid)
        if found is not None and found.kind == "d":
            return self._text(found.part)
        made = self.encoder(oid)
        return made.encode, made.name, _is_plain_list


def _user_type(
    oid: str | None, name: str | None, kind: str | None, part: str | None, delimiter: str | None, fields: str | None
) -> UserType:
    if not (oid and name and kind and part and delimiter):
        raise ValueError("a value is missing")
    made = tuple((str(field), int(of)) for field, of in json.loads(fields or "[]"))
    return UserType(int(oid), name, kind, int(part), delimiter, made)


def _is_plain_list(value: Any) -> bool:
    return isinstance(value, list)


def _composite(parts: Sequence[tuple[str, Encode, str, Any]]) -> Encode:
    def encode(value: Any) -> bytes:
        if isinstance(value, str):
            return encode_text(value)
        if not isinstance(value, tuple):
            raise TypeError
        if len(value) != len(parts):
            raise Rejected(f"it has {len(parts)} fields, {len(value)} values were given")
        return foreign.row(
            [None if item is None else _field(item, part) for item, part in zip(value, parts, strict=True)]
        )

    return encode


def _field(value: Any, part: tuple[str, Encode, str, Any]) -> bytes:
    name, encode, accepts, _ = part
    try:
        return encode(value)
    except Exception as error:
        reason = f": {error}" if isinstance(error, (Rejected, UnicodeError)) else ""
        raise Rejected(f'field "{name}": {accepts} expected{reason}') from error


class ForeignCodec:
    """The `ParameterCodec` of a statement with types that are not built in: made once they are known."""

    __slots__ = ("_catalog", "_codec", "_param_oids", "_sql", "learned", "oids")

    def __init__(self, param_oids: Sequence[int], sql: str, catalog: Catalog) -> None:
        self._param_oids = param_oids
        self._sql = sql
        self._catalog = catalog
        self._codec: ParameterCodec | None = None
        #: Those that are not built in.
        self.oids = foreign_oids(param_oids)
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
