"""All arguments of one statement at once: `ParameterCodec`, `ForeignCodec`.

It runs before every statement, so each number of parameters has its shortest form and nothing is checked per argument:
the encode functions raise, and only then is the culprit looked for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import ArgumentError
from .catalog import Catalog, TypesUnknown
from .encode import Encoder, encoder
from .explain import Rejected, advice, describe, shorten
from .layout import FIXED_SIZES

MAX_PARAMETERS = 65_535  # the protocol counts them in 16 bits
#: Bytes of the longest message that PostgreSQL takes (`PQ_LARGE_MESSAGE_LIMIT`): all arguments travel in one.
MAX_MESSAGE = 0x3FFF_FFFE
#: Bytes that such a message needs besides: its names and counts, and length and format of each argument.
_BESIDES, _BESIDES_EACH = 128, 6

Encoded = list[bytes | None]


class ParameterCodec:
    """Encodes the arguments of one statement, given the OIDs of its parameters as the server announced them.

    `formats` holds 0 (text) or 1 (binary) for each parameter; `encode(args)` gives the bytes for each argument, None
    for NULL, or raises `ArgumentError` naming the argument, the expected type and the value's type. `sql` only serves
    these messages. `find` gives the encoder of a type: by default that of the built-in ones.
    """

    __slots__ = ("encode", "encoders", "formats", "sql")

    encode: Callable[[Sequence[Any]], Encoded]

    def __init__(self, oids: Sequence[int], sql: str = "", find: Callable[[int], Encoder] = encoder) -> None:
        self.encoders: tuple[Encoder, ...] = tuple(find(oid) for oid in oids)
        self.formats: list[int] = [one.format for one in self.encoders]  # psycopg 3.2 takes nothing but a list
        self.sql = sql
        encode = self._make_encode()
        self.encode = encode if FIXED_SIZES.keys() >= set(oids) else _limited(encode, len(oids), self.sql)

    def _make_encode(self) -> Callable[[Sequence[Any]], Encoded]:
        functions = tuple(one.encode for one in self.encoders)
        explain = _Explain(self.encoders, self.sql)
        if not functions:
            return _encode_none(explain)
        if len(functions) == 1:
            return _encode_one(functions[0], explain)
        if len(functions) == 2:
            return _encode_two(functions[0], functions[1], explain)
        return _encode_many(functions, explain)


class _Explain:
    """Finds the argument that could not be encoded. (Not a method: the codec must not be part of a cycle.)"""

    __slots__ = ("encoders", "sql")

    def __init__(self, encoders: tuple[Encoder, ...], sql: str) -> None:
        self.encoders = encoders
        self.sql = shorten(sql) if sql else ""

    def __call__(self, args: Sequence[Any]) -> ArgumentError:
        if len(args) != len(self.encoders):
            return self._wrong_count(len(args))
        where = f" of {self.sql}" if self.sql else ""
        for position, (one, value) in enumerate(zip(self.encoders, args, strict=True), 1):
            if value is None:
                continue
            try:
                one.encode(value)
            except Exception as error:
                reason = f": {error}" if isinstance(error, (Rejected, UnicodeError)) else ""
                wanted = f"{one.name} expected ({one.accepts}), got {describe(value)}"
                helps = advice(one.name, position, value)
                return ArgumentError(f"argument ${position}{where}: {wanted}{reason}{helps}")
        return ArgumentError(f"an argument{where} changed while it was being encoded")

    def _wrong_count(self, given: int) -> ArgumentError:
        if given > MAX_PARAMETERS:
            return ArgumentError(f"a statement takes at most {MAX_PARAMETERS:,} arguments, {given:,} were given")
        takes = f"{len(self.encoders)} argument{'' if len(self.encoders) == 1 else 's'}"
        statement = f"the statement {self.sql}" if self.sql else "the statement"
        return ArgumentError(f"{statement} takes {takes}, {given} {'was' if given == 1 else 'were'} given")


def _limited(encode: Callable[[Sequence[Any]], Encoded], count: int, sql: str) -> Callable[[Sequence[Any]], Encoded]:
    """With a look at the size of arguments that can be long. Only if one is longer than its share are they added up."""
    most = MAX_MESSAGE - _BESIDES - count * _BESIDES_EACH
    share = most // count

    def limited(args: Sequence[Any]) -> Encoded:
        encoded = encode(args)
        for value in encoded:
            if value is not None and len(value) > share and (total := _size(encoded)) > most:
                where = f" of {shorten(sql)}" if sql else ""
                reason = f"{total:,} bytes, but one message to the server holds at most {MAX_MESSAGE:,} (1 GB)"
                raise ArgumentError(f"the arguments{where} take {reason}")
        return encoded

    return limited


def _size(encoded: Encoded) -> int:
    return sum(len(value) for value in encoded if value is not None)


def _encode_none(explain: _Explain) -> Callable[[Sequence[Any]], Encoded]:
    def encode(args: Sequence[Any]) -> Encoded:
        if args:
            raise explain(args)
        return []

    return encode


def _encode_one(function: Callable[[Any], bytes], explain: _Explain) -> Callable[[Sequence[Any]], Encoded]:
    def encode(args: Sequence[Any]) -> Encoded:
        try:
            (value,) = args
            return [None if value is None else function(value)]
        except Exception:
            raise explain(args) from None

    return encode


def _encode_two(
    first: Callable[[Any], bytes], second: Callable[[Any], bytes], explain: _Explain
) -> Callable[[Sequence[Any]], Encoded]:
    def encode(args: Sequence[Any]) -> Encoded:
        try:
            one, two = args
            return [None if one is None else first(one), None if two is None else second(two)]
        except Exception:
            raise explain(args) from None

    return encode


def _encode_many(
    functions: tuple[Callable[[Any], bytes], ...], explain: _Explain
) -> Callable[[Sequence[Any]], Encoded]:
    count = len(functions)

    def encode(args: Sequence[Any]) -> Encoded:
        if len(args) != count:
            raise explain(args)
        try:  # zip(strict=True) would cost as much as two arguments
            return [None if value is None else function(value) for function, value in zip(functions, args)]  # noqa: B905
        except Exception:
            raise explain(args) from None

    return encode


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
