"""Arrays <- nested lists or tuples, in PostgreSQL's binary form or, for elements without one, as an array literal.

An array has one length per dimension, so inner lists must be of equal length; None is NULL. The empty list is the array
of zero dimensions; an inner list must not be empty, since PostgreSQL cannot keep the outer length then. Elements of
json and jsonb are Python objects which may be lists themselves: their arrays are one-dimensional.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

from .explain import Rejected, describe

Encode = Callable[[Any], bytes]
#: Whether a member of a list is a list of the next dimension, and not an element.
IsInner = Callable[[Any], bool]

_MAX_DIMENSIONS = 6  # src/include/utils/array.h, MAXDIM
_HEAD = struct.Struct(">iiI")  # dimensions, 1 if there are NULLs, OID of the element
_pack_dimension = struct.Struct(">ii").pack  # length, lower bound
_pack_length = struct.Struct(">i").pack
_NULL = _pack_length(-1)


def is_list(value: Any) -> bool:
    """Whether it is an inner list, for elements that are neither lists nor tuples."""
    return isinstance(value, (list, tuple))


def is_plain_list(value: Any) -> bool:
    """Whether it is an inner list, for elements that may be tuples."""
    return isinstance(value, list)


def is_list_of_lists(value: Any) -> bool:
    """Whether it is an inner list, for elements that are lists of no lists: then lists are in it, or NULL."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return value[0] is None or isinstance(value[0], (list, tuple))


def never(value: Any) -> bool:
    """Whether it is an inner list, for elements that may be anything: their arrays have one dimension."""
    return False


def binary_array(encode: Encode, oid: int, expected: str, is_inner: IsInner = is_list) -> Encode:
    """The encode function for arrays of the type `oid`, whose elements `encode` turns into their binary form.

    `expected` is what the message says about an element that is refused.
    """

    def encode_array(value: Sequence[Any]) -> bytes:
        sizes, items = _flatten(value, is_inner)
        if not items:
            return _HEAD.pack(0, 0, oid)
        parts = [b""]
        try:
            for item in items:
                if item is None:
                    parts.append(_NULL)
                else:
                    data = encode(item)
                    parts.append(_pack_length(len(data)))
                    parts.append(data)
        except Exception as error:
            raise _rejected_element(items, encode, expected, is_inner) from error
        has_null = any(item is None for item in items)
        parts[0] = _HEAD.pack(len(sizes), has_null, oid) + b"".join([_pack_dimension(size, 1) for size in sizes])
        return b"".join(parts)

    return encode_array


def text_array(encode: Encode, delimiter: str, expected: str, is_inner: IsInner = is_list) -> Encode:
    """The encode function for arrays whose elements `encode` turns into text: the literal `{"a","b",NULL}`.

    `is_inner` tells inner lists from elements: a tuple may be an element, and a list, where elements are documents.
    """
    comma = delimiter.encode()

    def literal(items: Sequence[Any], depth: int) -> bytes:
        if depth > 1:
            return b"{" + comma.join([literal(item, depth - 1) for item in items]) + b"}"
        return b"{" + comma.join([b"NULL" if item is None else quoted(encode(item)) for item in items]) + b"}"

    def encode_array(value: Sequence[Any]) -> bytes:
        sizes, items = _flatten(value, is_inner)
        try:
            return literal(value, len(sizes))
        except Exception as error:
            raise _rejected_element(items, encode, expected, is_inner) from error

    return encode_array


def quoted(data: bytes) -> bytes:
    """The element of an array, or the field of a composite, as its literal has it."""
    return b'"' + data.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def _flatten(value: Sequence[Any], is_inner: IsInner) -> tuple[list[int], Sequence[Any]]:
    """The length of each dimension, and all elements in row order."""
    if not isinstance(value, (list, tuple)):
        raise TypeError
    items: Sequence[Any] = value
    sizes = [len(value)]
    while items and is_inner(items[0]):
        size = len(items[0])
        if size == 0:
            raise Rejected("an inner list is empty")
        if any(not is_inner(inner) or len(inner) != size for inner in items):
            raise Rejected("the inner lists differ in length or depth")
        sizes.append(size)
        if len(sizes) > _MAX_DIMENSIONS:
            raise Rejected(f"more than {_MAX_DIMENSIONS} dimensions")
        items = [item for inner in items for item in inner]
    return sizes, items


def _rejected_element(items: Sequence[Any], encode: Encode, expected: str, is_inner: IsInner) -> Rejected:
    """Name the element that cannot be encoded, by its position in row order from 1."""
    for position, item in enumerate(items, 1):
        if item is None:
            continue
        if is_inner(item):
            return Rejected("the inner lists differ in length or depth")
        try:
            encode(item)
        except Exception as error:
            reason = f": {error}" if isinstance(error, Rejected) else ""
            return Rejected(f"element {position}: {expected} expected, got {describe(item)}{reason}")
    return Rejected("an element changed while it was being encoded")
