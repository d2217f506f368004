"""Composites <- tuples (Records among them), mappings and dataclasses, as the literal that PostgreSQL reads.

A tuple has a value for each field, in their order. A mapping and a dataclass have them by name, all of them and no
others: what is not there is not meant to be NULL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

from .explain import Rejected
from .foreign import row
from .scalars import encode_text

Encode = Callable[[Any], bytes]


class Field(NamedTuple):
    """A field of a composite: how its values are written as text, and what it takes."""

    name: str
    encode: Encode
    accepts: str


def composite_literal(parts: Sequence[Field]) -> Encode:
    """What writes a composite with these fields."""
    names = tuple(part.name for part in parts)

    def encode(value: Any) -> bytes:
        if isinstance(value, str):
            return encode_text(value)
        items = value if isinstance(value, tuple) else _by_name(value, names)
        if len(items) != len(parts):
            raise Rejected(f"it has {len(parts)} fields, {len(items)} values were given")
        return row([None if item is None else _field(item, part) for item, part in zip(items, parts, strict=True)])

    return encode


def _by_name(value: Any, names: tuple[str, ...]) -> tuple[Any, ...]:
    if isinstance(value, Mapping):
        given = dict(value)
    elif is_dataclass(value) and not isinstance(value, type):
        given = {field.name: getattr(value, field.name) for field in fields(value)}
    else:
        raise TypeError
    if strange := [name for name in given if name not in names]:
        raise Rejected(f"it has no field {strange[0]!r}")
    if missing := [name for name in names if name not in given]:
        raise Rejected(f'field "{missing[0]}" is missing')
    return tuple(given[name] for name in names)


def _field(value: Any, part: Field) -> bytes:
    try:
        return part.encode(value)
    except Exception as error:
        reason = f": {error}" if isinstance(error, (Rejected, UnicodeError)) else ""
        raise Rejected(f'field "{part.name}": {part.accepts} expected{reason}') from error
