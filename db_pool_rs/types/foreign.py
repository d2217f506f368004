"""Arguments for types of which nothing is known but that they are not built in, such as enums and types of extensions.

What they take is up to their input functions, which refuse what does not fit. So more than `str` is accepted here: a
value whose text is the same whatever the type. A datetime has no such text (whether its time zone counts depends on the
type); nor have bytes, timedelta and JSON objects. Domains, composites and arrays are known: see `catalog`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .arrays import quoted, text_array
from .explain import Rejected
from .scalars import encode_text

if TYPE_CHECKING:
    from ..codecs import Codec
    from .extensions import Extension

ACCEPTS = "str, int, float, Decimal, bool, date or UUID, a list of these for an array, a tuple for a composite"


def encode_foreign(value: Any) -> bytes:
    """Encode one value, a list as an array's literal, a tuple as a composite's: the OID tells neither."""
    return _encode_list(_with_rows(value)) if isinstance(value, list) else _encode_item(value)


def _with_rows(items: list[Any]) -> list[Any]:
    """The same, with literals in the place of tuples: only lists are dimensions of an array."""

    def item(value: Any) -> Any:
        if isinstance(value, list):
            return _with_rows(value)
        return _encode_row(value).decode() if isinstance(value, tuple) else value

    return [item(value) for value in items]


def _encode_row(fields: tuple[Any, ...]) -> bytes:
    return row([None if field is None else encode_foreign(field) for field in fields])


def row(fields: Sequence[bytes | None]) -> bytes:
    """The literal of a composite: `(1,"x y",)`; nothing at all is NULL."""
    return b"(" + b",".join([b"" if field is None else quoted(field) for field in fields]) + b")"


def _encode_item(value: Any) -> bytes:
    if isinstance(value, (str, Enum)):
        return encode_text(value)  # type: ignore[arg-type]  # a member of an Enum by its value
    if isinstance(value, tuple):
        return _encode_row(value)
    if isinstance(value, bool):
        return b"true" if value else b"false"  # also for a domain over jsonb or text, of which 1 is another value
    if isinstance(value, int):
        return int.__repr__(value).encode()
    if isinstance(value, float):
        return float.__repr__(value).encode()
    if isinstance(value, (Decimal, UUID)) or (isinstance(value, date) and not isinstance(value, datetime)):
        return str(value).encode()
    raise Rejected("cast the parameter in SQL to a built-in type, as in $1::timestamptz")


_encode_list = text_array(_encode_item, ",", ACCEPTS)


#: These end the program. All else that a codec raises is its statement's, which waits for an answer, be it no Exception
#: either, as what an extension in Rust raises when it panics.
STOPS = (KeyboardInterrupt, SystemExit)


def encode_by(codec: Codec, write: Callable[[Any], bytes] | None) -> Callable[[Any], bytes]:
    """`write` is what writes a tuple of the fields, where the codec gives one."""
    encoder, wanted = codec.encoder, str if write is None else tuple
    assert encoder is not None

    def encode(value: Any) -> bytes:
        try:
            made = encoder(value)
        except STOPS:
            raise
        except BaseException as error:
            raise Rejected(str(error) or type(error).__name__) from error
        if not isinstance(made, wanted):
            raise Rejected(f"the encoder of its codec must return {wanted.__name__}, got {type(made).__name__}")
        return encode_text(str(made)) if write is None else write(made)

    return encode


def decode_by(decoder: Callable[[Any], Any], load: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    """`load` is what reads the fields, where the decoder takes them."""

    def decode(data: bytes) -> Any:
        given = data.decode() if load is None else tuple(load(data))
        try:
            return decoder(given)
        except (Exception, *STOPS):
            raise
        except BaseException as error:
            raise RuntimeError(f"{type(error).__name__}: {error}") from error

    return decode


def without_fields(name: str) -> Callable[[Any], bytes]:
    """Of a codec with fields for a type that has none."""

    def encode(value: Any) -> bytes:
        raise Rejected(f"its codec has fields, and {name} is no composite type")

    return encode


def extension(name: str) -> Extension | None:
    """How a type of an extension travels, if that is known."""
    from .extensions import EXTENSIONS  # with patterns of its own, which most programs do without

    return EXTENSIONS.get(name)
