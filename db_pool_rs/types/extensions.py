"""Types of extensions whose values are more than their text: hstore <-> dict, vector and halfvec <-> list of float.

They are told by their names, which only C code can give to a base type.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .arrays import quoted
from .explain import Rejected, describe
from .scalars import encode_text

_STRING = rb'"((?:[^"\\]|\\.)*)"'
_pair = re.compile(_STRING + b"=>(?:" + _STRING + b"|NULL)(?:, |$)", re.DOTALL).match
_escape = re.compile(rb"\\(.)", re.DOTALL)


class Extension(NamedTuple):
    """How values of a type are written as text, what is accepted, and how they are read."""

    encode: Callable[[Any], bytes]
    accepts: str
    load: Callable[[bytes], Any]


def _hstore_literal(value: Any) -> bytes:
    if isinstance(value, str):
        return encode_text(value)
    if not isinstance(value, Mapping):
        raise TypeError
    pairs = []
    for key, item in value.items():
        if not isinstance(key, str) or not (item is None or isinstance(item, str)):
            raise Rejected(f"keys are str, values str or None, got {describe(key)}: {describe(item)}")
        pairs.append(quoted(encode_text(key)) + b"=>" + (b"NULL" if item is None else quoted(encode_text(item))))
    return b",".join(pairs)


def _hstore(data: bytes) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    at = 0
    while at < len(data):
        pair = _pair(data, at)
        if pair is None:
            raise ValueError("malformed hstore")
        key, value = (None if part is None else _escape.sub(rb"\1", part).decode() for part in (pair[1], pair[2]))
        found[key or ""] = value
        at = pair.end()
    return found


def _vector_literal(value: Any) -> bytes:
    if isinstance(value, str):
        return encode_text(value)
    if not isinstance(value, (list, tuple)) and hasattr(value, "tolist"):
        value = value.tolist()  # a numpy array
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, (int, float)) for item in value):
        raise TypeError
    return b"[" + ",".join([float.__repr__(float(item)) for item in value]).encode() + b"]"


def _vector(data: bytes) -> list[float]:
    """Single precision numbers, as float4 has them."""
    if not (data.startswith(b"[") and data.endswith(b"]")):
        raise ValueError("malformed vector")
    numbers = [float(item) for item in data[1:-1].split(b",")]
    form = f"{len(numbers)}f"
    return list(struct.unpack(form, struct.pack(form, *numbers)))


_VECTOR = Extension(_vector_literal, "list or array of float, or str", _vector)
EXTENSIONS = {
    "hstore": Extension(_hstore_literal, "dict of str to str or None, or str", _hstore),
    "vector": _VECTOR,
    "halfvec": _VECTOR,
}
